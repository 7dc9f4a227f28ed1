/**
 * HOT: entries by their 128-bit ids, near the order of the ids: open addressing whose first place is the id's leading
 * bits, so that the entries of a prefix lie side by side and are found without any list of them. Budget: 3 µs for an
 * entry that is added or removed, its hash included, and 24 bytes for each slot; a third to 70 % of the slots are taken.
 */

/** Words of an id: four big-endian ones, the first leads. */
export const ID_WORDS = 4

const FIRST_SLOTS = 64
const LOAD_RATIO_MAX = 0.7

/** Leading hexadecimal digits of ids: `value` is a whole number below 16^`digits`, `digits` 0 to 8. */
export interface IdPrefix {
  readonly digits: number
  readonly value: number
}

export class InventoryTable<Entry extends object> {
  #bits = Math.log2(FIRST_SLOTS)
  #ids = new Uint32Array(ID_WORDS * FIRST_SLOTS)
  #entries: (Entry | undefined)[] = emptySlots(FIRST_SLOTS)
  #count = 0

  get count(): number {
    return this.#count
  }

  get slots(): number {
    return this.#entries.length
  }

  /** The entry that had the id before, which it replaces. */
  set(id: Uint32Array, entry: Entry): Entry | null {
    const slot = this.#slotOf(id)
    const before = this.#entries[slot]
    this.#entries[slot] = entry
    if (before !== undefined) return before
    this.#ids.set(id, ID_WORDS * slot)
    this.#count += 1
    if (this.#count > LOAD_RATIO_MAX * this.slots) this.#grow()
    return null
  }

  get(id: Uint32Array): Entry | null {
    return this.#entries[this.#slotOf(id)] ?? null
  }

  /** Whether it was there. */
  delete(id: Uint32Array): boolean {
    const slot = this.#slotOf(id)
    if (this.#entries[slot] === undefined) return false
    this.#count -= 1
    this.#closeGap(slot)
    return true
  }

  /** Visits the entries whose ids begin so, in no order. The words stand in `ids` from `at` on, until the table changes. */
  visit({ digits, value }: IdPrefix, visit: (ids: Uint32Array, at: number, entry: Entry) => void): void {
    const shift = 32 - 4 * digits
    const mask = this.slots - 1
    const first = digits === 0 ? 0 : this.#home((value << shift) >>> 0)
    const last = digits === 0 ? mask : this.#home(((value << shift) | (2 ** shift - 1)) >>> 0)
    // Entries stand at their first place or after it, with no gap between: those of the last place reach to the next gap.
    for (let step = first; step <= last + mask; step++) {
      const slot = step & mask
      const entry = this.#entries[slot]
      if (entry === undefined) {
        if (step >= last) return
      } else if (digits === 0 || this.#word(ID_WORDS * slot) >>> shift === value)
        visit(this.#ids, ID_WORDS * slot, entry)
      if (digits === 0 && step === last) return
    }
  }

  #slotOf(id: Uint32Array): number {
    const mask = this.slots - 1
    let slot = this.#home(id[0] ?? 0)
    while (this.#entries[slot] !== undefined && !this.#isAt(slot, id)) slot = (slot + 1) & mask
    return slot
  }

  #isAt(slot: number, id: Uint32Array): boolean {
    const at = ID_WORDS * slot
    for (let word = 0; word < ID_WORDS; word++) if (this.#ids[at + word] !== id[word]) return false
    return true
  }

  /** Moves back what stands after the gap and may, so that look-ups never stop too early. */
  #closeGap(slot: number): void {
    const mask = this.slots - 1
    let gap = slot
    for (let next = (gap + 1) & mask; this.#entries[next] !== undefined; next = (next + 1) & mask) {
      const home = this.#home(this.#word(ID_WORDS * next))
      // As far from its first place as the gap is, or farther.
      if (((next - home) & mask) < ((next - gap) & mask)) continue
      this.#entries[gap] = this.#entries[next]
      this.#ids.copyWithin(ID_WORDS * gap, ID_WORDS * next, ID_WORDS * (next + 1))
      gap = next
    }
    this.#entries[gap] = undefined
  }

  #grow(): void {
    const entries = this.#entries
    const ids = this.#ids
    this.#bits += 1
    this.#entries = emptySlots(2 * entries.length)
    this.#ids = new Uint32Array(2 * ids.length)
    for (let slot = 0; slot < entries.length; slot++) {
      const entry = entries[slot]
      if (entry === undefined) continue
      const id = ids.subarray(ID_WORDS * slot, ID_WORDS * (slot + 1))
      const to = this.#slotOf(id)
      this.#entries[to] = entry
      this.#ids.set(id, ID_WORDS * to)
    }
  }

  #home(word: number): number {
    return word >>> (32 - this.#bits)
  }

  #word(at: number): number {
    return this.#ids[at] ?? 0
  }
}

function emptySlots(count: number): undefined[] {
  return Array.from({ length: count }, () => undefined)
}
