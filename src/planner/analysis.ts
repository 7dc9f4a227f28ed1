import { assert } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import { candidate } from './balance.ts'
import { type Cost, costAt, type GpuCount, gpuCount, terabytesPerMonth } from './cost.ts'
import { type Deployment, describeDeployment, type Optimization, optimizeScenario } from './optimize.ts'
import { buildScenario, type Scenario, type ScenarioSpec, withLinkGbps } from './scenario.ts'
import { objectiveRps, type RatedCandidate, rateAsItIs, searchDeployment } from './search.ts'
import { bindingConstraint, type Constraint, type Roles, splitTraffic, stageRates } from './split.ts'
import { localBoundRps, roleImbalanceRps, thresholdImbalanceRps } from './throughput.ts'
import { type SameMoney, type Verdict, verdictOf } from './verdict.ts'

/** Everything around an answer: why it is what it is, what would change it, and what it costs. */
export interface Analysis {
  readonly scenario: string
  readonly optimization: Optimization
  readonly verdict: Verdict
  /** System rate at which each stage of membrane-pd is full, and how far above the objective that is (0 = binding). */
  readonly stages: readonly StageSlack[]
  /** How far membrane-pd is from the two balances of the paper, requests per second: Eq. (7) and Eq. (8). Null without any offload. */
  readonly balance: { readonly thresholdImbalanceRps: number | null; readonly roleImbalanceRps: number }
  readonly shadowPrices: readonly ShadowPrice[]
  /** The other assignments of roles, best first, each with the reason for its place. */
  readonly alternatives: readonly Alternative[]
  readonly variants: readonly Variant[]
  readonly gpus: Readonly<Record<'membrane' | 'homogeneous' | 'naive', GpuCount>>
  /** Null without prices. */
  readonly cost: Readonly<Record<'membrane' | 'homogeneous' | 'naive', Cost | null>> | null
  readonly egress: { readonly gbps: number; readonly linkShare: number; readonly terabytesPerMonth: number }
}

interface StageSlack {
  readonly stage: Exclude<Constraint, 'slo'>
  readonly boundRps: number
  readonly slackRatio: number
}

interface ShadowPrice {
  /** What one more unit is, for example "+1 remote instance". */
  readonly change: string
  readonly rateRps: number
  readonly gainRps: number
  readonly gainRatio: number
}

interface Alternative {
  readonly thresholdTokens: number
  readonly roles: Roles
  readonly rateRps: number
  readonly ratioToBest: number
  readonly reason: string
}

interface Variant {
  readonly name: string
  /** Threshold and roles as planned. */
  readonly asPlannedRps: number
  /** Threshold and roles chosen anew for what is left. */
  readonly reoptimizedRps: number
}

/** `optimize` with everything around it: verdict, slack, shadow prices, alternatives, variants, cost. Throws as `optimize` does. */
export function analyze(spec: ScenarioSpec): Analysis {
  return analyzeScenario(buildScenario(spec))
}

export function analyzeScenario(scenario: Scenario): Analysis {
  const { optimization, candidates } = optimizeScenario(scenario)
  const [membrane, homogeneous, naive] = [
    candidates['membrane-pd'][0],
    candidates['homogeneous-pd'][0],
    candidates['naive-heterogeneous-pd'][0],
  ]
  assert(membrane !== undefined && homogeneous !== undefined && naive !== undefined, 'every deployment has a candidate')
  const egressGbps = atObjective(optimization.deployments[0], membrane)
  const cost = {
    membrane: costAt(scenario, membrane.roles, { rateRps: objectiveRps(membrane), egressGbps }),
    homogeneous: costAt(scenario, homogeneous.roles, { rateRps: objectiveRps(homogeneous), egressGbps: 0 }),
    naive: costAt(scenario, naive.roles, {
      rateRps: objectiveRps(naive),
      egressGbps: atObjective(optimization.deployments[2], naive),
    }),
  }
  return {
    scenario: scenario.name,
    optimization,
    verdict: verdictOf(scenario, {
      membrane,
      homogeneous,
      localAlone: localAlone(scenario),
      sameMoney: sameMoneyLocally(scenario, cost.membrane),
    }),
    stages: stageSlacks(scenario, membrane),
    balance: balanceOf(scenario, membrane),
    shadowPrices: shadowPrices(scenario, membrane),
    alternatives: alternatives(scenario, candidates['membrane-pd']),
    variants: variants(scenario, membrane),
    gpus: {
      membrane: gpuCount(scenario, membrane.roles),
      homogeneous: gpuCount(scenario, homogeneous.roles),
      naive: gpuCount(scenario, naive.roles),
    },
    cost: cost.membrane === null ? null : cost,
    egress: {
      gbps: egressGbps,
      linkShare: egressGbps / scenario.link.gbps,
      terabytesPerMonth: terabytesPerMonth(egressGbps),
    },
  }
}

