/**
 * Hit ratios of bounded prefix caches on a real trace, from shared/data/README.md: they were computed by other code.
 * The trace is too large for the repository: without it the tests are skipped.
 */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { readTraceFile } from '../../src/cli/read-trace.ts'
import { HybridCache } from '../../src/planner/hybrid-cache.ts'
import { replayPrefixCache } from '../../src/planner/replay-cache.ts'
import type { Trace } from '../../src/planner/trace.ts'

const FOLDER = join(import.meta.dirname, '../../../shared/data/traces')
const hasTraces = existsSync(FOLDER)
const WHY = hasTraces ? '' : ` (SKIPPED: no data folder ${FOLDER})`

describe.skipIf(!hasTraces)(`prefix caches on the Mooncake conversation trace${WHY}`, () => {
  let trace: Trace
  beforeAll(async () => {
    const read = await readTraceFile(join(FOLDER, 'mooncake_conversation_trace.jsonl.gz'))
    trace = read.kind === 'requests' ? read.trace : expect.unreachable('expected requests')
  })

  it.each([
    [1_000, '4.54'],
    [3_000, '6.63'],
    [10_000, '21.53'],
    [30_000, '33.21'],
    [50_000, '36.15'],
    [Number.POSITIVE_INFINITY, '37.36'],
  ])('an LRU of %d blocks hits %s % of the tokens', (cacheBlocks, percent) => {
    const { hitRatioTokens } = replayPrefixCache(trace, { cacheBlocks, policy: 'lru' })
    expect((100 * hitRatioTokens).toFixed(2)).toBe(percent)
  })

  it('an infinite cache hits 36.64 % of the blocks', () => {
    const { hitRatioBlocks } = replayPrefixCache(trace, { cacheBlocks: Number.POSITIVE_INFINITY, policy: 'lru' })
    expect((100 * hitRatioBlocks).toFixed(2)).toBe('36.64')
  })

  it('a hybrid pool without states is the same cache', () => {
    const { ids, offsets } = trace.blocks ?? expect.unreachable('expected block ids')
    const pool = new HybridCache({ capacityBlocks: 10_000, stateBlocks: 0, checkpointBlocks: 0, policy: 'lru' })
    let hitBlocks = 0
    for (let request = 0; request < trace.requestCount; request++) {
      const [start, end] = [offsets[request] ?? 0, offsets[request + 1] ?? 0]
      hitBlocks += pool.matchBlocks(ids, start, end)
      pool.admit(ids, start, end)
    }
    const { hitRatioBlocks, evictions } = replayPrefixCache(trace, { cacheBlocks: 10_000, policy: 'lru' })
    expect([hitBlocks / ids.length, pool.blockEvictions]).toEqual([hitRatioBlocks, evictions])
  })
})
