import { assert } from '../core/errors.ts'
import { bestThreshold, type Candidate, candidate, isBetter, scanThresholds } from './balance.ts'
import { type LengthCells, lengthCells } from './cells.ts'
import { searchCounts } from './count-search.ts'
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

/** The best plan of every assignment of roles (of hundreds of instances, of those near the best), best first. */
export function searchDeployment(scenario: Scenario, name: DeploymentName): RatedCandidate[] {
  const { remote, local, homogeneousInstances, lengths } = scenario
  if (name === 'naive-heterogeneous-pd') {
    const roles = { remotePrefill: remote.instances, localPrefill: 0, decode: local.instances }
    return [rateAsItIs(scenario, candidate(scenario, roles, splitTraffic(scenario, 0)))]
  }
  if (name === 'homogeneous-pd') {
    const everything = splitTraffic(scenario, Math.ceil(lengths.maxTokens))
    return searchRoles({ remotePrefill: 0, instances: homogeneousInstances, localPrefillMin: 1 }, (roles) =>
      rateAsItIs(scenario, candidate(scenario, roles, everything)),
    )
  }
  const scan = scanThresholds(scenario)
  const views = viewsOf(scenario)
  return searchRoles({ remotePrefill: remote.instances, instances: local.instances, localPrefillMin: 0 }, (roles) =>
    rateAtBestThreshold(scenario, bestThreshold(scenario, roles, scan), views),
  )
}

interface RolesRange {
  readonly remotePrefill: number
  readonly instances: number
  readonly localPrefillMin: number
}

/** Section 4.1: instances of the local cluster prefill or decode; at least one decodes. */
function searchRoles(
  { remotePrefill, instances, localPrefillMin }: RolesRange,
  look: (roles: Roles) => RatedCandidate,
): RatedCandidate[] {
  const range = { from: localPrefillMin, to: instances - 1 }
  const lookAt = (localPrefill: number): RatedCandidate =>
    look({ remotePrefill, localPrefill, decode: instances - localPrefill })
  return searchCounts(range, lookAt, isPreferred).sort((a, b) => (isPreferred(a, b) ? -1 : 1))
}

/** By the objective; of equal ones by the stated order of ties. */
function isPreferred(a: RatedCandidate, b: RatedCandidate): boolean {
  const [keyA, keyB] = [objectiveKey(a), objectiveKey(b)]
  return keyA === keyB ? isBetter(a, b) : keyA > keyB
}

/** The best threshold for given roles, with the rate that the SLO leaves. */
export function bestForRoles(scenario: Scenario, roles: Roles): RatedCandidate {
  return rateAtBestThreshold(scenario, bestThreshold(scenario, roles, scanThresholds(scenario)), viewsOf(scenario))
}

export function hasSlo({ slo }: Scenario): boolean {
  return slo.ttftSecondsP90 !== null || slo.tpotSeconds !== null
}

/** Rates that differ by less than a millionth share a key, so that ties are decided by the rule and not by a bisection's last bit. */
function objectiveKey(plan: RatedCandidate): number {
  return Math.round(Math.log(Math.max(objectiveRps(plan), Number.MIN_VALUE)) * 1e6)
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

/** The rate that the SLO leaves to a plan whose threshold is given. */
export function rateAsItIs(scenario: Scenario, plan: Candidate): RatedCandidate {
  if (!hasSlo(scenario)) return { ...plan, sloFeasibleRps: null }
  const cells = lengthCells(scenario, ANSWER.cells, [plan.split.thresholdTokens])
  return rated(scenario, plan, viewOf(cells, plan.split.thresholdTokens), ANSWER)
}

/** The view of a threshold that is an end of the cells, or 0. */
export function viewOf(cells: LengthCells, thresholdTokens: number): QueueView {
  return queueView(cells, cells.ends.findLastIndex((end) => end <= thresholdTokens) + 1)
}

/**
 * The threshold with the largest SLO-feasible rate for the roles of a plan. Queueing moves it away from the balance
 * point, so all are looked at: coarsely first, a threshold being rated only when it beats the best so far, then finely
 * around the winner.
 */
function rateAtBestThreshold(scenario: Scenario, plan: Candidate, views: Views | null): RatedCandidate {
  if (views === null) return { ...plan, sloFeasibleRps: null }
  const { coarse, fine } = views
  const winner = indexAtOrAbove(coarse, bestOf(scenario, plan, coarse, SEARCH).split.thresholdTokens)
  const from = coarse[winner - 1]?.thresholdTokens ?? 0
  const to = coarse[winner + 1]?.thresholdTokens ?? Number.POSITIVE_INFINITY
  const around = fine.filter(({ thresholdTokens: tokens }) => tokens >= from && tokens <= to)
  return bestOf(scenario, plan, around, ANSWER)
}

/** Every threshold that the SLO search looks at; the same for all roles. Null without an SLO. */
interface Views {
  readonly coarse: readonly QueueView[]
  readonly fine: readonly QueueView[]
}

function viewsOf(scenario: Scenario): Views | null {
  if (!hasSlo(scenario)) return null
  return {
    coarse: allViews(lengthCells(scenario, SEARCH.cells, [])),
    fine: allViews(lengthCells(scenario, ANSWER.cells, [])),
  }
}

function allViews(cells: LengthCells): QueueView[] {
  return Array.from({ length: cells.ends.length + 1 }, (_, first) => queueView(cells, first))
}

/** The first view at or above a threshold; the last one when none is. */
function indexAtOrAbove(views: readonly QueueView[], thresholdTokens: number): number {
  const index = views.findIndex((view) => view.thresholdTokens >= thresholdTokens)
  return index < 0 ? views.length - 1 : index
}

/** The best of some views. The one at the balance point, near which it lies, goes first, so that most others need not be rated. */
function bestOf(scenario: Scenario, plan: Candidate, views: readonly QueueView[], effort: Effort): RatedCandidate {
  const first = views[indexAtOrAbove(views, plan.split.thresholdTokens)]
  assert(first !== undefined, 'there is a view')
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
