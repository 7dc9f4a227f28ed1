/**
 * The most frequent of a stream of keys, in bounded memory: Space-Saving (Metwally, Agrawal and El Abbadi, ICDT 2005).
 * A new key takes the place of the least counted one and inherits its count as its possible error, so a key that made
 * up more than 1 / `countersMax` of the stream is always among them.
 */
import { WeakestFirst } from './weakest-first.ts'

export interface Counter<Tag> {
  readonly key: string
  /** What was said of the key when it came in. */
  readonly tag: Tag
  /** At most so often, and at least `count - error` times. */
  count: number
  readonly error: number
  slot: number
}

export class SpaceSaving<Tag> {
  readonly #countersMax: number
  readonly #counters = new Map<string, Counter<Tag>>()
  readonly #weakest = new WeakestFirst<Counter<Tag>>((a, b) => a.count < b.count)

  constructor(countersMax: number) {
    this.#countersMax = countersMax
  }

  /** How often a key that has no counter may have come at most. */
  get missedMax(): number {
    return this.#counters.size < this.#countersMax ? 0 : (this.#weakest.weakest?.count ?? 0)
  }

  add(key: string, tag: Tag): void {
    const known = this.#counters.get(key)
    if (known !== undefined) {
      known.count += 1
      this.#weakest.moved(known)
      return
    }
    const error = this.missedMax
    const weakest = this.#weakest.weakest
    if (weakest !== undefined && this.#counters.size >= this.#countersMax) {
      this.#counters.delete(weakest.key)
      this.#weakest.remove(weakest)
    }
    const counter = { key, tag, count: error + 1, error, slot: -1 }
    this.#counters.set(key, counter)
    this.#weakest.add(counter)
  }

  counters(): Iterable<Readonly<Counter<Tag>>> {
    return this.#counters.values()
  }
}
