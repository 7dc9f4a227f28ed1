import type { Batches, RunLength } from './validate-statistics.ts'

/** Something that theory gives exactly at every load. Services have mean 1, so that times read as multiples of it. */
export interface System {
  readonly name: string
  readonly loads: readonly number[]
  /** Arrivals that the costliest row needs, times the squared relative error that they leave. */
  relativeVariance(load: number): number
  /** Over how many arrivals the system forgets. */
  memoryArrivals(load: number): number
  theory(load: number): readonly Claim[]
  /** What the stations do, in the order of the claims. */
  measure(run: MeasuredRun): readonly Batches[]
}

export interface Claim {
  readonly quantity: string
  readonly theory: number
}

export interface MeasuredRun {
  readonly load: number
  readonly seed: number
  readonly length: RunLength
}

export const LOADS: readonly number[] = [0.5, 0.7, 0.8, 0.9, 0.95]

/** A claim and where its measurement is found among what a station says. */
export interface Row<Said> extends Claim {
  readonly read: (said: Said) => Batches
}

export interface SystemParts<Said> {
  readonly name: string
  readonly loads: readonly number[]
  readonly costs: Costs
  readonly rows: (load: number) => readonly Row<Said>[]
  readonly run: (run: MeasuredRun) => Said
}

/** How long a run must be. The formulas were held against long runs: they are 0 to 40 % more than is needed. */
export interface Costs {
  readonly memoryArrivals: (load: number) => number
  readonly relativeVariance: (load: number) => number
}

/**
 * A queue that has no bound. In heavy traffic the sum of the autocorrelations is 2 (ca2 + scv) / (1 - load)^2, and the
 * wait varies as much as it is long; at lower loads most jobs do not wait, which makes its mean more costly.
 */
export function queueCosts(variation: number, chanceOfWait: (load: number) => number): Costs {
  const memoryArrivals = (load: number): number => (2 * variation) / (1 - load) ** 2
  return { memoryArrivals, relativeVariance: (load) => memoryArrivals(load) / (Math.sqrt(load) * chanceOfWait(load)) }
}

/** Short queues, or none, forget within a few services; what costs is that the event is rare. */
export function rareEventCosts(probability: (load: number) => number): Costs {
  return { memoryArrivals: () => 60, relativeVariance: (load) => 3.5 / probability(load) }
}

export function system<Said>({ name, loads, costs, rows, run }: SystemParts<Said>): System {
  return {
    name,
    loads,
    ...costs,
    theory: (load) => rows(load).map(({ quantity, theory }) => ({ quantity, theory })),
    measure: (of) => {
      const said = run(of)
      return rows(of.load).map(({ read }) => read(said))
    },
  }
}
