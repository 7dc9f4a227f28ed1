import { rateCurve } from '../planner/rate-curve.ts'
import type { Scenario } from '../planner/scenario.ts'
import type { SimulationOptions } from '../planner/sim-options.ts'
import type { DisturbanceName, LoadPlan } from './report-load.ts'
import { steadyLoad } from './report-load.ts'
import { durationText, short, significant, whole } from './report-numbers.ts'

/** Two things that may happen to any deployment, and nothing as what they are compared with. */

/** Of what the plan sustains. ASSUMPTION: report-load. */
export const DISTURBED_SHARE = 0.75

/** ASSUMPTION: report-load. */
const LINK_LEFT = 0.1

/** Minutes in a quarter of an hour, two of them at twice the rate. ASSUMPTION: report-load. */
const BURST_RATES = [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2]
const CYCLE_SECONDS = BURST_RATES.length * 60

const SECONDS = 7200
const REPLICATIONS = 8
/** With fewer there is no interval. */
const REPLICATIONS_MIN = 4

/** Of one scheduler under one disturbance, all replications: half a second to two. */
const REQUESTS_MAX = 160_000
/** Of a replication: fewer have no P90. */
const REQUESTS_MIN = 100

export interface DisturbanceQuestion {
  readonly name: DisturbanceName
  readonly what: string
  readonly fixed: SimulationOptions
  readonly scheduled: SimulationOptions
}

export type DisturbanceQuestions =
  | {
      readonly kind: 'asked'
      readonly rateRps: number
      readonly seconds: number
      readonly replications: number
      readonly questions: readonly DisturbanceQuestion[]
    }
  | { readonly kind: 'left-out'; readonly reason: string }

/** Two hours in eight replications; less where many requests come, as long as a burst fits in. */
export function disturbanceQuestions(scenario: Scenario, plan: LoadPlan, sustainableRps: number): DisturbanceQuestions {
  const rateRps = DISTURBED_SHARE * sustainableRps
  const secondsIn = (replications: number): number => Math.min(SECONDS, REQUESTS_MAX / replications / rateRps)
  const replications = secondsIn(REPLICATIONS) < 2 * CYCLE_SECONDS ? REPLICATIONS_MIN : REPLICATIONS
  const seconds = secondsIn(replications)
  const requests = Math.round(rateRps * seconds)
  if (seconds < CYCLE_SECONDS) {
    const most = whole(rateRps * CYCLE_SECONDS)
    return leftOut(
      `${durationText(CYCLE_SECONDS)} at ${significant(rateRps)} req/s are ${most} requests, too many for a report`,
    )
  }
  if (requests < REQUESTS_MIN)
    return leftOut(`${durationText(seconds)} at ${significant(rateRps)} req/s bring too few requests for a P90`)
  const steady = steadyLoad(scenario, plan, { rateRps, requests: requests * replications })
  const question = (name: DisturbanceName, what: string, more: Partial<SimulationOptions>): DisturbanceQuestion => ({
    name,
    what,
    fixed: { ...steady, ...more },
    scheduled: { ...steady, ...more, scheduler: 'on' },
  })
  const { gbps } = scenario.link
  const dropped = gbps * LINK_LEFT
  const peak = (2 * DISTURBED_SHARE * BURST_RATES.length) / BURST_RATES.reduce((sum, rate) => sum + rate, 0)
  return {
    kind: 'asked',
    rateRps,
    seconds,
    replications,
    questions: [
      question('none', 'Nothing happens', {}),
      question(
        'link-drop',
        `The link falls from ${short(gbps)} to ${short(dropped)} Gbps for ${durationText(seconds / 2)}`,
        {
          events: [
            { kind: 'link', atSeconds: seconds / 4, gbps: dropped },
            { kind: 'link', atSeconds: (3 * seconds) / 4, gbps },
          ],
        },
      ),
      question(
        'bursts',
        `Bursts: two minutes in fifteen have twice the rate of the others, ${significant(peak)} times what the plan sustains`,
        { curve: rateCurve(60, BURST_RATES) },
      ),
    ],
  }
}

function leftOut(reason: string): DisturbanceQuestions {
  return { kind: 'left-out', reason }
}
