/**
 * Where a request is prefilled: section 3.4.3 of the paper. Plain numbers in, so that simulator and server ask the
 * same question. Lengths are tokens; a cached prefix is a run of blocks from the start of the prompt.
 */
export interface RouteQuestion {
  /** l_total. */
  readonly promptTokens: number
  /** l_prfaas and l_pd: what each cluster holds of this prompt. */
  readonly remoteCachedTokens: number
  readonly localCachedTokens: number
  /** t. */
  readonly thresholdTokens: number
  /** Whether the link or compute is what there is too little of. */
  readonly regime: Regime
}

export type Regime = 'bandwidth-scarce' | 'bandwidth-abundant'

export interface Route {
  readonly prefill: 'remote' | 'local'
  /** What the chosen cluster has to compute. */
  readonly uncachedTokens: number
  /** The chosen cluster lacks a longer prefix that the other holds, and there is bandwidth to copy it. */
  readonly isPrefixTransferred: boolean
}

/**
 * Offloads when the uncached length is strictly above the threshold. With scarce bandwidth each cluster is judged by
 * its own cache; with abundant bandwidth by the longer of the two, which is copied over when it is elsewhere. Equal
 * caches need no copy.
 */
export function routePrefill(question: RouteQuestion): Route {
  const { promptTokens, remoteCachedTokens, localCachedTokens, thresholdTokens, regime } = question
  if (regime === 'bandwidth-scarce') {
    const isRemote = promptTokens - localCachedTokens > thresholdTokens
    const cachedTokens = isRemote ? remoteCachedTokens : localCachedTokens
    return {
      prefill: isRemote ? 'remote' : 'local',
      uncachedTokens: promptTokens - cachedTokens,
      isPrefixTransferred: false,
    }
  }
  const prefixTokens = Math.max(remoteCachedTokens, localCachedTokens)
  const isRemote = promptTokens - prefixTokens > thresholdTokens
  const ownTokens = isRemote ? remoteCachedTokens : localCachedTokens
  return {
    prefill: isRemote ? 'remote' : 'local',
    uncachedTokens: promptTokens - prefixTokens,
    isPrefixTransferred: ownTokens < prefixTokens,
  }
}
