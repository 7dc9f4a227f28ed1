import { assert } from '../core/errors.ts'

/**
 * HOT: what happens next. Every source of events (a server, the link, an instance, a clock) has at most one pending
 * event, so a tournament over the sources is the whole event list: no event objects, nothing allocated, and a change
 * replays the matches on one path to the root whatever the times are. Equal times fire in the order of the source
 * numbers, which makes runs reproducible. Budget: 15 ns for a change among 32 sources.
 */
export class EventSchedule {
  readonly #leaves: number
  /** Of every source; padded with sources that never fire. */
  readonly #times: Float64Array
  /** The source that wins below each node: the root is 1, the children of k are 2k and 2k + 1. */
  readonly #winners: Int32Array

  constructor(sourceCount: number) {
    this.#leaves = 2 ** Math.ceil(Math.log2(Math.max(2, sourceCount)))
    this.#times = new Float64Array(this.#leaves).fill(Number.POSITIVE_INFINITY)
    this.#winners = new Int32Array(2 * this.#leaves)
    for (let source = 0; source < this.#leaves; source++) this.#winners[this.#leaves + source] = source
    for (let node = this.#leaves - 1; node > 0; node--) this.#winners[node] = this.#winners[2 * node] ?? 0
  }

  /** The source whose event is due first, or -1 when nothing is pending. */
  nextSource(): number {
    const source = this.#winners[1] ?? 0
    return (this.#times[source] ?? 0) === Number.POSITIVE_INFINITY ? -1 : source
  }

  /** When it is due, seconds; infinite when nothing is pending. */
  nextSeconds(): number {
    return this.#times[this.#winners[1] ?? 0] ?? 0
  }

  /** When a source's event is due; infinite when it has none. */
  secondsOf(source: number): number {
    return this.#times[source] ?? Number.POSITIVE_INFINITY
  }

  /** When the first event of any source but this one is due; infinite when none is. Looks at every source. */
  nextBesides(source: number): number {
    let first = Number.POSITIVE_INFINITY
    for (let other = 0; other < this.#times.length; other++) {
      const seconds = this.#times[other] ?? Number.POSITIVE_INFINITY
      if (other !== source && seconds < first) first = seconds
    }
    return first
  }

  /** Sets or moves the source's event; an infinite time takes it away. */
  set(source: number, atSeconds: number): void {
    assert(atSeconds >= 0, 'an event has a time')
    const times = this.#times
    const winners = this.#winners
    times[source] = atSeconds
    for (let node = (this.#leaves + source) >> 1; node > 0; node >>= 1) {
      const left = winners[2 * node] ?? 0
      const right = winners[2 * node + 1] ?? 0
      const winner = (times[right] ?? 0) < (times[left] ?? 0) ? right : left
      // Another source won here before and wins again: nothing changes further up.
      if (winner !== source && winners[node] === winner) return
      winners[node] = winner
    }
  }
}
