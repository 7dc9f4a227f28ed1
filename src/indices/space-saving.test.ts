import fc from 'fast-check'
import { expect, test } from 'vitest'
import { runs } from '../../test/effort.ts'
import { SpaceSaving } from './space-saving.ts'

test('every count lies between its bounds, and no frequent key is missed', () => {
  const stream = fc.array(fc.integer({ min: 0, max: 30 }).map((number) => `${Math.floor(number ** 2 / 40)}`))
  fc.assert(
    fc.property(stream, fc.integer({ min: 1, max: 8 }), (keys, countersMax) => {
      const summary = new SpaceSaving<null>(countersMax)
      const truth = new Map<string, number>()
      for (const key of keys) {
        summary.add(key, null)
        truth.set(key, (truth.get(key) ?? 0) + 1)
      }
      const counters = new Map(Array.from(summary.counters(), (counter) => [counter.key, counter]))
      expect(counters.size).toBe(Math.min(countersMax, truth.size))
      for (const [key, times] of truth) {
        const counter = counters.get(key)
        if (counter === undefined)
          expect(times).toBeLessThanOrEqual(Math.min(summary.missedMax, keys.length / countersMax))
        else expect([counter.count - counter.error <= times, times <= counter.count]).toEqual([true, true])
      }
    }),
    { numRuns: runs(300) },
  )
})
