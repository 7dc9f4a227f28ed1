import type { Analysis } from '../planner/analysis.ts'
import type { Scenario } from '../planner/scenario.ts'
import { summarize } from '../planner/simulation-result.ts'
import { figure } from './print.ts'
import { LOAD_SHARE, steadyLoad } from './report-load.ts'
import { membraneOf, rolesOf } from './report-series.ts'
import { SELF } from './run-command.ts'
import { runSimulations } from './simulate-run.ts'

/** What the paper's table does not contain: queues. Short, because the report and `simulate` say it with more runs. */

const REQUESTS = 60_000
/** The fewest that give an interval. */
const REPLICATIONS = 4

export interface DemoLoad {
  readonly rateRps: number
  readonly quotedTtftSecondsP90: number
  readonly ttftSecondsP90: number
  /** Half of the 95 % interval. */
  readonly halfWidth95: number
  readonly command: string
}

export async function simulateDemo(scenario: Scenario, analysis: Analysis): Promise<DemoLoad> {
  const deployment = membraneOf(analysis)
  const { lambdaMaxRps, thresholdTokens, ttftSeconds } = deployment
  const plan = { roles: rolesOf(deployment), thresholdTokens: thresholdTokens ?? 0 }
  const options = steadyLoad(scenario, plan, { rateRps: LOAD_SHARE * lambdaMaxRps, requests: REQUESTS })
  // One thread: others would take longer to start than they save.
  const [runs = []] = await runSimulations([{ scenario, options, replications: REPLICATIONS }], {
    workers: 1,
    what: 'simulating',
  })
  const { p90, p90HalfWidth95 } = summarize(scenario, options, runs).ttftSeconds
  return {
    rateRps: options.rateRps,
    quotedTtftSecondsP90: ttftSeconds.p90,
    ttftSecondsP90: p90,
    halfWidth95: p90HalfWidth95 ?? Number.NaN,
    command: `${SELF} simulate --scenario steady`,
  }
}

export function demoLoadText({ rateRps, quotedTtftSecondsP90, ttftSecondsP90, halfWidth95 }: DemoLoad): string {
  const ratio = (ttftSecondsP90 / quotedTtftSecondsP90).toFixed(1)
  return `These TTFTs contain no queueing. At ${Math.round(100 * LOAD_SHARE)} % of Lambda_max, ${figure(rateRps)} req/s, the simulated P90 TTFT of membrane-pd is ${ttftSecondsP90.toFixed(1)} ± ${halfWidth95.toFixed(1)} s, ${ratio} times the quoted ${quotedTtftSecondsP90.toFixed(2)} s.`
}
