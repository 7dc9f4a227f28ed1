import { describe, expect, it } from 'vitest'
import { EXPONENTIAL } from './validate-services.ts'
import { streams } from './validate-run.ts'
import { runPool } from './validate-stations.ts'
import { type Batches, estimate, runLength } from './validate-statistics.ts'

/** The waits of M/M/1 at load 0.8, cut as asked. */
function waits(seed: number, length: { batches: number; batchArrivals: number; warmUpArrivals: number }): Batches {
  return runPool({
    ...streams(`coverage, seed ${seed}`, { rateRps: 0.8, burstiness: 1 }),
    servers: 1,
    service: EXPONENTIAL,
    length,
    insideMax: Number.POSITIVE_INFINITY,
    longWaitSeconds: Number.POSITIVE_INFINITY,
    longSojournSeconds: Number.POSITIVE_INFINITY,
  }).waitSeconds
}

/** Share of 200 seeds whose 95 % interval holds the true mean wait, 4. */
function coverage(length: { batches: number; batchArrivals: number; warmUpArrivals: number }, student: number): number {
  let held = 0
  for (let seed = 0; seed < 200; seed++) {
    const { mean, standardError } = estimate([waits(seed, length)])
    if (Math.abs(mean - 4) <= student * standardError) held += 1
  }
  return held / 200
}

// Seconds on a busy machine.
describe('batch means', { timeout: 30_000 }, () => {
  it('give intervals that hold the truth as often as they say, with batches of ten memories', () => {
    // At load 0.8 a memory is 100 arrivals. Student's t for 11 degrees of freedom.
    const held = coverage({ warmUpArrivals: 1500, batches: 12, batchArrivals: 1000 }, 2.201)
    expect(held).toBeGreaterThanOrEqual(0.9)
    expect(held).toBeLessThanOrEqual(0.99)
  })

  it('give intervals that are far too narrow with batches shorter than a memory', () => {
    expect(coverage({ warmUpArrivals: 1500, batches: 100, batchArrivals: 20 }, 1.984)).toBeLessThan(0.7)
  })

  it('are pooled over runs as more batches of one run', () => {
    const [a, b] = [
      { sums: Float64Array.of(1, 5), weights: Float64Array.of(1, 2) },
      { sums: Float64Array.of(2), weights: Float64Array.of(1) },
    ]
    const { mean, standardError, batches } = estimate([a, b])
    expect([mean, batches]).toEqual([2, 3])
    // Residuals -1, 1 and 0 around the quotient; the mean weight is 4 / 3.
    expect(standardError).toBeCloseTo(Math.sqrt(1 / 3) / (4 / 3), 12)
    const whole = { sums: Float64Array.of(1, 5, 2), weights: Float64Array.of(1, 2, 1) }
    expect(estimate([whole])).toEqual({ mean, standardError, batches })
  })
})

describe('the length of a run', () => {
  const rule = { effort: 1, seeds: 4, relativeError: 0.01, relativeVariance: 400, memoryArrivals: 400 }

  it('buys the error that is asked for', () => {
    const { batches, batchArrivals } = runLength(rule)
    expect(4 * batches * batchArrivals).toBeCloseTo(400 / 0.01 ** 2, -3)
  })

  it('never has fewer than 30 batches for a seed nor batches shorter than 15 memories, in a full run', () => {
    for (const relativeError of [0.001, 0.01, 0.03, 0.2]) {
      const { batches, batchArrivals, warmUpArrivals } = runLength({ ...rule, relativeError })
      expect(batches).toBeGreaterThanOrEqual(30)
      expect(batchArrivals).toBeGreaterThanOrEqual(6000)
      expect(warmUpArrivals).toBeGreaterThanOrEqual(6000)
    }
  })
})
