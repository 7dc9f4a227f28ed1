import { describe, expect, it } from 'vitest'
import { AGENTS, CASE_STUDY, CLUSTER_CACHES, PLANNED, simulatePlanned } from '../../test/case-study.ts'
import { lose, restore } from '../../test/losses.ts'
import { buildScenario } from './scenario.ts'
import { type ReplicationData, simulateBatch } from './sim-run.ts'
import { summarize } from './simulation-result.ts'

const { spec } = CASE_STUDY

describe('prefix caches in a run', () => {
  it('give back the room of transfers that break off', () => {
    const caches = { ...CLUSTER_CACHES, remoteBlocks: 600, localBlocks: 600 }
    const events = [100, 200, 300, 400, 500, 600].flatMap((at) => [
      lose(at, 'remotePrefill', 4),
      restore(at + 8, 'remotePrefill', 4),
    ])
    const options = { workload: AGENTS, caches, rateRps: 2, requests: 2000, thresholdTokens: 1 }
    const slow = buildScenario({ ...spec, link: { gbps: 15 } })
    const after = simulateBatch(slow, { ...PLANNED, ...options, events })
    const calm = simulateBatch(slow, { ...PLANNED, ...options })
    expect(after.repeated).toBeGreaterThan(20)
    // Room that was never given back would shut later transfers, and prefixes, out for good.
    expect(after.cache?.transfersOutside ?? 0).toBeLessThan(2 * (calm.cache?.transfersOutside ?? 0) + 200)
    expect(after.cache?.hitTokens ?? 0).toBeGreaterThan(0.5 * (calm.cache?.hitTokens ?? 0))
  })

  it('send over the link only what the decode side lacks', () => {
    const of = (localBlocks: number): ReplicationData =>
      simulatePlanned({
        workload: AGENTS,
        caches: { ...CLUSTER_CACHES, localBlocks },
        thresholdTokens: 1,
        rateRps: 1,
        requests: 1500,
      })
    const [none, some] = [of(0), of(60_000)]
    const { kvBytes } = CASE_STUDY.remote.profile
    expect(none.offloaded).toBe(1500)
    expect(some.bytesSent).toBeLessThan(0.5 * none.bytesSent)
    // With an endless local cache that hears of every prompt, each token's KV crosses once, and a state with each request.
    const { timelines } = simulatePlanned({
      workload: AGENTS,
      caches: { ...CLUSTER_CACHES, localBlocks: 0 },
      thresholdTokens: 1,
      rateRps: 1,
      requests: 200,
      timelines: 200,
    })
    expect(timelines.length).toBeGreaterThan(190)
    const whole = simulatePlanned({
      workload: AGENTS,
      caches: { ...CLUSTER_CACHES, localBlocks: 0 },
      thresholdTokens: 1,
      rateRps: 1,
      requests: 200,
    })
    const sum = timelines.reduce((total, { promptTokens }) => total + kvBytes.at(promptTokens), 0)
    expect(whole.bytesSent).toBeGreaterThanOrEqual(sum)
    expect(whole.bytesSent).toBeLessThan(1.1 * sum)
  })

  it('need requests with block ids', () => {
    expect(() => simulatePlanned({ caches: CLUSTER_CACHES })).toThrow(/block ids/)
  })

  it('raise the hit ratio with their size', () => {
    const ratio = (blocks: number): number => {
      const options = {
        ...PLANNED,
        workload: AGENTS,
        caches: { ...CLUSTER_CACHES, remoteBlocks: blocks, localBlocks: blocks },
        rateRps: 1,
      }
      return summarize(CASE_STUDY, options, [simulateBatch(CASE_STUDY, options)]).cache?.hitRatioTokens ?? Number.NaN
    }
    const ratios = [0, 100, 1000, 20_000].map(ratio)
    expect(ratios[0]).toBe(0)
    for (const [k, one] of ratios.entries()) expect(one).toBeGreaterThanOrEqual(ratios[k - 1] ?? 0)
    expect(ratios.at(-1)).toBeGreaterThan(0.3)
  })
})
