import { randomBytes } from 'node:crypto'
import { zstdCompressSync, zstdDecompressSync, constants } from 'node:zlib'
import { parseContentHash } from '../src/core/ids.ts'
import { seededRandom, standardNormal } from '../src/core/random.ts'
import { loadChainHashes } from '../src/hashing/chain-hashes.ts'
import { zstdCodec } from '../src/server/zstd.ts'
import { joinPlanes, splitPlanes } from '../src/transfer/byte-planes.ts'
import { decodeFrame, encodeFrame } from '../src/transfer/compression.ts'
import { Inventory, type InventoryEntry } from '../src/transfer/inventory.ts'
import { decodeTokenDelta, encodeTokenDelta } from '../src/transfer/token-delta.ts'
import { exchangeInventories } from '../test/exchange-inventories.ts'
import type { Bench, Findings, Probe, Row } from './bench.ts'
import { measureWarm, ratioOf } from './harness.ts'

const ENTRIES = 1_000_000
const DIFFERENCES = 100
const CHANGES = 1000
const CHUNK_BYTES = 1024 * 1024
const PROMPT_TOKENS = 131_072
/** What the original takes for a prompt of so many tokens. */
const ORIGINAL_DELTA_MS = 12
const ZSTD_LEVEL_1 = { params: { [constants.ZSTD_c_compressionLevel]: 1 } } as const

const { blake3: hash } = await loadChainHashes()
const random = seededRandom(1)

function entryOf(number: number): InventoryEntry {
  const digits = number.toString(16).padStart(64, '0')
  const key = `kv/blake3/${'5a'.repeat(32)}/${digits}/t0/l0-32/h/BF16/tokens,heads,headDim/rope:10000/whole`
  return { key, contentHash: parseContentHash(`b3:${digits}`), payloadBytes: number }
}

/** Made when first asked for: filling them takes seconds. */
let inventories: readonly [Inventory, Inventory] | null = null
function millionTwice(): readonly [Inventory, Inventory] {
  if (inventories !== null) return inventories
  const secret = randomBytes(32)
  const [here, there] = [new Inventory({ hash, secret }), new Inventory({ hash, secret })]
  for (let number = 0; number < ENTRIES; number++) {
    const entry = entryOf(number)
    if (number >= DIFFERENCES / 2) here.add(entry)
    if (number < ENTRIES - DIFFERENCES / 2) there.add(entry)
  }
  inventories = [here, there]
  return inventories
}

/** BF16 numbers as KV has them: normal, scaled by channel, each like the one of the token before. */
function kvLike(): Uint8Array {
  const channels = 1024
  const scale = Float64Array.from({ length: channels }, () => Math.exp(standardNormal(random)))
  const mean = Float64Array.from(scale, (width) => width * standardNormal(random))
  const noise = new Float64Array(channels)
  const floats = Float32Array.from({ length: CHUNK_BYTES / 2 }, (_, index) => {
    const channel = index % channels
    noise[channel] = 0.8 * (noise[channel] ?? 0) + 0.6 * standardNormal(random)
    return (mean[channel] ?? 0) + (scale[channel] ?? 0) * (noise[channel] ?? 0)
  })
  return new Uint8Array(Uint16Array.from(new Uint32Array(floats.buffer), (word) => word >>> 16).buffer)
}

const chunk = kvLike()
const frame = encodeFrame(chunk, zstdCodec).slice()
const raw = zstdCompressSync(chunk, ZSTD_LEVEL_1)
const into = new Uint8Array(CHUNK_BYTES)
const [lower, upper] = [new Uint8Array(CHUNK_BYTES / 2), new Uint8Array(CHUNK_BYTES / 2)]

const base = Uint32Array.from({ length: PROMPT_TOKENS }, () => random() * 151_936)
const nextTurn = Uint32Array.from([...base.subarray(0, PROMPT_TOKENS - 1000), ...base.subarray(0, 1000).toReversed()])
/** Every 500th token is another one, and all stand one further: nothing but the rolling hash finds the runs. */
const edited = Uint32Array.from([7, ...base].slice(0, PROMPT_TOKENS), (token, index) => (index % 500 === 0 ? 1 : token))
const tokenBase = { tokenIds: base, hash }
const turnDelta = encodeTokenDelta(nextTurn, tokenBase).slice()
const editedDelta = encodeTokenDelta(edited, tokenBase).slice()

function work(call: () => unknown): Probe {
  return { prepare: () => call }
}

