import { assert, MembraneError } from '../core/errors.ts'
import type { Assumption } from './assumptions.ts'
import { scanThresholds } from './balance.ts'
import { decodeStepSeconds } from './decode.ts'
import { massAtMost } from './lengths.ts'
import { assumptionsOf, buildScenario, scenarioWarnings, type Scenario, type ScenarioSpec } from './scenario.ts'
import { type DeploymentName, objectiveRps, type RatedCandidate, searchDeployment } from './search.ts'
import { bindingConstraint, type Constraint, egressGbps, stageRates } from './split.ts'
import { type TtftSeconds, ttftQuantile, ttftWithoutQueues } from './ttft.ts'

interface PerStage<T> {
  readonly remotePrefill: T
  readonly localPrefill: T
  readonly decode: T
}

/** One deployment at its best: a row group of the paper's Table 6. Stages that it lacks are null. */
export interface Deployment {
  readonly name: DeploymentName
  /** Prompts with more uncached tokens are offloaded; null where there is no choice. */
  readonly thresholdTokens: number | null
  readonly instances: PerStage<number | null>
  /** Theta of each stage, Eq. (3) to (5), requests per second. */
  readonly throughputRps: PerStage<number | null>
  /** Eq. (6). */
  readonly lambdaMaxRps: number
  /** The largest rate that meets the SLO with queueing; 0 when none does, null when no SLO was asked for. */
  readonly sloFeasibleRps: number | null
  /** Without queueing, as Table 6 has it. */
  readonly ttftSeconds: TtftSeconds
  /** KV over the link at Lambda_max. */
  readonly egressGbps: number
  /** p, the share of requests above the threshold. */
  readonly offloadedRatio: number
  readonly bindingConstraint: Constraint
}

/** An answer for given hardware: the three deployments at their best, and what they rest on. */
export interface Optimization {
  /** membrane-pd, homogeneous-pd, naive-heterogeneous-pd, in this order. */
  readonly deployments: readonly Deployment[]
  /** membrane-pd over the baselines: of SLO-feasible rates when there is an SLO, of Lambda_max otherwise; null over a rate of 0. */
  readonly ratios: { readonly overHomogeneous: number | null; readonly overNaive: number | null }
  readonly assumptions: readonly Assumption[]
  /** Lengths outside the measured range, one line a profile. */
  readonly warnings: readonly string[]
}

/**
 * The best threshold, roles and rates for given hardware, beside the paper's two baselines.
 * Throws INVALID_CONFIG, INVALID_PROFILE, OUT_OF_DOMAIN; INFEASIBLE when membrane-pd cannot meet the SLO at any rate.
 */
export function optimize(spec: ScenarioSpec): Optimization {
  return optimizeScenario(buildScenario(spec)).optimization
}

/** The same, with every candidate that was looked at, for the analysis around an answer. */
export function optimizeScenario(scenario: Scenario): {
  readonly optimization: Optimization
  readonly candidates: Readonly<Record<DeploymentName, readonly RatedCandidate[]>>
} {
  checkTpotReachable(scenario)
  const candidates = {
    'membrane-pd': searchDeployment(scenario, 'membrane-pd'),
    'homogeneous-pd': searchDeployment(scenario, 'homogeneous-pd'),
    'naive-heterogeneous-pd': searchDeployment(scenario, 'naive-heterogeneous-pd'),
  }
  const best = (name: DeploymentName): RatedCandidate => first(candidates[name])
  const membrane = best('membrane-pd')
  if (objectiveRps(membrane) <= 0) throw ttftOutOfReach(scenario)
  const over = (baseline: RatedCandidate): number | null =>
    objectiveRps(baseline) > 0 ? objectiveRps(membrane) / objectiveRps(baseline) : null
  return {
    optimization: {
      deployments: [
        describeDeployment(scenario, 'membrane-pd', membrane),
        describeDeployment(scenario, 'homogeneous-pd', best('homogeneous-pd')),
        describeDeployment(scenario, 'naive-heterogeneous-pd', best('naive-heterogeneous-pd')),
      ],
      ratios: { overHomogeneous: over(best('homogeneous-pd')), overNaive: over(best('naive-heterogeneous-pd')) },
      assumptions: assumptionsOf(scenario),
      warnings: scenarioWarnings(scenario),
    },
    candidates,
  }
}

function first(candidates: readonly RatedCandidate[]): RatedCandidate {
  const [best] = candidates
  assert(best !== undefined, 'a search returns a candidate')
  return best
}

