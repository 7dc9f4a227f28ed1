import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { MembraneError } from '../core/errors.ts'
import { affineCurve, type Curve } from './curve.ts'
import { interpolate } from './interpolate.ts'
import { conditionalMean, type LengthDistribution, meanTokens } from './lengths.ts'
import { logNormalLengths, type LogNormalParameters } from './log-normal.ts'

const CASE_STUDY = { mu: 9.9, sigma: 1, minTokens: 128, maxTokens: 131_072 }
const caseStudy = logNormalLengths(CASE_STUDY)
const TOKENS = [1000, 8000, 32_000, 128_000]
const SECONDS = [0.44, 0.72, 1.84, 7.4]
const ENDS = { below: 'hold', above: 'extrapolate' } as const

/**
 * E[f(L); from < L <= to] by Simpson's rule over ln(tokens), between every two breaks: no closed form, no error
 * function and no code of the planner in it.
 */
function integral(
  { mu, sigma, minTokens, maxTokens }: LogNormalParameters,
  f: (tokens: number) => number,
  from: number,
  to: number,
  breaks: readonly number[] = [],
): number {
  const density = (u: number): number => Math.exp(-(((u - mu) / sigma) ** 2) / 2)
  const simpson = (g: (u: number) => number, a: number, b: number): number => {
    const steps = 2 * Math.max(20, Math.ceil(((b - a) / sigma) * 150))
    const width = (b - a) / steps
    let sum = g(a) + g(b)
    for (let k = 1; k < steps; k++) sum += (k % 2 === 1 ? 4 : 2) * g(a + k * width)
    return (sum * width) / 3
  }
  const between = (g: (u: number) => number, low: number, high: number): number => {
    if (high <= low) return 0
    const cuts = [low, ...breaks.filter((tokens) => tokens > low && tokens < high), high].map(Math.log)
    return cuts.slice(1).reduce((sum, cut, k) => sum + simpson(g, cuts[k] ?? 0, cut), 0)
  }
  const top = between((u) => density(u) * f(Math.exp(u)), Math.max(from, minTokens), Math.min(to, maxTokens))
  return top / between(density, minTokens, maxTokens)
}

const parameters = fc.record({
  mu: fc.double({ min: 6, max: 11, noNaN: true }),
  sigma: fc.double({ min: 0.3, max: 2.5, noNaN: true }),
  minTokens: fc.integer({ min: 16, max: 400 }),
  maxTokens: fc.integer({ min: 60_000, max: 300_000 }),
})
const span = fc
  .tuple(fc.integer({ min: 0, max: 300_000 }), fc.integer({ min: 0, max: 300_000 }))
  .map(([a, b]): readonly [number, number] => [Math.min(a, b), Math.max(a, b)])

function expectClose(found: number, wanted: number, scale: number): void {
  expect(Math.abs(found - wanted)).toBeLessThanOrEqual(1e-9 * scale)
}

describe('the truncated log-normal of the paper (paper.md 7.1)', () => {
  it.each([
    [131_072, 27_486, 19_199, 62_410, 0.4957, 45_046, 10_224],
    [130_000, 27_426, 19_186, 62_259, 0.4954, 44_946, 10_224],
    [128_000, 27_313, 19_160, 61_970, 0.4949, 44_756, 10_224],
  ])(
    'cut at %d has mean %d, median %d, P90 %d, p %d, l_long %d and l_short %d',
    (maxTokens, mean, median, p90, ratio, long, short) => {
      const lengths = logNormalLengths({ ...CASE_STUDY, maxTokens })
      expect(Math.round(meanTokens(lengths))).toBe(mean)
      expect(Math.round(lengths.quantile(0.5))).toBe(median)
      expect(Math.round(lengths.quantile(0.9))).toBe(p90)
      expect(lengths.mass(19_400, maxTokens)).toBeCloseTo(ratio, 4)
      expect(Math.round(conditionalMean(lengths, 19_400, maxTokens) ?? 0)).toBe(long)
      expect(Math.round(conditionalMean(lengths, 0, 19_400) ?? 0)).toBe(short)
    },
  )

  it('offloads 49.6 % for the thresholds from 19,364 to 19,410 and no other (paper.md 6.1)', () => {
    const shares = [19_363, 19_364, 19_410, 19_411].map((t) => (100 * caseStudy.mass(t, 131_072)).toFixed(1))
    expect(shares).toEqual(['49.7', '49.6', '49.6', '49.5'])
    expect((100 * caseStudy.mass(19.4 * 1024, 131_072)).toFixed(1)).toBe('48.6')
  })
})

