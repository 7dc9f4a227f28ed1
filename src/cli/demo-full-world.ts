/** What the demo runs on: a memory of real KV, an engine that computes it, and the rates at which it does. */
import { type BlockHashes, blockHashAt } from '../core/block-hashes.ts'
import type { KvBackend, KvModel } from '../core/compute.ts'
import { createHashChain } from '../core/hash-chains.ts'
import { parseTenantId, type TenantId } from '../core/ids.ts'
import type { ContentHashers, FragmentStore } from '../core/ports.ts'
import { loadChainHashes } from '../hashing/chain-hashes.ts'
import { loadContentHashers } from '../hashing/content-hashers.ts'
import { MeasuredRates } from '../policy/measured-rates.ts'
import { DEFAULT_FABRIC_OPTIONS, type Fabric, type FabricOptions, openFabric } from '../server/fabric.ts'
import type { Rebuilt } from '../server/generation.ts'
import { Node } from '../server/node.ts'
import { DEFAULT_NODE_OPTIONS } from '../server/node-options.ts'
import { systemAlarm, systemStopwatch } from '../server/system-time.ts'
import { MemoryStore } from '../store/memory.ts'

/** Blocks as engines cut them; fragments are smaller than a node's, because the demo's prompts are. */
export const DEMO_BLOCK_TOKENS = 16
export const DEMO_FRAGMENT_TOKENS = 128

const clock = { nowMs: Date.now }

export interface DemoWorld {
  readonly backend: KvBackend
  /** What nodes of this world have measured so far. */
  readonly rates: MeasuredRates
  /** Of all phases: each is a tenant of its own. */
  readonly fabric: Fabric
  /** The document, without start tokens. */
  readonly documentText: string
  readonly documentIds: Uint32Array
  /** Start tokens, then these spans of the document. */
  promptOf(...spans: readonly (readonly [start: number, end: number])[]): Uint32Array
  hashesOf(tokenIds: Uint32Array, tenant: TenantId): BlockHashes
  /** Another memory, with bounds of its own. */
  openFabric(options?: Partial<FabricOptions>): Promise<Fabric>
  /** A node with nothing in its engine's memory; closed with the world. */
  openNode(fabric?: Fabric): Node
  /** A prompt made ready by a node that has only the fabric: what a new process would do. */
  rebuild(request: RebuildOnce): Promise<Rebuilt>
}

export interface RebuildOnce {
  readonly tenant: TenantId
  readonly tokenIds: Uint32Array
  readonly session?: string
  readonly reuse?: 'exact' | 'none'
  readonly fabric?: Fabric
}

export interface DemoWorldOptions {
  /** Stays open. */
  readonly backend: KvBackend
  readonly documentText: string
  /** Where bytes rest; tests give one that loses them. */
  readonly newStore?: () => FragmentStore
}

/** Opens a world, and closes all that was opened in it. */
export async function withDemoWorld<T>(
  { backend, documentText, newStore = () => new MemoryStore(clock) }: DemoWorldOptions,
  use: (world: DemoWorld) => Promise<T>,
): Promise<T> {
  const [{ hashers }, chainHashes] = await Promise.all([loadContentHashers(), loadChainHashes()])
  const chain = createHashChain('blake3', { hashes: chainHashes, blockTokens: DEMO_BLOCK_TOKENS })
  const { tokenizer, fingerprint } = backend.model
  const documentIds = tokenizer.encode(documentText)
  const rates = new MeasuredRates()
  const opened: { close(): Promise<void> }[] = []
  const open = async (options: Partial<FabricOptions> = {}): Promise<Fabric> => {
    const fabric = await openDemoFabric(newStore(), hashers, options)
    opened.push(fabric)
    return fabric
  }
  const nodeOver = (fabric: Fabric): Node =>
    new Node({
      ...DEFAULT_NODE_OPTIONS,
      fabric,
      backend: lent(backend),
      chain,
      rates,
      hashers,
      stopwatch: systemStopwatch,
      alarm: systemAlarm,
      fragmentTokens: DEMO_FRAGMENT_TOKENS,
    })
  try {
    const fabric = await open()
    return await use({
      backend,
      rates,
      fabric,
      documentText,
      documentIds,
      promptOf: (...spans) =>
        Uint32Array.from([
          ...tokenizer.startTokens,
          ...spans.flatMap(([start, end]) => [...documentIds.subarray(start, end)]),
        ]),
      hashesOf: (tokenIds, tenant) => chain.hash(tokenIds, { model: fingerprint, tenantSalt: tenant }),
      openFabric: open,
      openNode: (over = fabric) => {
        const node = nodeOver(over)
        opened.push(node)
        return node
      },
      rebuild: async ({ tenant, tokenIds, session = null, reuse = 'exact', fabric: over = fabric }) => {
        const node = nodeOver(over)
        try {
          return await node.rebuild({ tenant, prompt: { tokenIds }, session, reuse, wantsKvHash: true })
        } finally {
          await node.close()
        }
      },
    })
  } finally {
    for (const one of opened.toReversed()) await one.close()
  }
}

export function tenantOf(phase: string): TenantId {
  return parseTenantId(`demo-${phase}`)
}

/** Of all layers. */
export function kvBytesPerToken({ parts }: KvModel): number {
  return parts.filter(({ kind }) => kind === 'kv').reduce((sum, { bytes }) => sum + bytes, 0)
}

/** Leading tokens that two prompts have in common, in whole blocks. */
export function sharedTokens(a: BlockHashes, b: BlockHashes): number {
  let blocks = 0
  while (blocks < Math.min(a.count, b.count) && blockHashAt(a, blocks) === blockHashAt(b, blocks)) blocks += 1
  return blocks * DEMO_BLOCK_TOKENS
}

/**
 * Whether a rebuild took most of what was there. Not all: the last token is always computed, and so are some blocks at
 * the start when they are sooner computed than read.
 */
export function isMostlyReused(rebuilt: { readonly reusedTokens: number }, heldTokens: number): boolean {
  return rebuilt.reusedTokens <= heldTokens && rebuilt.reusedTokens > heldTokens / 2
}

/** A node closes its backend; the world's goes on. */
function lent(backend: KvBackend): KvBackend {
  const { kind, name, description, model, isSimulated } = backend
  const openContext: KvBackend['openContext'] = (tokens) => backend.openContext(tokens)
  return { kind, name, description, model, isSimulated, openContext, close: async () => {} }
}

function openDemoFabric(
  store: FragmentStore,
  hashers: ContentHashers,
  options: Partial<FabricOptions>,
): Promise<Fabric> {
  // Nobody chooses keys against the indices of a demo.
  return openFabric({ ...DEFAULT_FABRIC_OPTIONS, store, hashers, clock, tier: 'memory', seed: 1, ...options })
}
