import { candidate } from './balance.ts'
import type { Scenario } from './scenario.ts'
import { type Roles, splitTraffic } from './split.ts'
import { decodeRps } from './throughput.ts'

/** What a deployment can complete, by request and by Eq. (6), requests per second. */
export interface RequestCapacity {
  /** The largest rate at which no queue grows without bound. */
  readonly sustainableRps: number
  /** What it completes at the rate asked for: each pool its arrivals or its capacity, capped by decode. */
  readonly completedRps: number
  /** What it completes however much comes, while prefill or decode binds. A link that its transfers share completes less: they pile up unfinished. */
  readonly saturatedRps: number
  /** Lambda_max of Eq. (6). */
  readonly equation6Rps: number
}

/**
 * Under overload each prefill pool completes N_i / E[T(L) | pool] whatever comes in, so the completions are the sum over
 * pools of min(rate p_i, that), the remote one also within B_out / E[S_kv(L) | pool], capped by decode. Eq. (6) replaces
 * lengths by their means and is 1 to 4 % higher where latencies are convex; with constant lengths they agree.
 */
export function requestCapacity(
  scenario: Scenario,
  {
    roles,
    thresholdTokens,
    rateRps,
  }: { readonly roles: Roles; readonly thresholdTokens: number; readonly rateRps: number },
): RequestCapacity {
  const { lengths, remote, local, link } = scenario
  const { batch, stepSeconds } = scenario.decodeBatch
  const remoteShare = lengths.mass(thresholdTokens, lengths.maxTokens)
  const localShare = lengths.mass(0, thresholdTokens)
  const remoteSeconds = lengths.expect(remote.profile.prefillSeconds, 1, thresholdTokens, lengths.maxTokens)
  const localSeconds = lengths.expect(local.profile.prefillSeconds, 1, 0, thresholdTokens)
  const kvBytes = lengths.expect(remote.profile.kvBytes, 1, thresholdTokens, lengths.maxTokens)
  // Of the whole stream: what a pool can do over what a mean request of the stream asks of it.
  const remoteBoundRps = Math.min(bound(roles.remotePrefill, remoteSeconds), bound(link.bytesPerSecond, kvBytes))
  const localBoundRps = bound(roles.localPrefill, localSeconds)
  const decodeBoundRps = decodeRps({ instances: roles.decode, batch, stepSeconds, outputTokens: scenario.outputTokens })
  const completedAt = (rate: number): number =>
    Math.min(
      decodeBoundRps,
      (remoteShare > 0 ? remoteShare * Math.min(rate, remoteBoundRps) : 0) +
        (localShare > 0 ? localShare * Math.min(rate, localBoundRps) : 0),
    )
  return {
    sustainableRps: Math.min(remoteBoundRps, localBoundRps, decodeBoundRps),
    completedRps: completedAt(rateRps),
    saturatedRps: completedAt(Number.MAX_VALUE),
    equation6Rps: candidate(scenario, roles, splitTraffic(scenario, thresholdTokens)).lambdaMaxRps,
  }
}

function bound(supply: number, demand: number): number {
  return demand > 0 ? supply / demand : Number.POSITIVE_INFINITY
}
