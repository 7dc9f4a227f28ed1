import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createLru } from './evict-lru.ts'

describe('LRU', () => {
  it('names the slot that was filled or used longest ago, and none when all are empty', () => {
    const lru = createLru(3)
    expect(lru.victim()).toBe(-1)
    for (const slot of [2, 0, 1]) lru.inserted(slot, slot, -1, 1)
    expect(lru.victim()).toBe(2)
    lru.touched(2)
    expect(lru.victim()).toBe(0)
    lru.removed(0)
    expect(lru.victim()).toBe(1)
    lru.removed(1)
    lru.removed(2)
    expect(lru.victim()).toBe(-1)
  })

  it('lets a head leave before its tail, even for that tail', () => {
    const lru = createLru(2)
    lru.inserted(0, 0, -1, 1)
    lru.inserted(1, 1, 0, 1)
    expect(lru.victim()).toBe(0)
    lru.touched(0)
    expect(lru.victimFor(2, 1, 1, 1)).toBe(1)
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
          else lru.inserted(slot, slot, -1, 1)
          oldestFirst = isRemoval && isFilled ? others : [...others, slot]
          expect(lru.victim()).toBe(oldestFirst[0] ?? -1)
        }
      }),
    )
  })
})
