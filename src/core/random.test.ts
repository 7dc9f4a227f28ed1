import { describe, expect, it } from 'vitest'
import { seededRandom } from './random.ts'

describe('the seeded generator', () => {
  it('is xoshiro128** of the reference, two draws to a number', () => {
    // Written from the reference C code with 64-bit integers, so that no step is shared with the source.
    const mask = 0xffff_ffffn
    const mix = (seed: bigint): bigint[] => {
      let state = seed & mask
      return Array.from({ length: 4 }, () => {
        state = (state + 0x9e3779b9n) & mask
        let z = state
        z = ((z ^ (z >> 16n)) * 0x21f0aaadn) & mask
        z = ((z ^ (z >> 15n)) * 0x735a2d97n) & mask
        return z ^ (z >> 15n)
      })
    }
    let [a = 0n, b = 0n, c = 0n, d = 0n] = mix(42n)
    const rotate = (x: bigint, by: bigint): bigint => ((x << by) | (x >> (32n - by))) & mask
    const next = (): bigint => {
      const result = (rotate((b * 5n) & mask, 7n) * 9n) & mask
      const shifted = (b << 9n) & mask
      c ^= a
      d ^= b
      b ^= c
      a ^= d
      c ^= shifted
      d = rotate(d, 11n)
      return result
    }
    const random = seededRandom(42)
    for (let k = 0; k < 1000; k++) {
      const [high, low] = [next() >> 5n, next() >> 6n]
      expect(random()).toBe(Number(high * 2n ** 26n + low) / 2 ** 53)
    }
  })

  it.each([0, 1, 42, 2 ** 32 + 1])('seed %d fills a hundred bins evenly, and the square of them too', (seed) => {
    const random = seededRandom(seed)
    const count = 100_000
    const bins = new Float64Array(100)
    const pairs = new Float64Array(100)
    let previous = random()
    for (let k = 0; k < count; k++) {
      const value = random()
      const bin = Math.floor(value * 100)
      bins[bin] = (bins[bin] ?? 0) + 1
      const pair = Math.floor(previous * 10) * 10 + Math.floor(value * 10)
      pairs[pair] = (pairs[pair] ?? 0) + 1
      previous = value
    }
    const chiSquare = (counts: Float64Array): number => counts.reduce((sum, n) => sum + (n - 1000) ** 2 / 1000, 0)
    // 99 degrees of freedom: outside 57 to 157 less than once in a thousand on each side.
    for (const counts of [bins, pairs]) {
      expect(chiSquare(counts)).toBeLessThan(157)
      expect(chiSquare(counts)).toBeGreaterThan(57)
    }
  })

  it('gives other streams for other seeds, above 32 bits too', () => {
    const firsts = [0, 1, 2, 2 ** 32, 2 ** 32 + 1, 2 ** 40, 2 ** 53 - 1].map((seed) => seededRandom(seed)())
    expect(new Set(firsts).size).toBe(firsts.length)
    expect(firsts.every((value) => value >= 0 && value < 1)).toBe(true)
  })
})
