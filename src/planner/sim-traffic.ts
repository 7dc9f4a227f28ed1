import { seededRandom } from '../core/random.ts'
import { type ArrivalOptions, arrivalGaps } from './arrivals.ts'
import { type RateCurve, RateClock } from './rate-curve.ts'
import { type LengthDistribution, sampleLength } from './lengths.ts'

/** The request that arrives next. One object for a whole run, filled anew for each request. */
export class TrafficHead {
  atSeconds = 0
  /** At least 1 each. */
  promptTokens = 1
  outputTokens = 1
  /** Its prefix blocks are `Traffic.blockIds` from `blockStart` to before `blockEnd`; none where nothing is known of them. */
  blockStart = 0
  blockEnd = 0
}

/** A stream of requests in order of time. The same seed gives the same stream. */
export interface Traffic {
  readonly requests: number
  readonly head: TrafficHead
  /** Fills `head` with the next request; false when there is none. */
  next(): boolean
  /** May be replaced by a larger array by `next`; null when requests have no blocks. */
  readonly blockIds: Int32Array | null
  /** Tokens in a block. */
  readonly blockTokens: number
}

/** What a stream is drawn from. */
export interface SyntheticTrafficOptions {
  readonly lengths: LengthDistribution
  readonly outputTokens: number
  readonly arrivals: ArrivalOptions
  /** How the rate changes over time; constant when null. */
  readonly curve: RateCurve | null
  readonly requests: number
  readonly seed: number
}

/** Independent lengths, and arrivals from a stream of their own, so that changing the lengths does not move them. */
export function syntheticTraffic(options: SyntheticTrafficOptions): Traffic {
  const { lengths, arrivals, curve, requests, seed } = options
  const lengthRandom = seededRandom(seed)
  const gap = arrivalGaps(arrivals, seededRandom(seed + ARRIVAL_SEED))
  const clock = curve === null ? null : new RateClock(curve)
  const head = new TrafficHead()
  head.outputTokens = Math.max(1, Math.round(options.outputTokens))
  let drawn = 0
  return {
    requests,
    head,
    blockIds: null,
    blockTokens: 0,
    next: () => {
      if (drawn === requests) return false
      drawn += 1
      head.atSeconds = clock === null ? head.atSeconds + gap() : clock.advance(gap())
      head.promptTokens = sampleLength(lengths, lengthRandom)
      return true
    },
  }
}

/** Added to a run's seed for the stream that draws arrival times. */
export const ARRIVAL_SEED = 0x5eed
