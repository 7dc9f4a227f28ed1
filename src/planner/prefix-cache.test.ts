import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { LIMITS } from '../core/limits.ts'
import { PrefixCache } from './prefix-cache.ts'

function lruOf(cacheBlocks: number): PrefixCache {
  return new PrefixCache({ cacheBlocks, policy: 'lru' })
}

function admitAll(cache: PrefixCache, ids: readonly number[]): number {
  return cache.admit(Int32Array.from(ids), 0, ids.length)
}

function runOf(cache: PrefixCache, ids: readonly number[]): number {
  return cache.leadingRun(Int32Array.from(ids), 0, ids.length)
}

describe('a prefix cache', () => {
  it('hits the leading run of cached blocks, not those behind a gap', () => {
    const cache = lruOf(10)
    admitAll(cache, [1, 2, 3])
    expect(runOf(cache, [1, 2, 3])).toBe(3)
    expect(runOf(cache, [1, 2, 9, 3])).toBe(2)
    expect(runOf(cache, [9, 1, 2])).toBe(0)
    expect(runOf(cache, [])).toBe(0)
  })

  it('looks only between start and end', () => {
    const cache = lruOf(10)
    const ids = Int32Array.of(1, 2, 3, 4, 5)
    cache.admit(ids, 1, 3)
    expect(cache.used).toBe(2)
    expect(cache.leadingRun(ids, 1, 5)).toBe(2)
    expect(cache.leadingRun(ids, 2, 3)).toBe(1)
  })

  it('evicts one by one what was used longest ago, the prompt in hand included', () => {
    const cache = lruOf(3)
    admitAll(cache, [1, 2, 3])
    admitAll(cache, [1, 4])
    expect([runOf(cache, [1]), runOf(cache, [2]), runOf(cache, [3]), runOf(cache, [4])]).toEqual([1, 0, 1, 1])
    admitAll(cache, [5, 6, 7, 8])
    expect([runOf(cache, [5]), runOf(cache, [6, 7, 8])]).toEqual([0, 3])
    expect({ used: cache.used, insertions: cache.insertions, evictions: cache.evictions }).toEqual({
      used: 3,
      insertions: 8,
      evictions: 5,
    })
  })

  it('keeps heads and leaves tails out, by chains', () => {
    const cache = new PrefixCache({ cacheBlocks: 3, policy: 'leaf-lru' })
    admitAll(cache, [1, 2, 3, 4, 5])
    expect(runOf(cache, [1, 2, 3, 4, 5])).toBe(3)
    admitAll(cache, [6, 7])
    expect([runOf(cache, [1, 2, 3]), runOf(cache, [6, 7])]).toEqual([1, 2])
    expect(cache.evictions).toBe(2)
  })

  it('lets a closed chain leave first, as far as no other shares it', () => {
    const cache = new PrefixCache({ cacheBlocks: 6, policy: 'leaf-lru' })
    admitAll(cache, [20, 21])
    admitAll(cache, [1, 2])
    admitAll(cache, [1, 3, 4])
    // The closed one is the newer, and a block behind what is cached is no part of it.
    const closed = Int32Array.of(1, 3, 4, 99)
    cache.close(closed, 0, closed.length)
    admitAll(cache, [30, 31, 32])
    expect([runOf(cache, [1, 3]), runOf(cache, [1, 2]), runOf(cache, [20, 21])]).toEqual([1, 2, 1])
  })

  it('caches nothing in 0 blocks', () => {
    const cache = lruOf(0)
    expect(admitAll(cache, [1, 2])).toBe(0)
    expect([runOf(cache, [1]), cache.used, cache.insertions]).toEqual([0, 0, 0])
  })

  it.each([-1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, LIMITS.cacheBlocksMax + 1])('rejects %d blocks', (blocks) => {
    expect(() => lruOf(blocks)).toThrow(
      expect.objectContaining({
        code: 'INVALID_CONFIG',
        message: `cacheBlocks is ${blocks}, expected a whole number of blocks from 0 to ${LIMITS.cacheBlocksMax}.`,
      }),
    )
  })

  it('agrees with a Map in order of use, for any ids', () => {
    const id = fc.oneof(
      fc.nat(12),
      fc.nat(3).map((step) => 2 ** 31 - 1 - step),
    )
    const prompts = fc.array(fc.array(id, { maxLength: 8 }), { maxLength: 40 })
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 9 }), prompts, (cacheBlocks, prompts) => {
        const cache = lruOf(cacheBlocks)
        const oldestFirst = new Set<number>()
        let evictions = 0
        for (const ids of prompts) {
          const miss = ids.findIndex((id) => !oldestFirst.has(id))
          const run = miss < 0 ? ids.length : miss
          expect(runOf(cache, ids)).toBe(run)
          expect(admitAll(cache, ids)).toBe(run)
          for (const id of ids) {
            if (!oldestFirst.delete(id) && oldestFirst.size === cacheBlocks) {
              oldestFirst.delete([...oldestFirst][0] ?? -1)
              evictions += 1
            }
            oldestFirst.add(id)
          }
          for (const other of new Set(prompts.flat()))
            expect(runOf(cache, [other])).toBe(oldestFirst.has(other) ? 1 : 0)
          expect([cache.used, cache.evictions]).toEqual([oldestFirst.size, evictions])
          expect(cache.insertions - cache.evictions).toBe(cache.used)
        }
      }),
    )
  })
})
