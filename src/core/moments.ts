/** Mean and spread of numbers, summed in their order, so that the same values give the same bits everywhere. */
import { assert } from './errors.ts'

/** The arithmetic mean of at least one value. */
export function meanOf(values: ArrayLike<number>): number {
  assert(values.length > 0, 'no values have no mean')
  let sum = 0
  for (let index = 0; index < values.length; index++) sum += values[index] ?? Number.NaN
  return sum / values.length
}

export interface Moments {
  readonly mean: number
  /** Unbiased, over n - 1; NaN of one value. */
  readonly variance: number
}

/** Of at least one value. */
export function momentsOf(values: ArrayLike<number>): Moments {
  const mean = meanOf(values)
  let squares = 0
  for (let index = 0; index < values.length; index++) squares += ((values[index] ?? Number.NaN) - mean) ** 2
  return { mean, variance: squares / (values.length - 1) }
}
