// HOT: 0.1 µs a node and way.
/** The path through a prompt whose seconds have the least sum. */
import { LIMITS } from '../core/limits.ts'
import type { RebuildGraph } from './plan-rebuild-graph.ts'

/** The way of a path's step that is computed here. */
export const COMPUTED = -1

/** Steps end to end over a prompt: step k leads from `nodes[k]` to `nodes[k + 1]` by `ways[k]`, or is COMPUTED. */
export interface Path {
  readonly nodes: Int32Array
  readonly ways: Int32Array
}

export interface CheapestPathOptions {
  /** What a second of computing counts, against one of reading. */
  readonly enginePrice: number
  /** A place that nothing is read from; null for none. */
  readonly withoutPlace: number | null
}

/** Seconds that no path has. */
const NEVER = 1e15

/**
 * The path whose seconds have the least sum, if nothing ran beside anything else. Of equally cheap ways: computing, then
 * exact KV, then moved. Linear: a candidate that may be entered anywhere keeps the cheapest of its entries so far, and all
 * others are edges. The first read of a place counts like any other here; a schedule knows better.
 */
export function cheapestPath(graph: RebuildGraph, { enginePrice, withoutPlace }: CheapestPathOptions): Path {
  const { tokens, prefillSeconds, ways, startNode, endNode } = graph
  const last = tokens.length - 1
  const cost = new Float64Array(tokens.length)
  const from = new Int32Array(tokens.length)
  const by = new Int32Array(tokens.length).fill(COMPUTED)
  // What ends at a node without having been cut: the newest, and for each the one before it.
  const newestEnding = new Int32Array(tokens.length).fill(-1)
  const endingBefore = new Int32Array(ways.index.length)
  const open = new OpenWays()
  let next = 0
  for (let node = 0; node <= last; node++) {
    const at = tokens[node] ?? 0
    if (node > 0) {
      let least = (cost[node - 1] ?? 0) + enginePrice * ((prefillSeconds[node] ?? 0) - (prefillSeconds[node - 1] ?? 0))
      let leastFrom = node - 1
      let leastBy = COMPUTED
      for (let k = 0; k < open.count; k++) {
        const total = (open.base[k] ?? 0) + (open.slope[k] ?? 0) * at
        if (total >= least) continue
        least = total
        leastFrom = open.entry[k] ?? 0
        leastBy = open.way[k] ?? 0
      }
      for (let way = newestEnding[node] ?? -1; way >= 0; way = endingBefore[way] ?? -1) {
        const read =
          (ways.fixedSeconds[way] ?? 0) + (ways.secondsPerToken[way] ?? 0) * (at - (ways.startTokens[way] ?? 0))
        const start = startNode[way] ?? 0
        const omitted = ways.place[way] === withoutPlace ? NEVER : 0
        const total = (cost[start] ?? 0) + omitted + read + enginePrice * (ways.computeSeconds[way] ?? 0)
        if (total >= least) continue
        least = total
        leastFrom = start
        leastBy = way
      }
      cost[node] = least
      from[node] = leastFrom
      by[node] = leastBy
    }
    if (open.count > 0) open.enter(node, at, cost[node] ?? 0)
    for (; next < ways.index.length && startNode[next] === node; next++) {
      const end = endNode[next] ?? 0
      if (ways.isCuttable[next] === 0) {
        endingBefore[next] = newestEnding[end] ?? -1
        newestEnding[end] = next
        continue
      }
      const slope = ways.secondsPerToken[next] ?? 0
      const fixed = ways.place[next] === withoutPlace ? NEVER : (ways.fixedSeconds[next] ?? 0)
      open.add(next, node, end, fixed, slope, (cost[node] ?? 0) - slope * at)
    }
  }
  return traced(from, by, last)
}

/** Ways over the node that is looked at, each with its cheapest entry: from there on it costs base + slope * tokens. */
class OpenWays {
  count = 0
  // One more than stay: a new one is added before the oldest ends.
  readonly base = new Float64Array(LIMITS.planOverlapMax + 1)
  readonly slope = new Float64Array(LIMITS.planOverlapMax + 1)
  readonly fixed = new Float64Array(LIMITS.planOverlapMax + 1)
  readonly entry = new Int32Array(LIMITS.planOverlapMax + 1)
  readonly way = new Int32Array(LIMITS.planOverlapMax + 1)
  readonly end = new Int32Array(LIMITS.planOverlapMax + 1)

  /** Forgets what ends at this node, and enters the others here where that is cheaper. */
  enter(node: number, at: number, cost: number): void {
    for (let k = this.count - 1; k >= 0; k--) {
      if (this.end[k] === node) this.#remove(k)
      else {
        const base = cost - (this.slope[k] ?? 0) * at + (this.fixed[k] ?? 0)
        if (base >= (this.base[k] ?? 0)) continue
        this.base[k] = base
        this.entry[k] = node
      }
    }
  }

  add(way: number, entry: number, end: number, fixed: number, slope: number, entryCost: number): void {
    const k = this.count++
    this.base[k] = entryCost + fixed
    this.slope[k] = slope
    this.fixed[k] = fixed
    this.entry[k] = entry
    this.way[k] = way
    this.end[k] = end
  }

  #remove(k: number): void {
    const last = --this.count
    this.base[k] = this.base[last] ?? 0
    this.slope[k] = this.slope[last] ?? 0
    this.fixed[k] = this.fixed[last] ?? 0
    this.entry[k] = this.entry[last] ?? 0
    this.way[k] = this.way[last] ?? 0
    this.end[k] = this.end[last] ?? 0
  }
}

/** Walks back from the end; computed spans that touch are one. */
function traced(from: Int32Array, by: Int32Array, last: number): Path {
  const nodes = new Int32Array(last + 1)
  const ways = new Int32Array(last)
  let first = last
  nodes[last] = last
  for (let node = last; node > 0; ) {
    const way = by[node] ?? COMPUTED
    node = from[node] ?? 0
    if (way === COMPUTED && first < last && ways[first] === COMPUTED) {
      nodes[first] = node
      continue
    }
    first -= 1
    nodes[first] = node
    ways[first] = way
  }
  return { nodes: nodes.slice(first), ways: ways.slice(first) }
}
