import { beforeAll, describe, expect, it } from 'vitest'
import { exponential, seededRandom } from '../core/random.ts'
import type { PredictedMetric, PredictionError } from './calibrate-errors.ts'
import { type Calibration, type CalibrateOptions, calibrate } from './calibrate.ts'
import { DEFAULT_ENGINE_OPTIONS, type EngineOptions } from './engine-options.ts'
import { simulateEngine } from './engine-sim.ts'
import type { EngineStepSeconds } from './engine-step.ts'
import type { ObservedRequests } from './observed-requests.ts'

/** About an 8B model on one GPU. */
const KNOWN: EngineStepSeconds = {
  fixed: 0.012,
  perSequence: 1e-4,
  perContextToken: 1e-7,
  withPrefill: 0.008,
  perPrefillToken: 4e-5,
  perPrefillPair: 5e-9,
}
const QUICK: Partial<CalibrateOptions> = { fit: { evaluationsMax: 200, starts: 2 } }

/** What an engine of known coefficients answers. */
function generated(requests: number, rps: number, engine: Partial<EngineOptions> = {}, seed = 7): ObservedRequests {
  const random = seededRandom(seed)
  let at = 0
  const asked = {
    arrivalSeconds: Float64Array.from({ length: requests }, () => (at += exponential(random) / rps)),
    inputTokens: Int32Array.from({ length: requests }, () => 50 + Math.floor(3000 * random() ** 3)),
    outputTokens: Int32Array.from({ length: requests }, () => 20 + Math.floor(180 * random())),
  }
  const run = simulateEngine(asked, { ...DEFAULT_ENGINE_OPTIONS, ...engine }, KNOWN)
  return { name: 'generated', format: 'membrane', ...asked, ...run }
}

function errorOf(rows: readonly PredictionError[], metric: PredictedMetric): number {
  return rows.find((row) => row.metric === metric)?.error ?? expect.unreachable(metric)
}

function messageOf(action: () => unknown): string {
  try {
    action()
  } catch (error) {
    if (error instanceof Error) return error.message
  }
  return expect.unreachable('expected an error')
}

describe('calibrating a run of known coefficients', () => {
  const observed = generated(150, 4)
  let calibration: Calibration
  beforeAll(() => {
    calibration = calibrate(observed)
  })

  it('predicts the part that was not fitted: means within 5 %, quantiles within 10 %', () => {
    expect(calibration.requests).toBe(150)
    expect(calibration.fittedRequests).toBe(50)
    for (const { metric, error } of [...calibration.errors.fitted, ...calibration.errors.rest]) {
      expect(Math.abs(error ?? Number.NaN), metric).toBeLessThan(metric.endsWith('mean') ? 0.05 : 0.1)
    }
  })

  it('recovers the seconds of prefill and of decode steps where the run has them', () => {
    const pair = (tokens: number) => (tokens * (tokens + 1)) / 2
    for (const { tokens, seconds } of calibration.prefill) {
      const known =
        Math.ceil(tokens / 2048) * (KNOWN.fixed + KNOWN.withPrefill) +
        KNOWN.perPrefillToken * tokens +
        KNOWN.perPrefillPair * pair(tokens)
      expect(Math.abs(seconds / known - 1), `${tokens} tokens`).toBeLessThan(0.1)
    }
    const { fixed, perSequence, perContextToken } = calibration.decode.stepSeconds
    for (const batch of [10, 20, 40]) {
      const context = 900 * batch
      const known = KNOWN.fixed + KNOWN.perSequence * batch + KNOWN.perContextToken * context
      const found = fixed + perSequence * batch + perContextToken * context
      expect(Math.abs(found / known - 1), `batch ${batch}`).toBeLessThan(0.1)
    }
  })

  it('gives prefill points from the shortest to the longest fitted prompt, ascending', () => {
    const inputs = observed.inputTokens.subarray(0, 50)
    const lengths = calibration.prefill.map(({ tokens }) => tokens)
    expect(lengths.at(0)).toBe(Math.min(...inputs))
    expect(lengths.at(-1)).toBe(Math.max(...inputs))
    expect(lengths).toEqual([...new Set(lengths)].toSorted((one, other) => one - other))
  })

  it('names its source without folders', () => {
    const named = { ...observed, name: `/a/${'b'.repeat(300)}/c\\run.jsonl` }
    const { decode } = calibrate(named, { fit: { evaluationsMax: 1, starts: 1 } })
    expect(decode.source).toBe('fitted to the first 50 observed requests of run.jsonl')
  })

  it('says the same again', () => {
    expect(calibrate(observed)).toEqual(calibration)
  })

  it('holds no number that is none', () => {
    const numbers: number[] = []
    JSON.stringify(calibration, (_, value: unknown) => {
      if (typeof value === 'number') numbers.push(value)
      return value
    })
    expect(numbers.length).toBeGreaterThan(40)
    expect(numbers.filter((value) => !Number.isFinite(value))).toEqual([])
  })

  it('looks at no outcome of the rest', () => {
    const other = {
      ...observed,
      firstTokenSeconds: observed.firstTokenSeconds.map((at, job) => (job < 50 ? at : 3 * at)),
      lastTokenSeconds: observed.lastTokenSeconds.map((at, job) => (job < 50 ? at : 5 * at)),
    }
    const again = calibrate(other)
    expect(again.stepSeconds).toEqual(calibration.stepSeconds)
    expect(again.engine).toEqual(calibration.engine)
    expect(errorOf(again.errors.rest, 'E2E mean')).toBeLessThan(-0.5)
  })
})

