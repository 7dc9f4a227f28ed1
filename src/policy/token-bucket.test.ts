import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { runs } from '../../test/effort.ts'
import { backoffSeconds } from './backoff.ts'
import { TokenBucket } from './token-bucket.ts'

describe('a token bucket', () => {
  test('never lets more pass than its burst and what time brings, and all of that', () => {
    const steps = fc.array(
      fc.tuple(fc.double({ min: 0, max: 3, noNaN: true }), fc.double({ min: 0.1, max: 8, noNaN: true })),
    )
    fc.assert(
      fc.property(steps, (steps) => {
        const bucket = new TokenBucket({ perSecond: 2, burst: 5 }, 0)
        let now = 0
        let taken = 0
        for (const [pause, amount] of steps) {
          now += pause
          const wait = bucket.tryTake(amount, now)
          if (wait === 0) taken += amount
          else if (amount > 5) expect(wait).toBe(Infinity)
          else {
            expect(bucket.tryTake(amount, now + 0.99 * wait)).toBeGreaterThan(0)
            now += wait * 1.0001
            expect(bucket.tryTake(amount, now)).toBe(0)
            taken += amount
          }
          expect(taken).toBeLessThanOrEqual(5 + 2 * now + 1e-9)
        }
      }),
      { numRuns: runs(200) },
    )
  })

  test('reserves ahead in order, for any amount, and takes back what was not used', () => {
    const bucket = new TokenBucket({ perSecond: 10, burst: 10 }, 0)
    expect(bucket.reserve(10, 0)).toBe(0)
    expect(bucket.reserve(100, 0)).toBe(10)
    expect(bucket.reserve(10, 1)).toBe(10)
    expect(bucket.tryTake(1, 1)).toBeCloseTo(10.1)
    bucket.refund(100)
    expect(bucket.level(1)).toBe(0)
    bucket.refund(100)
    expect(bucket.level(1)).toBe(10)
    // Time that goes back changes nothing.
    expect(bucket.level(0)).toBe(10)
  })

  test('is refused without a rate or a burst', () => {
    for (const perSecond of [0, -1, Infinity, Number.NaN])
      expect(() => new TokenBucket({ perSecond, burst: 1 }, 0)).toThrow('above 0')
    expect(() => new TokenBucket({ perSecond: 1, burst: 0 }, 0)).toThrow('above 0')
  })
})

test('a backoff doubles up to its bound, and is spread over half of it', () => {
  const options = { firstSeconds: 0.1, maxSeconds: 1 }
  expect([1, 2, 3, 4, 5, 5000].map((failures) => backoffSeconds(failures, options, () => 1))).toEqual([
    0.1, 0.2, 0.4, 0.8, 1, 1,
  ])
  expect(backoffSeconds(5, options, () => 0)).toBe(0.5)
})
