import { assert } from '../core/errors.ts'
import type { Analysis } from '../planner/analysis.ts'
import { candidate } from '../planner/balance.ts'
import {
  drawnThresholds,
  figure5a,
  figure5b,
  type LatencyPoint,
  latencyCurve,
  type RolesPoint,
  type ThresholdPoint,
} from '../planner/figures.ts'
import type { Deployment } from '../planner/optimize.ts'
import type { Scenario } from '../planner/scenario.ts'
import type { DeploymentName, RatedCandidate } from '../planner/search.ts'
import { type Roles, splitTraffic } from '../planner/split.ts'
import { roundUp } from './report-axis.ts'

/** The numbers of the charts, for the page and for the terminal: what is drawn, what is marked, where axes end. */

/** A rate with the threshold at which it is reached. */
export interface ThresholdMark {
  readonly thresholdTokens: number
  readonly rateRps: number
}

export interface ThresholdSeries {
  readonly roles: Roles
  readonly points: readonly ThresholdPoint[]
  /** Where the two bounds meet: the balance point of Eq. (7). Null where they do not. */
  readonly crossing: ThresholdMark | null
  readonly chosen: ThresholdMark
  readonly decodeBoundRps: number
  readonly axisTokensMax: number
  /** The bounds go to infinity at the ends; the axis stops where nothing is left to see. */
  readonly axisRpsMax: number
}

/** Figure 5b. */
export function thresholdSeries(scenario: Scenario, analysis: Analysis, count: number): ThresholdSeries {
  const plan = membraneOf(analysis)
  const roles = rolesOf(plan)
  const chosenTokens = plan.thresholdTokens ?? 0
  const at = (tokens: number): ThresholdPoint => pointAt(scenario, roles, tokens)
  const coarse = [0, ...drawnThresholds(scenario, chosenTokens, count)]
  const crossing = crossingOf(coarse.map(at), at, chosenTokens)
  const marks = [chosenTokens, ...(crossing === null ? [] : [crossing.thresholdTokens])]
  const axisTokensMax = coarse.at(-1) ?? chosenTokens
  const thresholds = [...new Set([...coarse, ...marks])].filter((tokens) => tokens <= axisTokensMax)
  const highest = Math.max(plan.lambdaMaxRps, crossing?.rateRps ?? 0)
  return {
    roles,
    points: thresholds.sort((a, b) => a - b).map(at),
    crossing,
    chosen: { thresholdTokens: chosenTokens, rateRps: at(chosenTokens).lambdaMaxRps },
    decodeBoundRps: plan.throughputRps.decode ?? Number.POSITIVE_INFINITY,
    axisTokensMax,
    axisRpsMax: roundUp(1.9 * highest),
  }
}

function pointAt(scenario: Scenario, roles: Roles, tokens: number): ThresholdPoint {
  const [point] = figure5b(scenario, roles, [tokens])
  assert(point !== undefined, 'a figure of one threshold has a point')
  return point
}

/** Bounds that jump past each other by more than this do not meet: lengths that are all alike do so. */
const MEETING_RATIO = 0.9

function crossingOf(
  points: readonly ThresholdPoint[],
  at: (tokens: number) => ThresholdPoint,
  chosenTokens: number,
): ThresholdMark | null {
  const after = points.findIndex(
    (point, k) => k > 0 && isRemoteTighter(points[k - 1] ?? point) && !isRemoteTighter(point),
  )
  let [low, high] = [points[after - 1], points[after]]
  if (low === undefined || high === undefined) return null
  while (high.thresholdTokens - low.thresholdTokens > 1) {
    const middle = at(Math.round((low.thresholdTokens + high.thresholdTokens) / 2))
    if (isRemoteTighter(middle)) low = middle
    else high = middle
  }
  const [before, beyond] = [low.remoteBoundRps, high.localBoundRps]
  if (before === null || beyond === null || beyond < MEETING_RATIO * before) return null
  // The bounds meet between two whole tokens; the planner may have taken either.
  const thresholdTokens = low.thresholdTokens === chosenTokens ? chosenTokens : high.thresholdTokens
  return { thresholdTokens, rateRps: Math.min(before, beyond) }
}

/** A bound that does not exist is infinite. */
function isRemoteTighter({ remoteBoundRps, localBoundRps }: ThresholdPoint): boolean {
  return remoteBoundRps !== null && (localBoundRps === null || remoteBoundRps < localBoundRps)
}

export interface RolesSeries {
  readonly thresholdTokens: number
  /** Instances that are shared out between local prefill and decode. */
  readonly instances: number
  readonly points: readonly RolesPoint[]
  readonly peak: RolesPoint
  /** Null when the plan has no local prefill, which this figure does not draw. */
  readonly chosen: RolesPoint | null
}

/** More points than this are not told apart on any screen, and would only make the file large. */
const ROLES_DRAWN_MAX = 120

