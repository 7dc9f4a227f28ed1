import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { CASE_STUDY as scenario, PLANNED } from '../../test/case-study.ts'
import { runs } from '../../test/effort.ts'
import type { SimulationOptions } from './sim-options.ts'
import { simulateBatch } from './sim-run.ts'
import { curvesOf, summarize } from './simulation-result.ts'
import { defaultReplications, p90Gain, replicationsOf } from './study.ts'

const planned: SimulationOptions = { ...PLANNED, requests: 10_001, seed: 5, seriesSeconds: 100, timelines: 10 }

describe('replications', () => {
  it('divide the requests exactly, with other seeds, and only the first records more', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 1_000_000_000 }), fc.integer({ min: 1, max: 256 }), (requests, wanted) => {
        const count = Math.min(wanted, requests)
        const parts = replicationsOf({ ...planned, requests }, count)
        expect(parts.length).toBe(count)
        expect(parts.reduce((sum, part) => sum + part.requests, 0)).toBe(requests)
        const sizes = parts.map((part) => part.requests)
        expect(Math.max(...sizes) - Math.min(...sizes)).toBeLessThanOrEqual(1)
        expect(new Set(parts.map(({ seed }) => seed)).size).toBe(count)
        expect(parts[0]).toEqual({ ...planned, requests: sizes[0] })
        expect(
          parts.slice(1).every(({ seriesSeconds, timelines }) => seriesSeconds === undefined && timelines === 0),
        ).toBe(true)
      }),
      { numRuns: runs(50) },
    )
  })

  it('by default are one below 40,000 requests, at most eight, and follow from the requests alone', () => {
    expect([1, 39_999, 40_000, 100_000, 1e9].map(defaultReplications)).toEqual([1, 1, 2, 5, 8])
  })

  it('together have the counts, extremes and sums of all, whatever the order they were run in', () => {
    const parts = replicationsOf(planned, 4)
    const data = parts.map((part) => simulateBatch(scenario, part))
    const backwards = parts
      .toReversed()
      .map((part) => simulateBatch(scenario, part))
      .toReversed()
    const result = summarize(scenario, planned, data)
    expect(summarize(scenario, planned, backwards)).toEqual(result)
    expect([result.requests, result.replications, result.seed]).toEqual([10_001, 4, 5])
    const alone = data.map((run, k) => summarize(scenario, parts[k] ?? planned, [run]))
    const between = (of: (one: (typeof alone)[number]) => number): void => {
      const values = alone.map(of)
      expect(of(result)).toBeGreaterThanOrEqual(Math.min(...values))
      expect(of(result)).toBeLessThanOrEqual(Math.max(...values))
    }
    between(({ ttftSeconds }) => ttftSeconds.mean)
    between(({ ttftSeconds }) => ttftSeconds.p90)
    between(({ e2eSeconds }) => e2eSeconds.p50)
    between(({ egressGbps }) => egressGbps)
    between(({ offloadedRatio }) => offloadedRatio)
    between(({ completedRps }) => completedRps)
    for (const k of [0, 1, 2, 3]) between(({ stages }) => stages[k]?.utilisation ?? Number.NaN)
    expect(result.inSystem.max).toBe(Math.max(...alone.map(({ inSystem }) => inSystem.max)))
    expect(result.ttftSeconds.p90HalfWidth95).toBeGreaterThan(0)
    expect(alone[0]?.ttftSeconds.p90HalfWidth95).toBeNull()
    // Percentiles ascend, and curves end at 1.
    for (const { p50, p90, p99 } of [
      result.ttftSeconds,
      result.firstTokenSeconds,
      result.tpotSeconds,
      result.e2eSeconds,
    ]) {
      expect(p50).toBeLessThanOrEqual(p90)
      expect(p90).toBeLessThanOrEqual(p99)
    }
    const { cdf, series, timelines } = curvesOf(data)
    for (const points of Object.values(cdf)) expect(points.at(-1)?.share).toBeCloseTo(1, 12)
    expect(series?.endSeconds.length).toBeGreaterThan(5)
    expect(timelines.length).toBe(10)
  })
})

describe('the gain of one way over another', () => {
  it('is paired by seed, 0 against itself, and the share of the P90 that is saved', () => {
    const runsAt = (change: Partial<SimulationOptions>) =>
      replicationsOf({ ...planned, ...change, requests: 8000, seriesSeconds: undefined, timelines: 0 }, 4).map((part) =>
        simulateBatch(scenario, part),
      )
    const [fixed, off] = [runsAt({}), runsAt({ scheduler: 'off' })]
    expect(p90Gain(fixed, fixed)).toEqual({ mean: 0, halfWidth95: 0 })
    const { mean, halfWidth95 } = p90Gain(fixed, off)
    expect(mean).toBeGreaterThan(0)
    expect(mean).toBeLessThan(1)
    expect(halfWidth95).toBeGreaterThan(0)
    expect(p90Gain(fixed.slice(0, 3), off.slice(0, 3)).halfWidth95).toBeNull()
  })
})
