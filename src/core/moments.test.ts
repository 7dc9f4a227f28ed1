import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { runs } from '../../test/effort.ts'
import { meanOf, momentsOf } from './moments.ts'

describe('mean and variance', () => {
  test('are those of the textbook: 2, 4, 4, 4, 5, 5, 7, 9 have 5 and 32/7', () => {
    expect(momentsOf([2, 4, 4, 4, 5, 5, 7, 9])).toEqual({ mean: 5, variance: 32 / 7 })
  })

  test('shift with the values, and grow with their scale and its square', () => {
    const values = fc.array(fc.integer({ min: -1000, max: 1000 }), { minLength: 2, maxLength: 30 })
    fc.assert(
      fc.property(values, fc.integer({ min: -50, max: 50 }), fc.integer({ min: -9, max: 9 }), (drawn, shift, scale) => {
        const { mean, variance } = momentsOf(drawn)
        const moved = momentsOf(drawn.map((value) => scale * value + shift))
        expect(moved.mean).toBeCloseTo(scale * mean + shift, 6)
        expect(moved.variance / (scale * scale * variance || 1)).toBeCloseTo(scale === 0 || variance === 0 ? 0 : 1, 6)
        expect(meanOf(drawn)).toBe(mean)
      }),
      { numRuns: runs(200) },
    )
  })

  test('of one value is that value, and none is a bug; one value has no variance', () => {
    expect(momentsOf([3])).toEqual({ mean: 3, variance: Number.NaN })
    expect(() => momentsOf([])).toThrow('Bug: no values have no mean')
  })
})
