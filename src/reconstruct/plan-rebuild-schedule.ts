/**
 * How long a plan takes until all is ready. Every place reads what is asked of it in the order of the steps, all
 * places at once; a read occupies one of its place's slots while it waits for its first byte, and the reads of a place
 * share its bandwidth. Steps become ready in order, and computing needs all before it.
 */
import type { RebuildGraph } from './plan-rebuild-graph.ts'
import { COMPUTED, type Path } from './plan-rebuild-path.ts'

/** One step as a schedule sees it. */
export interface ScheduledStep {
  /** Where it is read from; null when it is only computed. */
  readonly place: string | null
  /** Of each of its reads. */
  readonly latencySeconds: number
  readonly reads: number
  /** Of all its bytes over the whole bandwidth of the place. */
  readonly transferSeconds: number
  /** What the engine does once all before it, and what it reads, is there. */
  readonly computeSeconds: number
}

/** Seconds from the start until the last of these steps, in order, is ready. */
export function scheduleSeconds(steps: readonly ScheduledStep[], parallelReads: number): number {
  const doneSeconds = new Map<string, number>()
  let readySeconds = 0
  for (const { place, latencySeconds, reads, transferSeconds, computeSeconds } of steps) {
    if (place !== null) {
      const before = doneSeconds.get(place) ?? latencySeconds * (1 - 1 / parallelReads)
      const done = before + (reads * latencySeconds) / parallelReads + transferSeconds
      doneSeconds.set(place, done)
      readySeconds = Math.max(readySeconds, done)
    }
    readySeconds += computeSeconds
  }
  return readySeconds
}

/** The same of a path. */
export function pathSeconds(graph: RebuildGraph, path: Path): number {
  const { tokens, prefillSeconds, ways } = graph
  const doneSeconds = new Float64Array(ways.startUpSeconds)
  let ready = 0
  for (let step = 0; step < path.ways.length; step++) {
    const start = path.nodes[step] ?? 0
    const end = path.nodes[step + 1] ?? 0
    const way = path.ways[step] ?? COMPUTED
    if (way === COMPUTED) {
      ready += (prefillSeconds[end] ?? 0) - (prefillSeconds[start] ?? 0)
      continue
    }
    const place = ways.place[way] ?? 0
    const length = (tokens[end] ?? 0) - (tokens[start] ?? 0)
    const done = (doneSeconds[place] ?? 0) + (ways.fixedSeconds[way] ?? 0) + (ways.secondsPerToken[way] ?? 0) * length
    doneSeconds[place] = done
    ready = Math.max(ready, done) + (ways.computeSeconds[way] ?? 0)
  }
  return ready
}

/** What is left of a path behind a node. */
export interface Remainder {
  /** Computing all of it. */
  readonly prefillSeconds: number
  /** What the path computes, and what it reads from each place. */
  readonly computeSeconds: number
  readonly readSeconds: Float64Array
}

/** What is left of a path behind each of these nodes, ascending. */
export function remaindersOf(graph: RebuildGraph, path: Path, nodes: readonly number[]): Remainder[] {
  const { tokens, prefillSeconds, ways } = graph
  const remainders: Remainder[] = []
  const readSeconds = new Float64Array(ways.startUpSeconds.length)
  const allSeconds = prefillSeconds.at(-1) ?? 0
  let computeSeconds = 0
  let step = path.ways.length - 1
  let end = tokens.length - 1
  for (let k = nodes.length - 1; k >= 0; k--) {
    const node = nodes[k] ?? 0
    while (end > node) {
      const stepStart = path.nodes[step] ?? 0
      const start = Math.max(stepStart, node)
      const way = path.ways[step] ?? COMPUTED
      if (way === COMPUTED) computeSeconds += (prefillSeconds[end] ?? 0) - (prefillSeconds[start] ?? 0)
      else {
        const place = ways.place[way] ?? 0
        const fixed = start === stepStart ? (ways.fixedSeconds[way] ?? 0) : 0
        const length = (tokens[end] ?? 0) - (tokens[start] ?? 0)
        readSeconds[place] = (readSeconds[place] ?? 0) + fixed + (ways.secondsPerToken[way] ?? 0) * length
      }
      end = start
      if (start === stepStart) step -= 1
    }
    const remainder = {
      prefillSeconds: allSeconds - (prefillSeconds[node] ?? 0),
      computeSeconds,
      readSeconds: readSeconds.slice(),
    }
    remainders.push(remainder)
  }
  return remainders.reverse()
}
