import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createLeafLru } from './evict-leaf-lru.ts'

const CAPACITY = 8
const call = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('insert' as const),
      slot: fc.nat(CAPACITY - 1),
      parent: fc.nat(CAPACITY - 1),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('touch' as const), slot: fc.nat(CAPACITY - 1) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('remove' as const), slot: fc.nat(CAPACITY - 1) }) },
)

describe('leaf-first LRU', () => {
  it('agrees with its definition, the least recently used entry that nothing builds upon, for any calls', () => {
    fc.assert(
      fc.property(fc.array(call, { maxLength: 100, size: 'max' }), (calls) => {
        const policy = createLeafLru(CAPACITY)
        /** Of each filled slot: the use it had last, and the entry it builds upon. */
        const entries = new Map<number, { usedAt: number; readonly parent: object | null }>()
        for (const [now, call] of calls.entries()) {
          const entry = entries.get(call.slot)
          if (call.kind === 'insert' && entry === undefined) {
            const parent = entries.get(call.parent) ?? null
            policy.inserted(call.slot, now, parent === null ? -1 : call.parent, 1)
            entries.set(call.slot, { usedAt: now, parent })
          } else if (call.kind === 'touch' && entry !== undefined) {
            policy.touched(call.slot)
            entry.usedAt = now
          } else if (call.kind === 'remove' && entry !== undefined) {
            policy.removed(call.slot)
            entries.delete(call.slot)
          }
          const parents = new Set([...entries.values()].map(({ parent }) => parent))
          const leaves = [...entries].filter(([, entry]) => !parents.has(entry))
          const [oldest] = leaves.toSorted(([, a], [, b]) => a.usedAt - b.usedAt)
          expect(policy.victim()).toBe(oldest?.[0] ?? -1)
        }
      }),
    )
  })
})
