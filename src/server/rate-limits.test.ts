import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { MembraneError } from '../core/errors.ts'
import { DEFAULT_TENANT } from '../core/ids.ts'
import { LIMITS } from '../core/limits.ts'
import type { Caller } from './caller.ts'
import { RateLimits } from './rate-limits.ts'

function callerOf(name: string): Caller {
  return { name, tenant: DEFAULT_TENANT, role: 'writer' }
}

function limitsAt(requestsPerSecondMax: number | null, bytesPerSecondMax: number | null) {
  const time = { now: 0 }
  const limits = new RateLimits({ requestsPerSecondMax, bytesPerSecondMax, stopwatch: { seconds: () => time.now } })
  const waitOf = (name: string, bytes = 0): number => {
    try {
      limits.take(callerOf(name), bytes)
      return 0
    } catch (error) {
      if (!(error instanceof MembraneError) || error.code !== 'RATE_LIMITED') throw error
      return Number(error.details['retryAfterSeconds'])
    }
  }
  return { time, waitOf }
}

describe('requests', () => {
  test('are let through for one second at once, then one by one as time goes on', () => {
    const { time, waitOf } = limitsAt(10, null)
    expect(Array.from({ length: 11 }, () => waitOf('a') > 0)).toEqual([...Array(10).fill(false), true])
    time.now = 0.1
    expect(waitOf('a')).toBe(0)
    expect(waitOf('a')).toBeCloseTo(0.1)
    time.now = 100
    expect(Array.from({ length: 11 }, () => waitOf('a') > 0)).toEqual([...Array(10).fill(false), true])
  })

  test('below one a second are let through one at a time', () => {
    const { time, waitOf } = limitsAt(0.1, null)
    expect(waitOf('a')).toBe(0)
    expect(waitOf('a')).toBe(10)
    time.now = 10
    expect(waitOf('a')).toBe(0)
  })

  test('of one credential cost another one nothing', () => {
    const { waitOf } = limitsAt(1, null)
    expect(waitOf('a')).toBe(0)
    expect(waitOf('a')).toBeGreaterThan(0)
    expect(waitOf('b')).toBe(0)
  })

  test('that wait as long as they are told are let through, and no more of them than the rate', () => {
    const gaps = fc.array(fc.record({ gap: fc.double({ min: 0, max: 2, noNaN: true }), bytes: fc.nat(3000) }), {
      maxLength: 100,
    })
    fc.assert(
      fc.property(gaps, fc.integer({ min: 1, max: 50 }), (steps, rate) => {
        const { time, waitOf } = limitsAt(rate, 1000)
        let passed = 0
        let passedBytes = 0
        let largest = 0
        for (const { gap, bytes } of steps) {
          time.now += gap
          const wait = waitOf('a', bytes)
          if (wait > 0) {
            time.now += wait
            expect(waitOf('a', bytes)).toBe(0)
          }
          passed++
          passedBytes += bytes
          largest = Math.max(largest, bytes)
          expect(passed).toBeLessThanOrEqual(rate * (time.now + 1) + 1e-6)
          expect(passedBytes).toBeLessThanOrEqual(1000 * (time.now + 1) + largest + 1e-3)
        }
      }),
    )
  })
})

describe('bytes', () => {
  test('of a payload larger than a second allows go through, and are paid off before the next', () => {
    const { time, waitOf } = limitsAt(null, 100)
    expect(waitOf('a', 1000)).toBe(0)
    expect(waitOf('a', 1)).toBe(9)
    // What sends nothing does not wait.
    expect(waitOf('a', 0)).toBe(0)
    time.now = 9
    expect(waitOf('a', 1)).toBe(0)
  })

  test('are not taken by a request that is refused', () => {
    const { time, waitOf } = limitsAt(1, 100)
    expect(waitOf('a', 50)).toBe(0)
    expect(waitOf('a', 1e9)).toBeGreaterThan(0)
    time.now = 1
    expect(waitOf('a', 50)).toBe(0)
  })
})

test('callers that are kept are bounded', () => {
  const { waitOf } = limitsAt(1, null)
  expect(waitOf('first')).toBe(0)
  expect(waitOf('first')).toBeGreaterThan(0)
  for (let n = 0; n < LIMITS.rateBucketsMax; n++) waitOf(`other-${n}`)
  expect(waitOf('first')).toBe(0)
})

test('without a rate nothing is refused', () => {
  const { waitOf } = limitsAt(null, null)
  for (let n = 0; n < 1000; n++) expect(waitOf('a', 1e12)).toBe(0)
})
