import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { EventSchedule } from './event-schedule.ts'
import { JobQueue } from './job-queue.ts'
import { KeyHeap } from './key-heap.ts'

describe('an event schedule', () => {
  it('fires whatever is due first, equal times by source, through any changes', () => {
    const change = fc.record({ source: fc.nat(19), at: fc.oneof(fc.nat(50), fc.constant(Number.POSITIVE_INFINITY)) })
    fc.assert(
      fc.property(fc.array(change, { maxLength: 200 }), (changes) => {
        const schedule = new EventSchedule(20)
        const times = new Map<number, number>()
        for (const { source, at } of changes) {
          schedule.set(source, at)
          if (at === Number.POSITIVE_INFINITY) times.delete(source)
          else times.set(source, at)
          const first = [...times].sort(([a, x], [b, y]) => x - y || a - b)[0]
          expect([schedule.nextSource(), schedule.nextSeconds()]).toEqual(first ?? [-1, Number.POSITIVE_INFINITY])
        }
      }),
    )
  })

  it('takes no event without a time', () => {
    expect(() => {
      new EventSchedule(1).set(0, Number.NaN)
    }).toThrow('an event has a time')
  })
})

describe('a key heap', () => {
  it('gives values by key, equal keys by value', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(30), { maxLength: 300 }), (keys) => {
        const heap = new KeyHeap()
        for (const [value, key] of keys.entries()) heap.push(key, value)
        const order = Array.from({ length: keys.length }, () => [heap.minKey(), heap.pop()])
        const expected = keys.map((key, value) => [key, value]).sort(([a = 0, x = 0], [b = 0, y = 0]) => a - b || x - y)
        expect(order).toEqual(expected)
        expect([heap.count, heap.minKey()]).toEqual([0, Number.POSITIVE_INFINITY])
      }),
    )
  })
})

describe('a job queue', () => {
  it('is first in, first out, however it grows and wraps', () => {
    fc.assert(
      fc.property(fc.array(fc.boolean(), { maxLength: 500 }), (pushes) => {
        const [queue, model]: [JobQueue, number[]] = [new JobQueue(), []]
        for (const [job, isPush] of pushes.entries()) {
          if (isPush || model.length === 0) {
            queue.push(job)
            model.push(job)
          } else expect(queue.shift()).toBe(model.shift())
          expect(queue.count).toBe(model.length)
        }
      }),
    )
  })
})
