/**
 * How fragments hang together: typed, weighted edges, of which those by co-access decay. It proposes what to prefetch
 * and what to keep; that one fragment is near another never makes its KV usable for other tokens.
 */
import { assert, MembraneError } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import {
  addStrengths,
  EDGE_KINDS,
  type EdgeKind,
  type GraphEdge,
  type GraphNode,
  isDirected,
  isWeaker,
  linkSlot,
  strengthOf,
  weightOf,
} from './graph-edges.ts'
import { checkGraphOptions, DEFAULT_GRAPH_OPTIONS, type GraphOptions } from './graph-options.ts'
import { connectedComponents, nodesWithin } from './graph-walk.ts'
import { WeakestFirst } from './weakest-first.ts'

/** A key at the other end of an edge. */
export interface Neighbour {
  readonly key: string
  readonly kind: EdgeKind
  /** `out`: the edge leads from the key that was asked about to this one; `both`: it has no direction. */
  readonly direction: 'out' | 'in' | 'both'
  /** At the time asked about. */
  readonly weight: number
}

/** Which edges count. */
export interface EdgeFilter {
  /** Default all. */
  readonly kinds?: readonly EdgeKind[]
  /** Edges that weigh less at `atMs` do not count; default 0. */
  readonly weightMin?: number
  /** Milliseconds since 1970. */
  readonly atMs: number
}

/** A part of the graph: keys, and the edges between them. */
export interface Subgraph {
  /** With the steps from the key that was asked about, nearest first. */
  readonly nodes: readonly { readonly key: string; readonly depth: number }[]
  /** All edges that count between these nodes. */
  readonly edges: readonly SubgraphEdge[]
}

/** `weight` at the time asked about. */
export interface SubgraphEdge {
  readonly from: string
  readonly to: string
  readonly kind: EdgeKind
  readonly weight: number
}

/** A key that is likely wanted soon. */
export interface PrefetchCandidate {
  readonly key: string
  /** Sum of the weights of its edges with the keys that were accessed. */
  readonly weight: number
}

/**
 * Keys and typed edges between them; all times are milliseconds since 1970, handed in. Bounded by its options: a key too
 * many is refused, of edges too many the weakest leaves. About 110 bytes a key and 220 an edge.
 */
export class FragmentGraph {
  readonly #options: GraphOptions
  readonly #nodes = new Map<string, GraphNode>()
  readonly #heaps: Readonly<Record<EdgeKind, WeakestFirst<GraphEdge>>>
  #changes = 0

  /** Throws INVALID_CONFIG. */
  constructor(options: Partial<GraphOptions> = {}) {
    this.#options = { ...DEFAULT_GRAPH_OPTIONS, ...options }
    checkGraphOptions(this.#options)
    this.#heaps = {
      'prefix-of': new WeakestFirst(isWeaker),
      'version-of': new WeakestFirst(isWeaker),
      'derived-from': new WeakestFirst(isWeaker),
      'co-accessed': new WeakestFirst(isWeaker),
    }
  }

  get keyCount(): number {
    return this.#nodes.size
  }

  edgeCount(kind: EdgeKind): number {
    return this.#heaps[kind].size
  }

  has(key: string): boolean {
    return this.#nodes.has(key)
  }

