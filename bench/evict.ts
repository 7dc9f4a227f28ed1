import { existsSync } from 'node:fs'
import { readTraceFile } from '../src/cli/read-trace.ts'
import { createTraceReader } from '../src/planner/trace-reader.ts'
import { replayPrefixCache } from '../src/planner/replay-cache.ts'
import type { Trace, TraceFile } from '../src/planner/trace.ts'
import { EVICTION_POLICIES, type EvictionPolicyName } from '../src/policy/evict-policies.ts'
import type { Bench, Findings, Row } from './bench.ts'
import { measureWarm, ratioOf } from './harness.ts'
import { BLOCK_REFERENCES, syntheticTrace } from './synthetic-trace.ts'

const CACHE_BLOCKS = 5000
/** Entries of a store, each on its own, that are put once: every one makes another one leave or is refused. */
const PUTS = 200_000
const STORE_ENTRIES = 10_000
/** What a store's policy may take of the 10 µs that it has for a small entry. */
const CALL_TARGET_NS = 1000
const MOONCAKE = process.env['MEMBRANE_MOONCAKE_TRACE']
const hasMooncake = MOONCAKE !== undefined && existsSync(MOONCAKE)

const trace = requestsOf(hasMooncake ? await readTraceFile(MOONCAKE) : syntheticFile())

const probes = {
  'replay-lru': replayProbe('lru'),
  'replay-leaf-lru': replayProbe('leaf-lru'),
  'replay-s3-fifo': replayProbe('s3-fifo'),
  'replay-chain-lhd': replayProbe('chain-lhd'),
  'puts-lru': putsProbe('lru'),
  'puts-leaf-lru': putsProbe('leaf-lru'),
  'puts-s3-fifo': putsProbe('s3-fifo'),
  'puts-chain-lhd': putsProbe('chain-lhd'),
} as const satisfies Bench['probes']

export const bench: Bench = {
  summary: `${BLOCK_REFERENCES} block references, and ${PUTS} puts into a full store, under every eviction policy`,
  probes,
  run: async (): Promise<Findings> => {
    const names = Object.keys(probes) as (keyof typeof probes)[]
    const warm = measureWarm(probes, names)
    const rows: Row[] = names.map((name) => {
      const calls = name.startsWith('puts') ? PUTS : (trace.blocks?.ids.length ?? 0)
      return { what: `${name}, ${calls} entries`, runsMs: warm[name], targetMs: (calls * CALL_TARGET_NS) / 1e6 }
    })
    return {
      rows,
      ratios: [
        ratioOf('chain-lhd / lru, replay', warm['replay-chain-lhd'], warm['replay-lru']),
        ratioOf('chain-lhd / lru, puts', warm['puts-chain-lhd'], warm['puts-lru']),
      ],
      notes: [hasMooncake ? "Mooncake's conversation trace." : 'A synthetic trace.', ...hitNotes()],
    }
  },
}

/** Speed without what it is for would say little. */
function hitNotes(): readonly string[] {
  return (Object.keys(EVICTION_POLICIES) as EvictionPolicyName[]).map((policy) => {
    const { hitRatioBlocks } = replayPrefixCache(trace, { cacheBlocks: CACHE_BLOCKS, policy })
    return `${policy} hits ${(100 * hitRatioBlocks).toFixed(2)} % of the blocks with ${CACHE_BLOCKS}.`
  })
}

function replayProbe(policy: EvictionPolicyName) {
  return { prepare: () => () => replayPrefixCache(trace, { cacheBlocks: CACHE_BLOCKS, policy }) }
}

function putsProbe(name: EvictionPolicyName) {
  return {
    prepare: () => () => {
      const policy = EVICTION_POLICIES[name](STORE_ENTRIES)
      let refused = 0
      for (let put = 0; put < PUTS; put++) {
        const slot = put < STORE_ENTRIES ? put : policy.victimFor(put, -1, 1, 1)
        if (slot < 0) {
          refused += 1
          continue
        }
        if (put >= STORE_ENTRIES) policy.removed(slot)
        policy.inserted(slot, put, -1, 1)
      }
      return refused
    },
  }
}

function syntheticFile(): TraceFile {
  const reader = createTraceReader('synthetic')
  reader.push(syntheticTrace())
  return reader.end()
}

function requestsOf(file: TraceFile): Trace {
  if (file.kind === 'requests') return file.trace
  throw new Error('The bench needs a trace of requests.')
}
