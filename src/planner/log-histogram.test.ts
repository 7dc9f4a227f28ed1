import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { runs } from '../../test/effort.ts'
import { LogHistogram } from './log-histogram.ts'

const values = fc.array(fc.double({ min: 1e-5, max: 1e6, noNaN: true }), { minLength: 1, maxLength: 300 })

function of(list: readonly number[]): LogHistogram {
  const histogram = new LogHistogram()
  for (const value of list) histogram.record(value)
  return histogram
}

describe('a log histogram', () => {
  it('has an exact mean and maximum, and quantiles within half a bucket of the nearest rank', () => {
    fc.assert(
      fc.property(values, fc.double({ min: 0.01, max: 1, noNaN: true }), (list, share) => {
        const histogram = of(list)
        expect(histogram.mean()).toBeCloseTo(list.reduce((sum, value) => sum + value, 0) / list.length, 6)
        expect(histogram.max).toBe(Math.max(...list))
        const exact = list.toSorted((a, b) => a - b)[Math.ceil(share * list.length - 1e-9) - 1] ?? 0
        expect(Math.abs(histogram.quantile(share) / exact - 1)).toBeLessThanOrEqual(1 / 256)
      }),
      { numRuns: runs(100) },
    )
  })

  it('merged with another is that of all values together, also from plain data', () => {
    fc.assert(
      fc.property(values, values, (one, other) => {
        const merged = new LogHistogram(of(one).data())
        merged.merge(new LogHistogram(of(other).data()))
        const whole = of([...one, ...other])
        expect(merged.count).toBe(whole.count)
        expect(merged.max).toBe(whole.max)
        expect(merged.sum).toBeCloseTo(whole.sum, 3)
        expect(merged.data().counts).toEqual(whole.data().counts)
      }),
      { numRuns: runs(30) },
    )
  })

  it('does not change the data it was made from, or that it gives', () => {
    const data = of([1, 2]).data()
    const copy = new LogHistogram(data)
    copy.record(1)
    expect(new LogHistogram(data).count).toBe(2)
  })

  it('has a cumulative distribution that ascends and ends at 1 and the maximum', () => {
    fc.assert(
      fc.property(values, (list) => {
        const points = of(list).cumulative()
        expect(points.at(-1)).toEqual({ value: Math.max(...list), share: 1 })
        for (const [k, { value, share }] of points.entries()) {
          const before = points[k - 1]
          expect(value).toBeGreaterThan(before?.value ?? 0)
          expect(share).toBeGreaterThan(before?.share ?? 0)
          // Nothing up to the end of a bucket is left out, and nothing above it counted.
          expect(Math.round(share * list.length)).toBe(
            list.filter((one) => one < value || (one === value && k === points.length - 1)).length,
          )
        }
      }),
      { numRuns: runs(50) },
    )
  })

  it('keeps zero, and what lies beyond its ends', () => {
    const histogram = of([0, 0, 1e-9, 1e12])
    expect(histogram.count).toBe(4)
    expect(histogram.quantile(0.5)).toBe(0)
    expect(histogram.max).toBe(1e12)
    expect(histogram.quantile(1)).toBeGreaterThan(1e8)
    expect(histogram.cumulative().at(-1)?.share).toBe(1)
  })

  it('of nothing says zero', () => {
    const empty = new LogHistogram()
    expect([empty.mean(), empty.quantile(0.9), empty.max, empty.cumulative()]).toEqual([0, 0, 0, []])
  })
})
