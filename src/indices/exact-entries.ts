/**
 * HOT: what a table knows of each key, five words in one pool of typed arrays that grows by whole pieces and is never
 * copied. Entries are given out in order, so that the blocks of a prompt, which were added together, lie together and
 * are read together.
 */
const ENTRY_WORDS = 5
const PIECE_BITS = 12
const PIECE_ENTRIES = 2 ** PIECE_BITS

/** Where a word is within an entry. `HELD` is 0 in an entry that is free. */
export const WORD_1 = 0
export const WORD_2 = 1
export const WORD_3 = 2
export const NAMESPACE = 3
export const HELD = 4

export class KeyEntries {
  #pieces: Int32Array[] = []
  /** Entry 0 is none. Free entries are a list through their first word. */
  #used = 1
  #free = 0

  get byteLength(): number {
    return this.#pieces.length * PIECE_ENTRIES * ENTRY_WORDS * 4
  }

  /** The array that an entry is in, from `offsetOf` on. */
  pieceOf(entry: number): Int32Array {
    return this.#pieces[entry >> PIECE_BITS] as Int32Array
  }

  /** A free entry, from 1 on: whoever asks for it fills it. */
  take(): number {
    const entry = this.#free
    if (entry !== 0) {
      this.#free = this.pieceOf(entry)[offsetOf(entry)] ?? 0
      return entry
    }
    if (this.#used >> PIECE_BITS === this.#pieces.length) this.#pieces.push(new Int32Array(PIECE_ENTRIES * ENTRY_WORDS))
    return this.#used++
  }

  release(entry: number): void {
    const piece = this.pieceOf(entry)
    piece[offsetOf(entry)] = this.#free
    piece[offsetOf(entry) + HELD] = 0
    this.#free = entry
  }

  /** Forgets all entries. */
  clear(): void {
    this.#pieces = []
    this.#used = 1
    this.#free = 0
  }
}

export function offsetOf(entry: number): number {
  return (entry & (PIECE_ENTRIES - 1)) * ENTRY_WORDS
}