/** Egress grows with the rate; a deployment's own figure is at Lambda_max. */
function atObjective(deployment: Deployment | undefined, plan: RatedCandidate): number {
  return ((deployment?.egressGbps ?? 0) * objectiveRps(plan)) / plan.lambdaMaxRps
}

/**
 * The homogeneous cluster that the cost of membrane-pd buys, in whole instances: scaling the baseline in proportion
 * would be unfair to it, because pools grow more than in proportion with queues. Null without prices, or with too few
 * for a cluster. ASSUMPTION: equal-cost.
 */
function sameMoneyLocally(scenario: Scenario, cost: Cost | null): SameMoney | null {
  const price = scenario.local.pricePerGpuHour
  if (cost === null || price === null) return null
  const instances = Math.floor(cost.perHour / (price * scenario.local.profile.data.gpusPerInstance) + 1e-9)
  if (instances < 2) return null
  const homogeneousInstances = Math.min(instances, LIMITS.poolInstancesMax)
  const [plan] = searchDeployment({ ...scenario, homogeneousInstances }, 'homogeneous-pd')
  return plan === undefined ? null : { instances: homogeneousInstances, plan }
}

/** The local cluster without any link: what is there before anything is bought. */
function localAlone(scenario: Scenario): RatedCandidate {
  return bestOf(scenarioWith(scenario, { remoteInstances: 0 }))
}

function bestOf(scenario: Scenario): RatedCandidate {
  const [best] = searchDeployment(scenario, 'membrane-pd')
  assert(best !== undefined, 'a search returns a candidate')
  return best
}

function scenarioWith(
  scenario: Scenario,
  change: { readonly remoteInstances?: number; readonly localInstances?: number },
): Scenario {
  return {
    ...scenario,
    remote: { ...scenario.remote, instances: change.remoteInstances ?? scenario.remote.instances },
    local: { ...scenario.local, instances: change.localInstances ?? scenario.local.instances },
  }
}

function withPrefixHits(scenario: Scenario, prefixHitRatio: number): Scenario {
  return buildScenario({ ...scenario.spec, workload: { ...scenario.spec.workload, prefixHitRatio } })
}

function stageSlacks(scenario: Scenario, plan: RatedCandidate): StageSlack[] {
  const { split, roles } = plan
  const rates = stageRates(scenario, split, roles)
  const objective = objectiveRps(plan)
  const slack = (stage: StageSlack['stage'], boundRps: number): StageSlack[] =>
    Number.isFinite(boundRps) ? [{ stage, boundRps, slackRatio: boundRps / objective - 1 }] : []
  const compute =
    split.long === null
      ? Number.POSITIVE_INFINITY
      : roles.remotePrefill / split.long.prefillSeconds / split.offloadedRatio
  const egress =
    split.long === null
      ? Number.POSITIVE_INFINITY
      : scenario.link.bytesPerSecond / split.long.kvBytes / split.offloadedRatio
  return [
    ...slack('remote-prefill', compute),
    ...slack('egress', egress),
    ...slack('local-prefill', localBoundRps(rates)),
    ...slack('decode', rates.decodeRps),
  ]
}

function balanceOf(scenario: Scenario, { split, roles }: RatedCandidate): Analysis['balance'] {
  const rates = stageRates(scenario, split, roles)
  const threshold = thresholdImbalanceRps(rates)
  return {
    thresholdImbalanceRps: Number.isFinite(threshold) ? threshold : null,
    roleImbalanceRps: roleImbalanceRps(rates),
  }
}

const LINK_STEP_GBPS = 10
const HIT_STEP = 0.1
const THRESHOLD_STEP = 0.1

