import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { runs } from '../../test/effort.ts'
import { LIMITS } from '../core/limits.ts'
import { agentLengths, agentTraffic, type AgentTrafficOptions, type AgentWorkload } from './agent-traffic.ts'
import { rateCurve } from './rate-curve.ts'

const workload: AgentWorkload = {
  kind: 'agents',
  systemTokens: 2100,
  firstTokens: 4000,
  turnTokens: 1500,
  outputTokens: 300,
  turnsMean: 6,
  turnGapSeconds: 30,
  blockTokens: 512,
  promptTokensMax: 60_000,
}

interface Request {
  readonly atSeconds: number
  readonly promptTokens: number
  readonly outputTokens: number
  readonly ids: readonly number[]
}

function requestsOf(
  made: AgentWorkload,
  requests: number,
  seed: number,
  more: Partial<AgentTrafficOptions> = {},
): Request[] {
  const traffic = agentTraffic(made, { rateRps: 2, requests, seed, ...more })
  const list: Request[] = []
  while (traffic.next()) {
    const { atSeconds, promptTokens, outputTokens, blockStart, blockEnd } = traffic.head
    const ids = traffic.blockIds?.subarray(blockStart, blockEnd) ?? new Int32Array()
    list.push({ atSeconds, promptTokens, outputTokens, ids: [...ids] })
  }
  return list
}

const workloads = fc.record({
  kind: fc.constant('agents' as const),
  systemTokens: fc.constantFrom(0, 100, 512, 5000),
  firstTokens: fc.constantFrom(1, 600, 9000),
  turnTokens: fc.constantFrom(1, 2000),
  outputTokens: fc.constantFrom(1, 500),
  turnsMean: fc.constantFrom(1, 3, 20),
  turnGapSeconds: fc.constantFrom(0.5, 60),
  blockTokens: fc.constantFrom(16, 512),
  promptTokensMax: fc.constantFrom(5500, 40_000),
})

