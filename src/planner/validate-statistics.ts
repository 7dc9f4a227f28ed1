/**
 * Errors that can be trusted. Neighbours in a queue are alike, so a mean of n waits is far less certain than n
 * independent ones would make it. Runs are cut into batches so long that their means are nearly independent, and the
 * error is read from how these differ.
 */

/** One number per batch as a quotient of sums: waits over jobs, the time integral of the queue over the time. */
export interface Batches {
  readonly sums: Float64Array
  readonly weights: Float64Array
}

/** How a run is cut, in arrivals. */
export interface RunLength {
  readonly warmUpArrivals: number
  readonly batches: number
  readonly batchArrivals: number
}

/** The rule by which runs get their length. */
export interface LengthRule {
  /** 1 meets the error bounds; the arrivals are in proportion, the error in inverse proportion to the root. */
  readonly effort: number
  readonly seeds: number
  /** Standard error that is aimed at, as a share of what is measured. */
  readonly relativeError: number
  /** Arrivals times the squared relative error that they leave: sampling theory's constant for the system. */
  readonly relativeVariance: number
  /** Over how many arrivals the system forgets: the sum of the autocorrelations of what arrivals meet. */
  readonly memoryArrivals: number
}

/** More would only split hairs: the error of an error estimate is 1 / sqrt(2 x batches). */
const BATCHES_MAX = 100
/** Four seeds make 120 batches at least. A quick run has fewer, because it must not have shorter ones. */
const BATCHES_MIN = 30
const QUICK_BATCHES_MIN = 15
/**
 * What the cuts at its two ends hide of a batch's variance is about 3 / (4 x its memories), so the error is read 2 to
 * 3 % too small. Batches of a fifth of a memory would leave less than half of it.
 */
const MEMORIES_PER_BATCH = 15
/** A run starts empty; after this many memories its bias is below a thousandth of the standard error. */
const MEMORIES_OF_WARM_UP = 15

export function runLength({ effort, seeds, relativeError, relativeVariance, memoryArrivals }: LengthRule): RunLength {
  const arrivals = (effort * relativeVariance) / (relativeError ** 2 * seeds)
  const batchMin = MEMORIES_PER_BATCH * memoryArrivals
  const batchesMin = effort < 1 ? QUICK_BATCHES_MIN : BATCHES_MIN
  const batches = Math.min(BATCHES_MAX, Math.max(batchesMin, Math.floor(arrivals / batchMin)))
  return {
    warmUpArrivals: Math.ceil(MEMORIES_OF_WARM_UP * memoryArrivals),
    batches,
    batchArrivals: Math.ceil(Math.max(arrivals / batches, batchMin)),
  }
}

/** All arrivals of a run, which is what it costs. */
export function arrivalsOf({ warmUpArrivals, batches, batchArrivals }: RunLength): number {
  return warmUpArrivals + batches * batchArrivals
}

export interface Estimate {
  readonly mean: number
  readonly standardError: number
  readonly batches: number
}

/**
 * The quotient of all sums, and its error from the residuals of the batches (the ratio estimator of Law and Kelton).
 * Runs with different seeds are simply more batches.
 */
export function estimate(runs: readonly Batches[]): Estimate {
  const sums = runs.flatMap((run) => [...run.sums])
  const weights = runs.flatMap((run) => [...run.weights])
  const batches = sums.length
  const weight = total(weights)
  const mean = total(sums) / weight
  const residuals = sums.map((sum, k) => (sum - mean * (weights[k] ?? 0)) ** 2)
  const variance = total(residuals) / (batches - 1)
  return { mean, standardError: (Math.sqrt(variance / batches) * batches) / weight, batches }
}

function total(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0)
}
