/** How far a simulated engine is from an observed one, over a span of requests. */
import { meanOf } from '../core/moments.ts'
import { quantileOfSorted, sortedAscending } from '../core/quantile.ts'
import type { EngineRequests } from './engine-jobs.ts'

/** When first and last tokens came, on the clock of the arrivals; rows are requests. */
export interface TokenTimes {
  readonly firstTokenSeconds: Float64Array
  readonly lastTokenSeconds: Float64Array
}

/** `[start, end)`, by number in the file from 0. */
export interface RequestSpan {
  readonly start: number
  readonly end: number
}

/** What is compared, all in seconds; quantiles by nearest rank. TPOT is over requests with two output tokens or more. */
export type PredictedMetric = 'TTFT mean' | 'TTFT P50' | 'TTFT P90' | 'TPOT mean' | 'E2E mean'

export interface PredictionError {
  readonly metric: PredictedMetric
  readonly measuredSeconds: number
  readonly predictedSeconds: number
  /** predicted / measured - 1; null where the measured value is 0. */
  readonly error: number | null
}

/** Measured beside predicted, for a span of at least one request. Without a second output token anywhere there is no TPOT row. */
export function predictionErrors(
  requests: EngineRequests,
  measured: TokenTimes,
  predicted: TokenTimes,
  span: RequestSpan,
): readonly PredictionError[] {
  const seen = latenciesOf(requests, measured, span)
  const said = latenciesOf(requests, predicted, span)
  const quantiles = (share: number) => [seen, said].map(({ ttft }) => quantileOfSorted(sortedAscending(ttft), share))
  return [
    errorRow('TTFT mean', meanOf(seen.ttft), meanOf(said.ttft)),
    errorRow('TTFT P50', ...pair(quantiles(0.5))),
    errorRow('TTFT P90', ...pair(quantiles(0.9))),
    ...(seen.tpot.length === 0 ? [] : [errorRow('TPOT mean', meanOf(seen.tpot), meanOf(said.tpot))]),
    errorRow('E2E mean', meanOf(seen.e2e), meanOf(said.e2e)),
  ]
}

function pair([one = 0, other = 0]: readonly number[]): readonly [number, number] {
  return [one, other]
}

function errorRow(metric: PredictedMetric, measuredSeconds: number, predictedSeconds: number): PredictionError {
  const error = measuredSeconds > 0 ? predictedSeconds / measuredSeconds - 1 : null
  return { metric, measuredSeconds, predictedSeconds, error }
}

interface Latencies {
  readonly ttft: readonly number[]
  readonly tpot: readonly number[]
  readonly e2e: readonly number[]
}

function latenciesOf(requests: EngineRequests, times: TokenTimes, { start, end }: RequestSpan): Latencies {
  const ttft: number[] = []
  const tpot: number[] = []
  const e2e: number[] = []
  for (let job = start; job < end; job++) {
    const at = requests.arrivalSeconds[job] ?? 0
    const first = times.firstTokenSeconds[job] ?? 0
    const last = times.lastTokenSeconds[job] ?? 0
    const steps = (requests.outputTokens[job] ?? 0) - 1
    ttft.push(first - at)
    e2e.push(last - at)
    if (steps > 0) tpot.push((last - first) / steps)
  }
  return { ttft, tpot, e2e }
}

/**
 * ASSUMPTION: calibration-weights. A TTFT counts a quarter: whether an arrival just makes or just misses a boundary moves
 * it by a whole iteration, so that one alone says little.
 */
const TTFT_WEIGHT = 0.25

/**
 * What a fit makes small: the mean over requests of three squared errors. A TTFT counts against the mean TTFT, because
 * many are near 0; the time a token after it, and the whole, count against their own measured values.
 */
export function squaredError(
  requests: EngineRequests,
  measured: TokenTimes,
  predicted: TokenTimes,
  count: number,
): number {
  const span = { start: 0, end: count }
  const seen = latenciesOf(requests, measured, span)
  const said = latenciesOf(requests, predicted, span)
  const ttftMean = meanOf(seen.ttft)
  let sum = 0
  for (let job = 0; job < count; job++) {
    sum += TTFT_WEIGHT * square(((said.ttft[job] ?? 0) - (seen.ttft[job] ?? 0)) / ttftMean)
    sum += square((said.e2e[job] ?? 0) / (seen.e2e[job] ?? 1) - 1)
  }
  for (const [index, tpot] of seen.tpot.entries()) if (tpot > 0) sum += square((said.tpot[index] ?? 0) / tpot - 1)
  return sum / count
}

function square(x: number): number {
  return x * x
}
