import type { Place } from './route.ts'

/** What stands against the place that routing chose. */
export interface FailoverQuestion {
  readonly proposed: Place
  /** Instances that prefill there and are known to be alive. */
  readonly remoteServers: number
  readonly localServers: number
}

/** Where a request is prefilled after all: never in a cluster without a living instance while the other has one. */
export function failOver({ proposed, remoteServers, localServers }: FailoverQuestion): Place {
  if (proposed === 'remote' && remoteServers === 0 && localServers > 0) return 'local'
  if (proposed === 'local' && localServers === 0 && remoteServers > 0) return 'remote'
  return proposed
}
