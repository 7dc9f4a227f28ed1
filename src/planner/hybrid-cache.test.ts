import { describe, expect, it } from 'vitest'
import { HybridCache, type HybridCacheOptions } from './hybrid-cache.ts'

function poolOf(options: Partial<HybridCacheOptions>): HybridCache {
  return new HybridCache({ capacityBlocks: 100, stateBlocks: 3, checkpointBlocks: 0, policy: 'lru', ...options })
}

function admit(pool: HybridCache, ids: readonly number[], reusedBlocks?: number): void {
  pool.admit(Int32Array.from(ids), 0, ids.length, reusedBlocks)
}

function match(pool: HybridCache, ids: readonly number[]): number {
  return pool.matchBlocks(Int32Array.from(ids), 0, ids.length)
}

describe('a match in the hybrid pool', () => {
  it('ends exactly where a state is, however many more blocks are cached', () => {
    const pool = poolOf({})
    admit(pool, [1, 2, 3, 4])
    expect(match(pool, [1, 2, 3, 4])).toBe(4)
    expect(match(pool, [1, 2, 3, 4, 5])).toBe(4)
    expect(match(pool, [1, 2, 3])).toBe(0)
    expect(match(pool, [1, 2, 3, 9])).toBe(0)
    admit(pool, [1, 2])
    expect(match(pool, [1, 2, 3])).toBe(2)
    expect(match(pool, [1, 2, 3, 4])).toBe(4)
    expect(match(pool, [])).toBe(0)
  })

  it('may end at any block when the model has no states', () => {
    const pool = poolOf({ stateBlocks: 0 })
    admit(pool, [1, 2, 3, 4])
    expect(match(pool, [1, 2, 3, 9])).toBe(3)
    expect([pool.usedBlocks, pool.states]).toEqual([4, 0])
  })

  it('may end at checkpoints too', () => {
    const pool = poolOf({ checkpointBlocks: 2 })
    admit(pool, [1, 2, 3, 4, 5])
    expect([1, 2, 3, 4, 5].map((blocks) => match(pool, [1, 2, 3, 4, 5].slice(0, blocks)))).toEqual([0, 2, 2, 4, 5])
    expect([pool.states, pool.usedBlocks]).toEqual([3, 5 + 3 * 3])
  })

  it('looks only between start and end', () => {
    const pool = poolOf({})
    const ids = Int32Array.of(9, 1, 2, 3)
    pool.admit(ids, 1, 3)
    expect([pool.matchBlocks(ids, 1, 4), pool.matchBlocks(ids, 0, 4), pool.matchBlocks(ids, 1, 2)]).toEqual([2, 0, 0])
  })
})

describe('the states of the hybrid pool', () => {
  it('are taken only where the prefill computed', () => {
    const pool = poolOf({ stateBlocks: 1, checkpointBlocks: 2, capacityBlocks: 10 })
    admit(pool, [1, 2, 3, 4])
    expect(pool.states).toBe(2)
    admit(pool, [1, 2, 3, 4, 5, 6], 4)
    expect(pool.states).toBe(3)
    // The state behind block 2 is the oldest use: it makes room, and a prefill that starts at 6 cannot bring it back.
    expect(pool.reserveTransfer(2)).toBe(true)
    pool.releaseTransfer(2)
    expect([pool.stateEvictions, pool.blockEvictions]).toEqual([1, 0])
    admit(pool, [1, 2, 3, 4, 5, 6])
    expect([pool.states, match(pool, [1, 2, 3])]).toEqual([2, 0])
    // One that starts at 0 does.
    admit(pool, [1, 2, 3, 4, 5, 6], 0)
    expect([pool.states, match(pool, [1, 2, 3])]).toEqual([3, 2])
  })

  it('leave with the block at their end', () => {
    const pool = poolOf({ capacityBlocks: 5, stateBlocks: 2 })
    admit(pool, [1])
    admit(pool, [2])
    expect([pool.states, pool.usedBlocks, pool.blockEvictions, pool.stateEvictions]).toEqual([1, 3, 1, 1])
    expect([match(pool, [1]), match(pool, [2])]).toEqual([0, 1])
  })

  it('no longer match when their chain is broken, until it is whole again', () => {
    const pool = poolOf({ capacityBlocks: 7, stateBlocks: 1 })
    admit(pool, [1, 2, 3])
    // Block 1 makes room; the state behind block 3 stays.
    expect(pool.reserveTransfer(4)).toBe(true)
    pool.releaseTransfer(4)
    expect([pool.blockEvictions, pool.states]).toEqual([1, 1])
    expect(match(pool, [1, 2, 3])).toBe(0)
    pool.admit(Int32Array.of(1), 0, 1, 1)
    expect(match(pool, [1, 2, 3])).toBe(3)
  })

  it('are left out when they do not fit beside their block', () => {
    const pool = poolOf({ capacityBlocks: 3, stateBlocks: 3 })
    admit(pool, [1])
    expect([pool.states, pool.usedBlocks, match(pool, [1])]).toEqual([0, 1, 0])
  })
})

describe('the transfer cache', () => {
  it('takes room from prefixes, oldest first, and gives it back free', () => {
    const pool = poolOf({ capacityBlocks: 6, stateBlocks: 0 })
    admit(pool, [1, 2, 3])
    admit(pool, [4, 5])
    expect(pool.reserveTransfer(3)).toBe(true)
    expect([pool.usedBlocks, pool.transferBlocks, pool.blockEvictions]).toEqual([3, 3, 2])
    expect([match(pool, [1]), match(pool, [2]), match(pool, [3]), match(pool, [4, 5])]).toEqual([0, 0, 1, 2])
    pool.releaseTransfer(3)
    expect([pool.usedBlocks, pool.transferBlocks]).toEqual([3, 0])
  })

  it('is refused, and nothing is evicted, when other transfers leave too little', () => {
    const pool = poolOf({ capacityBlocks: 4, stateBlocks: 0 })
    expect(pool.reserveTransfer(2)).toBe(true)
    admit(pool, [1, 2])
    expect(pool.reserveTransfer(3)).toBe(false)
    expect([pool.usedBlocks, pool.transferBlocks, pool.blockEvictions]).toEqual([2, 2, 0])
    expect(pool.reserveTransfer(2)).toBe(true)
    expect([pool.reserveTransfer(1), pool.reserveTransfer(0)]).toEqual([false, true])
    admit(pool, [1, 2])
    expect([pool.usedBlocks, match(pool, [1])]).toEqual([0, 0])
  })

  it('gives back no more than it took, and counts whole blocks', () => {
    const pool = poolOf({})
    pool.reserveTransfer(2)
    expect(() => {
      pool.releaseTransfer(3)
    }).toThrow('no more is released than was reserved')
    expect(() => pool.reserveTransfer(0.5)).toThrow('a transfer takes whole blocks')
    expect(() => {
      pool.releaseTransfer(-1)
    }).toThrow('a transfer takes whole blocks')
  })
})

describe('the sizes of the hybrid pool', () => {
  it.each(['capacityBlocks', 'stateBlocks', 'checkpointBlocks'])(
    'include %s, which is a whole number of blocks',
    (name) => {
      for (const value of [-1, 0.5, Number.NaN, Number.POSITIVE_INFINITY]) {
        expect(() => poolOf({ [name]: value })).toThrow(
          expect.objectContaining({ code: 'INVALID_CONFIG', message: expect.stringContaining(`${name} is ${value}`) }),
        )
      }
    },
  )
})