describe('agents', () => {
  it('send in order of time whole prompts within the bound, with exactly their full blocks', () => {
    fc.assert(
      fc.property(workloads, fc.nat(), (made, seed) => {
        let last = 0
        for (const { atSeconds, promptTokens, outputTokens, ids } of requestsOf(made, 150, seed)) {
          expect(atSeconds).toBeGreaterThanOrEqual(last)
          last = atSeconds
          expect(promptTokens).toBeLessThanOrEqual(made.promptTokensMax)
          expect(Math.min(promptTokens, outputTokens)).toBeGreaterThanOrEqual(1)
          expect(ids.length).toBe(Math.floor(promptTokens / made.blockTokens))
        }
      }),
      { numRuns: runs(20) },
    )
  })

  it('share the blocks of the system prompt with all, and the others with their own session alone', () => {
    fc.assert(
      fc.property(workloads, fc.nat(), (made, seed) => {
        const systemBlocks = Math.floor(made.systemTokens / made.blockTokens)
        /** By the first id that is its own: the session's latest prompt. */
        const sessions = new Map<number, Request>()
        const owner = new Map<number, number>()
        for (const request of requestsOf(made, 150, seed)) {
          const { ids, promptTokens } = request
          expect(ids.slice(0, systemBlocks).every((id, k) => id === k)).toBe(true)
          const own = ids.slice(systemBlocks)
          const [name] = own
          if (name === undefined) continue
          expect(own.filter((id) => id < systemBlocks || (owner.get(id) ?? name) !== name)).toEqual([])
          for (const id of own) owner.set(id, name)
          const before = sessions.get(name)
          if (before !== undefined) {
            // The conversation so far is the prefix of the next prompt, answer included.
            expect(before.ids.every((id, k) => ids[k] === id)).toBe(true)
            expect(promptTokens).toBeGreaterThan(before.promptTokens + before.outputTokens)
          }
          sessions.set(name, request)
        }
      }),
      { numRuns: runs(20) },
    )
  })

  it('bring the mean rate that was asked for, and turns and growth as the workload says', () => {
    const requests = 60_000
    const list = requestsOf(workload, requests, 9)
    expect(requests / (list.at(-1)?.atSeconds ?? 0) / 2).toBeGreaterThan(0.95)
    expect(requests / (list.at(-1)?.atSeconds ?? 0) / 2).toBeLessThan(1.05)
    const mean = list.reduce((sum, { outputTokens }) => sum + outputTokens, 0) / requests
    expect(mean / 300).toBeCloseTo(1, 1)
  })

  it('begin sessions along a curve, at the mean rate that was asked for', () => {
    const curve = rateCurve(1000, [1, 0, 3])
    const single = { ...workload, turnsMean: 1 }
    const list = requestsOf(single, 30_000, 5, { curve })
    const counts = new Float64Array(3)
    for (const { atSeconds } of list) {
      const step = Math.floor(atSeconds / 1000) % 3
      counts[step] = (counts[step] ?? 0) + 1
    }
    expect(counts[1]).toBe(0)
    expect((counts[2] ?? 0) / (counts[0] ?? 0)).toBeGreaterThan(2.7)
    expect((counts[2] ?? 0) / (counts[0] ?? 0)).toBeLessThan(3.3)
    expect(30_000 / (list.at(-1)?.atSeconds ?? 0) / 2).toBeCloseTo(1, 1)
    // Later turns come when the agents are ready: some while no session begins.
    const later = requestsOf(workload, 30_000, 5, { curve })
    expect(later.some(({ atSeconds }) => Math.floor(atSeconds / 1000) % 3 === 1)).toBe(true)
  })

  it.for(['gamma', 'weibull'] as const)('begin sessions with %s gaps of the burstiness that was asked for', (kind) => {
    const single = { ...workload, turnsMean: 1 }
    const list = requestsOf(single, 30_000, 5, { arrivals: { kind, burstiness: 4 } })
    const gaps = list.map(({ atSeconds }, k) => atSeconds - (list[k - 1]?.atSeconds ?? 0))
    const mean = gaps.reduce((sum, gap) => sum + gap, 0) / gaps.length
    const variance = gaps.reduce((sum, gap) => sum + (gap - mean) ** 2, 0) / gaps.length
    expect(mean).toBeCloseTo(0.5, 1)
    expect(variance / mean ** 2).toBeGreaterThan(3.3)
    expect(variance / mean ** 2).toBeLessThan(4.7)
  })

  it.for<[string, Partial<AgentWorkload>, RegExp]>([
    [
      'no room beyond the system tokens',
      { systemTokens: 60_000 },
      /systemTokens .* promptTokensMax, found 60000 and 60000/,
    ],
    ['sessions without end', { turnsMean: LIMITS.agentTurnsMax + 1 }, /turnsMean must be from 1 to 10000, found 10001/],
    [
      'too many blocks',
      { blockTokens: 1, promptTokensMax: 65_537 },
      /at most 65536 blocks, found promptTokensMax 65537 and/,
    ],
  ])('with %s are refused', ([, change, message]) => {
    const open = (): unknown => agentTraffic({ ...workload, ...change }, { rateRps: 1, requests: 1, seed: 1 })
    expect(open).toThrow(expect.objectContaining({ code: 'INVALID_CONFIG', message: expect.stringMatching(message) }))
  })

  it('of 10,000 tiny turns, and of blocks of one token, are planned in seconds', () => {
    const options = { rateRps: 1, requests: 20_000, seed: 1 }
    const tiny = { ...workload, firstTokens: 1, turnTokens: 1, outputTokens: 1, turnsMean: LIMITS.agentTurnsMax }
    expect(agentLengths(tiny, options).promptTokensMean).toBeGreaterThan(workload.systemTokens)
    const single = { ...workload, firstTokens: 20_000, blockTokens: 1 }
    expect(agentLengths(single, { ...options, requests: 6000 }).uncachedTokens).toHaveLength(6000)
  }, 10_000)

  it('are the same for the same seed and others for another', () => {
    expect(requestsOf(workload, 200, 3)).toEqual(requestsOf(workload, 200, 3))
    expect(requestsOf(workload, 200, 4)).not.toEqual(requestsOf(workload, 200, 3))
  })

  it('leave uncached what no prompt before has brought', () => {
    const list = requestsOf(workload, 2000, 3)
    const { uncachedTokens, promptTokensMean, outputTokensMean } = agentLengths(workload, {
      rateRps: 2,
      requests: 2000,
      seed: 3,
    })
    const seen = new Set<number>()
    for (const [k, { promptTokens, ids }] of list.entries()) {
      const firstNew = ids.findIndex((id) => !seen.has(id))
      const hits = firstNew < 0 ? ids.length : firstNew
      expect(uncachedTokens[k]).toBe(Math.max(1, promptTokens - hits * 512))
      for (const id of ids) seen.add(id)
    }
    expect(promptTokensMean).toBeCloseTo(list.reduce((sum, { promptTokens }) => sum + promptTokens, 0) / 2000, 6)
    expect(outputTokensMean).toBeCloseTo(list.reduce((sum, { outputTokens }) => sum + outputTokens, 0) / 2000, 6)
  })
})
