/** Counts requests as doors answer them: by door, route and outcome, and how long they took. Plain numbers, read at a scrape. */
import { LIMITS } from '../core/limits.ts'

/** Upper bounds of the classes of durations, seconds; one more class has what is above. */
export const DURATION_BOUNDS_SECONDS = [
  0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30,
] as const

/** A request that was answered. */
export interface AnsweredRequest {
  readonly door: string
  /** A template or a command, never what a caller chose: each is a series of its own. */
  readonly route: string
  /** `ok`, or the code of the error, or a status. */
  readonly outcome: string
  readonly seconds: number
}

/** Requests of one door and route. */
export interface RequestCounts {
  readonly door: string
  readonly route: string
  readonly byOutcome: ReadonlyMap<string, number>
  /** One a bound of DURATION_BOUNDS_SECONDS, and one above them: each counts what none before it has. */
  readonly durations: readonly number[]
  readonly seconds: number
}

/** What doors have open now. */
export interface DoorGauge {
  readonly door: string
  readonly connections: () => number
}

interface Counts extends RequestCounts {
  readonly byOutcome: Map<string, number>
  readonly durations: number[]
  seconds: number
}

/** See the top of this file. */
export class RequestMeters {
  readonly #counts = new Map<string, Counts>()
  readonly #doors = new Set<DoorGauge>()
  #bodyBytes: () => number = () => 0
  #rateLimited = 0

  /** HOT: once for every request. */
  answered({ door, route, outcome, seconds }: AnsweredRequest): void {
    const counts = this.#countsOf(door, route)
    counts.byOutcome.set(outcome, (counts.byOutcome.get(outcome) ?? 0) + 1)
    const place = DURATION_BOUNDS_SECONDS.findIndex((bound) => seconds <= bound)
    const at = place < 0 ? DURATION_BOUNDS_SECONDS.length : place
    counts.durations[at] = (counts.durations[at] ?? 0) + 1
    counts.seconds += seconds
    if (outcome === 'RATE_LIMITED') this.#rateLimited += 1
  }

  /** From when a door is open until what it gives is called. */
  watchDoor(gauge: DoorGauge): () => void {
    this.#doors.add(gauge)
    return () => this.#doors.delete(gauge)
  }

  watchBodies(bytes: () => number): void {
    this.#bodyBytes = bytes
  }

  requests(): Iterable<RequestCounts> {
    return this.#counts.values()
  }

  connections(): ReadonlyMap<string, number> {
    const sums = new Map<string, number>()
    for (const { door, connections } of this.#doors) sums.set(door, (sums.get(door) ?? 0) + connections())
    return sums
  }

  bodyBytes(): number {
    return this.#bodyBytes()
  }

  /** Requests that were refused because their caller sent more than its rate. */
  get rateLimited(): number {
    return this.#rateLimited
  }

  #countsOf(door: string, route: string): Counts {
    const name = `${door} ${route}`
    const known = this.#counts.get(name)
    if (known !== undefined) return known
    if (this.#counts.size >= LIMITS.meteredRoutesMax && route !== OTHER_ROUTES)
      return this.#countsOf(door, OTHER_ROUTES)
    const durations = Array.from({ length: DURATION_BOUNDS_SECONDS.length + 1 }, () => 0)
    const counts = { door, route, byOutcome: new Map<string, number>(), durations, seconds: 0 }
    this.#counts.set(name, counts)
    return counts
  }
}

/** What has no route, and routes beyond LIMITS.meteredRoutesMax. */
export const OTHER_ROUTES = '(other)'