describe('moments of a log-normal', () => {
  it('equal numeric integrals on any part of any of them', () => {
    fc.assert(
      fc.property(parameters, span, (which, [from, to]) => {
        const lengths = logNormalLengths(which)
        expectClose(
          lengths.mass(from, to),
          integral(which, () => 1, from, to),
          1,
        )
        expectClose(
          lengths.partialMean(from, to),
          integral(which, (l) => l, from, to),
          meanTokens(lengths),
        )
        const square = lengths.expect(affineCurve(0, 1), 2, from, to)
        expectClose(
          square,
          integral(which, (l) => l * l, from, to),
          integral(which, (l) => l * l, 0, 1e9),
        )
      }),
      { numRuns: 40 },
    )
  })

  it('are exact in a thin slice far out in the tail', () => {
    const which = { mu: 9.9, sigma: 0.4, minTokens: 128, maxTokens: 1_000_000 }
    const [from, to] = [300_000, 301_000]
    const mass = logNormalLengths(which).mass(from, to)
    expect(mass).toBeLessThan(1e-12)
    expect(mass / integral(which, () => 1, from, to)).toBeCloseTo(1, 7)
  })

  it('are 0 on an empty or reversed span and on one that lies outside', () => {
    for (const [from, to] of [
      [500, 500],
      [900, 500],
      [0, 128],
      [131_072, 1e9],
    ] as const) {
      expect(caseStudy.mass(from, to)).toBe(0)
      expect(caseStudy.partialMean(from, to)).toBe(0)
      expect(caseStudy.expect(affineCurve(1, 1), 2, from, to)).toBe(0)
      expect(conditionalMean(caseStudy, from, to)).toBeNull()
    }
    expect(caseStudy.mass(0, 1e9)).toBeCloseTo(1, 14)
  })
})

describe('expectations of a curve', () => {
  const curves: readonly (readonly [string, Curve])[] = [
    ['affine', affineCurve(1e8, 17_280)],
    ['linear', interpolate(TOKENS, SECONDS, 'linear', ENDS)],
    ['monotone-cubic', interpolate(TOKENS, SECONDS, 'monotone-cubic', ENDS)],
    ['least-squares-quadratic', interpolate(TOKENS, SECONDS, 'least-squares-quadratic', ENDS)],
    ['log-log-cubic', interpolate(TOKENS, SECONDS, 'log-log-cubic', ENDS)],
    ['falling and rising', interpolate([128, 512, 1024, 8192], [0.058, 0.054, 0.078, 0.845], 'monotone-cubic', ENDS)],
  ]

  it.each(curves)('%s, and of its square, equal numeric integrals on any part', (_, curve) => {
    fc.assert(
      fc.property(parameters, span, fc.constantFrom(1 as const, 2 as const), (which, [from, to], power) => {
        const wanted = integral(which, (l) => curve.at(l) ** power, from, to, curve.breaks)
        const whole = integral(which, (l) => curve.at(l) ** power, 0, 1e9, curve.breaks)
        expectClose(logNormalLengths(which).expect(curve, power, from, to), wanted, whole)
      }),
      { numRuns: 15 },
    )
  })

  it.each(curves)('%s add up over the two sides of a threshold', (_, curve) => {
    fc.assert(
      fc.property(parameters, fc.integer({ min: 1, max: 250_000 }), (which, threshold) => {
        const lengths = logNormalLengths(which)
        for (const power of [1, 2] as const) {
          const whole = lengths.expect(curve, power, 0, which.maxTokens)
          const short = lengths.expect(curve, power, 0, threshold)
          const long = lengths.expect(curve, power, threshold, which.maxTokens)
          expectClose(short + long, whole, whole)
        }
      }),
      { numRuns: 30 },
    )
  })
})

