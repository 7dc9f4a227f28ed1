/** A heap with the weakest on top. Each entry knows its slot, so a change or a removal costs a logarithm. */
import { assert } from '../core/errors.ts'

export interface HeapEntry {
  /** Where it stands; the heap's to write. */
  slot: number
}

export class WeakestFirst<Entry extends HeapEntry> {
  readonly #isWeaker: (a: Entry, b: Entry) => boolean
  readonly #entries: Entry[] = []

  constructor(isWeaker: (a: Entry, b: Entry) => boolean) {
    this.#isWeaker = isWeaker
  }

  get size(): number {
    return this.#entries.length
  }

  get weakest(): Entry | undefined {
    return this.#entries[0]
  }

  add(entry: Entry): void {
    this.#settle(entry, this.#entries.push(entry) - 1)
  }

  /** To be called when the strength of an entry has changed. */
  moved(entry: Entry): void {
    assert(this.#entries[entry.slot] === entry, 'the entry is in the heap')
    this.#settle(entry, entry.slot)
  }

  remove(entry: Entry): void {
    assert(this.#entries[entry.slot] === entry, 'the entry is in the heap')
    const last = this.#entries.pop()
    if (last !== undefined && last !== entry) this.#settle(last, entry.slot)
  }

  #settle(entry: Entry, from: number): void {
    const slot = this.#rise(entry, from)
    this.#place(entry, slot === from ? this.#sink(entry, from) : slot)
  }

  #rise(entry: Entry, from: number): number {
    let slot = from
    while (slot > 0) {
      const aboveSlot = (slot - 1) >> 1
      const above = this.#entries[aboveSlot]
      if (above === undefined || !this.#isWeaker(entry, above)) break
      this.#place(above, slot)
      slot = aboveSlot
    }
    return slot
  }

  #sink(entry: Entry, from: number): number {
    let slot = from
    for (;;) {
      const [left, right] = [this.#entries[2 * slot + 1], this.#entries[2 * slot + 2]]
      const below = right !== undefined && left !== undefined && this.#isWeaker(right, left) ? right : left
      if (below === undefined || !this.#isWeaker(below, entry)) return slot
      const freed = below.slot
      this.#place(below, slot)
      slot = freed
    }
  }

  #place(entry: Entry, slot: number): void {
    this.#entries[slot] = entry
    entry.slot = slot
  }
}
