/** Some of the chunks of a payload: a bit each, and how many there are. */

/** Chunks `[start, end)`. */
export interface ChunkRun {
  readonly start: number
  readonly end: number
}

export class ChunkSet {
  /** Chunks of the payload. */
  readonly size: number
  readonly #bits: Uint8Array
  #count = 0

  constructor(size: number) {
    this.size = size
    this.#bits = new Uint8Array(Math.ceil(size / 8))
  }

  /** Chunks in the set. */
  get count(): number {
    return this.#count
  }

  has(index: number): boolean {
    return ((this.#bits[index >>> 3] ?? 0) & (1 << (index & 7))) !== 0
  }

  /** Whether it was new. */
  add(index: number): boolean {
    if (this.has(index)) return false
    this.#bits[index >>> 3] = (this.#bits[index >>> 3] ?? 0) | (1 << (index & 7))
    this.#count += 1
    return true
  }

  /** Whether it was there. */
  delete(index: number): boolean {
    if (!this.has(index)) return false
    this.#bits[index >>> 3] = (this.#bits[index >>> 3] ?? 0) & ~(1 << (index & 7))
    this.#count -= 1
    return true
  }

  /** Runs of chunks that are in the set, as long as they are, in order. */
  *runs(): Generator<ChunkRun> {
    yield* this.#runsOf(true)
  }

  /** Runs of those that are not. */
  *missing(): Generator<ChunkRun> {
    yield* this.#runsOf(false)
  }

  *#runsOf(isIn: boolean): Generator<ChunkRun> {
    for (let start = 0; start < this.size; ) {
      if (this.has(start) !== isIn) {
        start += 1
        continue
      }
      let end = start + 1
      while (end < this.size && this.has(end) === isIn) end += 1
      yield { start, end }
      start = end
    }
  }
}