function shadowPrices(scenario: Scenario, plan: RatedCandidate): ShadowPrice[] {
  const base = objectiveRps(plan)
  const price = (change: string, changed: RatedCandidate): ShadowPrice => {
    const rateRps = objectiveRps(changed)
    return { change, rateRps, gainRps: rateRps - base, gainRatio: rateRps / base - 1 }
  }
  const hits = scenario.spec.workload.prefixHitRatio ?? 0
  return [
    price('+1 remote instance', bestOf(scenarioWith(scenario, { remoteInstances: scenario.remote.instances + 1 }))),
    price('+1 local instance', bestOf(scenarioWith(scenario, { localInstances: scenario.local.instances + 1 }))),
    price(`+${LINK_STEP_GBPS} Gbps`, bestOf(withLinkGbps(scenario, scenario.link.gbps + LINK_STEP_GBPS))),
    ...(hits + HIT_STEP < 1
      ? [price(`+${HIT_STEP * 100} % prefix hits`, bestOf(withPrefixHits(scenario, hits + HIT_STEP)))]
      : []),
    ...[1 + THRESHOLD_STEP, 1 - THRESHOLD_STEP].map((factor) =>
      price(
        `t ${factor > 1 ? '+' : '-'}${THRESHOLD_STEP * 100} %`,
        movedTo(scenario, plan, Math.round(plan.split.thresholdTokens * factor)),
      ),
    ),
  ]
}

function movedTo(scenario: Scenario, plan: RatedCandidate, thresholdTokens: number): RatedCandidate {
  return asPlanned(scenario, plan.roles, thresholdTokens)
}

/** The rate of given roles at a given threshold, with the SLO if the scenario has one. */
function asPlanned(scenario: Scenario, roles: Roles, thresholdTokens: number): RatedCandidate {
  return rateAsItIs(scenario, candidate(scenario, roles, splitTraffic(scenario, thresholdTokens)))
}

function alternatives(scenario: Scenario, plans: readonly RatedCandidate[]): Alternative[] {
  const best = plans[0]
  return plans.slice(1).map((plan) => ({
    thresholdTokens: plan.split.thresholdTokens,
    roles: plan.roles,
    rateRps: objectiveRps(plan),
    ratioToBest: best === undefined ? 1 : objectiveRps(plan) / objectiveRps(best),
    reason: reasonFor(scenario, plan, best),
  }))
}

function reasonFor(scenario: Scenario, plan: RatedCandidate, best: RatedCandidate | undefined): string {
  if (objectiveRps(plan) <= 0) return 'misses the SLO at any rate'
  if (best !== undefined && objectiveRps(plan) >= objectiveRps(best) * (1 - 1e-9))
    return 'as fast, with less prefill headroom'
  const constraint = describeDeployment(scenario, 'membrane-pd', plan).bindingConstraint
  switch (constraint) {
    case 'decode':
      return 'decode is full'
    case 'slo':
      return `${bindingConstraint(scenario, plan.split, plan.roles)} queues too long`
    case 'local-prefill':
    case 'remote-prefill':
      return 'prefill is full'
    case 'egress':
      return 'the link is full'
    default:
      return constraint satisfies never
  }
}

function variants(scenario: Scenario, plan: RatedCandidate): Variant[] {
  const { roles, split } = plan
  const lost = (name: string, left: Scenario, planned: Roles): Variant => ({
    name,
    asPlannedRps: objectiveRps(asPlanned(left, planned, split.thresholdTokens)),
    reoptimizedRps: objectiveRps(bestOf(left)),
  })
  const fewerRemote = scenarioWith(scenario, { remoteInstances: scenario.remote.instances - 1 })
  const fewerLocal = scenarioWith(scenario, { localInstances: scenario.local.instances - 1 })
  return [
    lost('one remote prefill instance lost', fewerRemote, { ...roles, remotePrefill: roles.remotePrefill - 1 }),
    ...(roles.localPrefill > 0
      ? [lost('one local prefill instance lost', fewerLocal, { ...roles, localPrefill: roles.localPrefill - 1 })]
      : []),
    ...(roles.decode > 1 ? [lost('one decode instance lost', fewerLocal, { ...roles, decode: roles.decode - 1 })] : []),
    lost('link at half its bandwidth', withLinkGbps(scenario, scenario.link.gbps / 2), roles),
  ]
}
