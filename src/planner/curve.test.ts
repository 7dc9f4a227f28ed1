import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { addCurves, affineCurve, curveOfPieces, evaluatePiece, rootsOfQuadratic, shiftOrigin } from './curve.ts'
import { interpolate } from './interpolate.ts'

/** Sixteenths: a coefficient is 0 or worth having. */
const coefficient = fc.integer({ min: -160, max: 160 }).map((sixteenths) => sixteenths / 16)
const cubic = fc.array(coefficient, { minLength: 1, maxLength: 4 })

describe('a piece', () => {
  it('is the polynomial around its own origin', () => {
    const piece = { from: 0, origin: 2, coefficients: [5, -1, 0.5, 2] }
    expect(evaluatePiece(piece, 2)).toBe(5)
    expect(evaluatePiece(piece, 5)).toBe(5 - 3 + 0.5 * 9 + 2 * 27)
  })

  it('is the same polynomial around any other origin', () => {
    fc.assert(
      fc.property(cubic, coefficient, coefficient, coefficient, (coefficients, origin, other, x) => {
        const piece = { from: 0, origin, coefficients }
        const moved = { from: 0, origin: other, coefficients: shiftOrigin(piece, other) }
        expect(moved.coefficients).toHaveLength(coefficients.length)
        expect(Math.abs(evaluatePiece(moved, x) - evaluatePiece(piece, x))).toBeLessThan(1e-8)
      }),
    )
  })

  it('moved to its own origin stays as it is, and moved there and back returns', () => {
    const piece = { from: 0, origin: 3, coefficients: [1, 2, 3, 4] }
    expect(shiftOrigin(piece, 3)).toEqual([1, 2, 3, 4])
    expect(shiftOrigin({ ...piece, origin: 10, coefficients: shiftOrigin(piece, 10) }, 3)).toEqual([1, 2, 3, 4])
  })
})

describe('a curve of pieces', () => {
  const zigzag = curveOfPieces([
    { from: 0, origin: 0, coefficients: [1, 1] },
    { from: 10, origin: 10, coefficients: [11, -2] },
    { from: 15, origin: 15, coefficients: [1, 0, 1] },
  ])

  it('takes each length with the last piece that starts at or below it', () => {
    expect([0, 9.5, 10, 12, 15, 17].map((tokens) => zigzag.at(tokens))).toEqual([1, 10.5, 11, 7, 1, 5])
  })

  it('breaks where a piece starts and where one turns inside its own range', () => {
    const bowl = curveOfPieces([
      { from: 0, origin: 0, coefficients: [0, -6, 1] },
      { from: 5, origin: 0, coefficients: [0, -6, 1] },
    ])
    expect(bowl.breaks).toEqual([3, 5])
    // x^3 - 12 x^2 + 36 x turns at 2 and at 6.
    expect(curveOfPieces([{ from: 0, origin: 0, coefficients: [0, 36, -12, 1] }]).breaks).toEqual([2, 6])
    expect(zigzag.breaks).toEqual([10, 15])
    const beyond = curveOfPieces([
      { from: 0, origin: 0, coefficients: [0, -16, 1] },
      { from: 5, origin: 5, coefficients: [-55, 1] },
    ])
    expect(beyond.breaks).toEqual([5])
  })

  it('is monotone between two breaks and beyond the last, so that crossings can be bisected', () => {
    fc.assert(
      fc.property(
        fc.array(fc.array(coefficient, { minLength: 4, maxLength: 4 }), { minLength: 1, maxLength: 4 }),
        (all) => {
          const curve = curveOfPieces(all.map((coefficients, k) => ({ from: 4 * k, origin: 4 * k + 1, coefficients })))
          const cuts = [0, ...curve.breaks, 30]
          for (let k = 0; k + 1 < cuts.length; k++) {
            const [from, to] = [cuts[k] ?? 0, cuts[k + 1] ?? 0]
            const inside = Array.from({ length: 9 }, (_, j) => curve.at(from + ((to - from) * (j + 0.5)) / 9))
            const steps = inside.slice(1).map((value, j) => value - (inside[j] ?? 0))
            const slack = 1e-9 * Math.max(1, ...inside.map(Math.abs))
            expect(steps.every((step) => step >= -slack) || steps.every((step) => step <= slack)).toBe(true)
          }
        },
      ),
    )
  })

  it('refuses pieces that leave the first tokens uncovered', () => {
    expect(() => curveOfPieces([])).toThrow('Bug: pieces start at 0')
    expect(() => curveOfPieces([{ from: 1, origin: 0, coefficients: [1] }])).toThrow('Bug: pieces start at 0')
  })
})

describe('the sum of two curves', () => {
  const points = [1000, 8000, 32_000, 128_000]
  const seconds = [0.44, 0.72, 1.84, 7.4]
  const kv = affineCurve(1e8, 17_280)

  it.each(['linear', 'monotone-cubic', 'least-squares-quadratic', 'log-log-cubic'] as const)(
    'is their sum everywhere, %s',
    (kind) => {
      const prefill = interpolate(points, seconds, kind, { below: 'hold', above: 'extrapolate' })
      const sum = addCurves(prefill, kv, 1e-10)
      for (const tokens of [1, 500, 1000, 3000, 8000, 20_000, 32_000, 100_000, 128_000, 500_000]) {
        expect(sum.at(tokens)).toBeCloseTo(prefill.at(tokens) + 1e-10 * kv.at(tokens), 11)
      }
      expect(sum.pieces === null).toBe(kind === 'log-log-cubic')
      const joins = kind === 'least-squares-quadratic' ? [1000, 128_000] : points
      expect(joins.filter((tokens) => !sum.breaks.includes(tokens))).toEqual([])
    },
  )

  it('breaks at the knots of both', () => {
    const other = interpolate([500, 9000], [1, 2], 'linear', { below: 'hold', above: 'hold' })
    const sum = addCurves(interpolate(points, seconds, 'linear', { below: 'hold', above: 'hold' }), other, 1)
    expect(sum.breaks).toEqual([500, 1000, 8000, 9000, 32_000, 128_000])
  })

  it('finds the turn that neither curve has alone', () => {
    const falling = curveOfPieces([{ from: 0, origin: 0, coefficients: [100, -8] }])
    const rising = curveOfPieces([{ from: 0, origin: 0, coefficients: [0, 0, 1] }])
    expect(addCurves(falling, rising, 1).breaks).toEqual([4])
    expect(addCurves(rising, falling, 0.5).breaks).toEqual([2])
  })
})

describe('the roots of a quadratic', () => {
  it('are found with and without each coefficient', () => {
    expect(rootsOfQuadratic(1, -3, 2).sort((a, b) => a - b)).toEqual([1, 2])
    expect(rootsOfQuadratic(0, 2, -8)).toEqual([4])
    expect(rootsOfQuadratic(1, 0, 4)).toEqual([])
    expect(rootsOfQuadratic(0, 0, 3)).toEqual([])
  })

  it('keep the digits of a root a billion times smaller than the other', () => {
    const roots = rootsOfQuadratic(1, -1e9, 1).sort((a, b) => a - b)
    expect(roots[0]).toBeCloseTo(1e-9, 20)
    expect(roots[1]).toBeCloseTo(1e9, 3)
  })
})
