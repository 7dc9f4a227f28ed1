const FIRST_CELLS = 16
/**
 * 2^32 divided by the golden ratio, made odd, as a signed number. Fibonacci hashing: the upper bits of the product are a
 * key's home, so keys that follow each other, as block ids do, land far apart. Written out in each method: until the
 * engine has compiled a call, it costs more than the product.
 */
const GOLDEN_RATIO_32 = 0x9e3779b1 | 0

/**
 * HOT: whole numbers to whole numbers, both 0 to 2^31 - 1, in one typed array: open addressing, at most half full, and
 * no tombstones, so that a cache that evicts for ever stays as fast as a new one. Grows by doubling, never shrinks.
 * Budget: 10 ns a call while the table fits the processor's caches.
 */
export class IntMap {
  /** Pairs of ~key and value. A key's complement is negative, so 0 is an empty cell and a new table needs no filling. */
  #cells = new Int32Array(2 * FIRST_CELLS)
  #homeShift = Math.clz32(FIRST_CELLS - 1)
  #count = 0

  get count(): number {
    return this.#count
  }

  /** The value, or -1 when the key is absent. */
  get(key: number): number {
    const cells = this.#cells
    const last = cells.length - 1
    const stored = ~key
    let cell = (Math.imul(key, GOLDEN_RATIO_32) >>> this.#homeShift) << 1
    for (;;) {
      const found = cells[cell] ?? 0
      if (found === stored) return cells[cell + 1] ?? -1
      if (found === 0) return -1
      cell = (cell + 2) & last
    }
  }

  /** Adds the key, or gives it another value. */
  set(key: number, value: number): void {
    if (4 * (this.#count + 1) > this.#cells.length) this.#grow()
    const cells = this.#cells
    const last = cells.length - 1
    const stored = ~key
    let cell = (Math.imul(key, GOLDEN_RATIO_32) >>> this.#homeShift) << 1
    while (cells[cell] !== 0 && cells[cell] !== stored) cell = (cell + 2) & last
    if (cells[cell] === 0) this.#count += 1
    cells[cell] = stored
    cells[cell + 1] = value
  }

  /** Whether the key was there. Later keys of the same run move up, unless that would take them before their home. */
  delete(key: number): boolean {
    const cells = this.#cells
    const last = cells.length - 1
    const stored = ~key
    const homeShift = this.#homeShift
    let hole = (Math.imul(key, GOLDEN_RATIO_32) >>> homeShift) << 1
    while (cells[hole] !== stored) {
      if (cells[hole] === 0) return false
      hole = (hole + 2) & last
    }
    this.#count -= 1
    for (let cell = (hole + 2) & last; ; cell = (cell + 2) & last) {
      const other = cells[cell] ?? 0
      if (other === 0) break
      const home = (Math.imul(~other, GOLDEN_RATIO_32) >>> homeShift) << 1
      if (((cell - home) & last) < ((cell - hole) & last)) continue
      cells[hole] = other
      cells[hole + 1] = cells[cell + 1] ?? 0
      hole = cell
    }
    cells[hole] = 0
    return true
  }

  #grow(): void {
    const before = this.#cells
    this.#cells = new Int32Array(2 * before.length)
    this.#homeShift -= 1
    this.#count = 0
    for (let cell = 0; cell < before.length; cell += 2) {
      const stored = before[cell] ?? 0
      if (stored !== 0) this.set(~stored, before[cell + 1] ?? 0)
    }
  }
}