export function describeDeployment(scenario: Scenario, name: DeploymentName, plan: RatedCandidate): Deployment {
  const rates = stageRates(scenario, plan.split, plan.roles)
  const isHeld = plan.sloFeasibleRps !== null && plan.sloFeasibleRps < plan.lambdaMaxRps * (1 - 1e-5)
  const present = (count: number): number | null => (count > 0 ? count : null)
  return {
    name,
    thresholdTokens: name === 'membrane-pd' ? plan.split.thresholdTokens : null,
    instances: {
      remotePrefill: present(plan.roles.remotePrefill),
      localPrefill: present(plan.roles.localPrefill),
      decode: plan.roles.decode,
    },
    throughputRps: {
      remotePrefill: rates.remotePrefillRps,
      localPrefill: rates.localPrefillRps,
      decode: rates.decodeRps,
    },
    lambdaMaxRps: plan.lambdaMaxRps,
    sloFeasibleRps: plan.sloFeasibleRps,
    ttftSeconds: ttftWithoutQueues(scenario, plan.split.thresholdTokens),
    egressGbps: egressGbps(plan.split, plan.lambdaMaxRps),
    offloadedRatio: plan.split.offloadedRatio,
    bindingConstraint: isHeld ? 'slo' : bindingConstraint(scenario, plan.split, plan.roles),
  }
}

function checkTpotReachable(scenario: Scenario): void {
  const bound = scenario.slo.tpotSeconds
  if (bound === null || scenario.decodeBatch.batch > 0) return
  const oneSequence = decodeStepSeconds(scenario.decode, 1, scenario.promptTokensMean + scenario.outputTokens / 2)
  throw new MembraneError(
    'INFEASIBLE',
    `The TPOT bound of ${bound} s cannot be met: decode takes ${round(oneSequence)} s a step for one sequence, ${round(oneSequence - bound)} s too long.`,
    {
      remedy: 'Relax --slo-tpot or give a faster decode profile.',
      details: { stage: 'decode', boundSeconds: bound, reachedSeconds: oneSequence },
    },
  )
}

/** Says which stage keeps even an empty system above the TTFT bound, and by how much. */
function ttftOutOfReach(scenario: Scenario): MembraneError {
  const bound = scenario.slo.ttftSecondsP90 ?? 0
  const reached = scanThresholds(scenario).map(({ thresholdTokens }) => ({
    thresholdTokens,
    p90: ttftQuantile(scenario, thresholdTokens, 0.9),
  }))
  const best = reached.reduce((a, b) => (b.p90 < a.p90 ? b : a))
  const stage = slowestStage(scenario, best.thresholdTokens, bound)
  return new MembraneError(
    'INFEASIBLE',
    `The P90 TTFT bound of ${bound} s cannot be met at any rate: ${stage} is too slow, the best threshold (${best.thresholdTokens} tokens) reaches ${round(best.p90)} s on an empty system, ${round(best.p90 - bound)} s over.`,
    {
      remedy:
        stage === 'egress'
          ? 'Widen the link or relax --slo-ttft-p90.'
          : 'Relax --slo-ttft-p90, shorten the longest prompts, or give faster prefill hardware.',
      details: { stage, boundSeconds: bound, reachedSeconds: best.p90, thresholdTokens: best.thresholdTokens },
    },
  )
}

/** The link, when without its share of the time the bound could be met; otherwise the side with the most late requests. */
function slowestStage(scenario: Scenario, thresholdTokens: number, bound: number): Constraint {
  const { lengths, remote, local } = scenario
  const withoutTransfer = { ...scenario, remoteTtftSeconds: remote.profile.prefillSeconds }
  const isLinkAlone = scanThresholds(scenario).some(
    (split) => ttftQuantile(withoutTransfer, split.thresholdTokens, 0.9) <= bound,
  )
  if (isLinkAlone) return 'egress'
  const { maxTokens } = lengths
  const remoteLate =
    lengths.mass(thresholdTokens, maxTokens) -
    massAtMost(lengths, remote.profile.prefillSeconds, bound, thresholdTokens, maxTokens)
  const localLate =
    lengths.mass(0, thresholdTokens) - massAtMost(lengths, local.profile.prefillSeconds, bound, 0, thresholdTokens)
  return localLate > remoteLate ? 'local-prefill' : 'remote-prefill'
}

function round(seconds: number): string {
  return seconds.toPrecision(3)
}
