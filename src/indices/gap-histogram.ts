/** How long it took until things came again: counts by the logarithm of the time, eight cells an octave. */

const CELLS_PER_OCTAVE = 8
/** Up to 2^40 ms, 35 years; what is longer counts as that. */
const CELLS = 40 * CELLS_PER_OCTAVE + 1

export class GapHistogram {
  readonly #counts = new Float64Array(CELLS)
  #total = 0

  get total(): number {
    return this.#total
  }

  add(gapMs: number): void {
    const cell = Math.min(CELLS - 1, Math.round(CELLS_PER_OCTAVE * Math.log2(1 + Math.max(0, gapMs))))
    this.#counts[cell] = (this.#counts[cell] ?? 0) + 1
    this.#total += 1
  }

  addAll(other: GapHistogram): void {
    for (const [cell, count] of other.#counts.entries()) this.#counts[cell] = (this.#counts[cell] ?? 0) + count
    this.#total += other.#total
  }

  /** The share `quantile` (0 to 1) took no longer, to within 5 %; null when nothing came. */
  quantileMs(quantile: number): number | null {
    let below = 0
    for (const [cell, count] of this.#counts.entries()) {
      below += count
      if (count > 0 && below >= quantile * this.#total) return 2 ** (cell / CELLS_PER_OCTAVE) - 1
    }
    return null
  }
}
