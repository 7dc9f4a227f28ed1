/** How much of each prompt of a trace a bounded prefix cache would have held: one shared cache, requests in file order. */
import { MembraneError } from '../core/errors.ts'
import { PrefixCache, type PrefixCacheOptions } from './prefix-cache.ts'
import { type ClosedHints, closingRequests, sessionsOf } from './replay-sessions.ts'
import { prefixHitRatioMax } from './trace-prefix.ts'
import type { Trace, TraceBlocks } from './trace.ts'

/** The cache, and what it is told. */
export interface CacheReplayOptions extends PrefixCacheOptions {
  /** What the application says of sessions that end. Nothing by default. */
  readonly closedHints?: ClosedHints | null
}

/** What a replay of a trace through a cache has hit. */
export interface CacheReplay {
  /** Hit tokens / input tokens, 0 to 1. */
  readonly hitRatioTokens: number
  /** Hit blocks / block references, 0 to 1. */
  readonly hitRatioBlocks: number
  /** Blocks that were evicted to make room. */
  readonly evictions: number
}

/**
 * A prompt hits the leading run of its blocks that are cached, then all its blocks are touched or inserted in order, as
 * far as the policy lets them in. The last block may be filled in part, so a hit never has more tokens than the prompt.
 * `cacheBlocks` may be infinite. Throws OUT_OF_DOMAIN when the trace has no block ids, INVALID_CONFIG when the size is no
 * number of blocks.
 */
export function replayPrefixCache(trace: Trace, { cacheBlocks, policy, closedHints }: CacheReplayOptions): CacheReplay {
  const { blocks } = trace
  if (blocks === null) {
    throw new MembraneError('OUT_OF_DOMAIN', `${trace.name} has no block ids, expected them in every row.`, {
      details: { file: trace.name, format: trace.format },
      remedy: 'Use a trace with hash_ids or blockIds.',
    })
  }
  const { ids, offsets, blockTokens } = blocks
  // A cache that could hold every reference of the trace never evicts, and bits are enough to know what it holds.
  const endless = cacheBlocks >= ids.length ? prefixHitRatioMax(trace) : null
  if (endless !== null) return { hitRatioTokens: endless.tokens, hitRatioBlocks: endless.blocks, evictions: 0 }
  const cache = new PrefixCache({ cacheBlocks, policy })
  const close = closedHints === undefined || closedHints === null ? null : closerOf(cache, blocks, closedHints)
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
    if (close !== null) close(request)
  }
  return {
    hitRatioTokens: hitTokens / inputTokens,
    // Prompts shorter than a block may name none, and then nothing can be hit.
    hitRatioBlocks: ids.length === 0 ? 0 : hitBlocks / ids.length,
    evictions: cache.evictions,
  }
}

/** After a request: closes all prompts of its session when this is known to be the last of them. */
function closerOf(cache: PrefixCache, blocks: TraceBlocks, hints: ClosedHints): (request: number) => void {
  const sessions = sessionsOf(blocks)
  const isClosing = closingRequests(sessions, hints)
  return (request) => {
    if (isClosing[request] !== 1) return
    for (let turn = request; turn >= 0; turn = sessions.previous[turn] ?? -1) {
      cache.close(blocks.ids, blocks.offsets[turn] ?? 0, blocks.offsets[turn + 1] ?? 0)
    }
  }
}
