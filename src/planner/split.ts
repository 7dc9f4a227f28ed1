import { gbpsFromBytesPerSecond } from '../core/units.ts'
import type { Scenario } from './scenario.ts'
import {
  decodeRps,
  lambdaMaxRps,
  localBoundRps,
  localPrefillRps,
  remoteBoundRps,
  remotePrefillRps,
  type StageRates,
} from './throughput.ts'

/** Who does what: instances in each role. A role with no instance does not exist. */
export interface Roles {
  readonly remotePrefill: number
  readonly localPrefill: number
  readonly decode: number
}

/** What a threshold does to the traffic, with the representative lengths of section 3.4.2. */
export interface TrafficSplit {
  /** Prompts with more uncached tokens than this are offloaded. */
  readonly thresholdTokens: number
  /** p = P(L > t). */
  readonly offloadedRatio: number
  /** l_long = E[L | L > t] and what it costs there; null when nothing is offloaded. */
  readonly long: { readonly tokens: number; readonly prefillSeconds: number; readonly kvBytes: number } | null
  /** l_short = E[L | L <= t] and what it costs here; null when everything is offloaded. */
  readonly short: { readonly tokens: number; readonly prefillSeconds: number } | null
}

export function splitTraffic(scenario: Scenario, thresholdTokens: number): TrafficSplit {
  const { lengths, remote, local } = scenario
  const longMass = lengths.mass(thresholdTokens, lengths.maxTokens)
  const shortMass = lengths.mass(0, thresholdTokens)
  const longTokens = longMass > 0 ? lengths.partialMean(thresholdTokens, lengths.maxTokens) / longMass : null
  const shortTokens = shortMass > 0 ? lengths.partialMean(0, thresholdTokens) / shortMass : null
  return {
    thresholdTokens,
    offloadedRatio: longTokens === null ? 0 : shortTokens === null ? 1 : longMass,
    long:
      longTokens === null
        ? null
        : {
            tokens: longTokens,
            prefillSeconds: remote.profile.prefillSeconds.at(longTokens),
            kvBytes: remote.profile.kvBytes.at(longTokens),
          },
    short:
      shortTokens === null
        ? null
        : { tokens: shortTokens, prefillSeconds: local.profile.prefillSeconds.at(shortTokens) },
  }
}

/** Theta of every stage for one threshold and one assignment of roles. */
export function stageRates(scenario: Scenario, split: TrafficSplit, roles: Roles): StageRates {
  const { batch, stepSeconds } = scenario.decodeBatch
  return {
    remotePrefillRps:
      split.long === null || roles.remotePrefill === 0
        ? null
        : remotePrefillRps({
            instances: roles.remotePrefill,
            prefillSeconds: split.long.prefillSeconds,
            kvBytes: split.long.kvBytes,
            egressBytesPerSecond: scenario.link.bytesPerSecond,
          }),
    localPrefillRps:
      split.short === null || roles.localPrefill === 0
        ? null
        : localPrefillRps({ instances: roles.localPrefill, prefillSeconds: split.short.prefillSeconds }),
    decodeRps: decodeRps({ instances: roles.decode, batch, stepSeconds, outputTokens: scenario.outputTokens }),
    offloadedRatio: split.offloadedRatio,
  }
}

export type Constraint = 'remote-prefill' | 'egress' | 'local-prefill' | 'decode' | 'slo'

/** Rounding the threshold to a whole token leaves the two prefill bounds this far apart: they still balance. */
const BALANCED = 1e-4

/** The stage that limits Lambda_max. Of stages that balance, the remote side is named first, decode last. */
export function bindingConstraint(scenario: Scenario, split: TrafficSplit, roles: Roles): Constraint {
  const rates = stageRates(scenario, split, roles)
  const limit = lambdaMaxRps(rates) * (1 + BALANCED)
  if (split.long !== null && remoteBoundRps(rates) <= limit) {
    const computeRps = roles.remotePrefill / split.long.prefillSeconds
    return computeRps <= scenario.link.bytesPerSecond / split.long.kvBytes ? 'remote-prefill' : 'egress'
  }
  return localBoundRps(rates) <= limit ? 'local-prefill' : 'decode'
}

/** ASSUMPTION: egress-dimension. KV bytes over the link at a system rate: Lambda p S_kv(l_long), in Gbps. The paper's text says 13 where this gives 12.35. */
export function egressGbps(split: TrafficSplit, rateRps: number): number {
  return split.long === null ? 0 : gbpsFromBytesPerSecond(rateRps * split.offloadedRatio * split.long.kvBytes)
}
