import { momentsOf } from '../core/moments.ts'
import { LogHistogram } from './log-histogram.ts'
import { BATCHES, type Latency } from './sim-record.ts'
import type { ReplicationData } from './sim-run.ts'

/** Half the width of the 95 % interval of a mean, from the batch means of all runs; null with fewer than two requests a batch. */
export function meanHalfWidth95(runs: readonly ReplicationData[], name: Latency): number | null {
  const means: number[] = []
  for (const { batchCounts, batchSums } of runs) {
    for (let batch = 0; batch < BATCHES; batch++) {
      const count = batchCounts[name][batch] ?? 0
      if (count < 2) return null
      means.push((batchSums[name][batch] ?? 0) / count)
    }
  }
  return halfWidth95(means)
}

/** Fewer replications say too little about the spread of a quantile. */
const REPLICATIONS_MIN = 4

/** The same of a quantile, from its value in each replication. */
export function quantileHalfWidth95(
  runs: readonly ReplicationData[],
  name: Latency,
  probability: number,
): number | null {
  if (runs.length < REPLICATIONS_MIN) return null
  return halfWidth95(runs.map(({ latencies }) => new LogHistogram(latencies[name]).quantile(probability)))
}

/** Half the width of the 95 % interval of the mean of independent values, at least two. */
export function halfWidth95(values: readonly number[]): number {
  return student95(values.length - 1) * spreadOf(values).standardError
}

/** Student's t, two-sided 95 %, by the expansion of Cornish and Fisher: within 0.2 % from three degrees of freedom on. */
function student95(degrees: number): number {
  const z = 1.959963984540054
  const terms = [
    (z ** 3 + z) / 4,
    (5 * z ** 5 + 16 * z ** 3 + 3 * z) / 96,
    (3 * z ** 7 + 19 * z ** 5 + 17 * z ** 3 - 15 * z) / 384,
    (79 * z ** 9 + 776 * z ** 7 + 1482 * z ** 5 - 1920 * z ** 3 - 945 * z) / 92_160,
  ]
  return terms.reduce((sum, term, k) => sum + term / degrees ** (k + 1), z)
}

/** Whether sojourns were still growing at the end: the last quarter far above the second, by more than their noise. */
export function isBacklogged({ batchCounts, batchSums }: ReplicationData): boolean {
  if ((batchCounts.e2e[0] ?? 0) < 2) return false
  const means = [...batchSums.e2e].map((sum, batch) => sum / (batchCounts.e2e[batch] ?? 1))
  const quarter = BATCHES / 4
  const second = spreadOf(means.slice(quarter, 2 * quarter))
  const last = spreadOf(means.slice(3 * quarter))
  const noise = Math.hypot(second.standardError, last.standardError)
  return last.mean > 1.5 * second.mean && last.mean - second.mean > 4 * noise
}

function spreadOf(values: readonly number[]): { readonly mean: number; readonly standardError: number } {
  const { mean, variance } = momentsOf(values)
  return { mean, standardError: Math.sqrt(variance / values.length) }
}
