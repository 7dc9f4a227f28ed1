// HOT: 0.1 µs a label and leg.
/** The search itself: labels at stops, each a way to get there, none of them better than another in everything. */
import type { RebuildGraph } from './plan-rebuild-graph.ts'
import type { Leg, Legs } from './plan-rebuild-legs.ts'
import { COMPUTED, type Path } from './plan-rebuild-path.ts'
import { type Remainder, remaindersOf } from './plan-rebuild-schedule.ts'

/** Labels at one stop: the more, the closer to the optimum; all together take a millisecond. */
const LABELS_MAX = 12
const LABELS_MIN = 6
const LABELS_IN_ALL = 1200

export interface LabelSearch {
  /** What cannot be ready before is dropped on the way. */
  readonly boundSeconds: number
  /** How a label is judged among too many: by how it would end if it went on like one of these, or computed the rest. */
  readonly goingOn: readonly Path[]
}

/** Legs end to end, as a path whose schedule is the shortest that was found; null when none was found within the bound. */
export function soonestLegs(graph: RebuildGraph, { stops, startingAt }: Legs, search: LabelSearch): Path | null {
  const width = Math.max(LABELS_MIN, Math.min(LABELS_MAX, Math.floor(LABELS_IN_ALL / stops.length)))
  const labels = new Labels(graph.ways.startUpSeconds, width, stops.length * width + 1)
  const remainders = search.goingOn.map((path) => remaindersOf(graph, path, stops))
  const remaindersAt = stops.map((_, stop) => remainders.flatMap((of) => of[stop] ?? []))
  const stopOf = new Map(stops.map((node, stop) => [node, stop]))
  const atStop: number[][] = stops.map(() => [])
  atStop[0]?.push(labels.first())
  for (const [stop, here] of atStop.entries()) {
    for (const leg of startingAt[stop] ?? []) {
      const to = stopOf.get(leg.to) ?? 0
      const there = atStop[to] ?? []
      const target = { there, remainders: remaindersAt[to] ?? [], boundSeconds: search.boundSeconds }
      for (const label of here) labels.extend(label, leg, target)
    }
  }
  const soonest = atStop.at(-1)?.[0]
  return soonest === undefined ? null : joined(labels.legsTo(soonest))
}

/** A stop that a label is to be added to. */
interface Target {
  /** Its labels, ascending in time. */
  readonly there: number[]
  readonly remainders: readonly Remainder[]
  readonly boundSeconds: number
}

class Labels {
  readonly #places: number
  readonly #startUpSeconds: Float64Array
  readonly #width: number
  readonly #ready: Float64Array
  /** When all would be ready if it went on as others do. */
  readonly #endSeconds: Float64Array
  /** By label and place. */
  readonly #busy: Float64Array
  readonly #before: Int32Array
  readonly #legs: (Leg | null)[] = []
  readonly #free: number[] = []
  #count = 0

  constructor(startUpSeconds: Float64Array, width: number, labelsMax: number) {
    this.#width = width
    this.#places = startUpSeconds.length
    this.#startUpSeconds = startUpSeconds
    this.#ready = new Float64Array(labelsMax + 1)
    this.#endSeconds = new Float64Array(labelsMax + 1)
    this.#busy = new Float64Array((labelsMax + 1) * this.#places)
    this.#before = new Int32Array(labelsMax + 1).fill(-1)
  }

  first(): number {
    this.#busy.set(this.#startUpSeconds)
    this.#legs.push(null)
    return this.#count++
  }

