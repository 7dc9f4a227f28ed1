import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { CASE_STUDY as scenario, PLANNED } from '../../test/case-study.ts'
import { runs } from '../../test/effort.ts'
import { seededRandom } from '../core/random.ts'
import { replayPrefixCache } from './replay-cache.ts'
import type { CacheOptions, SimulationOptions } from './sim-options.ts'
import { simulateBatch } from './sim-run.ts'
import { summarize } from './simulation-result.ts'
import type { Trace } from './trace.ts'

/** Sessions that come back, and prompts whose last block is filled in part. */
function drawnTrace(seed: number, requestCount: number): Trace {
  const random = seededRandom(seed)
  const [ids, offsets, lengths]: [number[], number[], number[]] = [[], [0], []]
  const sessions: number[][] = []
  let nextId = 0
  for (let k = 0; k < requestCount; k++) {
    const isNew = sessions.length === 0 || random() < 0.3
    if (isNew) sessions.push(random() < 0.5 ? [...(sessions[0]?.slice(0, 3) ?? [])] : [])
    const session = sessions[isNew ? sessions.length - 1 : Math.floor(random() * sessions.length)] ?? []
    const grow = 1 + Math.floor(random() * 6)
    for (let block = 0; block < grow; block++) session.push(nextId++)
    ids.push(...session)
    offsets.push(ids.length)
    lengths.push(512 * session.length - Math.floor(random() * 512))
  }
  return {
    name: 'drawn',
    format: 'membrane',
    requestCount,
    inputTokens: Int32Array.from(lengths),
    outputTokens: new Int32Array(requestCount).fill(5),
    atSeconds: Float64Array.from(lengths, (_, k) => k * 0.4),
    blocks: { blockTokens: 512, ids: Int32Array.from(ids), offsets: Int32Array.from(offsets) },
  }
}

const shared: CacheOptions = {
  scope: 'shared',
  remoteBlocks: 0,
  localBlocks: 100,
  stateBlocks: 0,
  checkpointBlocks: 0,
  policy: 'lru',
  isCopiedAcross: false,
}

function optionsFor(trace: Trace, caches: CacheOptions | null): SimulationOptions {
  return {
    ...PLANNED,
    thresholdTokens: 3000,
    rateRps: 2.5,
    requests: trace.requestCount,
    workload: { kind: 'trace', trace, rateRps: null },
    caches,
  }
}

describe('one cache for both clusters', () => {
  it('hits and evicts exactly what a replay of the trace through a cache of that size does', () => {
    fc.assert(
      fc.property(fc.nat(), fc.constantFrom(0, 1, 7, 60, 400, 100_000), (seed, localBlocks) => {
        const trace = drawnTrace(seed, 150)
        const options = optionsFor(trace, { ...shared, localBlocks })
        const { cache } = summarize(scenario, options, [simulateBatch(scenario, options)])
        const replayed = replayPrefixCache(trace, { cacheBlocks: localBlocks, policy: 'lru' })
        expect(cache?.hitRatioTokens).toBeCloseTo(replayed.hitRatioTokens, 12)
        expect(cache?.hitRatioBlocks).toBeCloseTo(replayed.hitRatioBlocks, 12)
        expect(cache?.evictions).toBe(replayed.evictions)
      }),
      { numRuns: runs(25) },
    )
  })

  it('makes prefills shorter, by what it hits', () => {
    const trace = drawnTrace(4, 400)
    const without = simulateBatch(scenario, optionsFor(trace, null))
    const cached = simulateBatch(scenario, optionsFor(trace, { ...shared, localBlocks: 100_000 }))
    const busy = ({ stages }: typeof without): number =>
      stages.remotePrefill.busySeconds + stages.localPrefill.busySeconds
    expect(busy(cached)).toBeLessThan(0.9 * busy(without))
    expect(without.cache).toBeNull()
  })
})

describe('a cache in each cluster', () => {
  it('never hits more than one that both share and that fills as requests arrive', () => {
    fc.assert(
      fc.property(fc.nat(), fc.constantFrom(0, 20), (seed, stateBlocks) => {
        const trace = drawnTrace(seed, 150)
        const hits = (scope: 'shared' | 'cluster'): number => {
          const options = optionsFor(trace, { ...shared, scope, stateBlocks, remoteBlocks: 1e6, localBlocks: 1e6 })
          return simulateBatch(scenario, options).cache?.hitTokens ?? Number.NaN
        }
        expect(hits('cluster')).toBeLessThanOrEqual(hits('shared'))
      }),
      { numRuns: runs(15) },
    )
  })

  it('hits no more with recurrent states than without, and more with checkpoints', () => {
    const trace = drawnTrace(4, 600)
    const hits = (stateBlocks: number, checkpointBlocks: number): number => {
      const options = optionsFor(trace, { ...shared, stateBlocks, checkpointBlocks, localBlocks: 1e6 })
      return simulateBatch(scenario, options).cache?.hitTokens ?? Number.NaN
    }
    const [plain, states, checkpoints] = [hits(0, 0), hits(20, 0), hits(20, 1)]
    expect(states).toBeLessThanOrEqual(plain)
    expect(checkpoints).toBeGreaterThan(states)
    expect(checkpoints).toBeLessThanOrEqual(plain)
  })
})
