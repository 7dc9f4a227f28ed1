import { createHash, randomBytes } from 'node:crypto'
import { blockHashAt } from '../src/core/block-hashes.ts'
import type { ChainContext, ChainId, HashChain } from '../src/core/hash-chain.ts'
import { createHashChain } from '../src/core/hash-chains.ts'
import { parseModelFingerprint } from '../src/core/ids.ts'
import type { ContentHasher } from '../src/core/ports.ts'
import { seededRandom } from '../src/core/random.ts'
import { loadChainHashes } from '../src/hashing/chain-hashes.ts'
import { loadContentHashers, loadPureContentHashers } from '../src/hashing/content-hashers.ts'
import type { Bench, Findings, Probe, Row } from './bench.ts'
import { measureCold, measureWarm, ratioOf } from './harness.ts'

const PROMPT_TOKENS = 131_072
const BLOCK_TOKENS = 16
const OURS_TARGET_MS = 4
const VLLM_TARGET_MS = 20
const MEBIBYTE = 1024 * 1024

const CONTEXT: ChainContext = { model: parseModelFingerprint('5a'.repeat(32)), modelName: 'Qwen/Qwen3-0.6B' }
const random = seededRandom(1)
const TOKENS = Uint32Array.from({ length: PROMPT_TOKENS }, () => Math.floor(random() * 151_936))
const hashes = await loadChainHashes()
const native = await loadContentHashers()
const pure = await loadPureContentHashers()

const probes = {
  blake3: promptProbe('blake3'),
  'blake3-256': promptProbe('blake3', undefined, 256),
  sha256_cbor: promptProbe('sha256_cbor', '0'),
  xxhash_cbor: promptProbe('xxhash_cbor', '0'),
  sglang: promptProbe('sglang'),
  dynamo: promptProbe('dynamo'),
  'llm-d': promptProbe('llm-d', '0'),
  append: { prepare: appendWork },
  'plain-chain': { prepare: () => plainChain },
  'plain-vllm': { prepare: () => plainVllm },
  'native-1': contentProbe(native.hashers.b3, 1),
  'native-4': contentProbe(native.hashers.b3, 4),
  'pure-1': contentProbe(pure.b3, 1),
  'pure-4': contentProbe(pure.b3, 4),
  'sha256-1': contentProbe(native.hashers.s256, 1),
  'sha256-4': contentProbe(native.hashers.s256, 4),
} as const satisfies Bench['probes']

function chainOf(id: ChainId, seed: string | undefined, blockTokens: number): HashChain {
  return createHashChain(id, { hashes, blockTokens, seed })
}

function promptProbe(id: ChainId, seed?: string, blockTokens = BLOCK_TOKENS): Probe {
  return {
    prepare: () => {
      const chain = chainOf(id, seed, blockTokens)
      return () => chain.hash(TOKENS, CONTEXT)
    },
  }
}

/** What decoding does every 16 tokens. */
function appendWork(): () => unknown {
  const chain = chainOf('blake3', undefined, BLOCK_TOKENS)
  const parent = blockHashAt(chain.hash(TOKENS.subarray(0, BLOCK_TOKENS), CONTEXT), 0)
  const block = TOKENS.subarray(BLOCK_TOKENS, 2 * BLOCK_TOKENS)
  return () => chain.hash(block, CONTEXT, { parent, blocks: 1 })
}

/** A chain as one writes it first, with the fastest hash that Node has: no context, hashes as texts. */
function plainChain(): readonly string[] {
  const texts: string[] = []
  let parent = Buffer.alloc(32)
  for (let first = 0; first < TOKENS.length; first += BLOCK_TOKENS) {
    const bytes = new Uint8Array(TOKENS.buffer, 4 * first, 4 * BLOCK_TOKENS)
    parent = createHash('sha256').update(parent).update(bytes).digest()
    texts.push(parent.toString('hex'))
  }
  return texts
}

