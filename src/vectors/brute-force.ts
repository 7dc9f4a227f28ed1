/**
 * Nearest neighbours by looking at every vector: exact, and without any package. Right for some thousand vectors, and
 * what the approximate indices are held against. A search costs about 0.5 µs a vector of 384 numbers.
 */
import { NearestFew } from '../core/nearest-few.ts'
import type { NearVector, VectorIndex, VectorIndexFactory } from '../core/ports.ts'
import { unitVector, VectorTable } from '../core/vector-table.ts'

/** Vector indices that are exact and take time in proportion to what they hold. */
export const bruteForceVectors: VectorIndexFactory = (dimensions) => new BruteForceIndex(dimensions)

class BruteForceIndex implements VectorIndex {
  readonly dimensions: number
  readonly #table: VectorTable

  constructor(dimensions: number) {
    this.#table = new VectorTable(dimensions)
    this.dimensions = dimensions
  }

  get count(): number {
    return this.#table.count
  }

  add(id: number, vector: Float32Array): void {
    this.#table.set(id, unitVector(vector, this.dimensions))
  }

  remove(id: number): boolean {
    return this.#table.delete(id)
  }

  vector(id: number): Float32Array | null {
    return this.#table.get(id)
  }

  search(vector: Float32Array, k: number): readonly NearVector[] {
    const nearest = new NearestFew(k)
    const unit = unitVector(vector, this.dimensions)
    const idsEnd = this.#table.rowsEnd
    for (let id = 0; id < idsEnd; id++) if (this.#table.has(id)) nearest.offer(id, this.#table.dot(id, unit))
    return nearest.sorted()
  }
}
