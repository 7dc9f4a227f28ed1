import { candidate } from './balance.ts'
import type { Scenario } from './scenario.ts'
import { type Roles, splitTraffic } from './split.ts'
import { decodeRps } from './throughput.ts'

/**
 * The rate above which some queue grows without bound. Under overload each prefill pool completes N_i / E[T(L) | pool]
 * whatever comes in, so the completions are the sum over pools of min(rate p_i, that), capped by the link and decode.
 * Eq. (6) replaces lengths by their means and is 1 to 4 % higher where latencies are convex.
 */
export function requestCapacity(
  scenario: Scenario,
  { roles, thresholdTokens }: { readonly roles: Roles; readonly thresholdTokens: number },
): { readonly perRequest: number; readonly equation6: number } {
  const { lengths, remote, local, link } = scenario
  const { batch, stepSeconds } = scenario.decodeBatch
  const remoteSeconds = lengths.expect(remote.profile.prefillSeconds, 1, thresholdTokens, lengths.maxTokens)
  const localSeconds = lengths.expect(local.profile.prefillSeconds, 1, 0, thresholdTokens)
  const kvBytes = lengths.expect(remote.profile.kvBytes, 1, thresholdTokens, lengths.maxTokens)
  const bound = (supply: number, demand: number): number => (demand > 0 ? supply / demand : Number.POSITIVE_INFINITY)
  return {
    perRequest: Math.min(
      bound(roles.remotePrefill, remoteSeconds),
      bound(roles.localPrefill, localSeconds),
      bound(link.bytesPerSecond, kvBytes),
      decodeRps({ instances: roles.decode, batch, stepSeconds, outputTokens: scenario.outputTokens }),
    ),
    equation6: candidate(scenario, roles, splitTraffic(scenario, thresholdTokens)).lambdaMaxRps,
  }
}
