// HOT: about 0.1 us a symbol of a short word, and n log n of a long one; a text's words mostly come from the cache.
/** Joins neighbouring symbols of a word, the best pair first, until no pair can be joined: what BPE and SentencePiece share. */

/**
 * Which token two neighbours make. Symbols cover units [left, middle) and [middle, end) of the word and are the tokens
 * `leftId` and `rightId`, -1 where they are none.
 */
export interface MergeRule {
  /** Less is better, an integer below 2^22; -1 when the two are not joined. */
  rank(left: number, middle: number, end: number, leftId: number, rightId: number): number
  /** What the latest pair with a rank makes. */
  readonly merged: number
}

/** Scratch of this many units is kept for the next word. */
const KEPT_UNITS = 4096
/** Ranks are below 2^22 and units below 2^30, so that both are one exact number. */
const LEFT_RANGE = 2 ** 30

export class SymbolMerger {
  /** For each unit that begins a symbol: the token, and where its neighbours begin. */
  #ids = new Int32Array(KEPT_UNITS)
  #next = new Int32Array(KEPT_UNITS)
  #previous = new Int32Array(KEPT_UNITS)
  /** A heap of pairs: rank and left, which order it, the pair's end, and the token that it makes. */
  #keys = new Float64Array(2 * KEPT_UNITS)
  #ends = new Int32Array(2 * KEPT_UNITS)
  #merged = new Int32Array(2 * KEPT_UNITS)
  #size = 0

  /**
   * `units` are the tokens of the word's units, -1 for none. Calls `emit` for each symbol that is left, in order. Of pairs
   * with equal ranks the leftmost is joined first.
   */
  merge(units: Int32Array, rule: MergeRule, emit: (id: number, start: number, end: number) => void): void {
    const count = units.length
    this.#makeRoom(count)
    this.#ids.set(units)
    for (let unit = 0; unit < count; unit++) {
      this.#next[unit] = unit + 1
      this.#previous[unit] = unit - 1
    }
    for (let unit = 0; unit + 1 < count; unit++) this.#propose(unit, count, rule)
    while (this.#size > 0) this.#joinBest(count, rule)
    for (let unit = 0; unit < count; unit = this.#next[unit] ?? count)
      emit(this.#ids[unit] ?? -1, unit, this.#next[unit] ?? count)
    if (count > KEPT_UNITS) this.#makeRoom(0)
  }

  #makeRoom(units: number): void {
    const isKept = units <= KEPT_UNITS
    const room = isKept ? KEPT_UNITS : units
    if (this.#ids.length === room) return
    this.#ids = new Int32Array(room)
    this.#next = new Int32Array(room)
    this.#previous = new Int32Array(room)
    this.#keys = new Float64Array(2 * room)
    this.#ends = new Int32Array(2 * room)
    this.#merged = new Int32Array(2 * room)
  }

  #propose(left: number, count: number, rule: MergeRule): void {
    const middle = this.#next[left] ?? count
    if (middle >= count) return
    const end = this.#next[middle] ?? count
    const rank = rule.rank(left, middle, end, this.#ids[left] ?? -1, this.#ids[middle] ?? -1)
    if (rank >= 0) this.#push(rank * LEFT_RANGE + left, end, rule.merged)
  }

  #joinBest(count: number, rule: MergeRule): void {
    const left = (this.#keys[0] ?? 0) % LEFT_RANGE
    const end = this.#ends[0] ?? 0
    const id = this.#merged[0] ?? -1
    this.#pop()
    // The pair is still there when both its ends are: symbols only grow.
    const middle = this.#next[left] ?? count
    if (middle < 0 || middle >= count || this.#next[middle] !== end) return
    this.#ids[left] = id
    this.#next[left] = end
    this.#next[middle] = -1
    if (end < count) this.#previous[end] = left
    const previous = this.#previous[left] ?? -1
    if (previous >= 0) this.#propose(previous, count, rule)
    this.#propose(left, count, rule)
  }

  #push(key: number, end: number, id: number): void {
    let at = this.#size++
    while (at > 0) {
      const parent = (at - 1) >> 1
      if ((this.#keys[parent] ?? 0) <= key) break
      this.#move(parent, at)
      at = parent
    }
    this.#put(at, key, end, id)
  }

  #pop(): void {
    const last = --this.#size
    const key = this.#keys[last] ?? 0
    let at = 0
    for (;;) {
      let child = 2 * at + 1
      if (child >= last) break
      if (child + 1 < last && (this.#keys[child + 1] ?? 0) < (this.#keys[child] ?? 0)) child += 1
      if (key <= (this.#keys[child] ?? 0)) break
      this.#move(child, at)
      at = child
    }
    this.#put(at, key, this.#ends[last] ?? 0, this.#merged[last] ?? -1)
  }

  #move(from: number, to: number): void {
    this.#put(to, this.#keys[from] ?? 0, this.#ends[from] ?? 0, this.#merged[from] ?? -1)
  }

  #put(at: number, key: number, end: number, id: number): void {
    this.#keys[at] = key
    this.#ends[at] = end
    this.#merged[at] = id
  }
}
