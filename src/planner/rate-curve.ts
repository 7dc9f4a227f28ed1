import { MembraneError } from '../core/errors.ts'
import type { ClientRates } from './trace.ts'

/** How a rate changes over time: one factor for each step of equal length, with a mean of 1. It starts anew at its end. */
export interface RateCurve {
  readonly stepSeconds: number
  readonly factors: Float64Array
}

/** From values of any scale; at least one must be above 0. Throws INVALID_CONFIG. */
export function rateCurve(stepSeconds: number, values: ArrayLike<number>): RateCurve {
  const factors = Float64Array.from(values)
  const mean = factors.reduce((sum, value) => sum + value, 0) / factors.length
  if (
    !(stepSeconds > 0 && Number.isFinite(stepSeconds)) ||
    !factors.every((value) => value >= 0) ||
    !(mean > 0 && Number.isFinite(mean))
  ) {
    throw new MembraneError(
      'INVALID_CONFIG',
      'A rate curve needs steps of more than 0 seconds, rates of at least 0, and one above 0.',
      { details: { stepSeconds, steps: factors.length } },
    )
  }
  return { stepSeconds, factors: factors.map((value) => value / mean) }
}

/**
 * The seconds in which the mean rate brings as much as the curve does in `seconds` from its beginning: its integral. 0
 * where the curve is.
 */
export function meanRateSeconds({ stepSeconds, factors }: RateCurve, seconds: number): number {
  const periodSeconds = factors.length * stepSeconds
  const periods = Math.floor(seconds / periodSeconds)
  const rest = seconds - periods * periodSeconds
  return factors.reduce((sum, factor, step) => {
    const inStep = Math.min(Math.max(rest - step * stepSeconds, 0), stepSeconds)
    return sum + factor * inStep
  }, periods * periodSeconds)
}

/** The sum of all clients' rates, window by window, with the rate-weighted squared variation of their gaps. */
export function curveOfClients(rates: ClientRates): {
  readonly curve: RateCurve
  readonly rateRps: number
  readonly burstiness: number
} {
  const { rowCount, windowSeconds, windowStartSeconds, requestsPerSecond, cv } = rates
  let [first, last] = [Number.POSITIVE_INFINITY, 0]
  for (let row = 0; row < rowCount; row++) {
    first = Math.min(first, windowStartSeconds[row] ?? 0)
    last = Math.max(last, windowStartSeconds[row] ?? 0)
  }
  const windows = new Float64Array((last - first) / windowSeconds + 1)
  let [weight, weightedSquares] = [0, 0]
  for (let row = 0; row < rowCount; row++) {
    const rate = requestsPerSecond[row] ?? 0
    const window = ((windowStartSeconds[row] ?? 0) - first) / windowSeconds
    windows[window] = (windows[window] ?? 0) + rate
    weight += rate
    weightedSquares += rate * (cv[row] ?? 1) ** 2
  }
  return {
    curve: rateCurve(windowSeconds, windows),
    rateRps: weight / windows.length,
    // ASSUMPTION: client-superposition.
    burstiness: weightedSquares / weight,
  }
}

/** HOT: turns gaps of a constant rate into gaps of a curve, by stretching time where the rate is low. */
export class RateClock {
  readonly #stepSeconds: number
  readonly #factors: Float64Array
  #nowSeconds = 0
  #step = 0

  constructor({ stepSeconds, factors }: RateCurve) {
    this.#stepSeconds = stepSeconds
    this.#factors = factors
  }

  /** The time at which the curve has brought as much as the mean rate brings in `gapSeconds`. */
  advance(gapSeconds: number): number {
    const periodSeconds = this.#factors.length * this.#stepSeconds
    // Whole periods bring what the mean rate brings in them: a long gap need not walk through short steps.
    const periods = Math.floor(gapSeconds / periodSeconds)
    let left = gapSeconds - periods * periodSeconds
    this.#nowSeconds += periods * periodSeconds
    this.#step += periods * this.#factors.length
    for (;;) {
      const factor = this.#factors[this.#step % this.#factors.length] ?? 0
      const stepEnd = (this.#step + 1) * this.#stepSeconds
      // The clock may stand a rounding error past the end, never behind where it was.
      const brings = Math.max(0, stepEnd - this.#nowSeconds) * factor
      if (left <= brings && factor > 0) {
        this.#nowSeconds += left / factor
        return this.#nowSeconds
      }
      left -= brings
      this.#nowSeconds = Math.max(this.#nowSeconds, stepEnd)
      this.#step += 1
    }
  }
}
