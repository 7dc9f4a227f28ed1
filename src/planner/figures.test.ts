import { describe, expect, it } from 'vitest'
import { drawnThresholds, figure5a, figure5b, latencyCurve } from './figures.ts'
import { optimizeScenario } from './optimize.ts'
import { preset } from './presets.ts'
import { buildScenario } from './scenario.ts'

const caseStudy = buildScenario(preset('case-study'))

describe('Figure 5a', () => {
  // paper.md 7.5.
  const prefill = [1.081, 2.162, 3.242, 3.242, 3.242, 3.242, 3.242]
  const decode = [5.472, 4.691, 3.909, 3.127, 2.345, 1.564, 0.782]
  const lambda = [1.081, 2.162, 3.242, 3.127, 2.345, 1.564, 0.782]

  it('is the table of paper.md: both bounds and Lambda_max for every split', () => {
    const points = figure5a(caseStudy, 19_400)
    expect(points.map((point) => [point.localPrefill, point.decode])).toEqual(
      [1, 2, 3, 4, 5, 6, 7].map((k) => [k, 8 - k]),
    )
    for (const [k, point] of points.entries()) {
      expect(Math.abs(point.prefillBoundRps - (prefill[k] ?? 0))).toBeLessThan(0.0006)
      expect(Math.abs(point.decodeBoundRps - (decode[k] ?? 0))).toBeLessThan(0.0006)
      expect(Math.abs(point.lambdaMaxRps - (lambda[k] ?? 0))).toBeLessThan(0.0006)
    }
  })
})

describe('Figure 5b', () => {
  // Threshold, p, both bounds, Lambda_max: paper.md 7.5.
  it.each([
    [1000, 0.999, 2.454, 4170, 2.454],
    [5000, 0.914, 2.519, 40.05, 2.519],
    [10_000, 0.747, 2.707, 9.463, 2.707],
    [15_000, 0.6, 2.965, 4.742, 2.965],
    [19_400, 0.496, 3.242, 3.243, 3.242],
    [25_000, 0.392, 3.639, 2.33, 2.33],
    [30_000, 0.321, 4.039, 1.886, 1.886],
    [40_000, 0.22, 5.006, 1.412, 1.412],
    [50_000, 0.154, 6.215, 1.169, 1.169],
    [60_000, 0.109, 7.824, 1.024, 1.024],
  ])('at a threshold of %d offloads %d, with bounds %d and %d', (threshold, ratio, remote, local, lambda) => {
    const [point] = figure5b(caseStudy, { remotePrefill: 4, localPrefill: 3, decode: 5 }, [threshold])
    expect(Math.abs((point?.offloadedRatio ?? 0) - ratio)).toBeLessThan(0.0006)
    expect(Math.abs((point?.remoteBoundRps ?? 0) - remote)).toBeLessThan(0.0006)
    expect(Math.abs((point?.localBoundRps ?? 0) / local - 1)).toBeLessThan(0.0006)
    expect(Math.abs((point?.lambdaMaxRps ?? 0) - lambda)).toBeLessThan(0.001)
  })

  it('has no bound for a side that gets nothing', () => {
    const ends = figure5b(caseStudy, { remotePrefill: 4, localPrefill: 3, decode: 5 }, [0, 131_072])
    expect(
      ends.map((point) => [point.offloadedRatio, point.remoteBoundRps === null, point.localBoundRps === null]),
    ).toEqual([
      [1, false, true],
      [0, true, false],
    ])
  })
})

describe('what is drawn', () => {
  it('is evenly spaced whole thresholds that pass the best one and stay inside the lengths', () => {
    const drawn = drawnThresholds(caseStudy, 19_405, 60)
    expect(drawn).toHaveLength(60)
    expect(drawn.at(-1)).toBeGreaterThan(2 * 19_405)
    expect(drawn.at(-1)).toBeLessThanOrEqual(131_072)
    expect(drawn.every((tokens, k) => Number.isInteger(tokens) && tokens > (drawn[k - 1] ?? 0))).toBe(true)
  })

  it('of the latency is a knee: flat far from Lambda_max, rising all the way, and ending where a stage is full', () => {
    const { candidates } = optimizeScenario(caseStudy)
    const [plan] = candidates['membrane-pd']
    if (plan === undefined) throw new Error('no plan')
    const curve = latencyCurve(caseStudy, 'membrane-pd', plan, 40)
    const seconds = curve.map((point) => point.ttftSecondsP90)
    expect(seconds[0]).toBeGreaterThan(3.5)
    expect(seconds[0]).toBeLessThan(3.55)
    expect(seconds).toEqual(seconds.toSorted((a, b) => a - b))
    expect(seconds.at(-1)).toBeGreaterThan(10)
    // The formulas overstate the request-level capacity by 0 to 4 % (paper.md 7.6), so the last rates have no latency.
    expect(curve.length).toBeGreaterThan(36)
    expect(curve.length).toBeLessThan(40)
  })
})