  /** Appends a leg to a label, unless what is there has a better one. */
  extend(from: number, leg: Leg, { there, remainders, boundSeconds }: Target): void {
    let ready = this.#ready[from] ?? 0
    if (ready + leg.computeSeconds >= boundSeconds) return
    const label = this.#free.pop() ?? this.#count++
    const places = this.#places
    const busyFrom = from * places
    const busyTo = label * places
    for (let place = 0; place < places; place++) this.#busy[busyTo + place] = this.#busy[busyFrom + place] ?? 0
    const isContinued = (this.#legs[from]?.run ?? COMPUTED) === leg.run
    for (let k = 0; k < leg.reads.length; k += 2) {
      const at = busyTo + (leg.reads[k] ?? 0)
      const fixed = k === 0 && !isContinued ? leg.fixedSeconds : 0
      const done = (this.#busy[at] ?? 0) + (leg.reads[k + 1] ?? 0) + fixed
      this.#busy[at] = done
      if (done > ready) ready = done
    }
    ready += leg.computeSeconds
    this.#ready[label] = ready
    this.#before[label] = from
    this.#legs[label] = leg
    if (ready >= boundSeconds || !this.#insert(label, there)) this.#free.push(label)
    else {
      this.#endSeconds[label] = this.#endOf(label, remainders)
      if (there.length > this.#width) this.#free.push(this.#dropLatest(there))
    }
  }

  #endOf(label: number, remainders: readonly Remainder[]): number {
    const ready = this.#ready[label] ?? 0
    let soonest = Infinity
    for (const { prefillSeconds, computeSeconds, readSeconds } of remainders) {
      let end = ready + computeSeconds
      for (let place = 0; place < this.#places; place++) {
        const reads = readSeconds[place] ?? 0
        if (reads > 0) end = Math.max(end, (this.#busy[label * this.#places + place] ?? 0) + reads)
      }
      soonest = Math.min(soonest, end, ready + prefillSeconds)
    }
    return soonest
  }

  /** Keeps the list ascending in time and free of what another label beats. */
  #insert(label: number, there: number[]): boolean {
    const ready = this.#ready[label] ?? 0
    let at = 0
    for (; at < there.length; at++) {
      const other = there[at] ?? 0
      if ((this.#ready[other] ?? 0) > ready) break
      if (this.#isBetter(other, label)) return false
    }
    let kept = at
    for (let k = at; k < there.length; k++) {
      const other = there[k] ?? 0
      if (this.#isBetter(label, other)) this.#free.push(other)
      else there[kept++] = other
    }
    there.length = kept
    there.splice(at, 0, label)
    return true
  }

  /** Ready no later, and every place free no later, also when `b` may go on with a read that `a` would begin. */
  #isBetter(a: number, b: number): boolean {
    const places = this.#places
    const leg = this.#legs[b]
    const isAhead = leg !== null && leg !== undefined && leg.fixedSeconds > 0 && leg.run !== this.#legs[a]?.run
    for (let place = 0; place < places; place++) {
      const ahead = isAhead && place === leg.reads[0] ? leg.fixedSeconds : 0
      if ((this.#busy[a * places + place] ?? 0) + ahead > (this.#busy[b * places + place] ?? 0)) return false
    }
    return true
  }

  #dropLatest(there: number[]): number {
    let [latest, at] = [-1, 0]
    for (let k = 0; k < there.length; k++) {
      const end = this.#endSeconds[there[k] ?? 0] ?? 0
      // Of equal ones the later in time goes.
      if (end >= latest) [latest, at] = [end, k]
    }
    return there.splice(at, 1)[0] ?? 0
  }

  legsTo(label: number): readonly Leg[] {
    const legs: Leg[] = []
    for (let at = label; at >= 0; at = this.#before[at] ?? -1) {
      const leg = this.#legs[at]
      if (leg !== null && leg !== undefined) legs.push(leg)
    }
    return legs.reverse()
  }
}

/** Neighbouring steps of one way are one step. */
function joined(legs: readonly Leg[]): Path {
  const nodes = [0]
  const ways: number[] = []
  const append = (way: number, end: number): void => {
    if (way === ways.at(-1)) nodes[nodes.length - 1] = end
    else {
      ways.push(way)
      nodes.push(end)
    }
  }
  let [path, step]: [Path | null, number] = [null, 0]
  for (const leg of legs) {
    if (leg.path === null) {
      append(leg.run, leg.to)
      continue
    }
    if (leg.path !== path) [path, step] = [leg.path, 0]
    while ((path.nodes[step + 1] ?? leg.to) <= leg.from) step += 1
    for (let end = leg.from; end < leg.to; step += end < leg.to ? 1 : 0) {
      end = Math.min(leg.to, path.nodes[step + 1] ?? leg.to)
      append(path.ways[step] ?? COMPUTED, end)
    }
  }
  return { nodes: Int32Array.from(nodes), ways: Int32Array.from(ways) }
}
