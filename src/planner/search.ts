import { assert } from '../core/errors.ts'
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

/** How finely lengths are cut and rates are bisected, and by how much a threshold must win to be rated at all. */
interface Effort {
  readonly cells: number
  readonly precision: number
  readonly margin: number
}

/** For a figure that is printed, and for one that is only compared. */
export const ANSWER: Effort = { cells: 1024, precision: 1e-7, margin: 1e-6 }
const SEARCH: Effort = { cells: 253, precision: 1e-3, margin: 1e-3 }

/** The rate that the SLO leaves to plans whose thresholds are given. */
export function rateAsTheyAre(scenario: Scenario, plans: readonly Candidate[]): RatedCandidate[] {
  const cells = lengthCells(
    scenario,
    ANSWER.cells,
    plans.map((plan) => plan.split.thresholdTokens),
  )
  return plans.map((plan) => rated(scenario, plan, viewOf(cells, plan.split.thresholdTokens), ANSWER))
}

/** The view of a threshold that is an end of the cells, or 0. */
export function viewOf(cells: LengthCells, thresholdTokens: number): QueueView {
  return queueView(cells, cells.ends.findLastIndex((end) => end <= thresholdTokens) + 1)
}

/**
 * For each assignment of roles the threshold with the largest SLO-feasible rate. Queueing moves it away from the
 * balance point, so all are looked at: coarsely first, a threshold being rated only when it beats the best so far,
 * then finely around the winner.
 */
function rateWithThresholds(scenario: Scenario, candidates: readonly Candidate[]): RatedCandidate[] {
  const balancePoints = candidates.map((plan) => plan.split.thresholdTokens)
  const coarse = allViews(lengthCells(scenario, SEARCH.cells, balancePoints))
  const fine = allViews(lengthCells(scenario, ANSWER.cells, balancePoints))
  return candidates.map((plan) => {
    const winner = indexAtOrAbove(coarse, bestOf(scenario, plan, coarse, SEARCH).split.thresholdTokens)
    const from = coarse[winner - 1]?.thresholdTokens ?? 0
    const to = coarse[winner + 1]?.thresholdTokens ?? Number.POSITIVE_INFINITY
    const around = fine.filter(({ thresholdTokens: tokens }) => tokens >= from && tokens <= to)
    const balance = fine.filter(({ thresholdTokens: tokens }) => tokens === plan.split.thresholdTokens)
    return bestOf(scenario, plan, [...balance, ...around], ANSWER)
  })
}

function allViews(cells: LengthCells): QueueView[] {
  return Array.from({ length: cells.ends.length + 1 }, (_, first) => queueView(cells, first))
}

function indexAtOrAbove(views: readonly QueueView[], thresholdTokens: number): number {
  return views.findIndex((view) => view.thresholdTokens >= thresholdTokens)
}

/** The best of some views. The balance point, near which it lies, goes first, so that most others need not be rated. */
function bestOf(scenario: Scenario, plan: Candidate, views: readonly QueueView[], effort: Effort): RatedCandidate {
  const first = views[indexAtOrAbove(views, plan.split.thresholdTokens)]
  assert(first !== undefined, 'the balance point is an end of the cells')
  let best = rated(scenario, plan, first, effort)
  for (const view of views) {
    const bestRps = objectiveRps(best)
    const moved = moveTo(scenario, plan, view)
    if (moved.lambdaMaxRps <= bestRps) continue
    const leastRps = bestRps * (1 + effort.margin) + 1e-9
    if (!meetsTtft(scenario, view, plan.roles, leastRps)) continue
    const next = rated(scenario, plan, view, effort, leastRps)
    if (objectiveRps(next) > bestRps) best = next
  }
  return best
}

function moveTo(scenario: Scenario, plan: Candidate, view: QueueView): Candidate {
  return candidate(scenario, plan.roles, splitTraffic(scenario, view.thresholdTokens))
}

/** A plan moved to the threshold of a view, with its rate. `metRps` is known to meet the SLO there. */
function rated(scenario: Scenario, plan: Candidate, view: QueueView, effort: Effort, metRps = 0): RatedCandidate {
  const moved = moveTo(scenario, plan, view)
  const limits = { rateMaxRps: moved.lambdaMaxRps, precision: effort.precision, metRps }
  return { ...moved, sloFeasibleRps: feasibleRate(scenario, view, plan.roles, limits) }
}
