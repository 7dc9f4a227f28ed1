import type { Scenario } from './scenario.ts'
import { egressGbps, type Roles, splitTraffic, stageRates, type TrafficSplit } from './split.ts'
import { thresholdImbalanceRps } from './throughput.ts'

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

/**
 * HOT: Eq. (3) to (6) in one breath, equal to `lambdaMaxRps(stageRates(...))` (a test holds them together) without the
 * objects between. Thousands of points are asked in a process that has compiled nothing yet. Budget: 1 us, then 50 ns.
 */
export function candidate(scenario: Scenario, roles: Roles, split: TrafficSplit): Candidate {
  const { long, short, offloadedRatio } = split
  const { batch, stepSeconds } = scenario.decodeBatch
  const remoteBoundRps =
    long === null || offloadedRatio <= 0
      ? Number.POSITIVE_INFINITY
      : Math.min(roles.remotePrefill / long.prefillSeconds, scenario.link.bytesPerSecond / long.kvBytes) /
        offloadedRatio
  const localBoundRps =
    short === null || offloadedRatio >= 1
      ? Number.POSITIVE_INFINITY
      : roles.localPrefill / short.prefillSeconds / (1 - offloadedRatio)
  const prefillBoundRps = remoteBoundRps < localBoundRps ? remoteBoundRps : localBoundRps
  const decodeRps = (roles.decode * batch) / (stepSeconds * scenario.outputTokens)
  const lambdaMaxRps = prefillBoundRps < decodeRps ? prefillBoundRps : decodeRps
  return { roles, split, lambdaMaxRps, prefillBoundRps }
}

/** Nothing offloaded, everything offloaded, and thresholds between: half at equal shares of requests, half at equal ratios of length. */
export function scanThresholds(scenario: Scenario): TrafficSplit[] {
  const { lengths } = scenario
  const shares = Array.from({ length: SCAN_POINTS - 1 }, (_, k) => (k + 1) / SCAN_POINTS)
  const first = Math.max(1, lengths.minTokens)
  const inner = shares.flatMap((share) => [lengths.quantile(share), first * (lengths.maxTokens / first) ** share])
  const thresholds = [...new Set([0, ...inner.map(Math.round), Math.ceil(lengths.maxTokens)])].sort((a, b) => a - b)
  return thresholds.map((tokens) => splitTraffic(scenario, tokens))
}

/**
 * The best threshold for given roles: the balance point of Eq. (7), by bisection between neighbours of the scan
 * whose imbalance changes sign. One sign change is the rule (Theta_prfaas / p rises with t, Theta_pd-p / (1 - p)
 * falls); noisy or very convex profiles can have several, or a better point between none, so all are compared.
 */
export function bestThreshold(scenario: Scenario, roles: Roles, scan: readonly TrafficSplit[]): Candidate {
  const points = scan.map((split) => candidate(scenario, roles, split))
  const imbalances = scan.map((split) => imbalanceOf(scenario, roles, split))
  const options = [...points]
  for (let k = 0; k < points.length; k++) {
    const [left, here, right] = [points[k - 1], points[k], points[k + 1]]
    if (here === undefined) continue
    const isCrossed = (imbalances[k] ?? 0) < 0 !== (imbalances[k + 1] ?? 0) < 0
    const wasCrossed = (imbalances[k - 1] ?? 0) < 0 !== (imbalances[k] ?? 0) < 0
    if (right !== undefined && isCrossed) options.push(balancePoint(scenario, roles, here, right))
    // Strictly above one neighbour: a plateau has no peak to look for.
    const isPeak = left !== undefined && right !== undefined && !isAtLeast(left, here) && isAtLeast(here, right)
    if (isPeak && !isCrossed && !wasCrossed) options.push(refinedPeak(scenario, roles, left, right))
  }
  return options.reduce((best, next) => (isBetter(next, best) ? next : best))
}

function isAtLeast(a: Candidate, b: Candidate): boolean {
  return a.prefillBoundRps >= b.prefillBoundRps
}

function imbalanceOf(scenario: Scenario, roles: Roles, split: TrafficSplit): number {
  return thresholdImbalanceRps(stageRates(scenario, split, roles))
}

/** The crossing between two thresholds, rounded to whole tokens; on a sample, where the bounds jump, the better side of the jump. */
function balancePoint(scenario: Scenario, roles: Roles, left: Candidate, right: Candidate): Candidate {
  const signAtStart = imbalanceOf(scenario, roles, left.split) < 0
  let [low, high] = [left.split.thresholdTokens, right.split.thresholdTokens]
  while (high - low > 1e-3) {
    const middle = (low + high) / 2
    if (imbalanceOf(scenario, roles, splitTraffic(scenario, middle)) < 0 === signAtStart) low = middle
    else high = middle
  }
  const at = (tokens: number): Candidate => candidate(scenario, roles, splitTraffic(scenario, Math.max(0, tokens)))
  const rounded = Math.round((low + high) / 2)
  const nearest = at(rounded)
  const jumped = [at(rounded - 1), at(rounded + 1)].find(
    (side) => side.lambdaMaxRps > nearest.lambdaMaxRps * (1 + JUMP),
  )
  return jumped ?? nearest
}

/** Beyond what rounding to a token does on a smooth distribution. */
const JUMP = 1e-4

/** A maximum that is no crossing: golden-section search between the neighbours of the highest scan point. */
function refinedPeak(scenario: Scenario, roles: Roles, left: Candidate, right: Candidate): Candidate {
  const at = (tokens: number): Candidate => candidate(scenario, roles, splitTraffic(scenario, Math.round(tokens)))
  const ratio = (Math.sqrt(5) - 1) / 2
  let [low, high] = [left.split.thresholdTokens, right.split.thresholdTokens]
  let best = left
  while (high - low > 2) {
    const [inner, outer] = [at(high - ratio * (high - low)), at(low + ratio * (high - low))]
    if (isAtLeast(inner, outer)) high = low + ratio * (high - low)
    else low = high - ratio * (high - low)
    for (const option of [inner, outer]) if (isBetter(option, best)) best = option
  }
  return best
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
