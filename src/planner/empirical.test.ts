import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { quantileOfSorted } from '../core/quantile.ts'
import { affineCurve } from './curve.ts'
import { empiricalLengths, fixedLengths } from './empirical.ts'
import { conditionalMean, meanTokens } from './lengths.ts'

const samples = fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 1, maxLength: 50 })
const bound = fc.integer({ min: 0, max: 70 })

describe('a sample of lengths', () => {
  const lengths = empiricalLengths([30, 10, 20, 20, 40])

  it('counts with spans open on the left and closed on the right', () => {
    expect(lengths.mass(10, 20)).toBe(0.4)
    expect(lengths.mass(0, 10)).toBe(0.2)
    expect(lengths.mass(20, 40)).toBe(0.4)
    expect(lengths.mass(20, 20)).toBe(0)
    expect(lengths.mass(30, 10)).toBe(0)
    expect(lengths.partialMean(10, 20)).toBe(8)
    expect(conditionalMean(lengths, 20, 40)).toBe(35)
    expect(conditionalMean(lengths, 40, 1000)).toBeNull()
    expect([lengths.minTokens, lengths.maxTokens, meanTokens(lengths)]).toEqual([10, 40, 24])
  })

  it('has quantiles by nearest rank', () => {
    expect([0, 0.2, 0.21, 0.6, 0.61, 0.8, 0.81, 1].map((share) => lengths.quantile(share))).toEqual([
      10, 10, 20, 20, 30, 30, 40, 40,
    ])
  })

  it('agrees with plain counting on any span, for any curve', () => {
    fc.assert(
      fc.property(samples, bound, bound, fc.integer({ min: 1, max: 100 }), (tokens, from, to, percent) => {
        const inside = tokens.filter((length) => length > from && length <= to)
        const sum = (f: (length: number) => number): number =>
          inside.reduce((total, length) => total + f(length), 0) / tokens.length
        const some = empiricalLengths(tokens)
        const curve = affineCurve(3, 0.5)
        expect(some.mass(from, to)).toBeCloseTo(inside.length / tokens.length, 12)
        expect(some.partialMean(from, to)).toBeCloseTo(
          sum((length) => length),
          10,
        )
        expect(some.expect(curve, 1, from, to)).toBeCloseTo(
          sum((length) => 3 + 0.5 * length),
          10,
        )
        expect(some.expect(curve, 2, from, to)).toBeCloseTo(
          sum((length) => (3 + 0.5 * length) ** 2),
          8,
        )
        expect(some.quantile(percent / 100)).toBe(
          quantileOfSorted(
            tokens.toSorted((a, b) => a - b),
            percent / 100,
          ),
        )
      }),
    )
  })

  it('keeps the sums of two curves apart', () => {
    const [first, second] = [affineCurve(1, 0), affineCurve(2, 0)]
    expect([first, second, first].map((curve) => lengths.expect(curve, 1, 0, 100))).toEqual([1, 2, 1])
  })

  it('scaled is a sample of the scaled lengths', () => {
    const half = lengths.scaled(0.5)
    expect([half.minTokens, half.maxTokens, meanTokens(half)]).toEqual([5, 20, 12])
    expect(half.mass(5, 10)).toBe(0.4)
    expect(half.quantile(0.6)).toBe(10)
  })

  it('leaves the list that it was given alone', () => {
    const given = Float64Array.of(3, 1, 2)
    empiricalLengths(given)
    expect([...given]).toEqual([3, 1, 2])
  })

  it('of a million is as exact as of five', () => {
    const million = empiricalLengths(Float64Array.from({ length: 1_000_000 }, (_, k) => ((k * 7919) % 1_000_000) + 1))
    expect(million.mass(250_000, 750_000)).toBe(0.5)
    expect(million.quantile(0.9)).toBe(900_000)
    expect(conditionalMean(million, 0, 1000)).toBeCloseTo(500.5, 10)
  })

  it.each([
    [[], 'at least one length, found none'],
    [[10, 0], 'must be above 0 and finite'],
    [[10, -5], 'must be above 0 and finite'],
    [[10, Number.NaN], 'must be above 0 and finite'],
    [[10, Number.POSITIVE_INFINITY], 'must be above 0 and finite'],
  ])('%o is refused', (tokens, message) => {
    expect(() => empiricalLengths(tokens)).toThrow(expect.objectContaining({ code: 'INVALID_CONFIG' }))
    expect(() => empiricalLengths(tokens)).toThrow(message)
  })
})

describe('a fixed length', () => {
  it('is a sample of one', () => {
    const lengths = fixedLengths(4096)
    expect([0, 0.5, 1].map((share) => lengths.quantile(share))).toEqual([4096, 4096, 4096])
    expect([lengths.mass(0, 4095), lengths.mass(4095, 4096), lengths.mass(4096, 1e9)]).toEqual([0, 1, 0])
    expect(lengths.expect(affineCurve(1, 2), 2, 0, 1e9)).toBe(8193 ** 2)
    expect(lengths.scaled(0.25).maxTokens).toBe(1024)
  })
})