describe('bounds of the engine', () => {
  it('are told from a queue behind full slots, and shape the prediction', () => {
    const observed = generated(150, 12, { sequencesMax: 12 })
    const { engine, engineOrigins, errors } = calibrate(observed, QUICK)
    expect(engine.sequencesMax).toBe(12)
    expect(engineOrigins.sequencesMax).toBe('told from the data')
    expect(Math.abs(errorOf(errors.rest, 'TTFT mean'))).toBeLessThan(0.05)
    expect(Math.abs(errorOf(errors.rest, 'E2E mean'))).toBeLessThan(0.05)
  })

  it('tell lockstep replicas from replicas on their own by the better fit', () => {
    for (const isLockstep of [true, false]) {
      const observed = generated(90, 20, { replicas: 2, isLockstep })
      const { engine, engineOrigins } = calibrate(observed, { ...QUICK, engine: { replicas: 2 } })
      expect(engine.isLockstep).toBe(isLockstep)
      expect(engineOrigins).toMatchObject({ replicas: 'given', isLockstep: 'told from the data' })
    }
  })

  it('are taken as given, the rest by default', () => {
    const observed = generated(60, 5)
    const options = { fit: { evaluationsMax: 10, starts: 1 }, engine: { sequencesMax: 64, stepsInFlight: 1 } }
    const { engine, engineOrigins, simulations } = calibrate(observed, options)
    expect(engine).toEqual({ ...DEFAULT_ENGINE_OPTIONS, sequencesMax: 64, stepsInFlight: 1 })
    expect(engineOrigins).toMatchObject({ sequencesMax: 'given', stepsInFlight: 'given', batchTokensMax: 'default' })
    expect(simulations).toBeLessThan(20)
    const none = { ...options, engine: { replicas: 0 } }
    expect(messageOf(() => calibrate(observed, none))).toContain(
      'replicas must be a whole number from 1 to 1024, found 0',
    )
  })
})

describe('a run that cannot be fitted', () => {
  it('is too short', () => {
    expect(messageOf(() => calibrate(generated(33, 5)))).toBe(
      'A fit needs at least 12 requests, and a share of 0.333 of 33 is 11.',
    )
  })

  it('leaves nothing to predict, or has no share', () => {
    const observed = generated(40, 5)
    expect(messageOf(() => calibrate(observed, { trainShare: 0.999 }))).toContain('leaves none to predict')
    for (const trainShare of [0, 1, Number.NaN, -1]) {
      expect(messageOf(() => calibrate(observed, { trainShare }))).toContain('must be above 0 and below 1')
    }
  })

  it('is one burst, in which every request queues', () => {
    const burst = generated(60, 1e9)
    const together = { ...burst, arrivalSeconds: new Float64Array(60) }
    expect(messageOf(() => calibrate(together))).toContain(
      'Each of the 20 requests to fit arrived while another waited for its first token',
    )
  })
})

it('a run of single tokens has no TPOT and is fitted all the same', () => {
  const source = generated(150, 5)
  const asked = { ...source, outputTokens: new Int32Array(150).fill(1) }
  const observed = { ...asked, ...simulateEngine(asked, DEFAULT_ENGINE_OPTIONS, KNOWN) }
  const { errors } = calibrate(observed)
  expect(errors.rest.map(({ metric }) => metric)).toEqual(['TTFT mean', 'TTFT P50', 'TTFT P90', 'E2E mean'])
  for (const { metric, error } of errors.rest) expect(Math.abs(error ?? Number.NaN), metric).toBeLessThan(0.1)
})
