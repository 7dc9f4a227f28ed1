import type { ErrorCode } from '../core/errors.ts'
import type { ScenarioSpec } from '../planner/scenario.ts'
import type { SimulationOptions } from '../planner/sim-options.ts'
import type { ReplicationData } from '../planner/sim-run.ts'

/** What a thread is asked. */
export interface SimulationTask {
  readonly spec: ScenarioSpec
  readonly options: SimulationOptions
}

/** What it answers: a run, or an error that the user made. */
export type SimulationAnswer =
  | { readonly kind: 'done'; readonly run: ReplicationData }
  | {
      readonly kind: 'failed'
      readonly code: ErrorCode
      readonly message: string
      readonly remedy: string | null
      readonly details: Readonly<Record<string, unknown>>
    }
