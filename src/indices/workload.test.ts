import { describe, expect, test } from 'vitest'
import { seededRandom } from '../core/random.ts'
import { WorkloadAnalyser } from './workload.ts'

const START_MS = 1_700_000_000_000

describe('the workload', () => {
  test('of nothing says so', () => {
    expect(new WorkloadAnalyser().analyze(START_MS)).toEqual({
      coveredMs: 0,
      requests: 0,
      requestsPerSecond: 0,
      uses: 0,
      reuseRatio: null,
      nextUseMs: null,
      popularPrefixes: [],
    })
  })

  test('has a rate, a share of reuse and the time until the next use', () => {
    const workload = new WorkloadAnalyser({ windowMs: 600_000, panes: 10 })
    for (let request = 0; request < 100; request++) {
      workload.record(['system', `document ${request % 10}`, `question ${request}`], START_MS + request * 1000)
    }
    const { nextUseMs, ...analysis } = workload.analyze(START_MS + 100_000)
    expect(analysis).toMatchObject({ coveredMs: 100_000, requests: 100, requestsPerSecond: 1, uses: 300 })
    // All but the first system prompt, the first use of each document, and every question.
    expect(analysis.reuseRatio).toBeCloseTo((99 + 90) / 300, 10)
    for (const [ms, expected] of [
      [nextUseMs?.p10, 1000],
      [nextUseMs?.p50, 1000],
      [nextUseMs?.p90, 10_000],
    ] as const) {
      expect((ms ?? 0) / expected).toBeGreaterThan(0.95)
      expect((ms ?? 0) / expected).toBeLessThan(1.05)
    }
  })

  test('forgets what is older than the window, but not that a key was used', () => {
    const workload = new WorkloadAnalyser({ windowMs: 10_000, panes: 5 })
    for (let at = 0; at < 60; at++) workload.record(['a'], START_MS + at * 100)
    workload.record(['a'], START_MS + 30_000)
    const analysis = workload.analyze(START_MS + 30_000)
    expect([analysis.requests, analysis.reuseRatio]).toEqual([1, 1])
    expect(analysis.requestsPerSecond).toBeGreaterThanOrEqual(0.1)
    expect(workload.analyze(START_MS + 60_000)).toMatchObject({ requests: 0, requestsPerSecond: 0 })
  })

  test('names the longest prefix that all its requests share, and the branches below it', () => {
    const workload = new WorkloadAnalyser()
    for (let request = 0; request < 90; request++) {
      const branch = request % 3 === 0 ? ['tools'] : ['chat']
      workload.record(['system 1', 'system 2', ...branch, `question ${request}`], START_MS + request)
    }
    expect(workload.analyze(START_MS + 100, { limit: 3 }).popularPrefixes).toEqual([
      { key: 'system 2', length: 2, requestsMin: 90, requestsMax: 90 },
      { key: 'chat', length: 3, requestsMin: 60, requestsMax: 60 },
      { key: 'tools', length: 3, requestsMin: 30, requestsMax: 30 },
    ])
  })

  test('finds popular prefixes among many that come once, within its counters, and over several panes', () => {
    const workload = new WorkloadAnalyser({ prefixCountersMax: 64, windowMs: 1000, panes: 4, keysMax: 100 })
    const random = seededRandom(3)
    const requests = new Map<string, number>()
    for (let request = 0; request < 4000; request++) {
      const first =
        random() < 0.2 ? 'popular' : random() < 0.1 ? `rare ${Math.floor(30 * random())}` : `once ${request}`
      requests.set(first, (requests.get(first) ?? 0) + 1)
      workload.record([first, `end ${request}`], START_MS + request / 5)
    }
    const popular = requests.get('popular') ?? 0
    const found = workload.analyze(START_MS + 800, { limit: 1000 }).popularPrefixes
    expect(found[0]?.key).toBe('popular')
    expect(found[0]?.requestsMin).toBeGreaterThan(0.8 * popular)
    expect(found.length).toBeGreaterThan(100)
    for (const { key, requestsMin, requestsMax } of found) {
      const times = requests.get(key) ?? 1
      expect([requestsMin <= times, times <= requestsMax], `${requestsMin} ${key} ${requestsMax}`).toEqual([true, true])
    }
  })

  test('remembers so many keys and no more', () => {
    const workload = new WorkloadAnalyser({ keysMax: 2 })
    for (const key of ['a', 'b', 'a', 'c', 'b']) workload.record([key], START_MS)
    expect(workload.analyze(START_MS + 1).reuseRatio).toBe(1 / 5)
  })

  test('takes only whole bounds', () => {
    expect(() => new WorkloadAnalyser({ panes: 0 })).toThrow('panes is a whole number')
  })
})
