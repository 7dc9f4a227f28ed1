/** Fabrics over memory, and KV fragments to put into them. */
import { unpackBlockHashes } from '../../src/core/block-hashes.ts'
import { byteDescription } from '../../src/core/fragment-bytes.ts'
import { createHashChain } from '../../src/core/hash-chains.ts'
import type { Fragment, FragmentDescription, StructuralSignature } from '../../src/core/fragment.ts'
import { parseModelFingerprint, parseTenantId, type TenantId } from '../../src/core/ids.ts'
import { loadChainHashes } from '../../src/hashing/chain-hashes.ts'
import { loadContentHashers } from '../../src/hashing/content-hashers.ts'
import { fragmentizeTensors } from '../../src/reconstruct/fragmentize.ts'
import { MemoryStore } from '../../src/store/memory.ts'
import { VirtualClock } from './store-fixtures.ts'
import { DEFAULT_FABRIC_OPTIONS, type Fabric, type FabricOptions, openFabric } from '../../src/server/fabric.ts'

export const MODEL = parseModelFingerprint('ab'.repeat(32))
export const [ANN, BOB] = [parseTenantId('ann'), parseTenantId('bob')]
const BLOCK_TOKENS = 4
export const { hashers } = await loadContentHashers()
const chain = createHashChain('blake3', { hashes: await loadChainHashes(), blockTokens: BLOCK_TOKENS })

export function hashesOf(tokens: readonly number[], tenantSalt = 'salt of ann') {
  return chain.hash(Uint32Array.from(tokens), { model: MODEL, tenantSalt })
}

/** KV of a prompt in fragments of two blocks, of bytes that follow from its tokens. */
export function kvOf(tokens: readonly number[], tenantSalt?: string): readonly Fragment[] {
  const end = tokens.length
  const signature: StructuralSignature = {
    model: MODEL,
    kind: 'kv',
    tokens: { start: 0, end },
    layers: { start: 0, end: 1 },
    heads: null,
    dtype: 'U8',
    layout: 'heads,tokens,headDim',
    positionEncoding: 'rope:10000',
  }
  const data = Uint8Array.from(
    { length: 2 * end * 8 },
    (_, index) => (tokens[Math.floor(index / 8) % end] ?? 0) + index,
  )
  const blocks = unpackBlockHashes(hashesOf(tokens, tenantSalt))
  const tensors = ['k', 'v'].map((name) => ({
    name: `layers.0.${name}`,
    dtype: 'U8' as const,
    shape: [2, end, 8],
    data,
  }))
  const whole = { signature, parent: null, blocks, sequence: 'chat' }
  return fragmentizeTensors(whole, tensors, { blockTokens: BLOCK_TOKENS, fragmentTokens: 2 * BLOCK_TOKENS }).fragments
}

export const TOKENS = Array.from({ length: 24 }, (_, index) => 100 + index)

export const TEST_OPTIONS = {
  ...DEFAULT_FABRIC_OPTIONS,
  hashers,
  seed: 1,
  bound: { payloadBytesMax: Infinity, entriesMax: 100 },
  // Tests damage bytes in memory, to see what is done about it.
  isMemoryTrusted: false,
}

interface Opened {
  readonly fabric: Fabric
  readonly store: MemoryStore
  readonly clock: VirtualClock
}

export async function open(options: Partial<FabricOptions> = {}): Promise<Opened> {
  const clock = new VirtualClock()
  const store = new MemoryStore(clock)
  return { fabric: await reopen(store, clock, options), store, clock }
}

export function reopen(store: MemoryStore, clock: VirtualClock, options: Partial<FabricOptions> = {}): Promise<Fabric> {
  return openFabric({ ...TEST_OPTIONS, store, clock, ...options })
}

export async function putAll(fabric: Fabric, tenant: TenantId, fragments: readonly Fragment[]): Promise<void> {
  for (const { description, payload } of fragments) await fabric.of(tenant).put({ description, payload })
}

export function prefixOf(fabric: Fabric, tenant: TenantId, tokens: readonly number[], tenantSalt?: string) {
  const prompt = { model: MODEL, hashes: hashesOf(tokens, tenantSalt) }
  return fabric.of(tenant).longestPrefix(prompt, { leaseMs: 1000, blockTokens: BLOCK_TOKENS })
}

export const BYTES: FragmentDescription = byteDescription('artifact', 'text/plain')
