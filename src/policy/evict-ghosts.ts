/** Spreads a key over 32 bits (the finalizer of MurmurHash3), so that neighbouring keys have nothing in common. */
export function scattered(key: number): number {
  let bits = (key + 0x9e3779b9) | 0
  bits ^= bits >>> 16
  bits = Math.imul(bits, 0x85ebca6b)
  bits = Math.imul(bits ^ (bits >>> 13), 0xc2b2ae35)
  return (bits ^ (bits >>> 16)) >>> 0
}

const WAYS = 4
const CELLS_MIN = 1024

/**
 * What left a cache, by key, with a note on it: of the last so many entries that left, nearly all. Buckets of four
 * cells; where they do not do, the oldest of the bucket is forgotten, so memory is bounded and nothing is ever searched.
 */
export class Ghosts {
  readonly #ghostsMax: number
  readonly #bucketMask: number
  readonly #keys: Int32Array
  readonly #rememberedAt: Int32Array
  readonly #notes: Uint8Array
  #remembered = 0

  /** At most 2^28 ghosts. */
  constructor(ghostsMax: number) {
    let cells = CELLS_MIN
    while (cells < ghostsMax) cells *= 2
    this.#ghostsMax = ghostsMax
    this.#bucketMask = cells / WAYS - 1
    this.#keys = new Int32Array(cells)
    this.#rememberedAt = new Int32Array(cells)
    this.#notes = new Uint8Array(cells)
  }

  /** The note, 0 to 255, on a key that left not too long ago, or -1. */
  recall(key: number): number {
    const first = this.#firstCell(key)
    for (let cell = first; cell < first + WAYS; cell++) {
      // 0 is an empty cell, so keys are stored as their complements, which are negative.
      if (this.#keys[cell] !== ~key) continue
      const isRecent = ((this.#remembered - (this.#rememberedAt[cell] ?? 0)) | 0) < this.#ghostsMax
      return isRecent ? (this.#notes[cell] ?? 0) : -1
    }
    return -1
  }

  remember(key: number, note: number): void {
    const first = this.#firstCell(key)
    let place = first
    for (let cell = first; cell < first + WAYS; cell++) {
      const stored = this.#keys[cell] ?? 0
      if (stored === ~key) {
        place = cell
        break
      }
      if (this.#keys[place] !== 0 && (stored === 0 || this.#age(cell) > this.#age(place))) place = cell
    }
    this.#remembered = (this.#remembered + 1) | 0
    this.#keys[place] = ~key
    this.#rememberedAt[place] = this.#remembered
    this.#notes[place] = note
  }

  forget(key: number): void {
    const first = this.#firstCell(key)
    for (let cell = first; cell < first + WAYS; cell++) if (this.#keys[cell] === ~key) this.#keys[cell] = 0
  }

  #age(cell: number): number {
    return (this.#remembered - (this.#rememberedAt[cell] ?? 0)) >>> 0
  }

  #firstCell(key: number): number {
    return (scattered(key) & this.#bucketMask) * WAYS
  }
}
