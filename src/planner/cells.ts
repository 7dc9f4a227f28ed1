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
  /** What a threshold after the first k cells offloads, at index k: sums over the cells from k on. */
  readonly offloaded: ServiceSums & { readonly kvBytes: Float64Array }
  /** What it leaves: sums over the cells before k. */
  readonly kept: ServiceSums
}

/** P, E[S; side] and E[S^2; side] of one side's requests for every threshold, so that a threshold costs no loop. */
interface ServiceSums {
  readonly mass: Float64Array
  readonly seconds: Float64Array
  readonly squaredSeconds: Float64Array
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
  const secondsPerByte = 1 / scenario.link.bytesPerSecond
  const remotePrefillSeconds = means.map((tokens) => remote.profile.prefillSeconds.at(tokens))
  const localPrefillSeconds = means.map((tokens) => local.profile.prefillSeconds.at(tokens))
  return {
    ends,
    weights,
    remotePrefillSeconds,
    localPrefillSeconds,
    transferSeconds: kvBytes.map((bytes) => bytes * secondsPerByte),
    offloaded: {
      mass: sumsFrom(weights, null),
      seconds: sumsFrom(weights, remotePrefillSeconds),
      squaredSeconds: sumsFrom(weights, remotePrefillSeconds.map(squared)),
      kvBytes: sumsFrom(weights, kvBytes),
    },
    kept: {
      mass: sumsBefore(weights, null),
      seconds: sumsBefore(weights, localPrefillSeconds),
      squaredSeconds: sumsBefore(weights, localPrefillSeconds.map(squared)),
    },
  }
}

function squared(value: number): number {
  return value * value
}

/** At index k the sum of weight times value over the cells from k on; of the weights alone without values. Added from the end, so that no difference loses digits. */
function sumsFrom(weights: Float64Array, values: Float64Array | null): Float64Array {
  const sums = new Float64Array(weights.length + 1)
  for (let k = weights.length - 1; k >= 0; k--) sums[k] = (sums[k + 1] ?? 0) + (weights[k] ?? 0) * (values?.[k] ?? 1)
  return sums
}

/** The same over the cells before k. */
function sumsBefore(weights: Float64Array, values: Float64Array | null): Float64Array {
  const sums = new Float64Array(weights.length + 1)
  for (let k = 0; k < weights.length; k++) sums[k + 1] = (sums[k] ?? 0) + (weights[k] ?? 0) * (values?.[k] ?? 1)
  return sums
}
