/** What stands against the place that routing chose. */
export interface OffloadQuestion {
  readonly proposed: 'remote' | 'local'
  /** Instances that prefill there and are known to be alive. */
  readonly remoteServers: number
  readonly localServers: number
}

/** Whether a request is offloaded after all: never to a cluster without a living instance while the other has one. */
export function decideOffload({ proposed, remoteServers, localServers }: OffloadQuestion): 'remote' | 'local' {
  if (proposed === 'remote' && remoteServers === 0 && localServers > 0) return 'local'
  if (proposed === 'local' && localServers === 0 && remoteServers > 0) return 'remote'
  return proposed
}
