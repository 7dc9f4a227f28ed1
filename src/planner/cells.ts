import { bytesPerSecondFromGbps } from '../core/units.ts'
import type { Scenario } from './scenario.ts'

/**
 * HOT: the length distribution cut into cells, with what a request of each cell costs on either side. Queueing asks
 * for sums over all lengths at thousands of (threshold, roles, rate) points; with cells that end at whole tokens
 * every threshold among their ends is exact, and nothing is allocated per question. Budget: 4 us for 253 cells.
 */
export interface LengthCells {
  /** Ends of the cells, whole tokens, ascending: cell k holds the lengths in (ends[k - 1], ends[k]]. */
  readonly ends: Float64Array
  readonly weights: Float64Array
  /** At the mean length of each cell, on an idle system. */
  readonly remotePrefillSeconds: Float64Array
  readonly localPrefillSeconds: Float64Array
  readonly transferSeconds: Float64Array
  readonly kvBytes: Float64Array
}

/** About `count` cells of equal mass, finer in the upper tail where latencies are decided, with a cut at every threshold given. */
export function lengthCells(scenario: Scenario, count: number, thresholds: readonly number[]): LengthCells {
  const { lengths, remote, local } = scenario
  const quantiles = Array.from({ length: count - 1 }, (_, k) => (k + 1) / count)
  const tail = Array.from({ length: 8 }, (_, k) => 1 - 1 / (count * 2 ** (k + 1)))
  const cuts = [
    ...[...quantiles, ...tail].map((share) => Math.round(lengths.quantile(share))),
    ...thresholds,
    Math.ceil(lengths.maxTokens),
  ]
  const ends = Float64Array.from(new Set(cuts.filter((tokens) => tokens > 0))).sort()
  const weights = new Float64Array(ends.length)
  const means = new Float64Array(ends.length)
  for (let k = 0; k < ends.length; k++) {
    const [from, to] = [k === 0 ? 0 : (ends[k - 1] ?? 0), ends[k] ?? 0]
    const mass = lengths.mass(from, to)
    weights[k] = mass
    means[k] = mass > 0 ? lengths.partialMean(from, to) / mass : to
  }
  const kvBytes = means.map((tokens) => remote.profile.kvBytes.at(tokens))
  const secondsPerByte = 1 / bytesPerSecondFromGbps(scenario.link.gbps)
  return {
    ends,
    weights,
    remotePrefillSeconds: means.map((tokens) => remote.profile.prefillSeconds.at(tokens)),
    localPrefillSeconds: means.map((tokens) => local.profile.prefillSeconds.at(tokens)),
    transferSeconds: kvBytes.map((bytes) => bytes * secondsPerByte),
    kvBytes,
  }
}
