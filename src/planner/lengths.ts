import type { Random } from '../core/random.ts'
import type { Curve } from './curve.ts'

/**
 * How long the uncached part of a prompt is: L in the paper (Table 4). Spans are half-open on the left,
 * (from, to], because a request is offloaded when its length is strictly above the threshold.
 */
export interface LengthDistribution {
  readonly minTokens: number
  readonly maxTokens: number
  /** P(from < L <= to). */
  mass(from: number, to: number): number
  /** E[L; from < L <= to]: not divided by the mass, so parts add up. */
  partialMean(from: number, to: number): number
  /** E[curve(L)^power; from < L <= to]. Exact where the curve is polynomial, by quadrature otherwise. */
  expect(curve: Curve, power: 1 | 2, from: number, to: number): number
  /** The smallest l with P(L <= l) >= probability; nearest rank for samples. */
  quantile(probability: number): number
  /** One draw, tokens; not rounded. */
  draw(random: Random): number
  /** The distribution of factor * L: what is left to prefill when a share 1 - factor of every prompt is cached. */
  scaled(factor: number): LengthDistribution
}

/** E[L], tokens. */
export function meanTokens(lengths: LengthDistribution): number {
  return lengths.partialMean(0, lengths.maxTokens)
}

/** E[L | from < L <= to], or null when nothing lies there. */
export function conditionalMean(lengths: LengthDistribution, from: number, to: number): number | null {
  const mass = lengths.mass(from, to)
  return mass > 0 ? lengths.partialMean(from, to) / mass : null
}

/** One draw, in whole tokens of at least 1. */
export function sampleLength(lengths: LengthDistribution, random: Random): number {
  return Math.max(1, Math.round(lengths.draw(random)))
}

/**
 * P(curve(L) <= bound, from < L <= to), for the quantiles of latencies. Exact up to rounding: between two breaks
 * of the curve the lengths below the bound are an interval, whose end is bisected.
 */
export function massAtMost(lengths: LengthDistribution, curve: Curve, bound: number, from: number, to: number): number {
  const start = Math.max(from, 0)
  const end = Math.min(to, lengths.maxTokens)
  if (end <= start) return 0
  const cuts = [start, ...curve.breaks.filter((tokens) => tokens > start && tokens < end), end]
  let mass = 0
  for (let k = 0; k + 1 < cuts.length; k++) {
    const [left, right] = [cuts[k] ?? start, cuts[k + 1] ?? end]
    const [leftFits, rightFits] = [curve.at(left) <= bound, curve.at(right) <= bound]
    if (leftFits && rightFits) mass += lengths.mass(left, right)
    else if (leftFits) mass += lengths.mass(left, crossing(curve, bound, left, right))
    else if (rightFits) mass += lengths.mass(crossing(curve, bound, left, right), right)
  }
  return mass
}

/** The length in [left, right] at which the curve crosses the bound. */
function crossing(curve: Curve, bound: number, left: number, right: number): number {
  const leftFits = curve.at(left) <= bound
  let [low, high] = [left, right]
  for (let step = 0; step < 60 && high - low > 1e-9 * high; step++) {
    const middle = (low + high) / 2
    if (curve.at(middle) <= bound === leftFits) low = middle
    else high = middle
  }
  return leftFits ? low : high
}
