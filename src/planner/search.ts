import { bestThreshold, type Candidate, candidate, isBetter, scanThresholds } from './balance.ts'
import { type LengthCells, lengthCells } from './cells.ts'
import type { Scenario } from './scenario.ts'
import { feasibleRate, meetsTtft, queueView, type QueueView } from './slo.ts'
import { type Roles, splitTraffic } from './split.ts'

export const DEPLOYMENT_NAMES = ['membrane-pd', 'homogeneous-pd', 'naive-heterogeneous-pd'] as const
export type DeploymentName = (typeof DEPLOYMENT_NAMES)[number]

/** A candidate with the rate that its SLO leaves, or null when no SLO was asked for. */
export interface RatedCandidate extends Candidate {
  readonly sloFeasibleRps: number | null
}

/** What candidates are ranked by: the SLO-feasible rate when there is an SLO, Lambda_max otherwise. */
export function objectiveRps(plan: RatedCandidate): number {
  return plan.sloFeasibleRps ?? plan.lambdaMaxRps
}

/** The best plan of every assignment of roles, best first. */
export function searchDeployment(scenario: Scenario, name: DeploymentName): RatedCandidate[] {
  const candidates = candidatesOf(scenario, name).sort((a, b) => (isBetter(a, b) ? -1 : 1))
  const { ttftSecondsP90, tpotSeconds } = scenario.slo
  if (ttftSecondsP90 === null && tpotSeconds === null)
    return candidates.map((plan) => ({ ...plan, sloFeasibleRps: null }))
  const rated = name === 'membrane-pd' ? rateWithThresholds(scenario, candidates) : rateAsTheyAre(scenario, candidates)
  return rated.sort((a, b) => objectiveRps(b) - objectiveRps(a) || (isBetter(a, b) ? -1 : 1))
}

/** Section 4.1: the three deployments. A role with no instance is one that the deployment lacks. */
function candidatesOf(scenario: Scenario, name: DeploymentName): Candidate[] {
  const { remote, local, homogeneousInstances, lengths } = scenario
  if (name === 'naive-heterogeneous-pd') {
    const roles = { remotePrefill: remote.instances, localPrefill: 0, decode: local.instances }
    return [candidate(scenario, roles, splitTraffic(scenario, 0))]
  }
  if (name === 'homogeneous-pd') {
    const everything = splitTraffic(scenario, Math.ceil(lengths.maxTokens))
    return rolesOf(0, homogeneousInstances, 1).map((roles) => candidate(scenario, roles, everything))
  }
  const scan = scanThresholds(scenario)
  return rolesOf(remote.instances, local.instances, 0).map((roles) => bestThreshold(scenario, roles, scan))
}

function rolesOf(remotePrefill: number, instances: number, localPrefillMin: number): Roles[] {
  return Array.from({ length: instances - localPrefillMin }, (_, k) => ({
    remotePrefill,
    localPrefill: localPrefillMin + k,
    decode: instances - localPrefillMin - k,
  }))
}

/** Cells for a figure that is printed, and for one that is only compared. */
const ANSWER_CELLS = 1024
const SEARCH_CELLS = 253

const ANSWER_PRECISION = 1e-7
const SEARCH_PRECISION = 1e-3

function rateAt(scenario: Scenario, roles: Roles, view: QueueView, precision: number): number {
  const { lambdaMaxRps } = candidate(scenario, roles, splitTraffic(scenario, view.thresholdTokens))
  return feasibleRate(scenario, view, roles, { rateMaxRps: lambdaMaxRps, precision })
}

/** The rate that the SLO leaves to plans whose thresholds are given. */
export function rateAsTheyAre(scenario: Scenario, plans: readonly Candidate[]): RatedCandidate[] {
  const cells = lengthCells(
    scenario,
    ANSWER_CELLS,
    plans.map((plan) => plan.split.thresholdTokens),
  )
  return plans.map((plan) => rateOnCells(scenario, plan, cells, plan.split.thresholdTokens))
}

/** The view of a threshold that is an end of the cells, or 0. */
export function viewOf(cells: LengthCells, thresholdTokens: number): QueueView {
  return queueView(cells, cells.ends.findLastIndex((end) => end <= thresholdTokens) + 1)
}

/**
 * For each assignment of roles the threshold with the largest SLO-feasible rate. Queueing moves it away from the
 * balance point, so all are looked at: coarsely first, a threshold being bisected only when it beats the best so
 * far, then finely around the winner.
 */
function rateWithThresholds(scenario: Scenario, candidates: readonly Candidate[]): RatedCandidate[] {
  const balancePoints = candidates.map((plan) => plan.split.thresholdTokens)
  const coarse = allViews(lengthCells(scenario, SEARCH_CELLS, balancePoints))
  const fine = lengthCells(scenario, ANSWER_CELLS, balancePoints)
  return candidates.map((plan) => {
    const winner = bestOnGrid(scenario, plan, coarse)
    const [from, to] = [
      coarse[winner - 1]?.thresholdTokens ?? 0,
      coarse[winner + 1]?.thresholdTokens ?? Number.POSITIVE_INFINITY,
    ]
    return bestInside(scenario, plan, fine, from, to)
  })
}

function allViews(cells: LengthCells): QueueView[] {
  return Array.from({ length: cells.ends.length + 1 }, (_, first) => queueView(cells, first))
}

/** Index of the best view, starting at the balance point, which is near it. */
function bestOnGrid(scenario: Scenario, plan: Candidate, views: readonly QueueView[]): number {
  const start = Math.max(
    0,
    views.findIndex((view) => view.thresholdTokens >= plan.split.thresholdTokens),
  )
  const order = [start, ...views.keys()]
  let [best, bestRps] = [start, 0]
  for (const index of order) {
    const view = views[index]
    if (view === undefined || !meetsTtft(scenario, view, plan.roles, Math.max(bestRps * (1 + SEARCH_PRECISION), 1e-9)))
      continue
    const rateRps = rateAt(scenario, plan.roles, view, SEARCH_PRECISION)
    if (rateRps > bestRps) [best, bestRps] = [index, rateRps]
  }
  return best
}

/** The best fine threshold in [from, to], compared only where it could win. */
function bestInside(scenario: Scenario, plan: Candidate, cells: LengthCells, from: number, to: number): RatedCandidate {
  let best = rateOnCells(scenario, plan, cells, plan.split.thresholdTokens)
  for (const tokens of [0, ...cells.ends].filter((end) => end >= from && end <= to)) {
    if (!meetsTtft(scenario, viewOf(cells, tokens), plan.roles, objectiveRps(best) * (1 + 1e-6) + 1e-9)) continue
    const next = rateOnCells(scenario, plan, cells, tokens)
    if (objectiveRps(next) > objectiveRps(best) * (1 + 1e-6)) best = next
  }
  return best
}

function rateOnCells(scenario: Scenario, plan: Candidate, cells: LengthCells, thresholdTokens: number): RatedCandidate {
  const moved = candidate(scenario, plan.roles, splitTraffic(scenario, thresholdTokens))
  return { ...moved, sloFeasibleRps: rateAt(scenario, plan.roles, viewOf(cells, thresholdTokens), ANSWER_PRECISION) }
}
