import { describe, expect, it } from 'vitest'
import { seededRandom } from '../core/random.ts'
import { arrivalGaps } from './arrivals.ts'

describe('arrival gaps', () => {
  it.each([
    ['poisson', 1],
    ['gamma', 0.25],
    ['gamma', 5],
    ['weibull', 0.5],
    ['weibull', 4],
  ] as const)('of %s with squared variation %d have that, and the rate', (kind, burstiness) => {
    const gap = arrivalGaps({ kind, rateRps: 4, burstiness }, seededRandom(11))
    const gaps = Array.from({ length: 200_000 }, gap)
    const mean = gaps.reduce((sum, value) => sum + value, 0) / gaps.length
    const variance = gaps.reduce((sum, value) => sum + (value - mean) ** 2, 0) / gaps.length
    expect(mean * 4).toBeCloseTo(1, 1)
    expect(variance / mean ** 2 / burstiness).toBeGreaterThan(0.93)
    expect(variance / mean ** 2 / burstiness).toBeLessThan(1.07)
  })
})
