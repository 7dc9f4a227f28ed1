import { LogHistogram } from './log-histogram.ts'
import { halfWidth95 } from './sim-confidence.ts'
import type { SimulationOptions } from './sim-options.ts'
import type { ReplicationData } from './sim-run.ts'

/** Between the seeds of replications; far from the offsets of the streams inside one. */
const SEED_STEP = 1_000_003

/** Requests of a replication below which filling and draining weigh too much. */
const REQUESTS_MIN = 20_000

/** Replications of a run whose number nobody has chosen. It follows from the requests alone, so that the answer does not depend on the machine. */
export function defaultReplications(requests: number): number {
  return Math.max(1, Math.min(8, Math.floor(requests / REQUESTS_MIN)))
}

/** The same question with other seeds, the requests divided among them. Only the first keeps a series and timelines. */
export function replicationsOf(options: SimulationOptions, count: number): SimulationOptions[] {
  const share = Math.floor(options.requests / count)
  return Array.from({ length: count }, (_, k) => ({
    ...options,
    requests: k < options.requests - share * count ? share + 1 : share,
    seed: options.seed + k * SEED_STEP,
    ...(k === 0 ? {} : { seriesSeconds: undefined, timelines: 0 }),
  }))
}

/** By how much one way is better than another, with the half width of its 95 % interval. */
export interface Gain {
  /** Share by which the latency is lower; below 0 when it is higher. */
  readonly mean: number
  /** Null with fewer than four pairs. */
  readonly halfWidth95: number | null
}

/** P90 TTFT of `candidate` under that of `baseline`, paired by seed: both saw the same requests at the same times. */
export function p90Gain(candidate: readonly ReplicationData[], baseline: readonly ReplicationData[]): Gain {
  const gains = candidate.map((run, k) => 1 - p90(run) / p90(baseline[k]))
  return {
    mean: gains.reduce((sum, gain) => sum + gain, 0) / gains.length,
    halfWidth95: gains.length < 4 ? null : halfWidth95(gains),
  }
}

function p90(run: ReplicationData | undefined): number {
  return run === undefined ? Number.NaN : new LogHistogram(run.latencies.ttft).quantile(0.9)
}
