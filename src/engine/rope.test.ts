import fc from 'fast-check'
import { expect, test } from 'vitest'
import { ropeFrequencies } from './rope.ts'

test('frequencies are powers of theta to the last bits of 64', () => {
  fc.assert(
    fc.property(fc.double({ min: 2, max: 1e8, noNaN: true }), fc.integer({ min: 1, max: 128 }), (theta, half) => {
      const frequencies = ropeFrequencies(theta, 2 * half)
      expect(frequencies).toHaveLength(half)
      for (const [pair, frequency] of frequencies.entries()) {
        const expected = theta ** ((-2 * pair) / (2 * half))
        expect(Math.abs(frequency / expected - 1)).toBeLessThan(1e-14)
      }
    }),
  )
})
