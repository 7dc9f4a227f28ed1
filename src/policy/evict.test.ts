import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { EVICTION_POLICIES, parseEvictionPolicy } from './evict-policies.ts'
import { createLru } from './evict.ts'

describe('LRU', () => {
  it('names the slot that was filled or used longest ago, and none when all are empty', () => {
    const lru = createLru(3)
    expect(lru.victim()).toBe(-1)
    for (const slot of [2, 0, 1]) lru.inserted(slot)
    expect(lru.victim()).toBe(2)
    lru.touched(2)
    expect(lru.victim()).toBe(0)
    lru.removed(0)
    expect(lru.victim()).toBe(1)
    lru.removed(1)
    lru.removed(2)
    expect(lru.victim()).toBe(-1)
  })

  it('does not change what it is asked about', () => {
    const lru = createLru(2)
    lru.inserted(1)
    lru.inserted(0)
    expect([lru.victim(), lru.victim()]).toEqual([1, 1])
  })

  it('agrees with a list in order of use, for any calls', () => {
    const capacity = 7
    fc.assert(
      fc.property(fc.array(fc.record({ slot: fc.nat(capacity - 1), isRemoval: fc.boolean() })), (calls) => {
        const lru = createLru(capacity)
        let oldestFirst: readonly number[] = []
        for (const { slot, isRemoval } of calls) {
          const isFilled = oldestFirst.includes(slot)
          const others = oldestFirst.filter((other) => other !== slot)
          if (isRemoval && isFilled) lru.removed(slot)
          else if (isFilled) lru.touched(slot)
          else lru.inserted(slot)
          oldestFirst = isRemoval && isFilled ? others : [...others, slot]
          expect(lru.victim()).toBe(oldestFirst[0] ?? -1)
        }
      }),
    )
  })
})

describe('the eviction policies', () => {
  it('are found by name', () => {
    for (const name of Object.keys(EVICTION_POLICIES)) expect(parseEvictionPolicy(name)).toBe(name)
  })

  it.each(['LRU', 'fifo', '', 'toString'])('reject %j and name the known ones', (name) => {
    expect(() => parseEvictionPolicy(name)).toThrow(
      expect.objectContaining({
        code: 'INVALID_CONFIG',
        message: `There is no eviction policy ${JSON.stringify(name)}, expected lru.`,
      }),
    )
  })

  it('name no victim without slots', () => {
    for (const create of Object.values(EVICTION_POLICIES)) expect(create(0).victim()).toBe(-1)
  })
})
