import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { INTERPOLATIONS, interpolate } from './interpolate.ts'

const EXTRAPOLATE = { below: 'extrapolate', above: 'extrapolate' } as const
const HOLD = { below: 'hold', above: 'hold' } as const

const H200 = { x: [1024, 8192, 32_000, 48_000, 64_000, 130_000], y: [0.4434, 0.7218, 1.8431, 2.635, 3.495, 7.4036] }
const LLAMA = { x: [128, 512, 1024, 2048, 4096, 8192], y: [0.0582, 0.0539, 0.0779, 0.1368, 0.3903, 0.8449] }
const TABLE5 = { x: [1000, 8000, 32_000, 128_000], y: [0.44, 0.72, 1.84, 7.4] }

/** Ascending lengths with any positive latency at each. */
const measurements = fc
  .array(fc.tuple(fc.integer({ min: 1, max: 1000 }), fc.double({ min: 0.01, max: 10, noNaN: true })), {
    minLength: 2,
    maxLength: 9,
  })
  .map((steps) => {
    let tokens = 0
    return { x: steps.map(([step]) => (tokens += step)), y: steps.map(([, seconds]) => seconds) }
  })

describe('every interpolation', () => {
  it.each(['linear', 'monotone-cubic', 'log-log-cubic'] as const)('%s passes through the points', (kind) => {
    fc.assert(
      fc.property(measurements, fc.constantFrom(HOLD, EXTRAPOLATE), ({ x, y }, ends) => {
        const curve = interpolate(x, y, kind, ends)
        for (const [k, tokens] of x.entries()) {
          expect(Math.abs(curve.at(tokens) / (y[k] ?? 0) - 1), `${kind} at ${tokens}`).toBeLessThan(1e-9)
        }
      }),
      { numRuns: 60 },
    )
  })

  it.each(INTERPOLATIONS)('%s joins two points by what its name says', (kind) => {
    const curve = interpolate([1000, 8000], [0.44, 0.72], kind, EXTRAPOLATE)
    const straight = 0.44 + (0.28 * 2000) / 7000
    const power = 0.44 * 3 ** (Math.log(0.72 / 0.44) / Math.log(8))
    expect(curve.at(3000)).toBeCloseTo(kind === 'log-log-cubic' ? power : straight, 12)
  })

  it.each(INTERPOLATIONS)('%s holds its value outside the points when told to', (kind) => {
    const curve = interpolate(H200.x, H200.y, kind, HOLD)
    expect(curve.at(1)).toBeCloseTo(curve.at(1024), 12)
    expect(curve.at(1_000_000)).toBeCloseTo(curve.at(130_000), 12)
    if (kind !== 'least-squares-quadratic') expect(curve.at(1)).toBeCloseTo(0.4434, 12)
  })

  it.each(INTERPOLATIONS)('%s holds one end and continues the other', (kind) => {
    const whole = interpolate(H200.x, H200.y, kind, EXTRAPOLATE)
    const below = interpolate(H200.x, H200.y, kind, { below: 'hold', above: 'extrapolate' })
    const above = interpolate(H200.x, H200.y, kind, { below: 'extrapolate', above: 'hold' })
    for (const tokens of [300, 1024, 5000, 130_000, 300_000]) {
      expect(below.at(tokens)).toBeCloseTo(whole.at(Math.max(tokens, 1024)), 10)
      expect(above.at(tokens)).toBeCloseTo(whole.at(Math.min(tokens, 130_000)), 10)
    }
  })

  it.each(INTERPOLATIONS)('%s has no step where the measured range ends', (kind) => {
    for (const ends of [HOLD, EXTRAPOLATE]) {
      const curve = interpolate(LLAMA.x, LLAMA.y, kind, ends)
      for (const end of [128, 8192]) expect(curve.at(end - 1e-6)).toBeCloseTo(curve.at(end + 1e-6), 8)
    }
  })

  it.each(INTERPOLATIONS)('%s breaks wherever it stops being smooth and monotone', (kind) => {
    const curve = interpolate(LLAMA.x, LLAMA.y, kind, EXTRAPOLATE)
    const cuts = [64, ...curve.breaks.filter((tokens) => tokens > 64), 20_000]
    for (const [k, from] of cuts.slice(0, -1).entries()) {
      const to = cuts[k + 1] ?? from
      const values = Array.from({ length: 25 }, (_, j) => curve.at(from + ((to - from) * j) / 24))
      const steps = values.slice(1).map((value, j) => value - (values[j] ?? 0))
      const isMonotone = steps.every((step) => step >= -1e-12) || steps.every((step) => step <= 1e-12)
      expect(isMonotone, `between ${from} and ${to}`).toBe(true)
    }
  })
})

