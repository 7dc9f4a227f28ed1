/** Opening a fabric over the disk store: every head is read, and every index is told of every fragment. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { FragmentDescription } from '../src/core/fragment.ts'
import { type BlockHash, DEFAULT_TENANT, parseModelFingerprint } from '../src/core/ids.ts'
import { loadContentHashers } from '../src/hashing/content-hashers.ts'
import { DEFAULT_FABRIC_OPTIONS, type Fabric, openFabric } from '../src/server/fabric.ts'
import { openDiskStore } from '../src/store/disk.ts'
import type { Bench, Findings } from './bench.ts'
import { ratioOf, RUNS } from './harness.ts'

const FRAGMENTS = 100_000
/** Fragments that follow each other. */
const CHAIN = 20
/** Blocks of 16 tokens in one fragment. */
const BLOCKS = 16
const BLOCK_TOKENS = 16
/** So that what is timed is not the device. */
const PAYLOAD_BYTES = 100
const PUTS_AT_ONCE = 500

const { hashers } = await loadContentHashers()
const MODEL = parseModelFingerprint('ab'.repeat(32))
const systemClock = { nowMs: () => Date.now() }

export const bench: Bench = {
  summary: `opening a fabric of ${FRAGMENTS} fragments on disk`,
  probes: {},
  run: async (): Promise<Findings> => {
    const directory = mkdtempSync(join(tmpdir(), 'membrane-bench-'))
    try {
      const filled = await open(directory)
      for (let first = 0; first < FRAGMENTS; first += PUTS_AT_ONCE)
        await Promise.all(Array.from({ length: PUTS_AT_ONCE }, (_, index) => put(filled, first + index)))
      await filled.close()
      const storeMs: number[] = []
      const fabricMs: number[] = []
      for (let turn = 0; turn < RUNS; turn++) {
        let startMs = performance.now()
        const store = await openDiskStore({ directory, hashers })
        storeMs.push(performance.now() - startMs)
        await store.close()
        startMs = performance.now()
        const fabric = await open(directory)
        fabricMs.push(performance.now() - startMs)
        const { fragments, unindexed } = fabric.stats()
        if (fragments !== FRAGMENTS || unindexed > 0) throw new Error(`${fragments} fragments, ${unindexed} unindexed`)
        await fabric.close()
      }
      return {
        rows: [
          { what: `open a fabric of ${FRAGMENTS} fragments`, runsMs: fabricMs },
          { what: 'of that, the disk store', runsMs: storeMs },
        ],
        ratios: [ratioOf('disk store alone / fabric', storeMs, fabricMs)],
        notes: [
          `${((1000 * Math.min(...fabricMs)) / FRAGMENTS).toFixed(1)} us a fragment of ${BLOCKS} blocks, chains of ${CHAIN}.`,
        ],
      }
    } finally {
      rmSync(directory, { recursive: true })
    }
  },
}

async function open(directory: string): Promise<Fabric> {
  const store = await openDiskStore({ directory, hashers })
  return openFabric({ ...DEFAULT_FABRIC_OPTIONS, store, hashers, clock: systemClock, seed: 1 })
}

async function put(fabric: Fabric, number: number): Promise<void> {
  const payload = new Uint8Array(PAYLOAD_BYTES)
  new DataView(payload.buffer).setUint32(0, number)
  await fabric.of(DEFAULT_TENANT).put({ description: describe(number), payload })
}

/** Fragment `number % CHAIN` of a chain of its own. */
function describe(number: number): FragmentDescription {
  const place = number % CHAIN
  const start = place * BLOCKS * BLOCK_TOKENS
  return {
    signature: {
      model: MODEL,
      kind: 'kv',
      tokens: { start, end: start + BLOCKS * BLOCK_TOKENS },
      layers: { start: 0, end: 32 },
      heads: null,
      dtype: 'BF16',
      layout: 'heads,tokens,headDim',
      positionEncoding: 'rope:10000',
    },
    parent: place === 0 ? null : blockOf(number - 1, BLOCKS - 1),
    blocks: Array.from({ length: BLOCKS }, (_, block) => blockOf(number, block)),
    blockTokens: BLOCK_TOKENS,
    group: null,
    text: null,
    sequence: null,
    derivedFrom: [],
  }
}

/** Spread as hashes are. */
function blockOf(number: number, block: number): BlockHash {
  const bytes = new Uint8Array(8)
  new DataView(bytes.buffer).setUint32(0, number)
  bytes[4] = block
  return `b3-16:${hashers.b3.hash(bytes).slice('b3:'.length)}` as BlockHash
}
