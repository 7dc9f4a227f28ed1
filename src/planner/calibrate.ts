/**
 * Fits an engine to the first part of an observed run and predicts the rest. Only outcomes of the first part are looked
 * at; arrivals and lengths are inputs of the prediction, as a planner has them.
 */
import { MembraneError } from '../core/errors.ts'
import { type PredictionError, predictionErrors } from './calibrate-errors.ts'
import { DEFAULT_FIT_OPTIONS, type EngineFit, type FitOptions, fitEngine } from './calibrate-fit.ts'
import { type EngineBounds, engineBounds, type KnownEngine, type LimitOrigin } from './calibrate-limits.ts'
import { decodeProfileOf, type PrefillPoint, prefillPoints } from './calibrate-profile.ts'
import type { DecodeProfile } from './decode.ts'
import type { EngineOptions } from './engine-options.ts'
import { simulateEngine } from './engine-sim.ts'
import type { EngineStepSeconds } from './engine-step.ts'
import type { ObservedRequests } from './observed-requests.ts'

/** How to calibrate: which share to fit, what is known of the engine, how hard to search. */
export interface CalibrateOptions {
  /** Share of the requests, by arrival, that is fitted; above 0 and below 1. */
  readonly trainShare: number
  readonly engine: KnownEngine
  readonly fit: FitOptions
}

/** The first third, nothing known, the usual search. */
export const DEFAULT_CALIBRATE_OPTIONS: CalibrateOptions = { trainShare: 1 / 3, engine: {}, fit: DEFAULT_FIT_OPTIONS }

/** A fitted engine, and how well it predicts what it was not fitted to. */
export interface Calibration {
  readonly requests: number
  /** The first so many were fitted. */
  readonly fittedRequests: number
  readonly engine: EngineOptions
  /** How each of the engine's bounds is known; lockstep of replicas is told by the better fit unless it is given. */
  readonly engineOrigins: Readonly<Record<keyof EngineOptions, LimitOrigin>>
  readonly stepSeconds: EngineStepSeconds
  /** Seconds of a prompt on an idle engine. */
  readonly prefill: readonly PrefillPoint[]
  readonly decode: DecodeProfile
  readonly errors: { readonly fitted: readonly PredictionError[]; readonly rest: readonly PredictionError[] }
  readonly simulations: number
}

/** Twice as many as there are coefficients; fewer tell nothing. */
const FITTED_REQUESTS_MIN = 12

/**
 * Throws INVALID_REQUEST when there are too few requests to fit or none to predict, OUT_OF_DOMAIN when every fitted
 * request queued behind another (then prefill and waiting cannot be told apart), and what `simulateEngine` throws.
 */
export function calibrate(observed: ObservedRequests, options: Partial<CalibrateOptions> = {}): Calibration {
  const { trainShare, engine, fit } = { ...DEFAULT_CALIBRATE_OPTIONS, ...options }
  const requests = observed.arrivalSeconds.length
  const fittedRequests = fittedCount(requests, trainShare)
  checkQueueFree(observed, fittedRequests)
  const bounds = engineBounds(observed, fittedRequests, engine)
  const choice = lockstepChoice(observed, fittedRequests, { bounds, engine, fit })
  const best = fitEngine(observed, fittedRequests, choice.options, fit)
  const run = simulateEngine(observed, best.options, best.stepSeconds)
  const source = sourceText(observed, fittedRequests, best)
  return {
    requests,
    fittedRequests,
    engine: best.options,
    engineOrigins: { ...bounds.origins, ...(choice.isTold ? { isLockstep: 'told from the data' } : {}) },
    stepSeconds: best.stepSeconds,
    prefill: prefillPoints(
      best.stepSeconds,
      best.options.batchTokensMax,
      observed.inputTokens.subarray(0, fittedRequests),
    ),
    decode: decodeProfileOf(best.stepSeconds, best.options, source),
    errors: {
      fitted: predictionErrors(observed, observed, run, { start: 0, end: fittedRequests }),
      rest: predictionErrors(observed, observed, run, { start: fittedRequests, end: requests }),
    },
    simulations: choice.simulations + best.simulations,
  }
}

function fittedCount(requests: number, trainShare: number): number {
  if (!(trainShare > 0 && trainShare < 1)) {
    throw new MembraneError('INVALID_REQUEST', `The share to fit must be above 0 and below 1, found ${trainShare}.`)
  }
  const count = Math.round(requests * trainShare)
  const details = { requests, fittedRequests: count, fittedRequestsMin: FITTED_REQUESTS_MIN }
  if (count < FITTED_REQUESTS_MIN) {
    throw new MembraneError(
      'INVALID_REQUEST',
      `A fit needs at least ${FITTED_REQUESTS_MIN} requests, and a share of ${Number(trainShare.toFixed(3))} of ${requests} is ${count}.`,
      { remedy: 'Observe more requests, or fit a larger share of them.', details },
    )
  }
  if (count < requests) return count
  throw new MembraneError(
    'INVALID_REQUEST',
    `A share of ${trainShare} of ${requests} requests leaves none to predict.`,
    { remedy: 'Fit a smaller share.', details },
  )
}

/** A request is free of the queue when it meets nobody who waits for a first token, nor arrives with another. */
function checkQueueFree(observed: ObservedRequests, count: number): void {
  let busyUntilSeconds = Number.NEGATIVE_INFINITY
  for (let job = 0; job < count; job++) {
    const arrival = observed.arrivalSeconds[job] ?? 0
    const isAlone = observed.arrivalSeconds[job + 1] !== arrival
    if (arrival >= busyUntilSeconds && isAlone) return
    busyUntilSeconds = Math.max(busyUntilSeconds, observed.firstTokenSeconds[job] ?? 0)
  }
  throw new MembraneError(
    'OUT_OF_DOMAIN',
    `Each of the ${count} requests to fit arrived while another waited for its first token, so prefill and waiting cannot be told apart.`,
    {
      remedy: 'Observe a run that begins with single requests, or at a lower rate.',
      details: { fittedRequests: count },
    },
  )
}

/** Whether replicas move in lockstep is told by the better of two quick fits, unless it is known. */
function lockstepChoice(
  observed: ObservedRequests,
  count: number,
  { bounds, engine, fit }: { readonly bounds: EngineBounds; readonly engine: KnownEngine; readonly fit: FitOptions },
): { readonly options: EngineOptions; readonly isTold: boolean; readonly simulations: number } {
  const { options } = bounds
  if (options.replicas === 1 || engine.isLockstep !== undefined) return { options, isTold: false, simulations: 0 }
  const fits = [true, false].map((isLockstep) =>
    fitEngine(observed, count, { ...options, isLockstep }, { ...fit, starts: 1 }),
  )
  const better = fits.reduce((best, next) => (next.squaredError < best.squaredError ? next : best))
  const simulations = fits.reduce((sum, next) => sum + next.simulations, 0)
  return { options: better.options, isTold: true, simulations }
}

/** What a profile's source may still hold besides our own words. */
const FILE_CHARACTERS_MAX = 100

/** Names the file without its folders, which mean nothing elsewhere. */
function sourceText(observed: ObservedRequests, fittedRequests: number, { options }: EngineFit): string {
  const file = (observed.name.split(/[/\\]/).at(-1) ?? observed.name).slice(-FILE_CHARACTERS_MAX)
  const parallel = options.replicas === 1 ? '' : `, one of ${options.replicas} replicas`
  return `fitted to the first ${fittedRequests} observed requests of ${file}${parallel}`
}