describe('linear', () => {
  it('follows straight lines, and the outer ones outside', () => {
    const curve = interpolate([10, 20, 40], [1, 3, 4], 'linear', EXTRAPOLATE)
    expect([0, 5, 10, 15, 20, 30, 40, 60].map((tokens) => curve.at(tokens))).toEqual([-1, 0, 1, 2, 3, 3.5, 4, 5])
  })
})

describe('monotone cubic', () => {
  // scipy.interpolate.PchipInterpolator 1.17.1.
  it.each([
    [1500, 0.46100576522453873],
    [4000, 0.5548640223486516],
    [10_224, 0.808386467301767],
    [20_000, 1.2585110797815706],
    [27_486, 1.623166648833606],
    [40_000, 2.2326704569296045],
    [50_000, 2.73865769639254],
    [60_000, 3.273717025356107],
    [100_000, 5.5622395907415365],
  ])('of the H200 points at %d tokens is %d, as scipy has it', (tokens, seconds) => {
    expect(interpolate(H200.x, H200.y, 'monotone-cubic', HOLD).at(tokens)).toBeCloseTo(seconds, 12)
  })

  it.each([
    [200, 0.056206420898437505],
    [400, 0.054006691261574084],
    [700, 0.059000007219304776],
    [1500, 0.1022745844989286],
    [3000, 0.24289687425162992],
    [6000, 0.6093441633286368],
  ])('of points that fall and rise at %d tokens is %d, as scipy has it', (tokens, seconds) => {
    expect(interpolate(LLAMA.x, LLAMA.y, 'monotone-cubic', HOLD).at(tokens)).toBeCloseTo(seconds, 12)
  })

  it('goes on straight outside, at the slope of its end', () => {
    const curve = interpolate(H200.x, H200.y, 'monotone-cubic', EXTRAPOLATE)
    expect(curve.at(24)).toBeCloseTo(0.4434 - 1000 * 3.692826754135405e-5, 12)
    expect(curve.at(230_000)).toBeCloseTo(7.4036 + 100_000 * 6.362487065779749e-5, 10)
  })

  it('never turns between points that only rise, or only fall', () => {
    fc.assert(
      fc.property(measurements, fc.boolean(), ({ x, y }, isRising) => {
        const sorted = y.toSorted((a, b) => (isRising ? a - b : b - a))
        const curve = interpolate(x, sorted, 'monotone-cubic', HOLD)
        const first = x[0] ?? 0
        const last = x.at(-1) ?? 0
        let previous = curve.at(first)
        for (let k = 1; k <= 200; k++) {
          const next = curve.at(first + ((last - first) * k) / 200)
          expect(isRising ? next - previous : previous - next).toBeGreaterThanOrEqual(-1e-9)
          previous = next
        }
      }),
      { numRuns: 60 },
    )
  })
})

