/**
 * Finds what an iteration costs from when tokens came out: the engine is simulated with trial coefficients until the
 * error is small. Following slopes was tried, by differences and along the simulated order of iterations, and stalled:
 * a TTFT jumps by a whole iteration where an arrival just misses a boundary.
 */
import { meanOf } from '../core/moments.ts'
import { medianOfSorted, sortedAscending } from '../core/quantile.ts'
import { squaredError } from './calibrate-errors.ts'
import { minimizeByEvolution, type Minimum } from './calibrate-evolution.ts'
import type { EngineOptions } from './engine-options.ts'
import { simulateEngine } from './engine-sim.ts'
import { type EngineStepSeconds, stepSecondsFrom, stepWeights } from './engine-step.ts'
import type { ObservedRequests } from './observed-requests.ts'

export interface EngineFit {
  readonly options: EngineOptions
  readonly stepSeconds: EngineStepSeconds
  /** See `squaredError`; over the fitted requests. */
  readonly squaredError: number
  /** Simulated runs that it took. */
  readonly simulations: number
}

export interface FitOptions {
  /** Simulated runs of one search. */
  readonly evaluationsMax: number
  /** How often the search begins anew around its best: one alone may narrow down too early. */
  readonly starts: number
}

/** A few seconds for 300 requests. A single search of as many runs is several times worse with an unlucky seed. */
export const DEFAULT_FIT_OPTIONS: FitOptions = { evaluationsMax: 400, starts: 3 }

/** Trials of one generation. */
const POPULATION = 16

/** A first guess is wrong by about this factor; later searches look nearer. */
const SPREAD = Math.log(1.65)
const SPREAD_DECAY = 0.7

/** Fits the first `count` requests; outcomes of the others are not looked at, their arrivals and lengths are. */
export function fitEngine(
  observed: ObservedRequests,
  count: number,
  options: EngineOptions,
  { evaluationsMax, starts }: FitOptions = DEFAULT_FIT_OPTIONS,
): EngineFit {
  let simulations = 0
  // Logarithms keep coefficients above 0 and make steps relative.
  const errorAt = (logs: readonly number[]): number => {
    simulations += 1
    const run = simulateEngine(observed, options, stepSecondsFrom(logs.map(Math.exp)), count)
    return squaredError(observed, observed, run, count)
  }
  const guess = Array.from(stepWeights(firstGuess(observed, count)), Math.log)
  let best: Minimum = { at: guess, value: Number.POSITIVE_INFINITY }
  for (let start = 0; start < starts; start++) {
    const spread = SPREAD * SPREAD_DECAY ** start
    const search = { evaluationsMax, population: POPULATION, spread, seed: start + 1 }
    best = minimizeByEvolution(errorAt, best.at, search)
  }
  return { options, stepSeconds: stepSecondsFrom(best.at.map(Math.exp)), squaredError: best.value, simulations }
}

/** Less than any hardware takes; keeps logarithms finite. */
const GUESS_SECONDS_MIN = 1e-9

/**
 * ASSUMPTION: calibration-start. A typical TPOT split over the terms: a quarter fixed, an eighth each for the sequences
 * and their context, a quarter for prefill beside it; half of the quickest prompt for its tokens, an eighth for pairs.
 * Terms that the data cannot tell apart keep about these proportions.
 */
function firstGuess(observed: ObservedRequests, count: number): EngineStepSeconds {
  const tpots: number[] = []
  let ttftMin = Number.POSITIVE_INFINITY
  let perPromptToken = Number.POSITIVE_INFINITY
  let decodeSeconds = 0
  for (let job = 0; job < count; job++) {
    const first = observed.firstTokenSeconds[job] ?? 0
    const afterSeconds = (observed.lastTokenSeconds[job] ?? 0) - first
    const steps = (observed.outputTokens[job] ?? 0) - 1
    if (steps > 0) tpots.push(afterSeconds / steps)
    decodeSeconds += afterSeconds
    const ttft = first - (observed.arrivalSeconds[job] ?? 0)
    ttftMin = Math.min(ttftMin, ttft)
    perPromptToken = Math.min(perPromptToken, ttft / (observed.inputTokens[job] ?? 1))
  }
  const runSeconds = observed.lastTokenSeconds.subarray(0, count).reduce((last, at) => Math.max(last, at), 0)
  const batch = Math.max(1, decodeSeconds / runSeconds)
  const inputTokens = meanOf(observed.inputTokens.subarray(0, count))
  const prompt = Math.max(perPromptToken, GUESS_SECONDS_MIN)
  // Requests of one token say nothing of decoding; the quickest is one iteration.
  const iteration = tpots.length === 0 ? ttftMin : medianOfSorted(sortedAscending(tpots))
  const tpot = Math.max(iteration, GUESS_SECONDS_MIN)
  return {
    fixed: tpot / 4,
    perSequence: tpot / 8 / batch,
    perContextToken: tpot / 8 / batch / inputTokens,
    withPrefill: tpot / 4,
    perPrefillToken: prompt / 2,
    perPrefillPair: prompt / 8 / inputTokens,
  }
}
