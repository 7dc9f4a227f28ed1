import { readFile } from 'node:fs/promises'
import { promisify } from 'node:util'
import { gunzip } from 'node:zlib'
import { readTraceFile } from '../src/cli/read-trace.ts'
import { HybridCache } from '../src/planner/hybrid-cache.ts'
import { replayPrefixCache } from '../src/planner/replay-cache.ts'
import type { Trace } from '../src/planner/trace.ts'
import type { Bench, Findings } from './bench.ts'
import { measureCold, measureWarm, ratioOf } from './harness.ts'
import { mooncakeTrace, requestsOf } from './mooncake.ts'
import { mapReplay, orderedMapReplay, type PlainTrace } from './naive-replay.ts'
import { BLOCK_REFERENCES } from './synthetic-trace.ts'

const CACHE_BLOCKS = 10_000
/** A state of the paper's 1T model is about 21 blocks of 512 tokens: 173.9 MiB against 17,280 bytes a token. */
const STATE_BLOCKS = 21
const COLD_TARGET_MS = 100
const WARM_TARGET_MS = 40
const { hasMooncake, path: PATH, prepare, textNow, readNow } = mooncakeTrace('cache-trace')

const probes = {
  /** Open, unpack, parse, check and replay. */
  cold: { prepare: () => async () => replayPrefixCache(requestsOf(await readTraceFile(PATH)), LRU) },
  'cold-naive': {
    prepare: () => async () =>
      mapReplay(parsed((await promisify(gunzip)(await readFile(PATH))).toString('utf8')), CACHE_BLOCKS),
  },
  replay: {
    prepare: () => {
      const trace = readNow()
      return () => replayPrefixCache(trace, LRU)
    },
  },
  hybrid: {
    prepare: () => {
      const trace = readNow()
      return () => hybridReplay(trace)
    },
  },
  map: {
    prepare: () => {
      const trace = parsed(textNow())
      return () => mapReplay(trace, CACHE_BLOCKS)
    },
  },
  'ordered-map': {
    prepare: () => {
      const trace = parsed(textNow())
      return () => orderedMapReplay(trace, CACHE_BLOCKS)
    },
  },
} as const satisfies Bench['probes']
const LRU = { cacheBlocks: CACHE_BLOCKS, policy: 'lru' } as const

export const bench: Bench = {
  summary: `${BLOCK_REFERENCES} block references through an LRU prefix cache of ${CACHE_BLOCKS} blocks`,
  probes,
  run: async (): Promise<Findings> => {
    await prepare()
    checkAgreement()
    const cold = measureCold('cache', ['cold', 'cold-naive'])
    const warm = measureWarm(probes, ['replay', 'hybrid', 'map', 'ordered-map'])
    return {
      rows: [
        { what: 'cold: gunzip, parse, check, replay', runsMs: cold.cold, targetMs: COLD_TARGET_MS },
        { what: 'cold: control, gunzip, JSON.parse, Map and ring of nodes', runsMs: cold['cold-naive'] },
        { what: 'replay alone', runsMs: warm.replay, targetMs: WARM_TARGET_MS },
        { what: `hybrid pool, states of ${STATE_BLOCKS} blocks`, runsMs: warm.hybrid, targetMs: WARM_TARGET_MS },
        { what: 'peer: Map and ring of nodes', runsMs: warm.map },
        { what: 'peer: Map in order of use', runsMs: warm['ordered-map'] },
      ],
      ratios: [
        ratioOf('control / ours, cold', cold['cold-naive'], cold.cold),
        ratioOf('Map and ring of nodes / replay', warm.map, warm.replay),
        ratioOf('Map and ring of nodes / hybrid pool', warm.map, warm.hybrid),
        ratioOf('Map in order of use / replay', warm['ordered-map'], warm.replay),
      ],
      notes: [
        hasMooncake
          ? "Mooncake's conversation trace."
          : "A synthetic trace; set MEMBRANE_MOONCAKE_TRACE to Mooncake's conversation_trace.jsonl(.gz) to replay that.",
      ],
    }
  },
}

/** Peers that answer another question would say nothing. */
function checkAgreement(): void {
  const trace = readNow()
  const plain = parsed(textNow())
  const hits = Math.round(replayPrefixCache(trace, LRU).hitRatioBlocks * (trace.blocks?.ids.length ?? 0))
  const peers = [mapReplay(plain, CACHE_BLOCKS), orderedMapReplay(plain, CACHE_BLOCKS)]
  if (peers.some((peer) => peer !== hits))
    throw new Error(`${hits} blocks are hit, and by the peers ${peers.join(' and ')}.`)
}

function hybridReplay(trace: Trace): number {
  const pool = new HybridCache({
    capacityBlocks: CACHE_BLOCKS,
    stateBlocks: STATE_BLOCKS,
    checkpointBlocks: 0,
    policy: 'lru',
  })
  const { ids, offsets } = trace.blocks ?? { ids: new Int32Array(0), offsets: new Int32Array(0) }
  let hitBlocks = 0
  for (let request = 0; request < trace.requestCount; request++) {
    const start = offsets[request] ?? 0
    const end = offsets[request + 1] ?? 0
    const match = pool.matchBlocks(ids, start, end)
    pool.admit(ids, start, end, match)
    hitBlocks += match
  }
  return hitBlocks
}

function parsed(text: string): PlainTrace {
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => (JSON.parse(line) as { readonly hash_ids: readonly number[] }).hash_ids)
}
