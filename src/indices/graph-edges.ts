/**
 * Edges between fragments, and how their weights decay. An edge keeps one number, its strength: the logarithm of the
 * weight that it would have had at time 0. Decay by half each half-life is then a subtraction that is the same for all
 * edges of a kind, so the order of their weights never changes by time alone, and nothing has to be touched while time
 * passes (forward decay: Cormode, Shkapenyuk, Srivastava and Xu, ICDE 2009).
 */

/**
 * `prefix-of`: the context of `from` is the beginning of that of `to`. `version-of`: `from` is a newer version of `to`.
 * `derived-from`: `from` was made from `to`. `co-accessed`: they were accessed one shortly after the other; no direction.
 */
export const EDGE_KINDS = ['prefix-of', 'version-of', 'derived-from', 'co-accessed'] as const
/** One of `EDGE_KINDS`. */
export type EdgeKind = (typeof EDGE_KINDS)[number]

export interface GraphNode {
  readonly key: string
  /** Two maps a kind, made when needed: edges that leave, and edges that arrive. Edges without direction are in the first. */
  readonly links: (Map<GraphNode, GraphEdge> | undefined)[]
}

export interface GraphEdge {
  readonly kind: EdgeKind
  readonly from: GraphNode
  readonly to: GraphNode
  /** log2 of the weight at time 0; of kinds that do not decay, the weight. */
  strength: number
  /** Rises with each change in the graph: of equally strong edges, the one changed longest ago is the weaker. */
  changed: number
  /** Where it stands in the heap of its kind. */
  slot: number
}

/** Milliseconds until the weight of an edge has halved; null for kinds that are facts and stay as they are. */
export type HalfLives = Readonly<Record<EdgeKind, number | null>>

export function isDirected(kind: EdgeKind): boolean {
  return kind !== 'co-accessed'
}

/** Where a node keeps its edges of this kind. An edge without direction is in the same map at both its ends. */
export function linkSlot(kind: EdgeKind, direction: 'out' | 'in'): number {
  return 2 * EDGE_KINDS.indexOf(kind) + (direction === 'in' && isDirected(kind) ? 1 : 0)
}

/** What does not decay keeps its weight as it is. */
export function strengthOf(weight: number, atMs: number, halfLifeMs: number | null): number {
  return halfLifeMs === null ? weight : Math.log2(weight) + atMs / halfLifeMs
}

export function weightOf(strength: number, atMs: number, halfLifeMs: number | null): number {
  return halfLifeMs === null ? strength : 2 ** (strength - atMs / halfLifeMs)
}

/** The strength of the sum of two weights. */
export function addStrengths(a: number, b: number, halfLifeMs: number | null): number {
  return halfLifeMs === null ? a + b : Math.max(a, b) + Math.log2(1 + 2 ** -Math.abs(a - b))
}

export function isWeaker(a: GraphEdge, b: GraphEdge): boolean {
  return a.strength < b.strength || (a.strength === b.strength && a.changed < b.changed)
}
