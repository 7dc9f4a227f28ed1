/**
 * SimHash (Charikar, STOC 2002): one bit for the side of each of some random planes on which a vector lies. The share of
 * differing bits estimates the angle, so the vectors with the fewest differing bits are the candidates whose cosine is
 * worth computing. A scan that looks at 16 bytes a vector instead of all its numbers: without any package, nothing to
 * build, every insert and removal alike; slower than a graph of neighbours once there are some hundred thousand.
 */
import { assert, MembraneError } from '../core/errors.ts'
import { NearestFew } from '../core/nearest-few.ts'
import type { NearVector, VectorIndex, VectorIndexFactory } from '../core/ports.ts'
import { seededRandom, standardNormal } from '../core/random.ts'
import { unitVector, VectorTable } from '../core/vector-table.ts'

/** More bits and more that is kept find more, and take longer. */
export interface SimHashOptions {
  /** 64 or 128; default 128. */
  readonly bits: 64 | 128
  /** Share of the vectors whose cosine is computed, above 0 to 1; default 0.02. */
  readonly keptRatio: number
  /** But at least so many; default 256. */
  readonly keptMin: number
  /** Of the random planes; default 1. */
  readonly seed: number
}

/** What `simHashVectors` takes where nothing else is said. */
export const DEFAULT_SIM_HASH_OPTIONS: SimHashOptions = { bits: 128, keptRatio: 0.02, keptMin: 256, seed: 1 }

/**
 * Vector indices that compute the cosine only of those whose hash is near. Recall is measured by the bench `semantic`;
 * throws INVALID_CONFIG.
 */
export function simHashVectors(options: Partial<SimHashOptions> = {}): VectorIndexFactory {
  const all = { ...DEFAULT_SIM_HASH_OPTIONS, ...options }
  const { bits, keptRatio, keptMin } = all
  if (
    (bits !== 64 && bits !== 128) ||
    !(keptRatio > 0 && keptRatio <= 1) ||
    !(Number.isInteger(keptMin) && keptMin >= 1)
  ) {
    throw new MembraneError(
      'INVALID_CONFIG',
      `SimHash takes 64 or 128 bits, a kept ratio above 0 to 1 and a kept minimum from 1, found ${bits}, ${keptRatio} and ${keptMin}.`,
    )
  }
  return (dimensions) => new SimHashIndex(dimensions, all)
}

class SimHashIndex implements VectorIndex {
  readonly dimensions: number
  readonly #options: SimHashOptions
  readonly #planes: readonly Float32Array[]
  readonly #table: VectorTable
  /** `bits / 32` words a row. */
  #hashes = new Uint32Array(0)
  /** 1 for a row that is held: asked for each row, so not of the table. */
  #isHeld = new Uint8Array(0)
  /** Distance of each row from the vector that is asked about; reused. 255 for a free row. */
  #distances = new Uint8Array(0)

  constructor(dimensions: number, options: SimHashOptions) {
    this.#table = new VectorTable(dimensions)
    this.dimensions = dimensions
    this.#options = options
    const random = seededRandom(options.seed)
    this.#planes = Array.from({ length: options.bits }, () =>
      new Float32Array(dimensions).map(() => standardNormal(random)),
    )
  }

  get count(): number {
    return this.#table.count
  }

  add(id: number, vector: Float32Array): void {
    const unit = unitVector(vector, this.dimensions)
    this.#table.set(id, unit)
    this.#grow()
    this.#hashes.set(this.#hash(unit), id * this.#words)
    this.#isHeld[id] = 1
  }

  remove(id: number): boolean {
    if (!this.#table.delete(id)) return false
    this.#isHeld[id] = 0
    return true
  }

  vector(id: number): Float32Array | null {
    return this.#table.get(id)
  }

  search(vector: Float32Array, k: number): readonly NearVector[] {
    const unit = unitVector(vector, this.dimensions)
    const nearest = new NearestFew(k)
    const kept = Math.max(k, this.#options.keptMin, Math.ceil(this.#options.keptRatio * this.count))
    const radius = this.#measure(this.#hash(unit), kept)
    const rowsEnd = this.#table.rowsEnd
    for (let row = 0; row < rowsEnd; row++) {
      if ((this.#distances[row] ?? FREE) <= radius) nearest.offer(row, this.#table.dot(row, unit))
    }
    return nearest.sorted()
  }

  get #words(): number {
    return this.#options.bits / 32
  }

  #grow(): void {
    const rows = this.#table.rowsEnd
    if (this.#distances.length >= rows) return
    const capacity = Math.max(rows, 2 * this.#distances.length)
    const hashes = new Uint32Array(capacity * this.#words)
    hashes.set(this.#hashes)
    this.#hashes = hashes
    const isHeld = new Uint8Array(capacity)
    isHeld.set(this.#isHeld)
    this.#isHeld = isHeld
    this.#distances = new Uint8Array(capacity)
  }

  #hash(unit: Float32Array): Uint32Array {
    const hash = new Uint32Array(this.#words)
    for (const [bit, plane] of this.#planes.entries()) {
      let side = 0
      for (let k = 0; k < plane.length; k++) side += (plane[k] ?? 0) * (unit[k] ?? 0)
      const word = bit >> 5
      if (side >= 0) hash[word] = (hash[word] ?? 0) | (1 << (bit & 31))
    }
    return hash
  }

  /** HOT: fills in the distances, and returns the least radius that holds at least `kept` rows, or all. */
  #measure(hash: Uint32Array, kept: number): number {
    const words = this.#words
    const hashes = this.#hashes
    const isHeld = this.#isHeld
    const distances = this.#distances
    const rowsEnd = this.#table.rowsEnd
    const rowsAt = new Uint32Array(FREE + 1)
    for (let row = 0, at = 0; row < rowsEnd; row++, at += words) {
      let distance = 0
      for (let word = 0; word < words; word++) distance += bitCount((hashes[at + word] ?? 0) ^ (hash[word] ?? 0))
      if (isHeld[row] !== 1) distance = FREE
      distances[row] = distance
      rowsAt[distance] = (rowsAt[distance] ?? 0) + 1
    }
    let within = 0
    for (let radius = 0; radius < FREE; radius++) {
      within += rowsAt[radius] ?? 0
      if (within >= kept) return radius
    }
    assert(within === this.count, 'every row is at some distance')
    return this.#options.bits
  }
}

/** Further than any hash. */
const FREE = 255

function bitCount(word: number): number {
  let bits = word - ((word >>> 1) & 0x55555555)
  bits = (bits & 0x33333333) + ((bits >>> 2) & 0x33333333)
  return Math.imul((bits + (bits >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24
}
