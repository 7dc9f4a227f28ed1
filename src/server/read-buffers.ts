/**
 * Memory that fragments are read into, used again: memory that is touched for the first time takes longer than the
 * reading itself.
 */

/** Keeps buffers between reads, up to a bound; the smallest leave first. */
export class ReadBuffers {
  readonly #bytesMax: number
  /** Ascending by length. */
  #kept: readonly Uint8Array[] = []

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  get keptBytes(): number {
    return this.#kept.reduce((sum, { length }) => sum + length, 0)
  }

  /** A buffer of `bytes` or more, holding anything; the caller's until it is given back. */
  take(bytes: number): Uint8Array {
    const fitting = this.#kept.find(({ length }) => length >= bytes)
    // A large one is not spent on a small read.
    if (fitting === undefined || fitting.length > 2 * bytes) return new Uint8Array(Buffer.allocUnsafeSlow(bytes).buffer)
    this.#kept = this.#kept.filter((buffer) => buffer !== fitting)
    return fitting
  }

  /** Nobody else may hold it any more. */
  give(buffer: Uint8Array): void {
    const kept = [...this.#kept, buffer].toSorted((a, b) => a.length - b.length)
    while (kept.reduce((sum, { length }) => sum + length, 0) > this.#bytesMax) kept.shift()
    this.#kept = kept
  }

  /** Buffers to begin with, touched. */
  prepare(count: number, bytes: number): void {
    const affordable = Math.min(count, Math.floor(this.#bytesMax / Math.max(1, bytes)))
    const buffers = Array.from({ length: affordable }, () => this.take(bytes))
    for (const buffer of buffers) this.give(buffer.fill(0))
  }
}

/** The buffers of one rebuild. */
export class LentBuffers {
  readonly #buffers: ReadBuffers
  readonly #lent = new Set<Uint8Array>()
  #isOver = false

  constructor(buffers: ReadBuffers) {
    this.#buffers = buffers
  }

  /** Reads into a buffer that stays lent until the rebuild is over; one that was not needed goes back at once. */
  async read<T extends { readonly payload: Uint8Array }>(
    bytes: number,
    read: (into: Uint8Array) => Promise<T | null>,
  ): Promise<T | null> {
    const into = this.#buffers.take(bytes)
    // When reading throws, nobody knows whether something still writes to it: it is not used again.
    const found = await read(into)
    const isUsed = found !== null && found.payload.buffer === into.buffer
    // What ends after the rebuild was given up, and nobody looks at it.
    if (isUsed && !this.#isOver) this.#lent.add(into)
    else this.#buffers.give(into)
    return found
  }

  /** All that was read has been written to a context, or is not needed. */
  end(): void {
    this.#isOver = true
    for (const buffer of this.#lent) this.#buffers.give(buffer)
    this.#lent.clear()
  }
}
