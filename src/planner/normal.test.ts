import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { erfc, normalCdf, normalMass, normalQuantile } from './normal.ts'

/** |found / expected - 1|, so that a tail of 1e-300 is held to as many digits as the middle. */
function relativeError(found: number, expected: number): number {
  return Math.abs(found / expected - 1)
}

// All references: mpmath 1.3 at 50 digits.

describe('the complementary error function', () => {
  it.each([
    [-6, 2],
    [-3, 1.9999779095030015],
    [-1, 1.842700792949715],
    [-0.3, 1.3286267594591274],
    [0, 1],
    [0.1, 0.887537083981715],
    [0.46875, 0.507386526782062],
    [0.5, 0.4795001221869535],
    [1, 0.15729920705028513],
    [2, 0.004677734981047266],
    [3.9, 3.4792248597231765e-8],
    [4, 1.541725790028002e-8],
    [4.1, 6.700027654084918e-9],
    [5, 1.537459794428035e-12],
    [8, 1.1224297172982926e-29],
    [12, 1.3562611692059042e-64],
    [20, 5.395865611607901e-176],
    [26, 5.663192408856143e-296],
    [26.5, 2.2109076642637343e-307],
  ])('of %d is %d to fourteen digits', (x, expected) => {
    expect(relativeError(erfc(x), expected)).toBeLessThan(2e-14)
  })

  it('is 0 where the result is smaller than any number, and 2 on the other side', () => {
    expect([erfc(28), erfc(Number.POSITIVE_INFINITY), erfc(-28), erfc(Number.NEGATIVE_INFINITY)]).toEqual([0, 0, 2, 2])
  })

  it('joins its three formulas without a step', () => {
    for (const join of [0.46875, 4]) {
      expect(relativeError(erfc(join * (1 + 1e-15)), erfc(join))).toBeLessThan(1e-13)
    }
  })
})

describe('the mass of a normal between two points', () => {
  it.each([
    [0, 1, 0.3413447460685429],
    [-1, 1, 0.6826894921370859],
    [1, 2, 0.13590512198327784],
    [5, 6, 2.8566498423415623e-7],
    [8, 8.5, 6.126165226049751e-16],
    [10, 20, 7.619853024160525e-24],
    [-20, -10, 7.619853024160525e-24],
    [-9, -8, 6.21983198586583e-16],
    [30, 31, 4.9067139271479176e-198],
    [-1, 37, 0.8413447460685429],
  ])('from %d to %d is %d to thirteen digits', (from, to, expected) => {
    expect(relativeError(normalMass(from, to), expected)).toBeLessThan(2e-13)
  })

  it('is 1 over the whole line, and 0 over an empty or reversed span', () => {
    expect(normalMass(Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY)).toBe(1)
    expect([normalMass(1, 1), normalMass(2, 1), normalMass(Number.NaN, 1)]).toEqual([0, 0, 0])
  })

  it('adds up over neighbouring spans and mirrors', () => {
    const point = fc.double({ min: -12, max: 12, noNaN: true })
    fc.assert(
      fc.property(point, point, point, (x, y, z) => {
        const [a = 0, b = 0, c = 0] = [x, y, z].sort((left, right) => left - right)
        const whole = normalMass(a, c)
        expect(Math.abs(normalMass(a, b) + normalMass(b, c) - whole)).toBeLessThanOrEqual(1e-15 + 1e-13 * whole)
        expect(Math.abs(normalMass(-c, -a) - whole)).toBeLessThanOrEqual(1e-15 + 1e-13 * whole)
      }),
    )
  })
})

describe('the normal quantile', () => {
  it.each([
    [1e-300, -37.0470962993612],
    [1e-100, -21.273453560965326],
    [1e-20, -9.262340089798407],
    [1e-10, -6.361340902404057],
    [1e-5, -4.264890793922825],
    [0.001, -3.0902323061678136],
    [0.02425, -1.9729610513118847],
    [0.1, -1.2815515655446004],
    [0.25, -0.6744897501960817],
    [0.4, -0.2533471031357997],
    [0.75, 0.6744897501960817],
    [0.9, 1.2815515655446006],
    [0.975, 1.9599639845400538],
    [0.999, 3.090232306167813],
  ])('at %d is %d to fourteen digits', (probability, expected) => {
    expect(relativeError(normalQuantile(probability), expected)).toBeLessThan(2e-14)
  })

  it('is 0 at one half and infinite at the ends', () => {
    expect(Math.abs(normalQuantile(0.5))).toBeLessThan(1e-15)
    expect(normalQuantile(0)).toBe(Number.NEGATIVE_INFINITY)
    expect(normalQuantile(1)).toBe(Number.POSITIVE_INFINITY)
  })

  it('undoes the distribution function, from 1e-280 to one half', () => {
    fc.assert(
      fc.property(fc.double({ min: -280, max: -0.30103, noNaN: true }), (log10) => {
        const probability = 10 ** log10
        expect(relativeError(normalCdf(normalQuantile(probability)), probability)).toBeLessThan(1e-11)
      }),
    )
  })
})
