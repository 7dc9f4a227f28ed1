import fc from 'fast-check'
import { expect, test } from 'vitest'
import { MeasuredRates } from '../policy/measured-rates.ts'
import { runs } from '../../test/effort.ts'
import { SharedReads } from './shared-reads.ts'

function timed() {
  const clock = { now: 0 }
  return { clock, reads: new SharedReads({ seconds: () => clock.now }) }
}

test('a read that is alone takes what it took', () => {
  const { clock, reads } = timed()
  clock.now = 5
  const end = reads.begin('b')
  clock.now = 7.5
  expect(end(1)).toBe(2.5)
  expect(reads.begin('b')(1)).toBe(0)
})

test('reads that share a place divide its time, but not their wait for the first byte', () => {
  const { clock, reads } = timed()
  const ends = [reads.begin('b'), reads.begin('b'), reads.begin('b'), reads.begin('b')]
  const other = reads.begin('c')
  clock.now = 9
  expect(ends.map((end) => end(1))).toEqual([3, 3, 3, 3])
  expect(other(1)).toBe(9)
})

test('however reads overlap, their shares are the time in which the place was busy', () => {
  const history = fc.array(fc.record({ wait: fc.nat(1000), read: fc.nat(5) }), { maxLength: 40 })
  fc.assert(
    fc.property(history, (steps) => {
      const { clock, reads } = timed()
      const active = new Map<number, (latencySeconds: number) => number>()
      let [busy, shares] = [0, 0]
      const end = (read: number): void => {
        shares += active.get(read)?.(0) ?? 0
        active.delete(read)
      }
      for (const { wait, read } of steps) {
        clock.now += wait
        if (active.size > 0) busy += wait
        if (active.has(read)) end(read)
        else active.set(read, reads.begin('b'))
      }
      for (const read of active.keys()) end(read)
      expect(shares).toBeCloseTo(busy, 6)
    }),
    { numRuns: runs(200) },
  )
})

test('latency and bandwidth are learnt as they are, whatever goes on at a time', () => {
  const [latencySeconds, bytesPerSecond] = [0.02, 1e7]
  const learnt = new MeasuredRates()
  const { clock, reads } = timed()
  for (let round = 0; round < 60; round++) {
    const count = 1 + (round % 4)
    const bytes = 1e4 * (1 + (round % 7)) ** 2
    const ends = Array.from({ length: count }, () => reads.begin('b'))
    clock.now += latencySeconds + (count * bytes) / bytesPerSecond
    for (const end of ends) learnt.observeRead('b', bytes, end(learnt.read('b').latencySeconds))
  }
  const found = learnt.read('b')
  expect(found.latencySeconds / latencySeconds).toBeCloseTo(1, 1)
  expect(found.bytesPerSecond / bytesPerSecond).toBeCloseTo(1, 1)
})