  /** Whether it is there afterwards: false when the graph is full. */
  insert(key: string): boolean {
    if (this.#nodes.has(key)) return true
    if (this.#nodes.size >= this.#options.keysMax) return false
    this.#nodes.set(key, { key, links: [] })
    return true
  }

  /** Whether it was there. All its edges go, at both ends. */
  remove(key: string): boolean {
    const node = this.#nodes.get(key)
    if (node === undefined) return false
    for (const edges of node.links) for (const edge of edges?.values() ?? []) this.#disconnect(edge)
    return this.#nodes.delete(key)
  }

  /**
   * Sets the weight of an edge, above 0 to LIMITS.edgeWeightMax, as of `atMs`. False when one of the keys is not there,
   * both are the same, or the edge was at once the weakest of too many. Throws INVALID_REQUEST.
   */
  relate(from: string, to: string, kind: EdgeKind, weight: number, atMs: number): boolean {
    if (!(weight > 0 && weight <= LIMITS.edgeWeightMax) || !Number.isFinite(atMs)) {
      throw new MembraneError(
        'INVALID_REQUEST',
        `The weight of an edge lies above 0 and up to ${LIMITS.edgeWeightMax}, found ${weight} at ${atMs} ms.`,
        { details: { from, to, kind, weight, atMs } },
      )
    }
    const [a, b] = [this.#nodes.get(from), this.#nodes.get(to)]
    if (a === undefined || b === undefined || a === b) return false
    return this.#setStrength(a, b, kind, strengthOf(weight, atMs, this.#options.halfLifeMs[kind]))
  }

  /**
   * Notes that these keys were accessed together, in this order. Each is linked with the `coAccessWindow` different
   * keys after it, the next by 1, the one after by 1/2, and so on, added to what is left of earlier weights. Keys that
   * are not there are passed over, and so are those beyond LIMITS.coAccessKeysMax.
   */
  coAccessed(keys: readonly string[], atMs: number): void {
    assert(Number.isFinite(atMs), `a time is a number, not ${atMs}`)
    const nodes: GraphNode[] = []
    for (const key of new Set(keys.slice(0, LIMITS.coAccessKeysMax))) {
      const node = this.#nodes.get(key)
      if (node !== undefined) nodes.push(node)
    }
    const halfLifeMs = this.#options.halfLifeMs['co-accessed']
    for (const [index, a] of nodes.entries()) {
      for (let distance = 1; distance <= this.#options.coAccessWindow; distance++) {
        const b = nodes[index + distance]
        if (b === undefined) break
        const added = strengthOf(1 / distance, atMs, halfLifeMs)
        const edge = a.links[linkSlot('co-accessed', 'out')]?.get(b)
        this.#setStrength(
          a,
          b,
          'co-accessed',
          edge === undefined ? added : addStrengths(edge.strength, added, halfLifeMs),
        )
      }
    }
  }

  /** Heaviest first, of equals by key; empty when the key is not there. */
  neighbours(key: string, { limit, ...filter }: EdgeFilter & { readonly limit: number }): readonly Neighbour[] {
    const found: Neighbour[] = []
    const node = this.#nodes.get(key)
    if (node === undefined) return found
    this.#forEachEdge(node, filter, (edge, other, direction, weight) => {
      found.push({ key: other.key, kind: edge.kind, direction, weight })
    })
    return found.sort(heaviestFirst).slice(0, limit)
  }