describe('log-log cubic', () => {
  // exp of scipy.interpolate.CubicSpline(ln x, ln y, bc_type='not-a-knot') 1.17.1, extrapolated outside.
  it.each([
    [500, 0.5191716315515208],
    [1500, 0.4387225272497606],
    [10_224, 0.8166139319714348],
    [27_486, 1.6274927869498144],
    [60_000, 3.274215297900236],
    [100_000, 5.58962245280402],
    [200_000, 11.564048021465966],
  ])('of six points at %d tokens is %d, as scipy has it', (tokens, seconds) => {
    expect(interpolate(H200.x, H200.y, 'log-log-cubic', EXTRAPOLATE).at(tokens)).toBeCloseTo(seconds, 11)
  })

  it.each([
    [128, 0.8678238303440388],
    [3000, 0.49543715737328176],
    [10_224, 0.8213460183452921],
    [27_486, 1.6228339308836086],
    [45_046, 2.489453923858268],
    [62_410, 3.406159005836172],
    [131_072, 7.606942163452483],
  ])(
    'of four points is one cubic: %d tokens, %d s (paper.md 7.5: T(128) = 0.87 s when not held)',
    (tokens, seconds) => {
      expect(interpolate(TABLE5.x, TABLE5.y, 'log-log-cubic', EXTRAPOLATE).at(tokens)).toBeCloseTo(seconds, 11)
    },
  )

  it.each([
    [500, 0.4765614573085878],
    [3000, 0.49778159654384435],
    [20_000, 1.267421643319201],
    [50_000, 2.7611597988716725],
  ])('of three points is one parabola: %d tokens, %d s', (tokens, seconds) => {
    const [x, y] = [TABLE5.x.slice(0, 3), TABLE5.y.slice(0, 3)]
    expect(interpolate(x, y, 'log-log-cubic', EXTRAPOLATE).at(tokens)).toBeCloseTo(seconds, 11)
  })

  it('breaks where it turns outside its points, unless it is held there', () => {
    const [x, y] = [
      [1000, 8000, 32_000],
      [0.44, 0.8, 1.84],
    ]
    const turn = interpolate(x, y, 'log-log-cubic', EXTRAPOLATE).breaks.filter((tokens) => tokens < 1000)
    expect(turn).toHaveLength(1)
    const curve = interpolate(x, y, 'log-log-cubic', EXTRAPOLATE)
    for (const factor of [0.9, 1.1]) expect(curve.at((turn[0] ?? 0) * factor)).toBeGreaterThan(curve.at(turn[0] ?? 0))
    expect(interpolate(x, y, 'log-log-cubic', HOLD).breaks).toEqual(x)
  })

  it('returns a power law as a power law, outside its points too', () => {
    const x = [10, 30, 200, 1000, 7000]
    const curve = interpolate(
      x,
      x.map((tokens) => 0.02 * tokens ** 1.3),
      'log-log-cubic',
      EXTRAPOLATE,
    )
    for (const tokens of [1, 20, 500, 7000, 100_000]) {
      expect(curve.at(tokens) / (0.02 * tokens ** 1.3)).toBeCloseTo(1, 9)
    }
  })
})

describe('least-squares quadratic', () => {
  // numpy.polyfit(x, y, 2).
  it.each([
    [128, 0.3873217053126942],
    [1024, 0.42597081575556783],
    [8192, 0.7400501777921935],
    [27_486, 1.6286140606479746],
    [130_000, 7.405400451091083],
    [200_000, 12.370852727128536],
  ])('of the H200 points at %d tokens is %d, as numpy has it', (tokens, seconds) => {
    expect(interpolate(H200.x, H200.y, 'least-squares-quadratic', EXTRAPOLATE).at(tokens)).toBeCloseTo(seconds, 10)
  })

  it('returns a parabola that all points lie on', () => {
    const parabola = (tokens: number): number => 0.3 + 2e-5 * tokens + 1e-10 * tokens ** 2
    const x = [100, 5000, 20_000, 90_000, 131_072]
    const curve = interpolate(x, x.map(parabola), 'least-squares-quadratic', EXTRAPOLATE)
    for (const tokens of [1, 100, 60_000, 131_072, 400_000]) {
      expect(curve.at(tokens) / parabola(tokens)).toBeCloseTo(1, 11)
    }
  })
})

describe('what once went wrong', () => {
  it('a log-log cubic through as many points as a profile may have still goes through them', () => {
    const x = Array.from({ length: 4096 }, (_, k) => 1000 + k * 32)
    const curve = interpolate(
      x,
      x.map((tokens) => tokens * 1e-5 + 1),
      'log-log-cubic',
      { below: 'hold', above: 'hold' },
    )
    for (const tokens of [1000, 1016, 60_000, 1000 + 4095 * 32])
      expect(curve.at(tokens)).toBeCloseTo(tokens * 1e-5 + 1, 6)
  })
})