/** vLLM's chain as one writes it first: a list of bytes for each block. */
function plainVllm(): readonly string[] {
  const texts: string[] = []
  let parent: Uint8Array = createHash('sha256').update(Uint8Array.of(0x61, 0x30)).digest()
  for (let first = 0; first < TOKENS.length; first += BLOCK_TOKENS) {
    const bytes = [0x83, 0x58, parent.length, ...parent, 0x80 | BLOCK_TOKENS]
    for (const token of TOKENS.subarray(first, first + BLOCK_TOKENS)) bytes.push(...cborOf(token))
    parent = createHash('sha256').update(Uint8Array.from(bytes)).update(Uint8Array.of(0xf6)).digest()
    texts.push(Buffer.from(parent).toString('hex'))
  }
  return texts
}

function cborOf(token: number): readonly number[] {
  if (token < 24) return [token]
  if (token < 0x1_00) return [24, token]
  if (token < 0x1_00_00) return [25, token >> 8, token & 0xff]
  return [26, token >>> 24, (token >> 16) & 0xff, (token >> 8) & 0xff, token & 0xff]
}

function contentProbe(hasher: ContentHasher, mebibytes: number): Probe {
  return {
    prepare: () => {
      const payload = randomBytes(mebibytes * MEBIBYTE)
      return () => hasher.hash(payload)
    },
  }
}

function contentRow(what: string, mebibytes: number, runsMs: readonly number[]): Row {
  const gigabytesPerSecond = (mebibytes * MEBIBYTE) / 1e6 / Math.min(...runsMs)
  return { what: `${what}, ${mebibytes} MiB`, runsMs, note: `${gigabytesPerSecond.toFixed(2)} GB/s at best` }
}

export const bench: Bench = {
  summary: 'block hashes of a 131,072-token prompt in blocks of 16, and content hashes of payloads',
  probes,
  run: async (): Promise<Findings> => {
    const warm = measureWarm(probes, [
      ...(['blake3', 'blake3-256', 'sha256_cbor', 'xxhash_cbor', 'sglang', 'dynamo', 'llm-d', 'append'] as const),
      ...(['plain-chain', 'plain-vllm'] as const),
      ...(['native-1', 'native-4', 'pure-1', 'pure-4', 'sha256-1', 'sha256-4'] as const),
    ])
    const cold = measureCold('hash', ['blake3', 'sha256_cbor'])
    return {
      rows: [
        { what: 'our chain', runsMs: warm.blake3, targetMs: OURS_TARGET_MS },
        { what: 'our chain, first call of a process', runsMs: cold.blake3 },
        { what: 'our chain, blocks of 256', runsMs: warm['blake3-256'] },
        { what: 'our chain, one more block', runsMs: warm.append },
        { what: 'vLLM sha256_cbor', runsMs: warm.sha256_cbor, targetMs: VLLM_TARGET_MS },
        { what: 'vLLM sha256_cbor, first call of a process', runsMs: cold.sha256_cbor },
        { what: 'vLLM xxhash_cbor', runsMs: warm.xxhash_cbor },
        { what: 'SGLang', runsMs: warm.sglang },
        { what: 'Dynamo', runsMs: warm.dynamo },
        { what: 'llm-d', runsMs: warm['llm-d'] },
        { what: 'plain chain: createHash, texts', runsMs: warm['plain-chain'] },
        { what: 'plain vLLM: createHash, lists of bytes', runsMs: warm['plain-vllm'] },
        contentRow('content, BLAKE3 native', 1, warm['native-1']),
        contentRow('content, BLAKE3 native', 4, warm['native-4']),
        contentRow('content, BLAKE3 pure', 1, warm['pure-1']),
        contentRow('content, BLAKE3 pure', 4, warm['pure-4']),
        contentRow('content, SHA-256', 1, warm['sha256-1']),
        contentRow('content, SHA-256', 4, warm['sha256-4']),
      ],
      ratios: [
        ratioOf('our chain over a plain one', warm['plain-chain'], warm.blake3),
        ratioOf('our chain over sha256_cbor', warm.sha256_cbor, warm.blake3),
        ratioOf('sha256_cbor over a plain one', warm['plain-vllm'], warm.sha256_cbor),
        ratioOf('content of 4 MiB: BLAKE3 native over SHA-256', warm['sha256-4'], warm['native-4']),
        ratioOf('content of 4 MiB: BLAKE3 pure over SHA-256', warm['sha256-4'], warm['pure-4']),
      ],
      notes: [`BLAKE3 of contents is ${native.implementation} here.`],
    }
  },
}
