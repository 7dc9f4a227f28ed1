import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { replayPrefixCache } from './replay-cache.ts'
import { prefixHitRatioMax } from './trace-prefix.ts'
import type { Trace } from './trace.ts'

const BLOCK_TOKENS = 10

/** A last block that is filled by half: 5 tokens less than the blocks hold. */
function traceOf(prompts: readonly (readonly number[])[]): Trace {
  const offsets = [0]
  for (const ids of prompts) offsets.push((offsets.at(-1) ?? 0) + ids.length)
  return {
    name: 't',
    format: 'mooncake',
    requestCount: prompts.length,
    atSeconds: null,
    inputTokens: Int32Array.from(prompts, (ids) => Math.max(1, BLOCK_TOKENS * ids.length - 5)),
    outputTokens: null,
    blocks: { blockTokens: BLOCK_TOKENS, ids: Int32Array.from(prompts.flat()), offsets: Int32Array.from(offsets) },
  }
}

/** Hits by hand with 3 blocks: none; 1, 2 and 3, of which 25 tokens are in the prompt; 1, then 4 takes the place of 2; none, for 2 is gone. */
const BY_HAND = [
  [1, 2, 3],
  [1, 2, 3],
  [1, 4],
  [2, 3],
]

describe('a replay through a bounded prefix cache', () => {
  it('counts whole leading blocks, and never more tokens than the prompt has', () => {
    expect(replayPrefixCache(traceOf(BY_HAND), { cacheBlocks: 3, policy: 'lru' })).toEqual({
      hitRatioTokens: (25 + 10) / (25 + 25 + 15 + 15),
      hitRatioBlocks: 4 / 10,
      evictions: 3,
    })
  })

  it('does not let a prompt hit its own blocks', () => {
    const replay = replayPrefixCache(traceOf([[5, 5, 5, 6]]), { cacheBlocks: 3, policy: 'lru' })
    expect(replay).toEqual({ hitRatioTokens: 0, hitRatioBlocks: 0, evictions: 0 })
  })

  const prompts = fc.array(fc.array(fc.nat(20), { maxLength: 7 }), { minLength: 1, maxLength: 40 })

  it('agrees with the definition written out with a Map, for any trace and size', () => {
    fc.assert(
      fc.property(prompts, fc.nat(25), (prompts, cacheBlocks) => {
        const trace = traceOf(prompts)
        expect(replayPrefixCache(trace, { cacheBlocks, policy: 'lru' })).toEqual(byDefinition(trace, cacheBlocks))
      }),
    )
  })

  it('is the infinite cache when it can hold every block, and never beats it', () => {
    fc.assert(
      fc.property(prompts, fc.nat(25), (prompts, cacheBlocks) => {
        const trace = traceOf(prompts)
        const most = prefixHitRatioMax(trace)
        const endless = replayPrefixCache(trace, { cacheBlocks: Number.POSITIVE_INFINITY, policy: 'lru' })
        expect(endless).toEqual({ hitRatioTokens: most?.tokens, hitRatioBlocks: most?.blocks, evictions: 0 })
        const { hitRatioTokens } = replayPrefixCache(trace, { cacheBlocks, policy: 'lru' })
        expect(hitRatioTokens).toBeLessThanOrEqual(endless.hitRatioTokens)
      }),
    )
  })

  it('hits more with a larger LRU, never less', () => {
    fc.assert(
      fc.property(prompts, (prompts) => {
        const trace = traceOf(prompts)
        let before = 0
        for (let cacheBlocks = 0; cacheBlocks < 25; cacheBlocks++) {
          const { hitRatioTokens } = replayPrefixCache(trace, { cacheBlocks, policy: 'lru' })
          expect(hitRatioTokens).toBeGreaterThanOrEqual(before)
          before = hitRatioTokens
        }
      }),
    )
  })

  it('is not defined without block ids, or for a size that is no number of blocks', () => {
    const trace = traceOf(BY_HAND)
    expect(() => replayPrefixCache({ ...trace, blocks: null }, { cacheBlocks: 3, policy: 'lru' })).toThrow(
      expect.objectContaining({ code: 'OUT_OF_DOMAIN', message: 't has no block ids, expected them in every row.' }),
    )
    for (const cacheBlocks of [-1, 2.5, Number.NaN]) {
      expect(() => replayPrefixCache(trace, { cacheBlocks, policy: 'lru' })).toThrow(
        expect.objectContaining({ code: 'INVALID_CONFIG' }),
      )
    }
  })
})

function byDefinition(trace: Trace, cacheBlocks: number) {
  const [ids, offsets] = [[...(trace.blocks?.ids ?? [])], trace.blocks?.offsets ?? []]
  const usedAt = new Map<number, number>()
  let [hitTokens, hitBlocks, inputTokens, evictions] = [0, 0, 0, 0]
  for (const [request, input] of trace.inputTokens.entries()) {
    const prompt = ids.slice(offsets[request], offsets[request + 1])
    const miss = prompt.findIndex((id) => !usedAt.has(id))
    const hits = miss < 0 ? prompt.length : miss
    hitBlocks += hits
    hitTokens += Math.min(hits * BLOCK_TOKENS, input)
    inputTokens += input
    for (const [index, id] of prompt.entries()) {
      usedAt.set(id, (offsets[request] ?? 0) + index)
      if (usedAt.size <= cacheBlocks) continue
      const [oldest = -1] = [...usedAt].sort(([, a], [, b]) => a - b)[0] ?? []
      usedAt.delete(oldest)
      if (cacheBlocks > 0) evictions += 1
    }
  }
  const hitRatioBlocks = ids.length === 0 ? 0 : hitBlocks / ids.length
  return { hitRatioTokens: hitTokens / inputTokens, hitRatioBlocks, evictions }
}
