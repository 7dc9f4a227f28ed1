import type { Prediction } from '../policy/reallocate.ts'
import { candidate } from './balance.ts'
import { lengthCells } from './cells.ts'
import { empiricalLengths } from './empirical.ts'
import { type Scenario, withLinkGbps } from './scenario.ts'
import { viewOf } from './search.ts'
import { type QueueView, queuedTtftP90, queueView } from './slo.ts'
import { type Roles, splitTraffic } from './split.ts'
import { decodeRps } from './throughput.ts'

/** What was measured since the last plan. */
export interface ObservedLoad {
  readonly rateRps: number
  /** Squared variation of the arrivals. */
  readonly burstiness: number
  /** Uncached lengths of recent requests, tokens; at least one. */
  readonly uncachedTokens: Float64Array
  readonly outputTokensMean: number
  readonly linkGbps: number
  /** Instances that are alive. */
  readonly remoteInstances: number
  readonly localInstances: number
}

/** Roles, threshold, and what they are predicted to do. */
export interface Replan {
  readonly roles: Roles
  readonly thresholdTokens: number
  readonly prediction: Prediction
}

/** Thresholds that are looked at, as cells of equal mass of the observed lengths. */
const CELLS = 96

/** Of the latencies that are compared; a fifth of a percent decides nothing. */
const PRECISION = 2e-3

/** ASSUMPTION: decode-headroom. The share of the decode rate that may be planned with. */
const DECODE_SHARE_MAX = 0.92

/**
 * The best threshold and roles for a load as it was observed, and the best threshold for the roles as they are: lowest
 * P90 TTFT with queueing at that rate. Where no way keeps up, the largest rate of Eq. (6). The caller decides, by
 * policy/reallocate, whether it changes roles.
 */
export function replan(
  scenario: Scenario,
  observed: ObservedLoad,
  localPrefill: number,
): { readonly best: Replan; readonly asItIs: Replan } {
  const seen = asObserved(scenario, observed)
  const cells = lengthCells(seen, CELLS, [])
  const views = Array.from(cells.ends, (_, k) => queueView(cells, k + 1))
  if (observed.remoteInstances > 0) views.push(viewOf(cells, 0))
  const plans = Array.from({ length: observed.localInstances }, (_, prefill) =>
    bestFor(seen, rolesOf(observed, prefill), views, observed.rateRps),
  )
  const best = plans.reduce((a, b) => (isBetter(b, a) ? b : a))
  return { best, asItIs: plans[localPrefill] ?? best }
}

function rolesOf({ remoteInstances, localInstances }: ObservedLoad, localPrefill: number): Roles {
  return { remotePrefill: remoteInstances, localPrefill, decode: localInstances - localPrefill }
}

/** The scenario with what was measured in place of what was planned with. */
function asObserved(
  scenario: Scenario,
  { burstiness, uncachedTokens, linkGbps, outputTokensMean }: ObservedLoad,
): Scenario {
  const linked = linkGbps === scenario.link.gbps ? scenario : withLinkGbps(scenario, linkGbps)
  return { ...linked, burstiness, lengths: empiricalLengths(uncachedTokens), outputTokens: outputTokensMean }
}

/**
 * From the longest threshold down: most of what comes after the best then only has to be shown to be worse. Of equal
 * plans the one with the shortest threshold wins.
 */
function bestFor(scenario: Scenario, roles: Roles, views: readonly QueueView[], rateRps: number): Replan {
  let best: Replan | null = null
  for (const view of views.toReversed()) {
    if (roles.remotePrefill === 0 && view.offloadedRatio > 0) continue
    if (roles.localPrefill === 0 && view.offloadedRatio < 1) continue
    const secondsMax = best?.prediction.ttftSecondsP90 ?? Number.POSITIVE_INFINITY
    const plan = planOf(scenario, roles, view, { rateRps, secondsMax })
    if (best === null || !isBetter(best, plan)) best = plan
  }
  return best ?? { roles, thresholdTokens: 0, prediction: { ttftSecondsP90: null, headroom: 0 } }
}

/** Of a P90 above `secondsMax` it only says that it is. */
function planOf(
  scenario: Scenario,
  roles: Roles,
  view: QueueView,
  { rateRps, secondsMax }: { readonly rateRps: number; readonly secondsMax: number },
): Replan {
  const { lambdaMaxRps } = candidate(scenario, roles, splitTraffic(scenario, view.thresholdTokens))
  const { batch, stepSeconds } = scenario.decodeBatch
  const decodable = decodeRps({ instances: roles.decode, batch, stepSeconds, outputTokens: scenario.outputTokens })
  const isDecodable = rateRps <= decodable * DECODE_SHARE_MAX
  return {
    roles,
    thresholdTokens: view.thresholdTokens,
    prediction: {
      ttftSecondsP90: isDecodable
        ? queuedTtftP90(scenario, view, roles, rateRps, { precision: PRECISION, secondsMax })
        : null,
      headroom: lambdaMaxRps / rateRps,
    },
  }
}

function isBetter(a: Replan, b: Replan): boolean {
  const [ttftA, ttftB] = [a.prediction.ttftSecondsP90, b.prediction.ttftSecondsP90]
  if (ttftA !== null && ttftB !== null) return ttftA < ttftB
  return ttftA === null && ttftB === null ? a.prediction.headroom > b.prediction.headroom : ttftA !== null
}
