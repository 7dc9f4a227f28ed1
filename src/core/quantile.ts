/**
 * Order statistics by nearest rank: the answer is always a value that occurred, so a percentile in a report can be
 * found in the data again. The median of an even count is offered apart, because published tables use it.
 */
import { assert } from './errors.ts'

/** Any list of numbers that can be read by index. */
export type Numbers = ArrayLike<number> & Iterable<number>

/** A sorted copy; the input is left alone. NaN sorts last. */
export function sortedAscending(values: Numbers): Float64Array {
  return new Float64Array(values).sort()
}

/**
 * The smallest value such that at least the share `quantile` (0 to 1) of the values is not above it: the value at
 * index ceil(q n) - 1. `sorted` must be ascending and not empty. `quantile` 0 gives the smallest value.
 */
export function quantileOfSorted(sorted: ArrayLike<number>, quantile: number): number {
  assert(quantile >= 0 && quantile <= 1, `a quantile lies between 0 and 1, not at ${quantile}`)
  // 0.07 * 100 is 7.000000000000001 in binary: without this slack the rank would be 8.
  const rank = Math.ceil(quantile * sorted.length * (1 - 4 * Number.EPSILON))
  return at(sorted, Math.max(rank, 1) - 1)
}

/** The middle value, or the mean of the two middle values of an even count. `sorted` must be ascending, not empty. */
export function medianOfSorted(sorted: ArrayLike<number>): number {
  const upper = Math.floor(sorted.length / 2)
  return sorted.length % 2 === 1 ? at(sorted, upper) : (at(sorted, upper - 1) + at(sorted, upper)) / 2
}

function at(values: ArrayLike<number>, index: number): number {
  const value = values[index]
  assert(value !== undefined, `no value at index ${index} of ${values.length}`)
  return value
}
