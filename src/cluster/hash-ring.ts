/** Consistent hashing: each node stands at many places of a ring, and what hashes to a place belongs to who comes next. */

/** Of a node of weight 1: shares differ by about an eighth then. */
const VIRTUAL_NODES = 64

/** A node, and how large a share it takes: 1 as a rule. */
export interface RingNode {
  readonly node: string
  readonly weight?: number
}

/** See the top of this file. A node that comes or goes moves its own share and no other. */
export class HashRing {
  /** In order of places. */
  readonly #places: Uint32Array
  readonly #nodes: readonly string[]
  readonly #count: number

  constructor(nodes: readonly RingNode[]) {
    const points = nodes.flatMap(({ node, weight = 1 }) =>
      Array.from({ length: Math.max(1, Math.round(VIRTUAL_NODES * weight)) }, (_, index) => ({
        node,
        place: ringPlace(`${node}#${index}`),
      })),
    )
    // Two at one place: the order must not depend on who was named first.
    points.sort((a, b) => a.place - b.place || (a.node < b.node ? -1 : 1))
    this.#places = Uint32Array.from(points, ({ place }) => place)
    this.#nodes = points.map(({ node }) => node)
    this.#count = nodes.length
  }

  /** All nodes, each once, from a place on. */
  *walk(place: number): Generator<string, void> {
    const seen = new Set<string>()
    const start = this.#firstAt(place)
    for (let step = 0; step < this.#nodes.length && seen.size < this.#count; step++) {
      const node = this.#nodes[(start + step) % this.#nodes.length]
      if (node === undefined || seen.has(node)) continue
      seen.add(node)
      yield node
    }
  }

  #firstAt(place: number): number {
    let [low, high] = [0, this.#places.length]
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((this.#places[middle] ?? 0) < place) low = middle + 1
      else high = middle
    }
    return low
  }
}

/** Where a text stands on the ring, 0 to 2^32 - 1: FNV-1a, mixed so that like texts do not stand together. */
export function ringPlace(text: string): number {
  let sum = 0x811c9dc5
  for (let at = 0; at < text.length; at++) sum = Math.imul(sum ^ text.charCodeAt(at), 0x01000193)
  let mix = Math.imul(sum ^ (sum >>> 16), 0x85ebca6b)
  mix = Math.imul(mix ^ (mix >>> 13), 0xc2b2ae35)
  return (mix ^ (mix >>> 16)) >>> 0
}
