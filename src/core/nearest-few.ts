/** The `k` greatest of a stream of similarities: a heap with the least of the kept on top. */
import { assert } from './errors.ts'
import type { NearVector } from './ports.ts'

export class NearestFew {
  readonly #k: number
  readonly #heap: NearVector[] = []

  constructor(k: number) {
    assert(Number.isInteger(k) && k >= 1, `at least one is kept, not ${k}`)
    this.#k = k
  }

  offer(id: number, similarity: number): void {
    const least = this.#heap[0]
    if (this.#heap.length < this.#k) this.#rise({ id, similarity })
    // One comparison for most of a scan.
    else if (least !== undefined && similarity >= least.similarity && isNearer({ id, similarity }, least)) {
      this.#sink({ id, similarity })
    }
  }

  /** Nearest first, of equals the smaller id first. */
  sorted(): readonly NearVector[] {
    // Rounding may carry the cosine of equal directions a little beyond 1.
    const clamped = this.#heap.map(({ id, similarity }) => ({ id, similarity: Math.max(-1, Math.min(1, similarity)) }))
    return clamped.sort((a, b) => (isNearer(a, b) ? -1 : 1))
  }

  #rise(entry: NearVector): void {
    const heap = this.#heap
    let at = heap.push(entry) - 1
    while (at > 0) {
      const above = (at - 1) >> 1
      const parent = heap[above]
      if (parent === undefined || !isNearer(parent, entry)) break
      heap[at] = parent
      at = above
    }
    heap[at] = entry
  }

  /** Puts the entry in the place of the least. */
  #sink(entry: NearVector): void {
    const heap = this.#heap
    let at = 0
    for (;;) {
      let below = 2 * at + 1
      const [left, right] = [heap[below], heap[below + 1]]
      if (left === undefined) break
      let child = left
      if (right !== undefined && isNearer(left, right)) {
        child = right
        below += 1
      }
      if (!isNearer(entry, child)) break
      heap[at] = child
      at = below
    }
    heap[at] = entry
  }
}

function isNearer(a: NearVector, b: NearVector): boolean {
  return a.similarity > b.similarity || (a.similarity === b.similarity && a.id < b.id)
}