  /** Keys joined by paths of edges that count, largest set first; every key is in one. Linear in keys and edges. */
  components(filter: EdgeFilter): readonly (readonly string[])[] {
    const components = connectedComponents(this.#nodes.values(), (node, visit) => {
      this.#forEachEdge(node, filter, (_, other) => visit(other))
    })
    return components.map((nodes) => nodes.map((node) => node.key))
  }

  /**
   * What lies within `depth` steps over edges that count; null when the key is not there. Heavy edges are followed
   * first, and it ends at `nodesMax` keys (default 1,000). Throws INVALID_REQUEST beyond LIMITS.subgraphDepthMax and
   * LIMITS.subgraphNodesMax.
   */
  subgraph(
    key: string,
    { depth, nodesMax = 1000, ...filter }: EdgeFilter & { readonly depth: number; readonly nodesMax?: number },
  ): Subgraph | null {
    checkWhole('The depth of a subgraph', depth, 0, LIMITS.subgraphDepthMax)
    checkWhole('The number of keys of a subgraph', nodesMax, 1, LIMITS.subgraphNodesMax)
    const start = this.#nodes.get(key)
    if (start === undefined) return null
    const neighboursOf = (node: GraphNode): Iterable<GraphNode> => {
      const links: { node: GraphNode; key: string; weight: number }[] = []
      this.#forEachEdge(node, filter, (_, other, __, weight) => links.push({ node: other, key: other.key, weight }))
      return links.sort(heaviestFirst).map((link) => link.node)
    }
    const steps = nodesWithin(start, neighboursOf, { depth, nodesMax })
    const edges: SubgraphEdge[] = []
    for (const node of steps.keys()) {
      this.#forEachEdge(node, filter, (edge, other, _, weight) => {
        // Seen from both ends; taken from one.
        if (edge.from !== node || !steps.has(other)) return
        edges.push({ from: edge.from.key, to: edge.to.key, kind: edge.kind, weight })
      })
    }
    return { nodes: Array.from(steps, ([node, step]) => ({ key: node.key, depth: step })), edges }
  }

  /**
   * What is likely wanted after these keys, heaviest first: what was accessed together with them, or what other `kinds`
   * lead to. Of more than LIMITS.coAccessKeysMax keys, the last count.
   */
  prefetchCandidates(
    keys: readonly string[],
    { limit, kinds = ['co-accessed'], ...filter }: EdgeFilter & { readonly limit: number },
  ): readonly PrefetchCandidate[] {
    const accessed = new Set(keys.slice(-LIMITS.coAccessKeysMax))
    const weights = new Map<string, number>()
    for (const key of accessed) {
      const node = this.#nodes.get(key)
      if (node === undefined) continue
      this.#forEachEdge(node, { kinds, ...filter }, (_, other, __, weight) => {
        if (!accessed.has(other.key)) weights.set(other.key, (weights.get(other.key) ?? 0) + weight)
      })
    }
    const candidates = Array.from(weights, ([key, weight]) => ({ key, weight }))
    return candidates.sort(heaviestFirst).slice(0, limit)
  }

  /**
   * For eviction: the sum of the weights at `atMs` by which this key was accessed together with others that are still
   * there. 0 when it is not there or never was.
   */
  coAccessValue(key: string, atMs: number): number {
    let value = 0
    const edges = this.#nodes.get(key)?.links[linkSlot('co-accessed', 'out')]
    const halfLifeMs = this.#options.halfLifeMs['co-accessed']
    if (edges !== undefined) for (const edge of edges.values()) value += weightOf(edge.strength, atMs, halfLifeMs)
    return value
  }

  #setStrength(from: GraphNode, to: GraphNode, kind: EdgeKind, strength: number): boolean {
    const heap = this.#heaps[kind]
    const known = from.links[linkSlot(kind, 'out')]?.get(to)
    this.#changes += 1
    if (known !== undefined) {
      known.strength = strength
      known.changed = this.#changes
      heap.moved(known)
      return true
    }
    const edge: GraphEdge = { kind, from, to, strength, changed: this.#changes, slot: -1 }
    linksOf(from, kind, 'out').set(to, edge)
    linksOf(to, kind, 'in').set(from, edge)
    heap.add(edge)
    this.#keepDegree(from, kind)
    this.#keepDegree(to, kind)
    if (heap.size > this.#options.edgesMax && heap.weakest !== undefined) this.#disconnect(heap.weakest)
    return from.links[linkSlot(kind, 'out')]?.get(to) === edge
  }

  #keepDegree({ links }: GraphNode, kind: EdgeKind): void {
    const sides = isDirected(kind)
      ? [links[linkSlot(kind, 'out')], links[linkSlot(kind, 'in')]]
      : [links[linkSlot(kind, 'out')]]
    if (sides.reduce((sum, edges) => sum + (edges?.size ?? 0), 0) <= this.#options.degreeMax) return
    let weakest: GraphEdge | null = null
    for (const edges of sides) {
      if (edges === undefined) continue
      for (const edge of edges.values()) if (weakest === null || isWeaker(edge, weakest)) weakest = edge
    }
    if (weakest !== null) this.#disconnect(weakest)
  }

  #disconnect(edge: GraphEdge): void {
    const isGone =
      linksOf(edge.from, edge.kind, 'out').delete(edge.to) && linksOf(edge.to, edge.kind, 'in').delete(edge.from)
    assert(isGone, 'an edge is known at both ends')
    this.#heaps[edge.kind].remove(edge)
  }

  #forEachEdge(
    { links }: GraphNode,
    { kinds = EDGE_KINDS, weightMin = 0, atMs }: EdgeFilter,
    visit: (edge: GraphEdge, other: GraphNode, direction: Neighbour['direction'], weight: number) => void,
  ): void {
    for (const kind of new Set(kinds)) {
      const halfLifeMs = this.#options.halfLifeMs[kind]
      for (const direction of isDirected(kind) ? (['out', 'in'] as const) : (['out'] as const)) {
        const edges = links[linkSlot(kind, direction)]
        if (edges === undefined) continue
        for (const [other, edge] of edges) {
          const weight = weightOf(edge.strength, atMs, halfLifeMs)
          if (weight >= weightMin) visit(edge, other, isDirected(kind) ? direction : 'both', weight)
        }
      }
    }
  }
}

function linksOf(node: GraphNode, kind: EdgeKind, direction: 'out' | 'in'): Map<GraphNode, GraphEdge> {
  const slot = linkSlot(kind, direction)
  const links = node.links[slot] ?? new Map<GraphNode, GraphEdge>()
  // Filled from the start on, so that no hole stays in the array.
  while (node.links.length <= slot) node.links.push(undefined)
  node.links[slot] = links
  return links
}

interface Weighted {
  readonly key: string
  readonly weight: number
}

function heaviestFirst(a: Weighted, b: Weighted): number {
  return b.weight - a.weight || (a.key < b.key ? -1 : a.key > b.key ? 1 : 0)
}

function checkWhole(what: string, value: number, min: number, max: number): void {
  if (Number.isInteger(value) && value >= min && value <= max) return
  throw new MembraneError('INVALID_REQUEST', `${what} is a whole number from ${min} to ${max}, found ${value}.`, {
    details: { value, min, max },
  })
}