/** Figure 5a. */
export function rolesSeries(scenario: Scenario, analysis: Analysis): RolesSeries {
  const plan = membraneOf(analysis)
  const thresholdTokens = plan.thresholdTokens ?? 0
  const all = figure5a(scenario, thresholdTokens)
  const chosen = all.find((point) => point.localPrefill === plan.instances.localPrefill) ?? null
  const [first, ...others] = chosen === null ? all : [chosen, ...all]
  assert(first !== undefined, 'a local cluster has two instances')
  const peak = others.reduce((best, next) => (next.lambdaMaxRps > best.lambdaMaxRps ? next : best), first)
  const stride = Math.ceil(all.length / ROLES_DRAWN_MAX)
  const points = all.filter(
    (point, k) => k % stride === 0 || k === all.length - 1 || point === peak || point === chosen,
  )
  return { thresholdTokens, instances: scenario.local.instances, points, peak, chosen }
}

/** A rate with the P90 TTFT that goes with it. */
export interface LatencyMark {
  readonly rateRps: number
  readonly ttftSecondsP90: number
}

export interface LatencyCurve {
  readonly name: DeploymentName
  readonly points: readonly LatencyPoint[]
  /** Lambda_max beside the TTFT that contains no queueing: what the paper's Table 6 says. */
  readonly withoutQueues: LatencyMark
  /** At the SLO-feasible rate; null without an SLO, or where no rate meets it. */
  readonly operating: LatencyMark | null
}

export interface LatencySeries {
  readonly curves: readonly LatencyCurve[]
  readonly boundSeconds: number | null
  readonly axisRpsMax: number
  readonly axisSecondsMax: number
}

/** Throughput against P90 TTFT with queueing, up to Lambda_max of each deployment. */
export function latencySeries(scenario: Scenario, analysis: Analysis, count: number): LatencySeries {
  const curves = analysis.optimization.deployments.map((deployment) => latencyOf(scenario, deployment, count))
  const boundSeconds = scenario.slo.ttftSecondsP90
  const slowest = Math.max(...curves.map((curve) => curve.withoutQueues.ttftSecondsP90))
  return {
    curves,
    boundSeconds,
    axisRpsMax: roundUp(1.05 * Math.max(...curves.map((curve) => curve.withoutQueues.rateRps))),
    axisSecondsMax: roundUp(boundSeconds === null ? 3 * slowest : Math.max(1.3 * boundSeconds, 1.5 * slowest)),
  }
}

function latencyOf(scenario: Scenario, deployment: Deployment, count: number): LatencyCurve {
  const { name, lambdaMaxRps, sloFeasibleRps } = deployment
  const plan: RatedCandidate = {
    ...candidate(scenario, rolesOf(deployment), splitTraffic(scenario, thresholdOf(scenario, deployment))),
    sloFeasibleRps,
  }
  const isOperating = sloFeasibleRps !== null && sloFeasibleRps > 0
  const at = (rateRps: number): LatencyPoint | null =>
    latencyCurve(scenario, name, { ...plan, lambdaMaxRps: rateRps }, 1)[0] ?? null
  const points = latencyCurve(scenario, name, plan, count)
  return {
    name,
    points: [...points, ...towardsSaturation(points.at(-1)?.rateRps ?? 0, lambdaMaxRps, at)],
    withoutQueues: { rateRps: lambdaMaxRps, ttftSecondsP90: deployment.ttftSeconds.p90 },
    operating: isOperating ? at(sloFeasibleRps) : null,
  }
}

const SATURATION_STEPS = 12

/** Between the last rate that has a P90 and Lambda_max lies the rate at which prefill saturates: the curve goes up to it. */
function towardsSaturation(from: number, to: number, at: (rateRps: number) => LatencyPoint | null): LatencyPoint[] {
  const found: LatencyPoint[] = []
  let [low, high] = [from, to]
  for (let step = 0; step < SATURATION_STEPS && high - low > 1e-6 * high; step++) {
    const point = at((low + high) / 2)
    if (point === null) {
      high = (low + high) / 2
    } else {
      low = point.rateRps
      found.push(point)
    }
  }
  return found
}

/** Section 4.1: the baselines offload nothing, or everything. */
function thresholdOf(scenario: Scenario, deployment: Deployment): number {
  if (deployment.name === 'homogeneous-pd') return Math.ceil(scenario.lengths.maxTokens)
  return deployment.thresholdTokens ?? 0
}

export function membraneOf(analysis: Analysis): Deployment {
  const plan = analysis.optimization.deployments.find(({ name }) => name === 'membrane-pd')
  assert(plan !== undefined, 'an analysis has membrane-pd')
  return plan
}

export function rolesOf({ instances }: Deployment): Roles {
  return {
    remotePrefill: instances.remotePrefill ?? 0,
    localPrefill: instances.localPrefill ?? 0,
    decode: instances.decode ?? 0,
  }
}
