import { describe, expect, it } from 'vitest'
import { exponential, seededRandom } from '../core/random.ts'
import { LogHistogram } from './log-histogram.ts'
import { halfWidth95, isBacklogged, meanHalfWidth95, quantileHalfWidth95 } from './sim-confidence.ts'
import { BATCHES } from './sim-record.ts'
import type { ReplicationData } from './sim-run.ts'

/** A run of which only batches and the histogram of the TTFT matter. */
function run(means: readonly number[], count = 10, ttft: readonly number[] = [1]): ReplicationData {
  const histogram = new LogHistogram()
  for (const value of ttft) histogram.record(value)
  const sums = Float64Array.from({ length: BATCHES }, (_, k) => (means[k] ?? 0) * count)
  const batchSums = { ttft: sums, firstToken: sums, tpot: sums, e2e: sums }
  const counts = new Float64Array(BATCHES).fill(count)
  const data = histogram.data()
  const parts = {
    batchCounts: { ttft: counts, firstToken: counts, tpot: counts, e2e: counts },
    batchSums,
    latencies: { ttft: data, firstToken: data, tpot: data, e2e: data },
  }
  return parts as Partial<ReplicationData> as ReplicationData
}

describe('the half width of a 95 % interval', () => {
  it.each([
    [3, 3.182_446],
    [7, 2.364_624],
    [15, 2.131_45],
    [31, 2.039_513],
    [255, 1.969_31],
  ])('has the factor of Student with %d degrees', (degrees, factor) => {
    // Half of the values are 1 and half -1: their deviation is known.
    const count = degrees + 1
    const values = Array.from({ length: count }, (_, k) => (k % 2 === 0 ? 1 : -1))
    const standardError = Math.sqrt(count / (count - 1) / count)
    expect(halfWidth95(values) / standardError / factor).toBeCloseTo(1, 2)
    expect(Math.abs(halfWidth95(values) / standardError / factor - 1)).toBeLessThan(0.002)
  })

  it('contains the true mean in 95 of 100 samples', () => {
    const random = seededRandom(5)
    let inside = 0
    for (let sample = 0; sample < 4000; sample++) {
      const values = Array.from({ length: 8 }, () => random() + random() + random())
      const mean = values.reduce((sum, value) => sum + value, 0) / values.length
      if (Math.abs(mean - 1.5) <= halfWidth95(values)) inside += 1
    }
    expect(inside / 4000).toBeGreaterThan(0.94)
    expect(inside / 4000).toBeLessThan(0.96)
  })

  it('of a mean takes the batches of all runs', () => {
    const random = seededRandom(1)
    const [one, two] = [1, 2].map(() => Array.from({ length: BATCHES }, () => exponential(random)))
    expect(meanHalfWidth95([run(one ?? []), run(two ?? [])], 'ttft')).toBeCloseTo(
      halfWidth95([...(one ?? []), ...(two ?? [])]),
      12,
    )
  })

  it('is not given where there is too little to tell', () => {
    expect(meanHalfWidth95([run([1], 1)], 'ttft')).toBeNull()
    const runs = [1, 2, 3, 4].map((value) => run([1], 10, [value]))
    expect(quantileHalfWidth95(runs.slice(0, 3), 'ttft', 0.9)).toBeNull()
    expect(quantileHalfWidth95(runs, 'ttft', 0.9)).toBeCloseTo(halfWidth95([1, 2, 3, 4]), 2)
  })
})

describe('a backlog', () => {
  it('is seen when sojourns grow to the end, and not in noise', () => {
    const random = seededRandom(3)
    const flat = Array.from({ length: BATCHES }, () => 10 + random())
    expect(isBacklogged(run(flat))).toBe(false)
    expect(isBacklogged(run(flat.map((value, k) => value + 2 * k)))).toBe(true)
    // A burst in the middle that ends again is none.
    expect(isBacklogged(run(flat.map((value, k) => (k > 8 && k < 20 ? value + 30 : value))))).toBe(false)
    // A single wild batch at the end is noise.
    expect(isBacklogged(run(flat.map((value, k) => (k === BATCHES - 1 ? 200 : value))))).toBe(false)
    expect(isBacklogged(run(flat, 1))).toBe(false)
  })
})
