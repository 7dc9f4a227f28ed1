import { preset } from '../src/planner/presets.ts'
import { buildScenario } from '../src/planner/scenario.ts'
import { DEFAULT_SIMULATION, type SimulationOptions } from '../src/planner/sim-options.ts'

/** The paper's case study and its plan, which most tests of the simulator run, at 74 % of Lambda_max. */
export const CASE_STUDY = buildScenario(preset('case-study'))

export const CASE_STUDY_PLAN = {
  roles: { remotePrefill: 4, localPrefill: 3, decode: 5 },
  thresholdTokens: 19_405,
} as const

export const PLANNED = {
  ...DEFAULT_SIMULATION,
  ...CASE_STUDY_PLAN,
  rateRps: 2.4,
  requests: 3000,
  seed: 1,
} as const satisfies SimulationOptions
