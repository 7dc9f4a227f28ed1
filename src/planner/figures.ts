import { candidate } from './balance.ts'
import { lengthCells } from './cells.ts'
import type { Scenario } from './scenario.ts'
import { ANSWER, type DeploymentName, type RatedCandidate, viewOf } from './search.ts'
import { queuedTtftP90 } from './slo.ts'
import { type Roles, splitTraffic, stageRates } from './split.ts'
import { localBoundRps, remoteBoundRps } from './throughput.ts'

/** Figure 5a: Lambda against N_p / N_d at a fixed threshold. */
export interface RolesPoint {
  readonly localPrefill: number
  readonly decode: number
  readonly prefillBoundRps: number
  readonly decodeBoundRps: number
  readonly lambdaMaxRps: number
}

/** The series of Figure 5a: every split of the local cluster at one threshold, uncached tokens. */
export function figure5a(scenario: Scenario, thresholdTokens: number): RolesPoint[] {
  const split = splitTraffic(scenario, thresholdTokens)
  return Array.from({ length: scenario.local.instances - 1 }, (_, k) => {
    const roles: Roles = {
      remotePrefill: scenario.remote.instances,
      localPrefill: k + 1,
      decode: scenario.local.instances - k - 1,
    }
    const { prefillBoundRps, lambdaMaxRps } = candidate(scenario, roles, split)
    return {
      localPrefill: roles.localPrefill,
      decode: roles.decode,
      prefillBoundRps,
      decodeBoundRps: stageRates(scenario, split, roles).decodeRps,
      lambdaMaxRps,
    }
  })
}

/** Figure 5b: Lambda against the threshold with fixed roles. A bound that does not exist at an end is null. */
export interface ThresholdPoint {
  readonly thresholdTokens: number
  readonly offloadedRatio: number
  readonly remoteBoundRps: number | null
  readonly localBoundRps: number | null
  readonly lambdaMaxRps: number
}

/** The series of Figure 5b: fixed roles at the thresholds given, uncached tokens. */
export function figure5b(scenario: Scenario, roles: Roles, thresholds: readonly number[]): ThresholdPoint[] {
  const finite = (rps: number): number | null => (Number.isFinite(rps) ? rps : null)
  return thresholds.map((thresholdTokens) => {
    const split = splitTraffic(scenario, thresholdTokens)
    const rates = stageRates(scenario, split, roles)
    return {
      thresholdTokens,
      offloadedRatio: split.offloadedRatio,
      remoteBoundRps: finite(remoteBoundRps(rates)),
      localBoundRps: finite(localBoundRps(rates)),
      lambdaMaxRps: candidate(scenario, roles, split).lambdaMaxRps,
    }
  })
}

/** Thresholds worth drawing: `count` even steps from 0 to a little above where the best one lies. */
export function drawnThresholds(scenario: Scenario, bestTokens: number, count: number): number[] {
  const most = Math.min(scenario.lengths.maxTokens, Math.max(3 * bestTokens, scenario.lengths.quantile(0.9)))
  return Array.from({ length: count }, (_, k) => Math.round((most * (k + 1)) / count))
}

/** P90 TTFT with queueing against the rate: the knee that Lambda_max alone does not show. */
export interface LatencyPoint {
  readonly deployment: DeploymentName
  readonly rateRps: number
  readonly ttftSecondsP90: number
}

export function latencyCurve(
  scenario: Scenario,
  deployment: DeploymentName,
  plan: RatedCandidate,
  count: number,
): LatencyPoint[] {
  const view = viewOf(lengthCells(scenario, ANSWER.cells, [plan.split.thresholdTokens]), plan.split.thresholdTokens)
  return Array.from({ length: count }, (_, k) => ((k + 1) / count) * plan.lambdaMaxRps).flatMap((rateRps) => {
    const ttftSecondsP90 = queuedTtftP90(scenario, view, plan.roles, rateRps)
    return ttftSecondsP90 === null ? [] : [{ deployment, rateRps, ttftSecondsP90 }]
  })
}
