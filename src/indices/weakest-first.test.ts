import fc from 'fast-check'
import { expect, test } from 'vitest'
import { runs } from '../../test/effort.ts'
import { WeakestFirst } from './weakest-first.ts'

interface Entry {
  readonly name: number
  weight: number
  slot: number
}

test('the weakest is on top, whatever was added, changed and removed', () => {
  const step = fc.record({
    do: fc.constantFrom('add' as const, 'change' as const, 'remove' as const),
    name: fc.nat({ max: 20 }),
    weight: fc.nat({ max: 1000 }),
  })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
      const heap = new WeakestFirst<Entry>((a, b) => a.weight < b.weight)
      const entries = new Map<number, Entry>()
      for (const { do: what, name, weight } of steps) {
        const entry = entries.get(name)
        if (entry === undefined) {
          const added = { name, weight, slot: -1 }
          entries.set(name, added)
          heap.add(added)
        } else if (what === 'remove') {
          entries.delete(name)
          heap.remove(entry)
        } else {
          entry.weight = weight
          heap.moved(entry)
        }
        expect(heap.size).toBe(entries.size)
        expect(heap.weakest?.weight ?? Number.POSITIVE_INFINITY).toBe(
          Math.min(...Array.from(entries.values(), (one) => one.weight)),
        )
      }
    }),
    { numRuns: runs(200) },
  )
})
