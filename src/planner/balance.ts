import type { Scenario } from './scenario.ts'
import { egressGbps, type Roles, splitTraffic, stageRates, type TrafficSplit } from './split.ts'
import { prefillBoundRps, thresholdImbalanceRps } from './throughput.ts'

/** Thresholds at which the bounds are looked at before any bisection; shared by every assignment of roles. */
const SCAN_POINTS = 64

/** A threshold with the rates it gives for one assignment of roles. */
export interface Candidate {
  readonly roles: Roles
  readonly split: TrafficSplit
  readonly lambdaMaxRps: number
  /** min of the two prefill bounds: the headroom that breaks ties where decode binds. */
  readonly prefillBoundRps: number
}

export function candidate(scenario: Scenario, roles: Roles, split: TrafficSplit): Candidate {
  const rates = stageRates(scenario, split, roles)
  const prefillBound = prefillBoundRps(rates)
  // Eq. (6), without asking for the prefill bound twice.
  return { roles, split, lambdaMaxRps: Math.min(prefillBound, rates.decodeRps), prefillBoundRps: prefillBound }
}

/** Nothing offloaded, everything offloaded, and thresholds at equal shares of the requests between. */
export function scanThresholds(scenario: Scenario): TrafficSplit[] {
  const { lengths } = scenario
  const inner = Array.from({ length: SCAN_POINTS - 1 }, (_, k) => Math.round(lengths.quantile((k + 1) / SCAN_POINTS)))
  const thresholds = [...new Set([0, ...inner, Math.ceil(lengths.maxTokens)])].sort((a, b) => a - b)
  return thresholds.map((tokens) => splitTraffic(scenario, tokens))
}

/**
 * The best threshold for given roles: the balance point of Eq. (7), by bisection between neighbours of the scan
 * whose imbalance changes sign. One sign change is the rule (Theta_prfaas / p rises with t, Theta_pd-p / (1 - p)
 * falls); noisy or very convex profiles can have several, or a better point between none, so all are compared.
 */
export function bestThreshold(scenario: Scenario, roles: Roles, scan: readonly TrafficSplit[]): Candidate {
  let best: Candidate | null = null
  let previous: { readonly split: TrafficSplit; readonly imbalance: number } | null = null
  const consider = (split: TrafficSplit): void => {
    const next = candidate(scenario, roles, split)
    if (best === null || isBetter(next, best)) best = next
  }
  for (const split of scan) {
    consider(split)
    const imbalance = imbalanceOf(scenario, roles, split)
    if (previous !== null && previous.imbalance < 0 !== imbalance < 0) {
      consider(balancePoint(scenario, roles, previous.split.thresholdTokens, split.thresholdTokens))
    }
    previous = { split, imbalance }
  }
  return refinePeak(scenario, roles, scan, best ?? candidate(scenario, roles, splitTraffic(scenario, 0)))
}

function imbalanceOf(scenario: Scenario, roles: Roles, split: TrafficSplit): number {
  return thresholdImbalanceRps(stageRates(scenario, split, roles))
}

/** The crossing, rounded to whole tokens; on a sample, where the bounds jump, the better side of the jump. */
function balancePoint(scenario: Scenario, roles: Roles, from: number, to: number): TrafficSplit {
  const signAtStart = imbalanceOf(scenario, roles, splitTraffic(scenario, from)) < 0
  let [low, high] = [from, to]
  while (high - low > 1e-3) {
    const middle = (low + high) / 2
    if (imbalanceOf(scenario, roles, splitTraffic(scenario, middle)) < 0 === signAtStart) low = middle
    else high = middle
  }
  const rounded = Math.round((low + high) / 2)
  const options = [rounded, rounded - 1, rounded + 1].filter((tokens) => tokens >= 0)
  const [nearest, ...neighbours] = options.map((tokens) => candidate(scenario, roles, splitTraffic(scenario, tokens)))
  const jumped = neighbours.find(
    (side) => nearest !== undefined && side.lambdaMaxRps > nearest.lambdaMaxRps * (1 + 1e-4),
  )
  return (jumped ?? nearest ?? candidate(scenario, roles, splitTraffic(scenario, rounded))).split
}

/** A maximum that is no crossing lies between two scan points: golden-section search there. */
function refinePeak(scenario: Scenario, roles: Roles, scan: readonly TrafficSplit[], best: Candidate): Candidate {
  const index = scan.findIndex((split) => split.thresholdTokens === best.split.thresholdTokens)
  const [left, right] = [scan[index - 1], scan[index + 1]]
  if (index < 0 || left === undefined || right === undefined) return best
  const at = (tokens: number): Candidate => candidate(scenario, roles, splitTraffic(scenario, Math.round(tokens)))
  const ratio = (Math.sqrt(5) - 1) / 2
  let [low, high] = [left.thresholdTokens, right.thresholdTokens]
  let refined = best
  while (high - low > 2) {
    const [inner, outer] = [at(high - ratio * (high - low)), at(low + ratio * (high - low))]
    if (inner.prefillBoundRps >= outer.prefillBoundRps) high = low + ratio * (high - low)
    else low = high - ratio * (high - low)
    for (const option of [inner, outer]) if (isBetter(option, refined)) refined = option
  }
  return refined
}

/**
 * ASSUMPTION: tie-rule. The stated order: a higher Lambda_max; of equal ones (to a billionth) the larger prefill headroom, then less
 * egress, then the smaller threshold.
 */
export function isBetter(a: Candidate, b: Candidate): boolean {
  // Most pairs differ clearly, and this is asked for every point of a grid.
  if (a.lambdaMaxRps > b.lambdaMaxRps * (1 + TIE)) return true
  if (a.lambdaMaxRps < b.lambdaMaxRps * (1 - TIE)) return false
  if (differs(a.prefillBoundRps, b.prefillBoundRps)) return a.prefillBoundRps > b.prefillBoundRps
  const [egressA, egressB] = [egressGbps(a.split, a.lambdaMaxRps), egressGbps(b.split, b.lambdaMaxRps)]
  if (differs(egressA, egressB)) return egressA < egressB
  return a.split.thresholdTokens < b.split.thresholdTokens
}

const TIE = 1e-9

function differs(a: number, b: number): boolean {
  return a !== b && Math.abs(a - b) > TIE * Math.max(Math.abs(a), Math.abs(b))
}
