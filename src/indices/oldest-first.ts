/**
 * A queue from which anything can be taken in one step, the oldest first. A Map or Set in order of insertion would do the
 * same in fewer lines, but to find its first entry it walks over all that were deleted before it since it last grew.
 */
import { assert } from '../core/errors.ts'

/** The two fields are the queue's to write; null when an item is made. An item is in one queue at a time. */
export interface Queued<Item> {
  older: Item | null
  newer: Item | null
}

export class OldestFirst<Item extends Queued<Item>> {
  #oldest: Item | null = null
  #newest: Item | null = null
  #size = 0

  get size(): number {
    return this.#size
  }

  get oldest(): Item | null {
    return this.#oldest
  }

  push(item: Item): void {
    assert(item.older === null && item.newer === null && item !== this.#oldest, 'an item is in one queue at a time')
    item.older = this.#newest
    if (this.#newest === null) this.#oldest = item
    else this.#newest.newer = item
    this.#newest = item
    this.#size += 1
  }

  remove(item: Item): void {
    assert(item.older !== null || item === this.#oldest, 'what is taken out is in the queue')
    if (item.older === null) this.#oldest = item.newer
    else item.older.newer = item.newer
    if (item.newer === null) this.#newest = item.older
    else item.newer.older = item.older
    item.older = null
    item.newer = null
    this.#size -= 1
  }

  /** Newest first. Nothing may be pushed or removed meanwhile. */
  *newestFirst(): Iterable<Item> {
    for (let item = this.#newest; item !== null; item = item.older) yield item
  }
}