describe('quantiles of a log-normal', () => {
  it('undo the mass', () => {
    fc.assert(
      fc.property(parameters, fc.double({ min: 0.0001, max: 0.9999, noNaN: true }), (which, share) => {
        const lengths = logNormalLengths(which)
        expect(lengths.mass(0, lengths.quantile(share))).toBeCloseTo(share, 11)
      }),
    )
  })

  it('stay inside the cuts and reach them at 0 and 1', () => {
    expect([caseStudy.quantile(0), caseStudy.quantile(1)]).toEqual([128, 131_072])
    expect(caseStudy.quantile(1e-15)).toBeGreaterThanOrEqual(128)
    expect(caseStudy.quantile(1 - 1e-15)).toBeLessThanOrEqual(131_072)
  })
})

describe('a log-normal', () => {
  it('scaled is the distribution of a share of every length', () => {
    fc.assert(
      fc.property(parameters, fc.double({ min: 0.01, max: 1, noNaN: true }), span, (which, factor, [from, to]) => {
        const lengths = logNormalLengths(which)
        const scaled: LengthDistribution = lengths.scaled(factor)
        expect(scaled.maxTokens).toBeCloseTo(factor * which.maxTokens, 8)
        expectClose(scaled.mass(factor * from, factor * to), lengths.mass(from, to), 1)
        expectClose(
          scaled.partialMean(factor * from, factor * to),
          factor * lengths.partialMean(from, to),
          meanTokens(lengths),
        )
        expect(scaled.quantile(0.9) / lengths.quantile(0.9)).toBeCloseTo(factor, 9)
      }),
      { numRuns: 40 },
    )
  })

  it.each([
    [{ ...CASE_STUDY, sigma: 0 }, 'finite mu and a sigma above 0, found mu 9.9 and sigma 0'],
    [{ ...CASE_STUDY, sigma: -1 }, 'sigma -1'],
    [{ ...CASE_STUDY, sigma: Number.NaN }, 'sigma NaN'],
    [{ ...CASE_STUDY, sigma: Number.POSITIVE_INFINITY }, 'sigma Infinity'],
    [{ ...CASE_STUDY, mu: Number.NaN }, 'mu NaN'],
    [{ ...CASE_STUDY, minTokens: 0 }, '0 < minTokens < maxTokens, found 0 and 131072'],
    [{ ...CASE_STUDY, minTokens: 200_000 }, 'found 200000 and 131072'],
    [{ ...CASE_STUDY, minTokens: 128, maxTokens: 128 }, 'found 128 and 128'],
    [{ ...CASE_STUDY, maxTokens: Number.POSITIVE_INFINITY }, 'found 128 and Infinity'],
    [{ ...CASE_STUDY, minTokens: Number.NaN }, 'found NaN and 131072'],
    [{ ...CASE_STUDY, mu: 40 }, 'has no mass between 128 and 131072 tokens'],
  ])('refuses %o', (which, message) => {
    const attempt = (): LengthDistribution => logNormalLengths(which)
    expect(attempt).toThrow(MembraneError)
    expect(attempt).toThrow(expect.objectContaining({ code: 'INVALID_CONFIG' }))
    expect(attempt).toThrow(message)
  })
})

describe('what once went wrong', () => {
  it('the second moment of a dense monotone cubic keeps its digits', () => {
    const x = Array.from({ length: 4096 }, (_, k) => 1000 + k * 32)
    const c = interpolate(
      x,
      x.map((v, k) => 1 + v * 5e-5 + 0.001 * Math.sin(k * k)),
      'monotone-cubic',
      { below: 'hold', above: 'extrapolate' },
    )
    expect(
      logNormalLengths({ mu: 9.9, sigma: 1, minTokens: 128, maxTokens: 131_072 }).expect(c, 2, 0, 1e9),
    ).toBeCloseTo(7.1795, 3) // 324.25
  })

  it('a sigma that no prompt lengths have is refused, where moments would leave the range of numbers', () => {
    expect(() => logNormalLengths({ mu: 9.9, sigma: 20, minTokens: 128, maxTokens: 131_072 })).toThrow(
      'sigma of at most 10',
    )
  })

  it('the tail quantile of a log-normal undoes its mass', () => {
    const d = logNormalLengths({ mu: 3, sigma: 1, minTokens: Math.exp(9.9), maxTokens: 131_072 })
    expect(d.mass(0, d.quantile(0.5))).toBeCloseTo(0.5, 8)
  })
})
