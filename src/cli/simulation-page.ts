import type { Assumption } from '../planner/assumptions.ts'
import type { SimulationOptions } from '../planner/sim-options.ts'
import type { SimulationCurves, SimulationResult } from '../planner/simulation-result.ts'

/** One simulation with what it was asked and what it said. */
export interface SimulatedRun {
  readonly name: string
  readonly options: SimulationOptions
  readonly result: SimulationResult
  readonly curves: SimulationCurves
}

/** One rate of a sweep. */
export interface KneePoint {
  readonly rateRps: number
  readonly result: SimulationResult
}

/** What the plan quotes, without queueing: TTFT as the paper has it, and Eq. (6). */
export interface QuotedPlan {
  readonly ttftSecondsP90: number
  readonly lambdaMaxRps: number
}

/** What the page of a simulation is made from. */
export interface SimulationPage {
  readonly title: string
  /** The command line that gives the same page again. */
  readonly command: string
  /** Sentences, the verdict first. */
  readonly lead: readonly string[]
  /** At least one; the first is the one that the page is about. */
  readonly runs: readonly SimulatedRun[]
  /** In any order; null without a sweep. */
  readonly knee: readonly KneePoint[] | null
  readonly quoted: QuotedPlan | null
  readonly sloTtftSecondsP90: number | null
  readonly assumptions: readonly Assumption[]
  readonly warnings: readonly string[]
}
