import type { Regime } from './regime.ts'

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

export type Place = 'remote' | 'local'

export interface Route {
  readonly prefill: Place
  /** What the chosen cluster has to compute; at least the last token, whose output is asked for. */
  readonly uncachedTokens: number
  /** Tokens of a longer prefix that the other cluster holds and that are copied over; 0 when nothing is. */
  readonly copiedTokens: number
}

/**
 * Offloads when the uncached length is strictly above the threshold. With scarce bandwidth each cluster is judged by
 * its own cache; with abundant bandwidth by the longer of the two, which is copied over when it is elsewhere. Equal
 * caches need no copy.
 */
export function routePrefill(question: RouteQuestion): Route {
  return routeTo(judgedTokens(question) > question.thresholdTokens ? 'remote' : 'local', question)
}

/** The uncached length that is held against the threshold. */
export function judgedTokens({ promptTokens, remoteCachedTokens, localCachedTokens, regime }: RouteQuestion): number {
  const isLongest = regime === 'bandwidth-abundant' && remoteCachedTokens > localCachedTokens
  return Math.max(1, promptTokens - (isLongest ? remoteCachedTokens : localCachedTokens))
}

/** What it takes to prefill in a cluster that was chosen, by the threshold or otherwise. */
export function routeTo(prefill: Place, question: RouteQuestion): Route {
  const { promptTokens, remoteCachedTokens, localCachedTokens, regime } = question
  const isRemote = prefill === 'remote'
  const ownTokens = isRemote ? remoteCachedTokens : localCachedTokens
  const otherTokens = isRemote ? localCachedTokens : remoteCachedTokens
  const isCopied = regime === 'bandwidth-abundant' && otherTokens > ownTokens
  return {
    prefill,
    uncachedTokens: Math.max(1, promptTokens - (isCopied ? otherTokens : ownTokens)),
    copiedTokens: isCopied ? otherTokens - ownTokens : 0,
  }
}
