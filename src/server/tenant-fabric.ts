/** What one tenant sees of a fabric: its fragments, by key, by the blocks of a prompt, by position. */
import type { BlockHashes } from '../core/block-hashes.ts'
import { MembraneError } from '../core/errors.ts'
import { contextName, fragmentKey, parseFragmentKey } from '../core/fragment-key.ts'
import { type FragmentDescription, isContextKind } from '../core/fragment.ts'
import type { ContentHash, ModelFingerprint, TenantId } from '../core/ids.ts'
import type {
  Clock,
  ContentHasher,
  FragmentPut,
  FragmentStore,
  GetOptions,
  PutOutcome,
  StoredEntry,
  StoredFragment,
  StoredStream,
} from '../core/ports.ts'
import type { FragmentIndices, IndexedFragment } from '../indices/fragment-indices.ts'
import type { BoundedStore } from '../store/bounded.ts'
import type { Tenants, TenantUsage } from '../store/tenants.ts'
import { decodeHead, DEFAULT_RETENTION, encodeHead, type FragmentHead, type RetentionHints } from './fragment-head.ts'

export interface FabricPut {
  readonly description: FragmentDescription
  /** Name of bytes that have no context, in place of their content hash: a foreign key, such as one of an engine. */
  readonly foreignKey?: Uint8Array
  /** Pieces need `contentHash` and `payloadBytes`. */
  readonly payload: FragmentPut['payload']
  /** When the sender names its hash: the bytes must have it. */
  readonly contentHash?: ContentHash
  readonly payloadBytes?: number
  readonly hints?: Partial<RetentionHints>
  /** Milliseconds since 1970; by default the fabric's TTL counts. */
  readonly expiresAtMs?: number | null
}

export interface FabricPutResult {
  readonly key: string
  readonly contentHash: ContentHash
  readonly outcome: PutOutcome
}

/** An entry with its head read. */
export type Described<T> = Omit<T, 'head'> & FragmentHead

/** Leading blocks of a prompt that are here, and what holds them. */
export interface HeldPrefix {
  readonly blocks: number
  readonly tokens: number
  /** Every fragment that covers one of those blocks, by its first such block. None of them is evicted until then. */
  readonly fragments: readonly IndexedFragment[]
  readonly leasedUntilMs: number
}

export interface TenantFabricParts {
  readonly tenant: TenantId
  readonly tenants: Tenants
  readonly bounded: BoundedStore
  readonly indices: FragmentIndices
  readonly hasher: ContentHasher
  readonly clock: Clock
}

export class TenantFabric {
  readonly #parts: TenantFabricParts
  readonly #store: FragmentStore

  /** Use `Fabric.of`. */
  constructor(parts: TenantFabricParts) {
    this.#parts = parts
    this.#store = parts.tenants.of(parts.tenant)
  }

  get usage(): TenantUsage {
    return this.#parts.tenants.usage(this.#parts.tenant)
  }

  /**
   * Once acknowledged, the fragment is there, whole, until it is removed, evicted or expires. Throws INVALID_FRAGMENT
   * for a description that makes no sense, CONTENT_MISMATCH, STORE_FULL and QUOTA_EXCEEDED.
   */
  async put(put: FabricPut): Promise<FabricPutResult> {
    const { description, foreignKey, payload, hints, expiresAtMs } = put
    const { contentHash, payloadBytes } = this.#contentOf(put)
    const key = keyOf(description, contentHash, foreignKey)
    const head = encodeHead({ hints: { ...DEFAULT_RETENTION, ...hints }, description })
    const entry = { key, head, contentHash, payloadBytes, payload }
    const outcome = await this.#store.put(expiresAtMs === undefined ? entry : { ...entry, expiresAtMs })
    return { key, contentHash, outcome }
  }

  async get(key: string, options?: GetOptions): Promise<Described<StoredFragment> | null> {
    return described(await this.#store.get(key, options))
  }

  async stream(key: string, options?: Pick<GetOptions, 'span'>): Promise<Described<StoredStream> | null> {
    return described(await this.#store.stream(key, options))
  }

  async head(key: string): Promise<Described<StoredEntry> | null> {
    return described(await this.#store.head(key))
  }

  has(keys: readonly string[]): Promise<readonly boolean[]> {
    return this.#store.has(keys)
  }

  remove(keys: readonly string[]): Promise<number> {
    return this.#store.remove(keys)
  }

  async *list(prefix?: string): AsyncIterable<Described<StoredEntry>> {
    for await (const entry of this.#store.list(prefix)) yield described(entry)
  }

  /**
   * The leading blocks of a prompt that this node holds, leased for `leaseMs`: what the index proposes is asked of the
   * store, and the answer ends before the first block that it lacks. Whoever uses the fragments still reads and
   * verifies their bytes.
   */
  async longestPrefix(
    prompt: { readonly model: ModelFingerprint; readonly hashes: BlockHashes },
    { leaseMs, blockTokens }: { readonly leaseMs: number; readonly blockTokens: number },
  ): Promise<HeldPrefix> {
    const { tenant, indices, bounded, clock } = this.#parts
    const asked = { tenant, ...prompt }
    const proposed = indices.longestPrefix(asked).localBlocks
    const leasedUntilMs = clock.nowMs() + leaseMs
    const candidates = indices.fragmentsIn(asked, 0, proposed)
    const keys = candidates.map(({ key }) => key)
    const isThere = await bounded.lease(keys, leaseMs)
    const missing = new Set(keys.filter((_, index) => isThere[index] !== true))
    const blocks = missing.size === 0 ? proposed : Math.min(proposed, indices.longestPrefix(asked).localBlocks)
    const fragments = candidates.filter(({ key }) => !missing.has(key))
    return { blocks, tokens: blocks * blockTokens, fragments, leasedUntilMs }
  }

  /** What the sender claims is checked below, where every byte passes; what it leaves open is told from the bytes. */
  #contentOf({ payload, contentHash, payloadBytes }: FabricPut): { contentHash: ContentHash; payloadBytes: number } {
    if (payload instanceof Uint8Array)
      return { contentHash: contentHash ?? this.#parts.hasher.hash(payload), payloadBytes: payload.length }
    if (contentHash !== undefined && payloadBytes !== undefined) return { contentHash, payloadBytes }
    throw new MembraneError('INVALID_REQUEST', 'A payload in pieces needs its content hash and its length beforehand.')
  }
}

/** Throws INVALID_REQUEST for a foreign key beside a context. */
function keyOf(description: FragmentDescription, contentHash: ContentHash, foreignKey: Uint8Array | undefined): string {
  const { kind } = description.signature
  if (!isContextKind(kind)) return fragmentKey({ kind, name: foreignKey === undefined ? contentHash : foreignKey })
  if (foreignKey === undefined) return fragmentKey(contextName(description))
  throw new MembraneError('INVALID_REQUEST', `A fragment of kind ${kind} is named by its blocks, not by a foreign key.`)
}

function described<T extends StoredEntry>(entry: T): Described<T>
function described<T extends StoredEntry>(entry: T | null): Described<T> | null
function described<T extends StoredEntry>(entry: T | null): Described<T> | null {
  return entry === null ? null : { ...entry, ...decodeHead(entry.head) }
}
