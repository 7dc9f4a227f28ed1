/**
 * How fast each credential may go: requests and payload bytes a second, as token buckets with room for one second.
 *
 * HOT: once for every request. Budget: 1 µs. Two numbers and a time for each credential, and nothing allocated after its first
 * request.
 */
import { MembraneError } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import type { Stopwatch } from '../core/ports.ts'
import type { Caller } from './caller.ts'
import type { RateLimiter } from './gate.ts'

/** Rates of one credential; null is no bound. */
export interface RateLimitOptions {
  /** Above 0; at least one request is let through at a time, however low the rate. */
  readonly requestsPerSecondMax: number | null
  /** Above 0. A payload larger than a second's worth is let through, and paid off before the next one. */
  readonly bytesPerSecondMax: number | null
  readonly stopwatch: Stopwatch
}

/** Of a request or a byte: sums of fractions are not exact, and who waited as told must come in. */
const ROUNDING = 1e-6

interface Bucket {
  requests: number
  /** Below 0 while a large payload is being paid off. */
  bytes: number
  atSeconds: number
}

/** See the top of this file. */
export class RateLimits implements RateLimiter {
  readonly #requestsPerSecond: number
  readonly #requestsBurst: number
  readonly #bytesPerSecond: number
  readonly #stopwatch: Stopwatch
  readonly #buckets = new Map<string, Bucket>()

  constructor({ requestsPerSecondMax, bytesPerSecondMax, stopwatch }: RateLimitOptions) {
    this.#requestsPerSecond = requestsPerSecondMax ?? Infinity
    this.#requestsBurst = Math.max(1, this.#requestsPerSecond)
    this.#bytesPerSecond = bytesPerSecondMax ?? Infinity
    this.#stopwatch = stopwatch
  }

  /** A request that is refused takes nothing. Throws RATE_LIMITED, with `retryAfterSeconds` in its details. */
  take({ name }: Caller, bytes: number): void {
    const atSeconds = this.#stopwatch.seconds()
    const bucket = this.#buckets.get(name) ?? this.#newBucket(name, atSeconds)
    const seconds = atSeconds - bucket.atSeconds
    bucket.atSeconds = atSeconds
    // Without a bound the bucket is always full: Infinity * 0 would be no number.
    if (this.#requestsPerSecond < Infinity)
      bucket.requests = Math.min(this.#requestsBurst, bucket.requests + seconds * this.#requestsPerSecond)
    if (this.#bytesPerSecond < Infinity)
      bucket.bytes = Math.min(this.#bytesPerSecond, bucket.bytes + seconds * this.#bytesPerSecond)
    const isSpent = bucket.requests < 1 - ROUNDING
    // What sends no payload does not wait for one.
    const isInDebt = bytes > 0 && bucket.bytes < -ROUNDING
    if (isSpent || isInDebt)
      throw limited(name, isSpent ? 'requests' : 'bytes', {
        waitSeconds: Math.max(
          isSpent ? (1 - bucket.requests) / this.#requestsPerSecond : 0,
          isInDebt ? -bucket.bytes / this.#bytesPerSecond : 0,
        ),
      })
    bucket.requests -= 1
    bucket.bytes -= bytes
  }

  #newBucket(name: string, atSeconds: number): Bucket {
    if (this.#buckets.size >= LIMITS.rateBucketsMax) {
      const [oldest] = this.#buckets.keys()
      if (oldest !== undefined) this.#buckets.delete(oldest)
    }
    const bucket = { requests: this.#requestsBurst, bytes: this.#bytesPerSecond, atSeconds }
    this.#buckets.set(name, bucket)
    return bucket
  }
}

function limited(
  name: string,
  what: 'requests' | 'bytes',
  { waitSeconds }: { readonly waitSeconds: number },
): MembraneError {
  // Rounded up, so that who waits as long as told is let in.
  const retryAfterSeconds = Math.max(0.001, Math.ceil(waitSeconds * 1000) / 1000)
  return new MembraneError('RATE_LIMITED', `The credential "${name}" sends more ${what} than its rate allows.`, {
    remedy: `Try again in ${retryAfterSeconds} s.`,
    details: { retryAfterSeconds, what },
  })
}