const probes = {
  change: { prepare: changeWork },
  'reconcile-differing': { prepare: () => () => exchangeInventories(...millionTwice()) },
  'reconcile-equal': { prepare: () => () => exchangeInventories(millionTwice()[0], millionTwice()[0]) },
  split: work(() => splitPlanes(chunk, lower, upper)),
  join: work(() => joinPlanes(lower, upper, into)),
  copy: work(() => into.set(chunk)),
  encode: work(() => encodeFrame(chunk, zstdCodec)),
  decode: work(() => decodeFrame(frame, into, zstdCodec)),
  'zstd-compress': work(() => zstdCompressSync(chunk, ZSTD_LEVEL_1)),
  'zstd-decompress': work(() => into.set(zstdDecompressSync(raw))),
  'delta-turn': work(() => encodeTokenDelta(nextTurn, tokenBase)),
  'delta-turn-decode': work(() => decodeTokenDelta(turnDelta, tokenBase)),
  'delta-edited': work(() => encodeTokenDelta(edited, tokenBase)),
  'delta-edited-decode': work(() => decodeTokenDelta(editedDelta, tokenBase)),
} as const satisfies Bench['probes']

function changeWork(): () => unknown {
  const [here] = millionTwice()
  const changed = Array.from({ length: CHANGES }, (_, index) => entryOf(ENTRIES + index))
  return () => {
    for (const entry of changed) here.add(entry)
    for (const entry of changed) here.remove(entry)
  }
}

function speedRow(what: string, runsMs: readonly number[]): Row {
  return { what, runsMs, note: `${(CHUNK_BYTES / 1e6 / Math.min(...runsMs)).toFixed(2)} GB/s at best` }
}

function rateRow(what: string, calls: number, runsMs: readonly number[]): Row {
  return { what, runsMs, note: `${Math.round(calls / Math.min(...runsMs))} k/s at best` }
}

export const bench: Bench = {
  summary: 'the transfer plane: inventories of a million entries, compressed chunks, prompts as deltas',
  probes,
  run: async (): Promise<Findings> => {
    const warm = measureWarm(probes, Object.keys(probes) as (keyof typeof probes)[])
    const differing = exchangeInventories(...millionTwice())
    const equal = exchangeInventories(millionTwice()[0], millionTwice()[0])
    const kilobytes = (bytes: Uint8Array): string => `${(bytes.length / 1000).toFixed(1)} kB`
    return Promise.resolve({
      rows: [
        rateRow(`inventory: ${CHANGES} entries added and removed, among a million`, 2 * CHANGES, warm.change),
        { what: `inventory: a million against a million, ${DIFFERENCES} differ`, runsMs: warm['reconcile-differing'] },
        { what: 'inventory: a million against a million, equal', runsMs: warm['reconcile-equal'] },
        speedRow('copy of a chunk of 1 MiB', warm.copy),
        speedRow('planes split', warm.split),
        speedRow('planes joined', warm.join),
        speedRow('frame encoded: planes, zstd 1 on the upper one', warm.encode),
        speedRow('frame decoded', warm.decode),
        speedRow('zstd 1 of the whole chunk', warm['zstd-compress']),
        speedRow('zstd 1 unpacked', warm['zstd-decompress']),
        { what: 'token delta: the next turn', runsMs: warm['delta-turn'], targetMs: ORIGINAL_DELTA_MS },
        { what: 'token delta: the next turn, decoded', runsMs: warm['delta-turn-decode'] },
        {
          what: 'token delta: moved and changed every 500 tokens',
          runsMs: warm['delta-edited'],
          targetMs: ORIGINAL_DELTA_MS,
        },
        { what: 'token delta: that, decoded', runsMs: warm['delta-edited-decode'] },
      ],
      ratios: [
        ratioOf('frames over plain zstd, encoding', warm['zstd-compress'], warm.encode),
        ratioOf('frames over plain zstd, decoding', warm['zstd-decompress'], warm.decode),
      ],
      notes: [
        `${differing.missingHere.length + differing.missingThere.length} differences in a million took ${differing.bytes} bytes in ${differing.roundTrips} round trips; none, ${equal.bytes} bytes in ${equal.roundTrips}.`,
        `KV-like BF16 shrinks ${(chunk.length / frame.length).toFixed(3)} times as a frame, ${(chunk.length / raw.length).toFixed(3)} times by plain zstd.`,
        `131,072 tokens are ${kilobytes(turnDelta)} as the next turn, ${kilobytes(editedDelta)} moved and changed, 524.3 kB raw.`,
      ],
    })
  },
}
