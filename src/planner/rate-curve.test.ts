import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { runs } from '../../test/effort.ts'
import { exponential, seededRandom } from '../core/random.ts'
import { buildScenario } from './scenario.ts'
import { preset } from './presets.ts'
import { curveOfClients, meanRateSeconds, RateClock, rateCurve } from './rate-curve.ts'
import { syntheticTraffic } from './sim-traffic.ts'
import type { ClientRates } from './trace.ts'

describe('a rate curve', () => {
  it('has a mean of 1, whatever the scale', () => {
    fc.assert(
      fc.property(fc.array(fc.double({ min: 0, max: 1e6, noNaN: true }), { minLength: 1, maxLength: 50 }), (values) => {
        fc.pre(values.some((value) => value > 1e-3))
        const { factors } = rateCurve(60, values)
        expect(factors.reduce((sum, factor) => sum + factor, 0) / factors.length).toBeCloseTo(1, 9)
      }),
      { numRuns: runs(50) },
    )
  })

  it.each([
    [0, [1]],
    [-1, [1]],
    [Number.NaN, [1]],
    [60, []],
    [60, [0, 0]],
    [60, [1, -1]],
    [60, [1, Number.NaN]],
    [60, [Number.POSITIVE_INFINITY]],
  ])('of steps of %d s with %j is refused', (stepSeconds, values) => {
    expect(() => rateCurve(stepSeconds, values)).toThrow(expect.objectContaining({ code: 'INVALID_CONFIG' }))
  })

  it('turns gaps into times by hand: nothing in empty steps, twice as fast where the factor is 2', () => {
    const clock = new RateClock(rateCurve(10, [0, 2]))
    // The mean rate brings 1 in 1 s; the curve brings nothing until 10 s, then 2 a second, 20 in the first cycle.
    expect(clock.advance(2)).toBeCloseTo(11, 12)
    expect(clock.advance(16)).toBeCloseTo(19, 12)
    expect(clock.advance(4)).toBeCloseTo(31, 12)
  })

  it('brings in each cycle what the mean rate brings, for any gaps', () => {
    fc.assert(
      fc.property(
        fc.array(fc.constantFrom(0, 0.1, 1, 7), { minLength: 1, maxLength: 12 }),
        fc.nat(),
        (values, seed) => {
          fc.pre(values.some((value) => value > 0))
          const curve = rateCurve(5, values)
          const clock = new RateClock(curve)
          const random = seededRandom(seed)
          let [gone, last] = [0, 0]
          for (let k = 0; k < 100; k++) {
            const gap = exponential(random)
            gone += gap
            const at = clock.advance(gap)
            expect(at).toBeGreaterThanOrEqual(last)
            last = at
            // The integral of the curve up to `at` is the time that has gone at the mean rate.
            const steps = Math.floor(at / 5)
            let integral = 0
            for (let step = 0; step < steps; step++) integral += 5 * (curve.factors[step % values.length] ?? 0)
            integral += (at - 5 * steps) * (curve.factors[steps % values.length] ?? 0)
            expect(integral).toBeCloseTo(gone, 6)
          }
        },
      ),
      { numRuns: runs(50) },
    )
  })

  it('brings in the first day of a rich and a poor one 1.6 times the mean, nothing while it is 0, and the mean in whole periods', () => {
    const days = rateCurve(86_400, [2, 0.5])
    expect(meanRateSeconds(days, 86_400)).toBeCloseTo(1.6 * 86_400, 6)
    expect(meanRateSeconds(days, 2 * 86_400)).toBeCloseTo(2 * 86_400, 6)
    expect(meanRateSeconds(days, 2.5 * 86_400)).toBeCloseTo(2.8 * 86_400, 6)
    expect(meanRateSeconds(rateCurve(60, [0, 1]), 60)).toBe(0)
    expect(meanRateSeconds(rateCurve(60, [0, 1]), 61)).toBeCloseTo(2, 9)
  })

  it('brings by any time what its clock says', () => {
    fc.assert(
      fc.property(
        fc.array(fc.constantFrom(0.1, 1, 7), { minLength: 1, maxLength: 12 }),
        fc.double({ min: 0.1, max: 500, noNaN: true }),
        (values, seconds) => {
          const curve = rateCurve(5, values)
          expect(new RateClock(curve).advance(meanRateSeconds(curve, seconds))).toBeCloseTo(seconds, 6)
        },
      ),
      { numRuns: runs(50) },
    )
  })

  it('fills a duration with as many requests as its integral brings', () => {
    const scenario = buildScenario(preset('case-study'))
    const curve = rateCurve(86_400, [2, 0.5])
    const requests = Math.round(meanRateSeconds(curve, 86_400))
    const arrivals = { kind: 'poisson', rateRps: 1, burstiness: 1 } as const
    const traffic = syntheticTraffic({ lengths: scenario.lengths, outputTokens: 1, arrivals, curve, requests, seed: 1 })
    while (traffic.next());
    expect(Math.abs(traffic.head.atSeconds / 86_400 - 1)).toBeLessThan(0.02)
  })

  it('is passed in no time by a gap of many periods', () => {
    const clock = new RateClock(rateCurve(0.001, [0, 2]))
    const first = clock.advance(1e9)
    expect(first).toBeCloseTo(1e9, 1)
    expect(clock.advance(1e-6)).toBeGreaterThanOrEqual(first)
  })

  it('is followed by the counts of a stream, step by step, and its mean rate is kept', () => {
    const scenario = buildScenario(preset('case-study'))
    const values = [1, 4, 0, 3]
    const curve = rateCurve(100, values)
    const requests = 80_000
    const traffic = syntheticTraffic({
      lengths: scenario.lengths,
      outputTokens: 1,
      arrivals: { kind: 'poisson', rateRps: 10, burstiness: 1 },
      curve,
      requests,
      seed: 4,
    })
    const counts = new Float64Array(values.length)
    while (traffic.next()) {
      const step = Math.floor(traffic.head.atSeconds / 100) % values.length
      counts[step] = (counts[step] ?? 0) + 1
    }
    for (const [k, value] of values.entries()) {
      const expected = (requests * value) / 8
      expect(Math.abs((counts[k] ?? 0) - expected)).toBeLessThanOrEqual(5 * Math.sqrt(expected) + 1000 / values.length)
    }
    expect(counts[2]).toBe(0)
    expect(requests / traffic.head.atSeconds / 10).toBeCloseTo(1, 1)
  })

  it('of clients is the sum of their rates, with the variation weighted by rate', () => {
    const rates: Partial<ClientRates> = {
      rowCount: 4,
      windowSeconds: 60,
      windowStartSeconds: Int32Array.of(120, 180, 120, 240),
      requestsPerSecond: Float64Array.of(1, 2, 3, 0),
      cv: Float64Array.of(1, 2, 1, 9),
    }
    const { curve, rateRps, burstiness } = curveOfClients(rates as ClientRates)
    expect(rateRps).toBeCloseTo(2, 12)
    expect([...curve.factors]).toEqual([2, 1, 0])
    expect(burstiness).toBeCloseTo((1 + 8 + 3) / 6, 12)
  })
})
