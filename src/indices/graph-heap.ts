/** Edges with the weakest on top. Each edge knows its slot, so a change or a removal costs a logarithm. */
import { assert } from '../core/errors.ts'
import { type GraphEdge, isWeaker } from './graph-edges.ts'

export class WeakestFirst {
  readonly #edges: GraphEdge[] = []

  get size(): number {
    return this.#edges.length
  }

  get weakest(): GraphEdge | undefined {
    return this.#edges[0]
  }

  add(edge: GraphEdge): void {
    this.#settle(edge, this.#edges.push(edge) - 1)
  }

  /** To be called when the strength of an edge has changed. */
  moved(edge: GraphEdge): void {
    assert(this.#edges[edge.slot] === edge, 'the edge is in the heap')
    this.#settle(edge, edge.slot)
  }

  remove(edge: GraphEdge): void {
    assert(this.#edges[edge.slot] === edge, 'the edge is in the heap')
    const last = this.#edges.pop()
    if (last !== undefined && last !== edge) this.#settle(last, edge.slot)
  }

  #settle(edge: GraphEdge, from: number): void {
    const slot = this.#rise(edge, from)
    this.#place(edge, slot === from ? this.#sink(edge, from) : slot)
  }

  #rise(edge: GraphEdge, from: number): number {
    let slot = from
    while (slot > 0) {
      const aboveSlot = (slot - 1) >> 1
      const above = this.#edges[aboveSlot]
      if (above === undefined || !isWeaker(edge, above)) break
      this.#place(above, slot)
      slot = aboveSlot
    }
    return slot
  }

  #sink(edge: GraphEdge, from: number): number {
    let slot = from
    for (;;) {
      const [left, right] = [this.#edges[2 * slot + 1], this.#edges[2 * slot + 2]]
      const below = right !== undefined && left !== undefined && isWeaker(right, left) ? right : left
      if (below === undefined || !isWeaker(below, edge)) return slot
      const freed = below.slot
      this.#place(below, slot)
      slot = freed
    }
  }

  #place(edge: GraphEdge, slot: number): void {
    this.#edges[slot] = edge
    edge.slot = slot
  }
}
