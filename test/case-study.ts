import type { AgentWorkload } from '../src/planner/agent-traffic.ts'
import { preset } from '../src/planner/presets.ts'
import { buildScenario } from '../src/planner/scenario.ts'
import { type CacheOptions, DEFAULT_SIMULATION, type SimulationOptions } from '../src/planner/sim-options.ts'
import { type ReplicationData, simulateBatch } from '../src/planner/sim-run.ts'

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

export function simulatePlanned(change: Partial<SimulationOptions>): ReplicationData {
  return simulateBatch(CASE_STUDY, { ...PLANNED, ...change })
}

/** Requests with prefixes that come back, for runs with caches. */
export const AGENTS: AgentWorkload = {
  kind: 'agents',
  systemTokens: 2000,
  firstTokens: 16_000,
  turnTokens: 9000,
  outputTokens: 500,
  turnsMean: 6,
  turnGapSeconds: 30,
  blockTokens: 512,
  promptTokensMax: 131_072,
}

export const CLUSTER_CACHES: CacheOptions = {
  scope: 'cluster',
  remoteBlocks: 20_000,
  localBlocks: 20_000,
  stateBlocks: 0,
  checkpointBlocks: 0,
  policy: 'lru',
  isCopiedAcross: false,
}
