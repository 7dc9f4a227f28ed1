import { expectedPrice, expectedTtftSeconds, type PrefillEstimate } from './cost.ts'
import { routeByLatency } from './latency-route.ts'

/** The cheaper of the places that are ready within the bound; the faster one when neither is, or when both cost the same. */
export function routeByPrice(
  remote: PrefillEstimate,
  local: PrefillEstimate,
  ttftSecondsMax: number,
): 'remote' | 'local' {
  const isRemoteInTime = expectedTtftSeconds(remote) <= ttftSecondsMax
  const isLocalInTime = expectedTtftSeconds(local) <= ttftSecondsMax
  if (isRemoteInTime !== isLocalInTime) return isRemoteInTime ? 'remote' : 'local'
  const [remotePrice, localPrice] = [expectedPrice(remote), expectedPrice(local)]
  if (!isRemoteInTime || remotePrice === localPrice) return routeByLatency(remote, local)
  return remotePrice < localPrice ? 'remote' : 'local'
}
