import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { affineCurve } from './curve.ts'
import { empiricalLengths, fixedLengths } from './empirical.ts'
import { meanTokens } from './lengths.ts'
import { logNormalLengths } from './log-normal.ts'
import { mixtureLengths } from './mixture.ts'

const chat = logNormalLengths({ mu: 7, sigma: 1, minTokens: 16, maxTokens: 32_000 })
const agents = logNormalLengths({ mu: 10.5, sigma: 0.6, minTokens: 2000, maxTokens: 200_000 })
const mixed = mixtureLengths([
  { weight: 3, lengths: chat },
  { weight: 1, lengths: agents },
])

describe('a mixture', () => {
  it('weighs every quantity of its parts', () => {
    const curve = affineCurve(2, 3)
    for (const [from, to] of [
      [0, 1e9],
      [1000, 30_000],
      [50_000, 60_000],
    ] as const) {
      expect(mixed.mass(from, to)).toBeCloseTo(0.75 * chat.mass(from, to) + 0.25 * agents.mass(from, to), 13)
      const mean = 0.75 * chat.partialMean(from, to) + 0.25 * agents.partialMean(from, to)
      expect(mixed.partialMean(from, to) / mean).toBeCloseTo(1, 12)
      const square = 0.75 * chat.expect(curve, 2, from, to) + 0.25 * agents.expect(curve, 2, from, to)
      expect(mixed.expect(curve, 2, from, to) / square).toBeCloseTo(1, 12)
    }
    expect([mixed.minTokens, mixed.maxTokens]).toEqual([16, 200_000])
  })

  it('has quantiles that undo its mass', () => {
    fc.assert(
      fc.property(fc.double({ min: 0.001, max: 0.999, noNaN: true }), (share) => {
        expect(mixed.mass(0, mixed.quantile(share))).toBeCloseTo(share, 9)
      }),
    )
    expect([mixed.quantile(0), mixed.quantile(1)]).toEqual([16, expect.closeTo(200_000, 5)])
  })

  it('of samples is the sample of all of them', () => {
    const together = mixtureLengths([
      { weight: 3, lengths: empiricalLengths([10, 20, 30]) },
      { weight: 1, lengths: fixedLengths(40) },
    ])
    const pooled = empiricalLengths([10, 20, 30, 40])
    for (const tokens of [5, 10, 15, 20, 25, 30, 35, 40, 45]) {
      expect(together.mass(0, tokens)).toBeCloseTo(pooled.mass(0, tokens), 14)
    }
    for (const share of [0.1, 0.3, 0.6, 0.9]) {
      expect(together.quantile(share)).toBeCloseTo(pooled.quantile(share), 8)
    }
    expect(meanTokens(together)).toBeCloseTo(25, 12)
  })

  it('does not depend on the unit of its weights, and can be nested', () => {
    const nested = mixtureLengths([
      { weight: 0.5, lengths: chat },
      {
        weight: 0.5,
        lengths: mixtureLengths([
          { weight: 20, lengths: chat },
          { weight: 20, lengths: agents },
        ]),
      },
    ])
    expect(nested.mass(0, 5000)).toBeCloseTo(mixed.mass(0, 5000), 13)
    expect(nested.quantile(0.9) / mixed.quantile(0.9)).toBeCloseTo(1, 9)
  })

  it('scaled scales its parts', () => {
    const half = mixed.scaled(0.5)
    expect(meanTokens(half) / meanTokens(mixed)).toBeCloseTo(0.5, 12)
    expect(half.mass(0, 2500)).toBeCloseTo(mixed.mass(0, 5000), 12)
  })

  it.each([
    [[], 'at least one component'],
    [[{ weight: 0, lengths: chat }], 'a weight above 0'],
    [[{ weight: -1, lengths: chat }], 'a weight above 0'],
    [[{ weight: Number.NaN, lengths: chat }], 'a weight above 0'],
    [[{ weight: Number.POSITIVE_INFINITY, lengths: chat }], 'a weight above 0'],
    [Array.from({ length: 65 }, () => ({ weight: 1, lengths: chat })), 'at most 64 components, found 65'],
  ])('is refused: case %#', (components, message) => {
    expect(() => mixtureLengths(components)).toThrow(expect.objectContaining({ code: 'INVALID_CONFIG' }))
    expect(() => mixtureLengths(components)).toThrow(message)
  })
})

describe('what once went wrong', () => {
  it('mixture nearest rank: 0.7 + 0.1 covers 0.8', () => {
    const m = mixtureLengths([
      { weight: 0.7, lengths: fixedLengths(1000) },
      { weight: 0.1, lengths: fixedLengths(2000) },
      { weight: 0.2, lengths: fixedLengths(3000) },
    ])
    expect(m.quantile(0.8)).toBeCloseTo(2000, 6)
  })

  it('mixture quantile of an atom is the atom', () => {
    const m = mixtureLengths([
      { weight: 1, lengths: fixedLengths(30_000) },
      { weight: 1, lengths: logNormalLengths({ mu: 9.9, sigma: 1, minTokens: 128, maxTokens: 131_072 }) },
    ])
    expect(m.quantile(0.5)).toBe(30_000)
  })
})
