import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { runs } from '../../test/effort.ts'
import { JobQueue } from './job-queue.ts'
import { KeyHeap } from './key-heap.ts'
import { TimeAverage } from './time-average.ts'

describe('a job queue', () => {
  it('agrees with a list, also beyond its first size and around its end', () => {
    fc.assert(
      fc.property(fc.array(fc.boolean(), { maxLength: 600 }), fc.integer({ min: 0, max: 300 }), (calls, first) => {
        const queue = new JobQueue()
        const list: number[] = []
        let next = 0
        const push = (): void => {
          queue.push(next)
          list.push(next)
          next += 1
        }
        for (let k = 0; k < first; k++) push()
        for (const isPush of calls) {
          if (isPush || list.length === 0) push()
          else expect(queue.shift()).toBe(list.shift())
          expect([queue.count, queue.peek()]).toEqual([list.length, list[0] ?? -1])
        }
      }),
      { numRuns: runs(20) },
    )
  })
})

describe('a key heap', () => {
  it('gives values by key, equal keys by value, and takes any out', () => {
    const calls = fc.array(fc.record({ key: fc.integer({ min: 0, max: 9 }), draw: fc.nat({ max: 5 }) }), {
      maxLength: 200,
    })
    fc.assert(
      fc.property(calls, (list) => {
        const heap = new KeyHeap()
        let kept: { key: number; value: number }[] = []
        for (const [value, { key, draw }] of list.entries()) {
          if (draw > 1 || kept.length === 0) {
            heap.push(key, value)
            kept.push({ key, value })
            kept.sort((a, b) => a.key - b.key || a.value - b.value)
          } else if (draw === 1) {
            expect(heap.pop()).toBe(kept.shift()?.value)
          } else {
            const victim = kept[Math.floor(kept.length / 2)]
            expect(heap.remove(victim?.value ?? -1)).toBe(victim?.key)
            kept = kept.filter((one) => one !== victim)
            expect(heap.remove(10_000)).toBeNull()
          }
          expect([heap.count, heap.minKey(), heap.minValue()]).toEqual([
            kept.length,
            kept[0]?.key ?? Number.POSITIVE_INFINITY,
            kept[0]?.value ?? -1,
          ])
          expect(new Set(heap.values())).toEqual(new Set(kept.map((one) => one.value)))
        }
      }),
      { numRuns: runs(50) },
    )
  })
})

describe('a time average', () => {
  it('is the area under the steps', () => {
    const average = new TimeAverage()
    average.add(2, 1)
    average.add(1, 3)
    average.set(0, 4)
    expect([average.value, average.area(4), average.area(10)]).toEqual([0, 7, 7])
    average.add(5, 10)
    expect(average.area(12)).toBe(17)
  })
})
