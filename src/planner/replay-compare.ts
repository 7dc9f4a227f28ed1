import type { EvictionPolicyName } from '../policy/evict-policies.ts'
import { type CacheReplay, replayPrefixCache } from './replay-cache.ts'
import type { ClosedHints } from './replay-sessions.ts'
import type { Trace } from './trace.ts'

/** What one trace would have hit, by policy and size. */
export interface CacheComparison {
  /** Sizes of the cache, 0 to LIMITS.cacheBlocksMax each. */
  readonly cacheBlocks: readonly number[]
  readonly policies: readonly EvictionPolicyName[]
  /** What the application says of sessions that end; null for nothing. */
  readonly closedHints: ClosedHints | null
}

/** One policy at one size. */
export interface ComparedCache extends CacheReplay {
  readonly cacheBlocks: number
  readonly policy: EvictionPolicyName
  /** Hit blocks over those of leaf-first LRU of the same size, which gets no hints; null where that hits none. */
  readonly overLru: number | null
}

/** The policy that all others are held against. */
export const REFERENCE_POLICY: EvictionPolicyName = 'leaf-lru'

/** One row for each size and policy, size by size. Throws as `replayPrefixCache` does. */
export function compareCaches(trace: Trace, comparison: CacheComparison): readonly ComparedCache[] {
  const { policies, closedHints } = comparison
  return comparison.cacheBlocks.flatMap((cacheBlocks) => {
    const reference = replayPrefixCache(trace, { cacheBlocks, policy: REFERENCE_POLICY })
    return policies.map((policy) => {
      const isReference = policy === REFERENCE_POLICY && closedHints === null
      const replay = isReference ? reference : replayPrefixCache(trace, { cacheBlocks, policy, closedHints })
      const overLru = reference.hitRatioBlocks > 0 ? replay.hitRatioBlocks / reference.hitRatioBlocks : null
      return { cacheBlocks, policy, ...replay, overLru }
    })
  })
}
