import { expectedTtftSeconds, type PrefillEstimate } from './cost.ts'

/** The place whose KV is ready first; of equal ones the local, which sends nothing. */
export function routeByLatency(remote: PrefillEstimate, local: PrefillEstimate): 'remote' | 'local' {
  return expectedTtftSeconds(remote) < expectedTtftSeconds(local) ? 'remote' : 'local'
}
