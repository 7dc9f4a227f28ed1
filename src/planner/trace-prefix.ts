/** How much of each prompt a shared cache of infinite size would already hold: the most that any cache can save. */
import { MembraneError } from '../core/errors.ts'
import type { Trace, TraceBlocks } from './trace.ts'

export interface PrefixHitRatio {
  /** Hit tokens / input tokens. */
  readonly tokens: number
  /** Hit blocks / block references. */
  readonly blocks: number
}

/** Null when the trace does not say which blocks its prompts consist of. */
export function prefixHitRatioMax(trace: Trace): PrefixHitRatio | null {
  if (trace.blocks === null) return null
  const hitBlocks = leadingHitBlocks(trace.blocks)
  let hitTokens = 0
  let inputTokens = 0
  let hits = 0
  for (let index = 0; index < trace.requestCount; index++) {
    const blocks = hitBlocks[index] ?? 0
    const input = trace.inputTokens[index] ?? 0
    hits += blocks
    hitTokens += Math.min(blocks * trace.blocks.blockTokens, input)
    inputTokens += input
  }
  // Prompts shorter than a block may name none, and then nothing can be hit.
  const references = trace.blocks.ids.length
  return { tokens: hitTokens / inputTokens, blocks: references === 0 ? 0 : hits / references }
}

/**
 * Input tokens of each request that the infinite shared cache does not hold: the lengths L that the paper's router
 * sees. 0 for a prompt that was seen whole. Throws OUT_OF_DOMAIN when the trace has no block ids.
 */
export function uncachedLengths(trace: Trace): Float64Array {
  if (trace.blocks === null) {
    throw new MembraneError('OUT_OF_DOMAIN', `${trace.name} has no block ids, expected them in every row.`, {
      details: { file: trace.name, format: trace.format },
      remedy: 'Use a trace with hash_ids or blockIds, or take its input lengths as uncached.',
    })
  }
  const hitBlocks = leadingHitBlocks(trace.blocks)
  const { blockTokens } = trace.blocks
  return Float64Array.from(trace.inputTokens, (input, index) =>
    Math.max(input - blockTokens * (hitBlocks[index] ?? 0), 0),
  )
}

/**
 * For each request, the leading run of its ids that earlier requests had. One global cache, in file order.
 * What was seen is a bit for each id up to the largest: at most 256 MB, of which only the pages in use are resident.
 * Written out over indices: with iterators and a set, this was the slowest part of analysing a trace.
 */
function leadingHitBlocks({ ids, offsets }: TraceBlocks): Int32Array {
  const seenWords = new Int32Array((largestId(ids) >>> 5) + 1)
  const hitBlocks = new Int32Array(offsets.length - 1)
  let index = 0
  for (let request = 0; request < hitBlocks.length; request++) {
    const start = index
    const end = offsets[request + 1] ?? 0
    for (; index < end; index++) {
      const id = ids[index] ?? 0
      if ((((seenWords[id >>> 5] ?? 0) >>> (id & 31)) & 1) === 0) break
    }
    hitBlocks[request] = index - start
    // Only now: a prompt never hits itself.
    for (; index < end; index++) {
      const id = ids[index] ?? 0
      seenWords[id >>> 5] = (seenWords[id >>> 5] ?? 0) | (1 << (id & 31))
    }
  }
  return hitBlocks
}

function largestId(ids: Int32Array): number {
  let largest = 0
  for (let index = 0; index < ids.length; index++) largest = Math.max(largest, ids[index] ?? 0)
  return largest
}
