import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { seededRandom } from '../core/random.ts'
import { empiricalLengths, fixedLengths } from './empirical.ts'
import { INTERPOLATIONS, interpolate } from './interpolate.ts'
import { type LengthDistribution, massAtMost, meanTokens, sampleLength } from './lengths.ts'
import { logNormalLengths } from './log-normal.ts'
import { mixtureLengths } from './mixture.ts'

const caseStudy = logNormalLengths({ mu: 9.9, sigma: 1, minTokens: 128, maxTokens: 131_072 })
const mixed = mixtureLengths([
  { weight: 2, lengths: logNormalLengths({ mu: 7, sigma: 1, minTokens: 16, maxTokens: 32_000 }) },
  { weight: 1, lengths: caseStudy },
])

function draw(lengths: LengthDistribution, count: number, seed: number): Float64Array {
  const random = seededRandom(seed)
  return Float64Array.from({ length: count }, () => sampleLength(lengths, random))
}

describe('draws from a distribution', () => {
  it.each([
    ['log-normal', caseStudy, 1],
    ['log-normal', caseStudy, 2],
    ['mixture', mixed, 3],
  ] as const)('%s: 20,000 of them pass a Kolmogorov-Smirnov test (%#)', (_, lengths, seed) => {
    const sorted = draw(lengths, 20_000, seed).sort()
    let distance = 0
    for (const [k, tokens] of sorted.entries()) {
      // Draws are whole: a draw of n stands for everything up to n + 1/2.
      const share = lengths.mass(0, tokens + 0.5)
      const isLast = tokens !== sorted[k + 1]
      if (isLast) distance = Math.max(distance, Math.abs(share - (k + 1) / sorted.length))
    }
    // 1.95 / sqrt(n): exceeded once in a thousand seeds.
    expect(distance * Math.sqrt(20_000)).toBeLessThan(1.95)
    expect(distance).toBeGreaterThan(0)
  })

  it.each([
    ['log-normal', caseStudy],
    ['mixture', mixed],
  ] as const)(
    '%s: their mean and their share above a threshold are within four errors of the closed form',
    (_, lengths) => {
      const count = 20_000
      const drawn = draw(lengths, count, 7)
      const mean = drawn.reduce((sum, tokens) => sum + tokens, 0) / count
      const variance = drawn.reduce((sum, tokens) => sum + (tokens - mean) ** 2, 0) / (count - 1)
      expect(Math.abs(mean - meanTokens(lengths)) / Math.sqrt(variance / count)).toBeLessThan(4)
      const share = drawn.filter((tokens) => tokens > 19_400).length / count
      const exact = lengths.mass(19_400, lengths.maxTokens)
      expect(Math.abs(share - exact) / Math.sqrt((exact * (1 - exact)) / count)).toBeLessThan(4)
    },
  )

  it('are every value of a sample equally often', () => {
    const counts = new Map<number, number>()
    for (const tokens of draw(empiricalLengths([10, 20, 20, 30]), 10_000, 5)) {
      counts.set(tokens, (counts.get(tokens) ?? 0) + 1)
    }
    const chiSquare = [
      [10, 2500],
      [20, 5000],
      [30, 2500],
    ].reduce((sum, [tokens = 0, wanted = 1]) => sum + ((counts.get(tokens) ?? 0) - wanted) ** 2 / wanted, 0)
    expect([...counts.keys()].sort((a, b) => a - b)).toEqual([10, 20, 30])
    expect(chiSquare).toBeLessThan(13.8) // One in a thousand, two degrees of freedom.
  })

  it('are whole tokens of at least 1, inside the cuts, whatever the stream says', () => {
    for (const at of [0, 0.5, 1 - 2 ** -53]) {
      expect(sampleLength(caseStudy, () => at)).toBeGreaterThanOrEqual(128)
      expect(sampleLength(caseStudy, () => at)).toBeLessThanOrEqual(131_072)
      expect(sampleLength(fixedLengths(0.01), () => at)).toBe(1)
    }
    expect(draw(caseStudy, 500, 1).every((tokens) => Number.isInteger(tokens))).toBe(true)
  })

  it('are the same for the same seed', () => {
    expect(draw(caseStudy, 50, 9)).toEqual(draw(caseStudy, 50, 9))
    expect(draw(caseStudy, 50, 9)).not.toEqual(draw(caseStudy, 50, 10))
  })
})

describe('the share of requests whose latency is within a bound', () => {
  const rising = { x: [1024, 8192, 32_000, 130_000], y: [0.5, 0.7, 1.9, 7.4] }
  const dented = { x: [128, 512, 1024, 2048, 4096, 8192], y: [0.0582, 0.0539, 0.0779, 0.1368, 0.09, 0.8449] }

  it.each(INTERPOLATIONS)('equals counting on a fine grid, %s', (kind) => {
    const range = fc.tuple(fc.integer({ min: 0, max: 140_000 }), fc.integer({ min: 0, max: 140_000 }))
    const shares = Array.from({ length: 4000 }, (_, k) => caseStudy.quantile((k + 0.5) / 4000))
    fc.assert(
      fc.property(range, fc.constantFrom(rising, dented), fc.integer({ min: 1, max: 99 }), ([a, b], data, percent) => {
        const curve = interpolate(data.x, data.y, kind, { below: 'hold', above: 'hold' })
        const [from, to] = [Math.min(a, b), Math.max(a, b)]
        const bound = curve.at(caseStudy.quantile(percent / 100)) * 1.0001
        const counted = shares.filter((l) => l > from && l <= to && curve.at(l) <= bound).length / 4000
        expect(Math.abs(massAtMost(caseStudy, curve, bound, from, to) - counted)).toBeLessThan(0.003)
      }),
      { numRuns: 25 },
    )
  })

  it('is everything under a generous bound and nothing under an impossible one', () => {
    const curve = interpolate(rising.x, rising.y, 'linear', { below: 'hold', above: 'hold' })
    expect(massAtMost(caseStudy, curve, 8, 0, 131_072)).toBeCloseTo(1, 12)
    expect(massAtMost(caseStudy, curve, 0.49, 0, 131_072)).toBe(0)
    expect(massAtMost(caseStudy, curve, 8, 500, 500)).toBe(0)
  })

  it('counts an atom on the bound, up to rounding', () => {
    const curve = interpolate([10, 20], [1, 2], 'linear', { below: 'extrapolate', above: 'extrapolate' })
    const atoms = empiricalLengths([10, 12, 14, 16])
    expect(massAtMost(atoms, curve, curve.at(14) * (1 + 1e-8), 0, 16)).toBe(0.75)
    expect(massAtMost(atoms, curve, curve.at(14) * (1 - 1e-8), 0, 16)).toBe(0.5)
  })
})
