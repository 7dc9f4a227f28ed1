import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { runs } from '../../test/effort.ts'
import { seededRandom } from '../core/random.ts'
import { type ReplayOptions, spreadInsideSteps, traceTraffic } from './trace-traffic.ts'
import type { Trace } from './trace.ts'

function trace(parts: Partial<Trace>): Trace {
  const requestCount = parts.inputTokens?.length ?? 4
  return {
    name: 'test',
    format: 'membrane',
    requestCount,
    inputTokens: new Int32Array(requestCount).fill(100),
    outputTokens: null,
    atSeconds: null,
    blocks: null,
    ...parts,
  }
}

const OPTIONS: ReplayOptions = { rateRps: null, outputTokens: 9.6, seed: 1, requests: null, isFullBlocksOnly: false }

function all(made: Trace, options: Partial<ReplayOptions>) {
  const traffic = traceTraffic(made, { ...OPTIONS, ...options })
  const heads = []
  while (traffic.next()) {
    const { atSeconds, promptTokens, outputTokens, blockStart, blockEnd } = traffic.head
    heads.push({ atSeconds, promptTokens, outputTokens, blockStart, blockEnd })
  }
  expect(heads.length).toBe(traffic.requests)
  return heads
}

describe('times that were rounded down to steps', () => {
  it('are spread over their step in order, and nothing leaves it', () => {
    fc.assert(
      fc.property(fc.nat(), fc.array(fc.nat({ max: 12 }), { minLength: 1, maxLength: 60 }), (seed, drawn) => {
        const at = Float64Array.from(
          drawn.toSorted((a, b) => a - b),
          (step) => 3 * step,
        )
        const spread = spreadInsideSteps(at, seededRandom(seed))
        for (const [k, seconds] of spread.entries()) {
          const own = at[k] ?? 0
          const next = at.find((other) => other > own)
          expect(seconds).toBeGreaterThanOrEqual(Math.max(own, spread[k - 1] ?? 0))
          if (next !== undefined) expect(seconds).toBeLessThanOrEqual(next)
          // Who came alone at a time came then.
          if (at.filter((other) => other === own).length === 1) expect(seconds).toBe(own)
        }
      }),
      { numRuns: runs(60) },
    )
  })

  it('fill the last step as wide as the one before it, and a single step not at all', () => {
    const spread = spreadInsideSteps(Float64Array.of(0, 10, 10, 10, 10, 10), seededRandom(2))
    expect(Math.max(...spread)).toBeGreaterThan(12)
    expect(Math.max(...spread)).toBeLessThan(20)
    expect([...spreadInsideSteps(Float64Array.of(7, 7), seededRandom(2))]).toEqual([7, 7])
  })

  it('are uniform inside a step', () => {
    const at = new Float64Array(20_001)
    at[20_000] = 1
    const spread = spreadInsideSteps(at, seededRandom(3)).subarray(0, 20_000)
    const mean = spread.reduce((sum, value) => sum + value, 0) / spread.length
    expect(mean).toBeCloseTo(0.5, 2)
    expect(spread.filter((value) => value < 0.1).length / spread.length).toBeCloseTo(0.1, 2)
  })
})

describe('a replayed trace', () => {
  it('keeps its lengths and order, and its pace unless a rate is asked for', () => {
    const made = trace({
      inputTokens: Int32Array.of(5, 6, 7),
      outputTokens: Int32Array.of(1, 0, 3),
      atSeconds: Float64Array.of(0, 4, 10),
    })
    expect(all(made, {}).map((head) => [head.atSeconds, head.promptTokens, head.outputTokens])).toEqual([
      [0, 5, 1],
      [4, 6, 1],
      [10, 7, 3],
    ])
    // Three requests at 0.1 a second: the last comes after 30 s, the others in proportion.
    expect(all(made, { rateRps: 0.1 }).map(({ atSeconds }) => atSeconds)).toEqual([0, 12, 30])
  })

  it('takes answers from the scenario where the trace has none, whole and at least one token', () => {
    expect(all(trace({}), { rateRps: 1 }).map(({ outputTokens }) => outputTokens)).toEqual([10, 10, 10, 10])
  })

  it('without times, or with all at one time, comes as a Poisson stream of the rate', () => {
    const requests = 20_000
    const inputTokens = new Int32Array(requests).fill(1)
    for (const atSeconds of [null, new Float64Array(requests)]) {
      const heads = all(trace({ inputTokens, atSeconds }), { rateRps: 4 })
      expect((heads.at(-1)?.atSeconds ?? 0) / (requests / 4)).toBeCloseTo(1, 1)
      expect(heads[0]?.atSeconds).toBe(0)
    }
  })

  it('of which only requests at one time are taken, comes at the rate too', () => {
    const made = trace({ inputTokens: Int32Array.of(1, 1, 1, 1), atSeconds: Float64Array.of(0, 0, 0, 5) })
    for (const { atSeconds } of all(made, { rateRps: 2, requests: 3 })) expect(atSeconds).toBeGreaterThanOrEqual(0)
  })

  it('has nothing to go by without times and rate', () => {
    expect(() => all(trace({}), {})).toThrow('expected a rate')
  })

  it('names the blocks of each prompt, the full ones alone where states are taken at their ends', () => {
    const blocks = { blockTokens: 10, ids: Int32Array.of(1, 2, 3, 1, 4), offsets: Int32Array.of(0, 3, 5) }
    const made = trace({ inputTokens: Int32Array.of(25, 20), atSeconds: Float64Array.of(0, 1), blocks })
    expect(all(made, {}).map(({ blockStart, blockEnd }) => [blockStart, blockEnd])).toEqual([
      [0, 3],
      [3, 5],
    ])
    expect(all(made, { isFullBlocksOnly: true }).map(({ blockStart, blockEnd }) => [blockStart, blockEnd])).toEqual([
      [0, 2],
      [3, 5],
    ])
  })

  it('never gives a request without tokens', () => {
    const made = trace({
      inputTokens: Int32Array.of(0, 0),
      outputTokens: Int32Array.of(0, 0),
      atSeconds: Float64Array.of(0, 1),
    })
    for (const head of all(made, {})) expect([head.promptTokens, head.outputTokens]).toEqual([1, 1])
  })
})
