import type { Scenario } from './scenario.ts'
import { objectiveRps, type RatedCandidate } from './search.ts'
import { egressGbps } from './split.ts'

/** Remote prefill serves more, as much (within half a percent), or less. */
export type Outcome = 'pays' | 'equal' | 'loses'

/** The answer to "would remote prefill pay?". */
export interface Verdict {
  /** Against spending the same on local instances: at equal cost with prices, as the instances are without. */
  readonly outcome: Outcome
  /** The outcome in words, without the full stop. */
  readonly headline: string
  /** One sentence: the headline, a colon and the numbers. */
  readonly sentence: string
  /** Rate over the homogeneous baseline; null over a rate of 0. */
  readonly overHomogeneous: number | null
  /** Rate over the local instances that the same money buys, and how many those are; null without prices. */
  readonly overHomogeneousAtEqualCost: number | null
  readonly equalCostInstances: number | null
  /** Rate over the local cluster alone, without the remote one; null over a rate of 0. */
  readonly overLocalAlone: number | null
}

interface Contenders {
  readonly membrane: RatedCandidate
  readonly homogeneous: RatedCandidate
  readonly localAlone: RatedCandidate
  readonly sameMoney: SameMoney | null
}

/** A homogeneous cluster that costs as much as membrane-pd. */
export interface SameMoney {
  readonly instances: number
  readonly plan: RatedCandidate
}

/** Within this of each other two rates are called equal: far below what a profile's error does. */
const WORTH_MENTIONING = 0.005

export function verdictOf(scenario: Scenario, { membrane, homogeneous, localAlone, sameMoney }: Contenders): Verdict {
  const rate = objectiveRps(membrane)
  const ratio = (other: RatedCandidate): number | null => (objectiveRps(other) > 0 ? rate / objectiveRps(other) : null)
  const outcome = outcomeOf(membrane, ratio(sameMoney?.plan ?? homogeneous) ?? Number.POSITIVE_INFINITY)
  const parts = [numbers(scenario, membrane), against(scenario.homogeneousInstances, homogeneous, ratio(homogeneous))]
  if (sameMoney !== null) parts.push(`and ${forTheSameMoney(sameMoney, ratio(sameMoney.plan))}`)
  return {
    outcome,
    headline: HEADLINES[outcome],
    sentence: `${HEADLINES[outcome]}: ${parts.join(', ')}.`,
    overHomogeneous: ratio(homogeneous),
    overHomogeneousAtEqualCost: sameMoney === null ? null : ratio(sameMoney.plan),
    equalCostInstances: sameMoney?.instances ?? null,
    overLocalAlone: ratio(localAlone),
  }
}

const HEADLINES: Readonly<Record<Outcome, string>> = {
  pays: 'Remote prefill pays',
  equal: 'Remote prefill makes no difference',
  loses: 'Remote prefill does not pay',
}

/** A plan that offloads nothing cannot pay, whatever its local part does. */
function outcomeOf(membrane: RatedCandidate, decisive: number): Outcome {
  if (decisive < 1 - WORTH_MENTIONING) return 'loses'
  return membrane.split.offloadedRatio > 0 && decisive > 1 + WORTH_MENTIONING ? 'pays' : 'equal'
}

function numbers(scenario: Scenario, plan: RatedCandidate): string {
  const { roles, split } = plan
  const rate = `${objectiveRps(plan).toPrecision(3)} req/s${plan.sloFeasibleRps === null ? '' : ' within the SLO'}`
  const layout = `${roles.remotePrefill} remote prefill, ${roles.localPrefill} local prefill and ${roles.decode} decode instances`
  if (split.offloadedRatio === 0) return `${rate} with ${layout}, nothing offloaded`
  const share = `offloading the ${(split.offloadedRatio * 100).toPrecision(3)} % of prompts above ${split.thresholdTokens.toLocaleString('en-US')} uncached tokens`
  const link = `${egressGbps(split, objectiveRps(plan)).toPrecision(3)} of ${scenario.link.gbps} Gbps`
  return `${rate} with ${layout}, ${share} over ${link}`
}

function against(instances: number, homogeneous: RatedCandidate, over: number | null): string {
  if (over === null) return `where ${instances} local instances meet the SLO at no rate`
  return `${over.toFixed(2)}x the ${objectiveRps(homogeneous).toPrecision(3)} req/s of ${instances} local instances`
}

function forTheSameMoney({ instances, plan }: SameMoney, over: number | null): string {
  if (over === null) return `the ${instances} that the same money buys meet it at none`
  return `${over.toFixed(2)}x the ${objectiveRps(plan).toPrecision(3)} req/s of the ${instances} that the same money buys`
}
