/** The grid that the paper's case study is searched on, and the work of searching it. */
import { buildScenario, type Scenario, type ScenarioSpec } from '../src/planner/scenario.ts'
import { type Candidate, candidate, isBetter } from '../src/planner/balance.ts'
import type { LengthDistribution } from '../src/planner/lengths.ts'
import { preset } from '../src/planner/presets.ts'
import { splitTraffic } from '../src/planner/split.ts'

export const CASE_STUDY: ScenarioSpec = preset('case-study')

/** 2K to 128K in steps of 512: 253 thresholds. */
export const THRESHOLDS: readonly number[] = Array.from({ length: 253 }, (_, k) => 2048 + 512 * k)
/** One to seven of the eight local instances prefill. */
export const LOCAL_PREFILLS: readonly number[] = [1, 2, 3, 4, 5, 6, 7]

export function caseStudyScenario(): Scenario {
  return buildScenario(CASE_STUDY)
}

/** The best of the 253 x 7 points, by the planner's own functions. */
export function searchGrid(base: Scenario, lengths: LengthDistribution): Candidate {
  const scenario = { ...base, lengths }
  const splits = THRESHOLDS.map((tokens) => splitTraffic(scenario, tokens))
  let best: Candidate | null = null
  for (const localPrefill of LOCAL_PREFILLS) {
    const decode = scenario.local.instances - localPrefill
    const roles = { remotePrefill: scenario.remote.instances, localPrefill, decode }
    for (const split of splits) {
      const next = candidate(scenario, roles, split)
      if (best === null || isBetter(next, best)) best = next
    }
  }
  if (best === null) throw new Error('The grid has no point.')
  return best
}
