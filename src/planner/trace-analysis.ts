/** What a trace says about itself: lengths, arrival rate and burstiness, and the ceiling of prefix caching. */
import { meanOf } from '../core/moments.ts'
import { medianOfSorted, type Numbers, quantileOfSorted, sortedAscending } from '../core/quantile.ts'
import { type PrefixHitRatio, prefixHitRatioMax } from './trace-prefix.ts'
import type { ClientRates, Trace, TraceFile } from './trace.ts'

/** Quantiles by nearest rank. */
export interface Distribution {
  readonly mean: number
  readonly p50: number
  readonly p90: number
  readonly p99: number
  readonly max: number
}

/** Client rates added up for each window that has at least one row; the statistics are over these windows. */
export interface ClientAnalysis {
  readonly count: number
  readonly windows: number
  /** Requests/s of all clients together. `p50` of an even number of windows is the mean of the middle two. */
  readonly rateRps: { readonly mean: number; readonly p50: number; readonly min: number; readonly max: number }
  /** Coefficient of variation of inter-arrival times, mean over rows weighted by rate. */
  readonly weightedCv: number
}

/** Null is what the file does not say. */
export interface TraceAnalysis {
  readonly requests: number | null
  /** Last arrival minus first; for client rates, last window start minus first. */
  readonly durationSeconds: number | null
  readonly inputTokens: Distribution | null
  readonly outputTokens: Distribution | null
  /** Null without times, and when all requests come at once. For client rates, the mean over windows. */
  readonly requestsPerSecond: number | null
  /** Population variance / mean of the counts in full 60 s windows from the first request; Poisson = 1. Null below two. */
  readonly dispersion60s: number | null
  /** With an infinite cache shared by all. Null without block ids. */
  readonly prefixHitRatioMax: PrefixHitRatio | null
  /** Mean and population standard deviation of ln(input tokens). */
  readonly logNormalFit: { readonly mu: number; readonly sigma: number } | null
  /** Only of client rates. */
  readonly clients?: ClientAnalysis
}

const DISPERSION_WINDOW_SECONDS = 60

/** Describes a trace: lengths, rate, burstiness, the prefix-hit ceiling and a log-normal fit; null for what the file does not say. */
export function analyzeTrace(file: TraceFile): TraceAnalysis {
  return file.kind === 'requests' ? analyzeRequests(file.trace) : analyzeClientRates(file.rates)
}

function analyzeRequests(trace: Trace): TraceAnalysis {
  const durationSeconds = trace.atSeconds?.at(-1) ?? null
  return {
    requests: trace.requestCount,
    durationSeconds,
    inputTokens: distributionOf(trace.inputTokens),
    outputTokens: trace.outputTokens === null ? null : distributionOf(trace.outputTokens),
    requestsPerSecond: durationSeconds === null || durationSeconds === 0 ? null : trace.requestCount / durationSeconds,
    dispersion60s: trace.atSeconds === null ? null : dispersionOfCounts(trace.atSeconds, DISPERSION_WINDOW_SECONDS),
    prefixHitRatioMax: prefixHitRatioMax(trace),
    logNormalFit: fitLogNormal(trace.inputTokens),
  }
}

function analyzeClientRates(rates: ClientRates): TraceAnalysis {
  const windowStarts = sortedAscending(rates.windowStartSeconds)
  const clients = analyzeClients(rates)
  return {
    requests: null,
    durationSeconds: (windowStarts.at(-1) ?? 0) - (windowStarts[0] ?? 0),
    inputTokens: null,
    outputTokens: null,
    requestsPerSecond: clients.rateRps.mean,
    dispersion60s: null,
    prefixHitRatioMax: null,
    logNormalFit: null,
    clients,
  }
}

function analyzeClients(rates: ClientRates): ClientAnalysis {
  const rateByWindow = new Map<number, number>()
  let rateSum = 0
  let weightedCvSum = 0
  for (const [row, rate] of rates.requestsPerSecond.entries()) {
    const window = rates.windowStartSeconds[row] ?? 0
    rateByWindow.set(window, (rateByWindow.get(window) ?? 0) + rate)
    rateSum += rate
    weightedCvSum += rate * (rates.cv[row] ?? 0)
  }
  const sorted = Float64Array.from(rateByWindow.values()).sort()
  return {
    count: countDistinct(rates.clientIds),
    windows: sorted.length,
    rateRps: {
      mean: rateSum / sorted.length,
      p50: medianOfSorted(sorted),
      min: quantileOfSorted(sorted, 0),
      max: quantileOfSorted(sorted, 1),
    },
    weightedCv: weightedCvSum / rateSum,
  }
}

function distributionOf(values: Numbers): Distribution {
  const sorted = sortedAscending(values)
  return {
    mean: meanOf(sorted),
    p50: quantileOfSorted(sorted, 0.5),
    p90: quantileOfSorted(sorted, 0.9),
    p99: quantileOfSorted(sorted, 0.99),
    max: quantileOfSorted(sorted, 1),
  }
}

/**
 * Index of dispersion of the request counts in the full windows `[k w, (k + 1) w)`. The partial window at the end is
 * left out, as its small count would pass for burstiness: its run is never added. Walks runs of requests in the same
 * window, so empty windows cost nothing.
 */
function dispersionOfCounts(atSeconds: Float64Array, windowSeconds: number): number | null {
  const windows = Math.floor((atSeconds.at(-1) ?? 0) / windowSeconds)
  if (windows < 2) return null
  let counted = 0
  let squares = 0
  let window = 0
  let inWindow = 0
  for (const at of atSeconds) {
    const next = Math.floor(at / windowSeconds)
    if (next !== window) {
      squares += inWindow * inWindow
      counted += inWindow
      inWindow = 0
      window = next
    }
    inWindow += 1
  }
  const mean = counted / windows
  return (squares / windows - mean * mean) / mean
}

function fitLogNormal(values: Int32Array): { readonly mu: number; readonly sigma: number } {
  const logs = Float64Array.from(values, Math.log)
  const mu = meanOf(logs)
  const variance = meanOf(logs.map((log) => (log - mu) ** 2))
  return { mu, sigma: Math.sqrt(variance) }
}

function countDistinct(values: Int32Array): number {
  const sorted = sortedAscending(values)
  return sorted.filter((value, index) => value !== sorted[index - 1]).length
}
