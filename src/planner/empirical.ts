import { MembraneError } from '../core/errors.ts'
import type { Curve } from './curve.ts'
import type { LengthDistribution } from './lengths.ts'

/** The lengths of a trace, or a sample: sorted once, with running sums, so that any span costs two binary searches. */
export function empiricalLengths(lengths: Iterable<number> | Float64Array): LengthDistribution {
  const sorted = Float64Array.from(lengths).sort()
  if (sorted.length === 0) {
    throw new MembraneError('INVALID_CONFIG', 'An empirical workload needs at least one length, found none.')
  }
  if (!((sorted[0] ?? 0) > 0) || !Number.isFinite(sorted[sorted.length - 1] ?? 0)) {
    throw new MembraneError('INVALID_CONFIG', 'The lengths of an empirical workload must be above 0 and finite.', {
      details: { smallest: sorted[0], largest: sorted[sorted.length - 1] },
    })
  }
  return ofSorted(sorted)
}

/** Every request has the same length. */
export function fixedLengths(tokens: number): LengthDistribution {
  return empiricalLengths([tokens])
}

function ofSorted(sorted: Float64Array): LengthDistribution {
  const count = sorted.length
  const [minTokens = 0, maxTokens = 0] = [sorted[0], sorted[count - 1]]
  const tokenSums = runningSums(sorted)
  // A curve is asked about many spans (one for each threshold); its sums are worth keeping for as long as it lives.
  const curveSums = new WeakMap<Curve, { readonly first: Float64Array; readonly second: Float64Array }>()
  const sumsOf = (curve: Curve) => {
    const known = curveSums.get(curve)
    if (known !== undefined) return known
    const values = sorted.map((tokens) => curve.at(tokens))
    const sums = { first: runningSums(values), second: runningSums(values.map((value) => value * value)) }
    curveSums.set(curve, sums)
    return sums
  }
  // A threshold is asked about four times in a row: masses and means on both sides.
  let asked = Number.NaN
  let answer = 0
  const atMost = (bound: number): number => {
    if (bound < minTokens) return 0
    if (bound >= maxTokens) return count
    if (bound !== asked) {
      asked = bound
      answer = countAtMost(sorted, bound)
    }
    return answer
  }
  const between = (sums: Float64Array, from: number, to: number): number =>
    to > from ? ((sums[atMost(to)] ?? 0) - (sums[atMost(from)] ?? 0)) / count : 0

  return {
    minTokens,
    maxTokens,
    mass: (from, to) => (to > from ? (atMost(to) - atMost(from)) / count : 0),
    partialMean: (from, to) => between(tokenSums, from, to),
    expect: (curve, power, from, to) => {
      const sums = sumsOf(curve)
      return between(power === 1 ? sums.first : sums.second, from, to)
    },
    quantile: (probability) => sorted[Math.min(count - 1, Math.max(0, Math.ceil(probability * count - 1e-9) - 1))] ?? 0,
    draw: (random) => sorted[Math.floor(random() * count)] ?? 0,
    scaled: (factor) => ofSorted(sorted.map((tokens) => tokens * factor)),
  }
}

function runningSums(values: Float64Array): Float64Array {
  const sums = new Float64Array(values.length + 1)
  for (let k = 0; k < values.length; k++) sums[k + 1] = (sums[k] ?? 0) + (values[k] ?? 0)
  return sums
}

/** How many of the sorted values are <= bound. */
function countAtMost(sorted: Float64Array, bound: number): number {
  let low = 0
  let high = sorted.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((sorted[middle] ?? 0) <= bound) low = middle + 1
    else high = middle
  }
  return low
}
