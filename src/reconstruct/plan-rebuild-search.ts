/**
 * Finds the path that is ready soonest. Links and the engine work at the same time, so the seconds of a path do not add
 * up; but how it goes on depends only on when all so far is ready and until when each place is busy. So a search keeps,
 * at each node, the ways to get there of which none is better in all of these. Where there are more than a bound, those
 * are dropped that would end latest if they went on like the plain paths: then it is a heuristic, and the plain paths
 * are what it is held against.
 */
import type { RebuildGraph } from './plan-rebuild-graph.ts'
import { directLegs, type Legs, legsAlong } from './plan-rebuild-legs.ts'
import { soonestLegs } from './plan-rebuild-labels.ts'
import { cheapestPath, COMPUTED, type Path } from './plan-rebuild-path.ts'
import { pathSeconds, remaindersOf } from './plan-rebuild-schedule.ts'

/** Beyond, the search follows the plain paths between fewer nodes instead of looking at every way, to stay within milliseconds. */
const DIRECT_NODES_MAX = 400
/** A price of computing that no read reaches: then everything is read that can be. */
const READ_ALL = 1e9

/**
 * What a mixture must gain on the plain paths: rates are not known better, and what they leave out (a call to the
 * engine, a fragment that is read whole though a part of it is used) would eat it up.
 */
const GAIN_MIN = 0.03

export interface FoundPath {
  readonly path: Path
  readonly seconds: number
}

/** Never later than computing everything, nor than reading all that can be read, nor than the path of the least sum. */
export function soonestPath(graph: RebuildGraph): FoundPath {
  const last = graph.tokens.length - 1
  const all: Path = { nodes: Int32Array.of(0, last), ways: Int32Array.of(COMPUTED) }
  let best: FoundPath = { path: all, seconds: graph.prefillSeconds[last] ?? 0 }
  if (graph.ways.index.length === 0) return best
  const consider = (path: Path): Path => {
    const seconds = pathSeconds(graph, path)
    // A difference in the last digits is none: the earlier path is the simpler one.
    if (seconds < best.seconds * (1 - 1e-12)) best = { path, seconds }
    return path
  }
  const least = consider(cheapestPath(graph, { enginePrice: 1, withoutPlace: null }))
  const reading = consider(cheapestPath(graph, { enginePrice: READ_ALL, withoutPlace: null }))
  const legs = last <= DIRECT_NODES_MAX ? directLegs(graph) : legsBetween(graph, least, reading)
  const boundSeconds = Math.min(best.seconds * (1 - GAIN_MIN), best.seconds - (graph.request.gainSecondsMin ?? 0))
  const found = soonestLegs(graph, legs, { boundSeconds, goingOn: [reading, least] })
  if (found !== null) consider(found)
  return best
}

/** Where one place is what all wait for, a part of what it has comes from elsewhere; which part, a search can say. */
function legsBetween(graph: RebuildGraph, least: Path, reading: Path): Legs {
  const busySeconds = remaindersOf(graph, reading, [0])[0]?.readSeconds ?? new Float64Array(0)
  const busiest = busySeconds.indexOf(busySeconds.reduce((most, seconds) => Math.max(most, seconds), 0))
  const spared = cheapestPath(graph, { enginePrice: READ_ALL, withoutPlace: busiest })
  return legsAlong(graph, [least, reading, spared])
}
