/** How fast something may go on average, and how much at once: requests of a door, bytes of a transfer. */
import { MembraneError } from '../core/errors.ts'

/** Both above 0, in the same unit: bytes, requests, tokens. */
export interface TokenBucketOptions {
  readonly perSecond: number
  /** What may go at once after a pause. */
  readonly burst: number
}

/**
 * A bucket that fills by `perSecond` up to `burst`. Time is handed in, in seconds since some moment; time that goes back
 * changes nothing. Throws INVALID_CONFIG for rates and bursts that are not above 0 and finite.
 */
export class TokenBucket {
  readonly perSecond: number
  readonly #burst: number
  /** Below 0 what was reserved ahead. */
  #level: number
  #atSeconds: number

  /** Full at `nowSeconds`. */
  constructor({ perSecond, burst }: TokenBucketOptions, nowSeconds: number) {
    for (const value of [perSecond, burst]) {
      if (value > 0 && value < Infinity) continue
      throw new MembraneError('INVALID_CONFIG', `A rate and its burst are above 0 and finite, found ${value}.`)
    }
    this.perSecond = perSecond
    this.#burst = burst
    this.#level = burst
    this.#atSeconds = nowSeconds
  }

  /** What may go now; below 0 while what was reserved is still being earned. */
  level(nowSeconds: number): number {
    this.#fill(nowSeconds)
    return this.#level
  }

  /**
   * Takes `amount` if it is there: 0. Otherwise takes nothing and says after how many seconds it will be, if nobody
   * else takes anything; Infinity for more than a burst.
   */
  tryTake(amount: number, nowSeconds: number): number {
    this.#fill(nowSeconds)
    if (amount > this.#burst) return Infinity
    if (amount > this.#level) return (amount - this.#level) / this.perSecond
    this.#level -= amount
    return 0
  }

  /**
   * Takes `amount` in any case, whatever its size, and says how many seconds to wait before using it. Who comes later
   * waits longer: callers are served in the order in which they ask.
   */
  reserve(amount: number, nowSeconds: number): number {
    this.#fill(nowSeconds)
    this.#level -= amount
    return Math.max(0, -this.#level / this.perSecond)
  }

  /** Gives back what was taken and not used. */
  refund(amount: number): void {
    this.#level = Math.min(this.#burst, this.#level + amount)
  }

  #fill(nowSeconds: number): void {
    if (!(nowSeconds > this.#atSeconds)) return
    this.#level = Math.min(this.#burst, this.#level + (nowSeconds - this.#atSeconds) * this.perSecond)
    this.#atSeconds = nowSeconds
  }
}
