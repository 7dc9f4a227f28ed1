/** How much of each prompt of a trace a bounded prefix cache would have held: one shared cache, requests in file order. */
import { MembraneError } from '../core/errors.ts'
import { PrefixCache, type PrefixCacheOptions } from './prefix-cache.ts'
import { prefixHitRatioMax } from './trace-prefix.ts'
import type { Trace } from './trace.ts'

export interface CacheReplay {
  /** Hit tokens / input tokens, 0 to 1. */
  readonly hitRatioTokens: number
  /** Hit blocks / block references, 0 to 1. */
  readonly hitRatioBlocks: number
  /** Blocks that were evicted to make room. */
  readonly evictions: number
}

/**
 * A prompt hits the leading run of its blocks that are cached, then all its blocks are touched or inserted in order.
 * The last block may be filled in part, so a hit never has more tokens than the prompt. `cacheBlocks` may be infinite.
 * Throws OUT_OF_DOMAIN when the trace has no block ids, INVALID_CONFIG when the size is no number of blocks.
 */
export function replayPrefixCache(trace: Trace, { cacheBlocks, policy }: PrefixCacheOptions): CacheReplay {
  if (trace.blocks === null) {
    throw new MembraneError('OUT_OF_DOMAIN', `${trace.name} has no block ids, expected them in every row.`, {
      details: { file: trace.name, format: trace.format },
      remedy: 'Use a trace with hash_ids or blockIds.',
    })
  }
  const { ids, offsets, blockTokens } = trace.blocks
  // A cache that could hold every reference of the trace never evicts, and bits are enough to know what it holds.
  const endless = cacheBlocks >= ids.length ? prefixHitRatioMax(trace) : null
  if (endless !== null) return { hitRatioTokens: endless.tokens, hitRatioBlocks: endless.blocks, evictions: 0 }
  const cache = new PrefixCache({ cacheBlocks, policy })
  let hitBlocks = 0
  let hitTokens = 0
  let inputTokens = 0
  for (let request = 0; request < trace.requestCount; request++) {
    const start = offsets[request] ?? 0
    const end = offsets[request + 1] ?? 0
    const input = trace.inputTokens[request] ?? 0
    const hits = cache.admit(ids, start, end)
    hitBlocks += hits
    hitTokens += Math.min(hits * blockTokens, input)
    inputTokens += input
  }
  return {
    hitRatioTokens: hitTokens / inputTokens,
    // Prompts shorter than a block may name none, and then nothing can be hit.
    hitRatioBlocks: ids.length === 0 ? 0 : hitBlocks / ids.length,
    evictions: cache.evictions,
  }
}
