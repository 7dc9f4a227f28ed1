/**
 * What a read would have taken alone, when others of its place go on beside it. Plans add up the latencies of reads and
 * their bytes over the whole bandwidth of a place; seconds that several reads share must not count for each of them.
 * Other rebuilds are not seen: what they take of a place is as if it were slower.
 */
import type { Stopwatch } from '../core/ports.ts'

interface Place {
  active: number
  /** Sum of the seconds that passed, each divided by the reads that were active in it. */
  shareSeconds: number
  seenSeconds: number
}

export class SharedReads {
  readonly #stopwatch: Stopwatch
  readonly #places = new Map<string, Place>()

  constructor(stopwatch: Stopwatch) {
    this.#stopwatch = stopwatch
  }

  /**
   * A read begins. What it gives ends it, and says what it would have taken alone: `latencySeconds`, in which reads
   * wait beside each other, and its share of the rest.
   */
  begin(place: string): (latencySeconds: number) => number {
    const shared = this.#places.get(place) ?? { active: 0, shareSeconds: 0, seenSeconds: 0 }
    this.#places.set(place, shared)
    const beganSeconds = this.#pass(shared)
    const shareBefore = shared.shareSeconds
    shared.active += 1
    return (latencySeconds) => {
      const seconds = this.#pass(shared) - beganSeconds
      shared.active -= 1
      const waited = Math.min(latencySeconds, seconds)
      const ratio = seconds > 0 ? (shared.shareSeconds - shareBefore) / seconds : 1
      return waited + (seconds - waited) * ratio
    }
  }

  /** Shares out the seconds since the last look at the place. Gives the time. */
  #pass(place: Place): number {
    const now = this.#stopwatch.seconds()
    if (place.active > 0) place.shareSeconds += (now - place.seenSeconds) / place.active
    place.seenSeconds = now
    return now
  }
}
