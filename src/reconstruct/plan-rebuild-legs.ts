/** What a search may append to a path: computing from one stop to the next, or reading. */
import type { RebuildGraph } from './plan-rebuild-graph.ts'
import { COMPUTED, type Path } from './plan-rebuild-path.ts'

/** Stops between which long prompts are searched. */
const STOPS = 48

/** A leg from one stop to a later one. Stops are nodes of the graph. */
export interface Leg {
  readonly from: number
  readonly to: number
  /** Of the engine, behind all that the leg reads. */
  readonly computeSeconds: number
  /** What is read: place and seconds of it in turns. */
  readonly reads: readonly number[]
  /** Legs of one run that follow each other are one read: `fixedSeconds`, of the first place, count once. */
  readonly run: number
  readonly fixedSeconds: number
  /** What it does: what this path does there. Null: it is one step of the way `run`. */
  readonly path: Path | null
}

export interface Legs {
  readonly stops: readonly number[]
  /** By the stop (not the node) where they start; computing first, then exact KV, then moved. */
  readonly startingAt: readonly (readonly Leg[])[]
}

/**
 * All ways that the graph has. Those that can be cut are entered at any node and left where another way starts or ends:
 * a plan that left them anywhere would read and compute by turns and be no sooner ready. Others are taken as a whole.
 */
export function directLegs({ tokens, isBoundary, prefillSeconds, ways, startNode, endNode }: RebuildGraph): Legs {
  const last = tokens.length - 1
  const boundaryAfter = new Int32Array(last + 1).fill(last)
  for (let node = last - 1; node >= 0; node--)
    boundaryAfter[node] = isBoundary[node + 1] === 1 ? node + 1 : (boundaryAfter[node + 1] ?? last)
  const legOf = (from: number, to: number, way: number): Leg => ({
    from,
    to,
    computeSeconds: ways.computeSeconds[way] ?? 0,
    reads: [ways.place[way] ?? 0, (ways.secondsPerToken[way] ?? 0) * ((tokens[to] ?? 0) - (tokens[from] ?? 0))],
    run: way,
    fixedSeconds: ways.fixedSeconds[way] ?? 0,
    path: null,
  })
  const startingAt: Leg[][] = []
  let open: number[] = []
  let next = 0
  for (let node = 0; node < last; node++) {
    const whole: Leg[] = []
    open = open.filter((way) => endNode[way] !== node)
    for (; next < ways.index.length && startNode[next] === node; next++) {
      if (ways.isCuttable[next] === 1) open.push(next)
      else whole.push(legOf(node, endNode[next] ?? 0, next))
    }
    // Exact KV stands before moved KV, which is computed in part.
    whole.sort((a, b) => a.computeSeconds - b.computeSeconds)
    const to = boundaryAfter[node] ?? last
    startingAt.push([computed(prefillSeconds, node, node + 1), ...open.map((way) => legOf(node, to, way)), ...whole])
  }
  return { stops: Array.from(tokens, (_, node) => node), startingAt }
}

/** Between some of the boundaries: computing, or what one of these paths does. */
export function legsAlong(graph: RebuildGraph, paths: readonly Path[]): Legs {
  const stops = stopsOf(graph)
  const startingAt: Leg[][] = stops.map((from, k) => {
    const to = stops[k + 1]
    return to === undefined ? [] : [computed(graph.prefillSeconds, from, to)]
  })
  for (const [run, path] of paths.entries()) {
    let step = 0
    let from = 0
    for (let k = 1; k < stops.length; k++) {
      const to = stops[k] ?? 0
      let end = step
      while ((path.nodes[end + 1] ?? to) < to) end += 1
      if (!canStop(graph, path, { step: end, node: to })) continue
      startingAt[from]?.push(along(graph, path, { from: stops[from] ?? 0, to, step, run }))
      step = path.nodes[end + 1] === to ? end + 1 : end
      from = k
    }
  }
  return { stops, startingAt }
}

function stopsOf({ isBoundary }: RebuildGraph): number[] {
  const last = isBoundary.length - 1
  const stops = [0]
  for (let k = 1; k < STOPS; k++) {
    let node = Math.floor((k * last) / STOPS)
    while (isBoundary[node] === 0) node += 1
    if (node > (stops.at(-1) ?? 0) && node < last) stops.push(node)
  }
  return [...stops, last]
}

/** Whether a path may be left or joined at a node, which is in this step or ends it: what is used as a whole may not. */
function canStop({ ways }: RebuildGraph, path: Path, { step, node }: { step: number; node: number }): boolean {
  const way = path.ways[step] ?? COMPUTED
  return path.nodes[step + 1] === node || way === COMPUTED || ways.isCuttable[way] === 1
}

interface Stretch {
  readonly from: number
  readonly to: number
  /** Of the path, the one that holds `from`. */
  readonly step: number
  readonly run: number
}

/** What a path does between two nodes. Computing in between counts behind all its reads: a schedule tells in the end. */
function along({ tokens, prefillSeconds, ways }: RebuildGraph, path: Path, { from, to, step, run }: Stretch): Leg {
  const readSeconds = new Float64Array(ways.startUpSeconds.length)
  let computeSeconds = 0
  for (let k = step, start = from; start < to; k++) {
    const end = Math.min(to, path.nodes[k + 1] ?? to)
    const way = path.ways[k] ?? COMPUTED
    if (way === COMPUTED) computeSeconds += (prefillSeconds[end] ?? 0) - (prefillSeconds[start] ?? 0)
    else {
      const place = ways.place[way] ?? 0
      const seconds = (ways.secondsPerToken[way] ?? 0) * ((tokens[end] ?? 0) - (tokens[start] ?? 0))
      readSeconds[place] = (readSeconds[place] ?? 0) + (ways.fixedSeconds[way] ?? 0) + seconds
      computeSeconds += ways.computeSeconds[way] ?? 0
    }
    start = end
  }
  // One pair a place, so that a leg of a hundred reads is appended as quickly as one of one.
  const reads: number[] = []
  for (const [place, seconds] of readSeconds.entries()) if (seconds > 0) reads.push(place, seconds)
  return { from, to, computeSeconds, reads, run, fixedSeconds: 0, path }
}

function computed(prefillSeconds: Float64Array, from: number, to: number): Leg {
  const computeSeconds = (prefillSeconds[to] ?? 0) - (prefillSeconds[from] ?? 0)
  return { from, to, computeSeconds, reads: [], run: COMPUTED, fixedSeconds: 0, path: null }
}
