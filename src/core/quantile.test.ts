import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { medianOfSorted, quantileOfSorted, sortedAscending } from './quantile.ts'

describe('quantiles by nearest rank', () => {
  it('takes the value at index ceil(q n) - 1', () => {
    const sorted = [10, 20, 30, 40]
    expect([0, 0.25, 0.26, 0.5, 0.51, 0.75, 0.99, 1].map((q) => quantileOfSorted(sorted, q))).toEqual([
      10, 10, 20, 20, 30, 30, 40, 40,
    ])
  })

  it('does not slip a rank where binary fractions round up', () => {
    const sorted = Array.from({ length: 100 }, (_, index) => index + 1)
    for (let percent = 1; percent <= 100; percent++) expect(quantileOfSorted(sorted, percent / 100)).toBe(percent)
    expect(0.07 * 100).toBeGreaterThan(7)
  })

  it('gives a value that occurred, with at least the share q at or below it and less than q strictly below', () => {
    const lists = fc.array(fc.integer({ min: -50, max: 50 }), { minLength: 1, maxLength: 60 })
    fc.assert(
      fc.property(lists, fc.integer({ min: 1, max: 100 }), (list, percent) => {
        const value = quantileOfSorted(sortedAscending(list), percent / 100)
        expect(list).toContain(value)
        expect(list.filter((other) => other <= value).length * 100).toBeGreaterThanOrEqual(percent * list.length)
        expect(list.filter((other) => other < value).length * 100).toBeLessThan(percent * list.length)
      }),
    )
  })

  it('refuses an empty list and a quantile outside 0 to 1, which are bugs of the caller', () => {
    expect(() => quantileOfSorted([], 0.5)).toThrow('Bug: no value at index 0 of 0')
    expect(() => quantileOfSorted([1], 1.5)).toThrow('Bug: a quantile lies between 0 and 1, not at 1.5')
  })
})

describe('the median', () => {
  it('is the middle value, or the mean of the middle two', () => {
    expect(medianOfSorted([1, 2, 9])).toBe(2)
    expect(medianOfSorted([1, 2, 4, 9])).toBe(3)
  })
})

describe('sortedAscending', () => {
  it('sorts by number and leaves its input alone', () => {
    const values = Int32Array.of(10, 9, -1)
    expect([...sortedAscending(values)]).toEqual([-1, 9, 10])
    expect([...values]).toEqual([10, 9, -1])
  })
})
