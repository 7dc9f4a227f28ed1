import { describe, expect, it } from 'vitest'
import { seededRandom } from '../core/random.ts'
import { compareCaches } from './replay-compare.ts'
import { replayPrefixCache } from './replay-cache.ts'
import type { Trace } from './trace.ts'

/** Chats: two in three end with their first turn, the others go on with nine turns in ten, a while later. */
function chats(): Trace {
  const random = seededRandom(3)
  const due = new Map<number, number[][]>()
  const prompts: number[][] = []
  let next = 1
  for (let now = 0; prompts.length < 6000; now++) {
    const fresh = [0, ...Array.from({ length: 10 }, () => next++)]
    for (const prompt of [...(due.get(now) ?? []), fresh]) {
      prompts.push(prompt)
      if (random() >= (prompt === fresh ? 0.33 : 0.9)) continue
      const later = now + 60 + Math.floor(80 * random())
      due.set(later, [...(due.get(later) ?? []), [...prompt, next++, next++]])
    }
  }
  const offsets = [0]
  for (const ids of prompts) offsets.push((offsets.at(-1) ?? 0) + ids.length)
  return {
    name: 'chats',
    format: 'mooncake',
    requestCount: prompts.length,
    atSeconds: null,
    inputTokens: Int32Array.from(prompts, (ids) => 512 * ids.length),
    outputTokens: null,
    blocks: { blockTokens: 512, ids: Int32Array.from(prompts.flat()), offsets: Int32Array.from(offsets) },
  }
}

describe('caches compared on a trace', () => {
  const trace = chats()

  it('are replays, size by size and policy by policy, over leaf-first LRU without hints', () => {
    const closedHints = { ratio: 1, seed: 1 }
    const policies = ['lru', 'leaf-lru'] as const
    const rows = compareCaches(trace, { cacheBlocks: [100, 900], policies, closedHints })
    expect(rows.map(({ cacheBlocks, policy }) => [cacheBlocks, policy])).toEqual([
      [100, 'lru'],
      [100, 'leaf-lru'],
      [900, 'lru'],
      [900, 'leaf-lru'],
    ])
    for (const { cacheBlocks, policy, overLru, ...replay } of rows) {
      expect(replay).toEqual(replayPrefixCache(trace, { cacheBlocks, policy, closedHints }))
      const { hitRatioBlocks } = replayPrefixCache(trace, { cacheBlocks, policy: 'leaf-lru' })
      expect(overLru).toBeCloseTo(replay.hitRatioBlocks / hitRatioBlocks, 12)
    }
  })

  it('have no ratio where leaf-first LRU hits nothing', () => {
    expect(compareCaches(trace, { cacheBlocks: [0], policies: ['lru'], closedHints: null })[0]?.overLru).toBe(null)
  })

  it('hit more the more endings are known, and with none known as without hints', () => {
    for (const policy of ['leaf-lru', 'chain-lhd'] as const) {
      const overLru = (ratio: number) =>
        compareCaches(trace, { cacheBlocks: [2000], policies: [policy], closedHints: { ratio, seed: 1 } })[0]
          ?.overLru ?? 0
      const none = compareCaches(trace, { cacheBlocks: [2000], policies: [policy], closedHints: null })[0]?.overLru
      expect(overLru(0)).toBe(none)
      expect(overLru(0.5)).toBeGreaterThan(1.02 * overLru(0))
      expect(overLru(1)).toBeGreaterThan(1.1 * overLru(0.5))
    }
  })

  it('give the default policy a good deal more than LRU where chats outgrow the cache, and no less where they do not', () => {
    const rows = compareCaches(trace, { cacheBlocks: [300, 800, 20_000], policies: ['chain-lhd'], closedHints: null })
    expect(rows[0]?.overLru).toBeGreaterThan(1.25)
    expect(rows[1]?.overLru).toBeGreaterThan(1.25)
    expect(rows[2]?.overLru).toBeGreaterThan(0.99)
  })
})
