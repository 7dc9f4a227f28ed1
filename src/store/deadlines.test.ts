import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Deadlines } from './deadlines.ts'

test('deadlines are taken once, never early, and at most a bucket late', () => {
  const step = fc.record({ waitMs: fc.integer({ min: 0, max: 5000 }), lastsMs: fc.integer({ min: 0, max: 4000 }) })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const deadlines = new Deadlines<number>(100)
      const waiting = new Map<number, number>()
      let nowMs = 1_000_000
      for (const [item, { waitMs, lastsMs }] of steps.entries()) {
        deadlines.add(item, nowMs + lastsMs)
        waiting.set(item, nowMs + lastsMs)
        nowMs += waitMs
        for (const taken of deadlines.take(nowMs)) {
          expect(waiting.get(taken)).toBeLessThanOrEqual(nowMs)
          waiting.delete(taken)
        }
        for (const endMs of waiting.values()) expect(endMs).toBeGreaterThan(nowMs - 100)
      }
    }),
  )
})
