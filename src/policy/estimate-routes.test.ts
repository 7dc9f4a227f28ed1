import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { runs } from '../../test/effort.ts'
import { expectedPrice, expectedTtftSeconds, type PrefillEstimate } from './cost.ts'
import { routeByPrice } from './economic-route.ts'
import { routeByLatency } from './latency-route.ts'

const base: PrefillEstimate = {
  waitSeconds: 1,
  prefillSeconds: 2,
  transferSeconds: 0.5,
  transferBytes: 1e9,
  pricePerInstanceSecond: 0.01,
  pricePerByte: 2e-11,
}
const zeroTo = (max: number): fc.Arbitrary<number> => fc.double({ min: 0, max, noNaN: true })
const estimates = fc.record({
  waitSeconds: zeroTo(20),
  prefillSeconds: zeroTo(20),
  transferSeconds: zeroTo(20),
  transferBytes: zeroTo(1e10),
  pricePerInstanceSecond: zeroTo(1),
  pricePerByte: zeroTo(1e-9),
})

describe('an estimate', () => {
  it('adds up to a time and a price', () => {
    expect(expectedTtftSeconds(base)).toBe(3.5)
    expect(expectedPrice(base)).toBeCloseTo(0.02 + 0.02, 12)
  })
})

describe('routing by latency', () => {
  it('takes the faster place, and the local one of two that are as fast', () => {
    expect(routeByLatency({ ...base, waitSeconds: 0.9 }, base)).toBe('remote')
    expect(routeByLatency(base, base)).toBe('local')
    expect(routeByLatency({ ...base, transferSeconds: 0.6 }, base)).toBe('local')
  })
})

describe('routing by price', () => {
  it('takes the cheaper place within the bound, and the faster of two that cost the same', () => {
    const cheap = { ...base, pricePerInstanceSecond: 0.001, waitSeconds: 5 }
    expect(routeByPrice(cheap, base, 10)).toBe('remote')
    expect(routeByPrice(base, cheap, 10)).toBe('local')
    // Cheap, but too late.
    expect(routeByPrice(cheap, base, 4)).toBe('local')
    expect(routeByPrice(base, cheap, 4)).toBe('remote')
    expect(routeByPrice({ ...base, waitSeconds: 0 }, base, 10)).toBe('remote')
    expect(routeByPrice(base, base, 10)).toBe('local')
    // Neither in time: the faster.
    expect(routeByPrice(cheap, base, 1)).toBe('local')
  })

  it('respects the bound wherever one place does, and pays no more than it has to', () => {
    fc.assert(
      fc.property(estimates, estimates, zeroTo(60), (remote, local, bound) => {
        const [chosen, other] = routeByPrice(remote, local, bound) === 'remote' ? [remote, local] : [local, remote]
        const isInTime = (estimate: PrefillEstimate): boolean => expectedTtftSeconds(estimate) <= bound
        if (isInTime(other)) {
          expect(isInTime(chosen)).toBe(true)
          expect(expectedPrice(chosen)).toBeLessThanOrEqual(expectedPrice(other))
        }
        if (!isInTime(chosen)) expect(expectedTtftSeconds(chosen)).toBeLessThanOrEqual(expectedTtftSeconds(other))
      }),
      { numRuns: runs(200) },
    )
  })
})
