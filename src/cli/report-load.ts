import type { Assumption } from '../planner/assumptions.ts'
import type { Scenario } from '../planner/scenario.ts'
import { DEFAULT_SIMULATION, type SimulationOptions } from '../planner/sim-options.ts'
import type { LatencySummary, SimulationResult } from '../planner/simulation-result.ts'
import type { Roles } from '../planner/split.ts'
import type { Gain } from '../planner/study.ts'
import type { KneePoint } from './simulation-page.ts'

/** What the report says of its plan under load: the paper's figures contain no queueing, a simulation does. */
export type ReportLoad =
  | SimulatedLoad
  /** The user did not want it, so nothing on the page is simulated. */
  | { readonly kind: 'left-out' }
  | { readonly kind: 'impossible'; readonly reason: string }

export interface SimulatedLoad {
  readonly kind: 'simulated'
  /** At `LOAD_SHARE` of Lambda_max. */
  readonly options: SimulationOptions
  readonly result: SimulationResult
  readonly lambdaMaxRps: number
  /** TTFT of the same plan without queueing, seconds. */
  readonly quoted: { readonly mean: number; readonly p90: number; readonly p99: number }
  /** By rate, `result` among them. */
  readonly knee: readonly KneePoint[]
  /** Null without a bound on TTFT, or where no rate meets it. */
  readonly slo: LoadAtSlo | null
  readonly disturbances: Disturbances
  /** What the simulations rest on beside the plan. */
  readonly assumptions: readonly Assumption[]
}

/** The largest rate that meets the SLO as the planner's closed form has it, and what a simulation says of it. */
export interface LoadAtSlo {
  readonly boundSeconds: number
  readonly feasibleRps: number
  readonly result: SimulationResult
}

export type Disturbances =
  | {
      readonly kind: 'simulated'
      readonly rateRps: number
      /** Of each replication. */
      readonly seconds: number
      readonly replications: number
      readonly rows: readonly DisturbanceAnswer[]
    }
  | { readonly kind: 'left-out'; readonly reason: string }

/** The scheduler against a fixed threshold: the same requests at the same times, by seed. */
export interface DisturbanceAnswer {
  readonly name: DisturbanceName
  readonly what: string
  readonly fixed: SimulationResult
  readonly scheduled: SimulationResult
  /** Of P90 TTFT. */
  readonly gain: Gain
}

export type DisturbanceName = 'none' | 'link-drop' | 'bursts'

/** Of Lambda_max. ASSUMPTION: report-load. */
export const LOAD_SHARE = 0.86

export interface LoadPlan {
  readonly roles: Roles
  readonly thresholdTokens: number
}

/** Fixed, so that the same scenario gives the same page. */
const SEED = 1

/** A plan as it stands at a steady rate. */
export function steadyLoad(
  scenario: Scenario,
  { roles, thresholdTokens }: LoadPlan,
  { rateRps, requests }: { readonly rateRps: number; readonly requests: number },
): SimulationOptions {
  return {
    ...DEFAULT_SIMULATION,
    roles,
    thresholdTokens,
    rateRps,
    requests,
    seed: SEED,
    scheduler: 'fixed',
    arrivals: scenario.burstiness === 1 ? 'poisson' : 'gamma',
  }
}

/** The same for programs. */
export function loadAsJson(load: ReportLoad): object {
  if (load.kind !== 'simulated') return load
  const { options, result, lambdaMaxRps, quoted, knee, slo, disturbances } = load
  const { ttftSeconds, capacityRps, verdict, requests, replications } = result
  return {
    kind: load.kind,
    rateRps: options.rateRps,
    shareOfLambdaMax: options.rateRps / lambdaMaxRps,
    ttftSecondsWithoutQueueing: quoted,
    ttftSeconds,
    ttftRatios: ttftRatios(load),
    verdict,
    capacityRps: { sustainableRps: capacityRps.sustainableRps, equation6Rps: capacityRps.equation6Rps },
    requests,
    replications,
    knee: knee.map((point) => ({
      rateRps: point.rateRps,
      ttftSeconds: point.result.ttftSeconds,
      verdict: point.result.verdict,
    })),
    slo:
      slo === null
        ? null
        : {
            boundSeconds: slo.boundSeconds,
            feasibleRps: slo.feasibleRps,
            ttftSeconds: slo.result.ttftSeconds,
            verdict: slo.result.verdict,
          },
    disturbances:
      disturbances.kind === 'left-out'
        ? disturbances
        : {
            ...disturbances,
            rows: disturbances.rows.map(({ name, what, fixed, scheduled, gain }) => ({
              name,
              what,
              fixed: runAsJson(fixed),
              scheduled: runAsJson(scheduled),
              p90TtftGain: gain,
            })),
          },
  }
}

function runAsJson({ ttftSeconds, verdict }: SimulationResult): {
  readonly ttftSeconds: LatencySummary
  readonly verdict: SimulationResult['verdict']
} {
  return { ttftSeconds, verdict }
}

/** How many times as long as quoted. */
export function ttftRatios({ result: { ttftSeconds }, quoted }: Pick<SimulatedLoad, 'result' | 'quoted'>): {
  readonly mean: number
  readonly p90: number
  readonly p99: number
} {
  return {
    mean: ttftSeconds.mean / quoted.mean,
    p90: ttftSeconds.p90 / quoted.p90,
    p99: ttftSeconds.p99 / quoted.p99,
  }
}
