/** What one tenant sees of a fabric: its fragments, by key, by the blocks of a prompt, by position. */
import { type BlockHashes, blockHashAt } from '../core/block-hashes.ts'
import { MembraneError } from '../core/errors.ts'
import { contextName, fragmentKey } from '../core/fragment-key.ts'
import { type FragmentDescription, isContextKind, type TokenSpan } from '../core/fragment.ts'
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
  StreamOptions,
} from '../core/ports.ts'
import type { IndexedFragment, SimilarFragment } from '../indices/indexed-fragment.ts'
import type { Neighbour, PrefetchCandidate } from '../indices/graph.ts'
import type { BoundedStore } from '../store/bounded.ts'
import type { SharedEntry, Tenants, TenantUsage } from '../store/tenants.ts'
import type { FabricIndex } from './fabric-index.ts'
import {
  decodeHead,
  DEFAULT_RETENTION,
  encodeHead,
  type FragmentHead,
  reviseHead,
  type RetentionHints,
} from './fragment-head.ts'

/** A fragment to keep. */
export interface FabricPut {
  readonly description: FragmentDescription
  /** Name of bytes that have no context, in place of their content hash: a foreign key, such as one of an engine. */
  readonly foreignKey?: Uint8Array
  /** Pieces need `contentHash` and `payloadBytes`. */
  readonly payload: FragmentPut['payload']
  /** The memory of a whole payload is the fabric's from now on, however the put ends: it may keep it instead of a copy. */
  readonly isGivenAway?: boolean
  /** When the sender names its hash: the bytes must have it. */
  readonly contentHash?: ContentHash
  /** See `FragmentPut.isHashComputed`: never for a hash that somebody told. */
  readonly isHashComputed?: boolean
  readonly payloadBytes?: number
  readonly hints?: Partial<RetentionHints>
  /** Milliseconds since 1970; by default the fabric's TTL counts. */
  readonly expiresAtMs?: number | null
}

/** What is to be different about an entry that is there. */
export interface FabricRevision {
  readonly hints?: Partial<RetentionHints>
  /** Milliseconds since 1970, or null. */
  readonly expiresAtMs?: number | null
}

/** Under which key it is, and what happened: `refused` when a full store rather keeps what it has. */
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
  readonly index: FabricIndex
  readonly hasher: ContentHasher
  readonly clock: Clock
}

/** One tenant's view of a fabric: nothing of other tenants shows in any answer. */
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
    const { description, foreignKey, payload, hints, expiresAtMs, isGivenAway = false } = put
    const { contentHash, payloadBytes, isHashComputed } = this.#contentOf(put)
    const key = keyOf(description, contentHash, foreignKey)
    const head = encodeHead({ hints: { ...DEFAULT_RETENTION, ...hints }, description })
    const entry = { key, head, contentHash, payloadBytes, payload, isGivenAway, isHashComputed }
    const outcome = await this.#store.put(expiresAtMs === undefined ? entry : { ...entry, expiresAtMs })
    return { key, contentHash, outcome }
  }

  async get(key: string, options?: GetOptions): Promise<Described<StoredFragment> | null> {
    return this.#described(await this.#store.get(key, options))
  }

  /** The same for whoever needs no description: the head is left unread, which is most of the work for a small payload. */
  read(key: string, options?: GetOptions): Promise<StoredFragment | null> {
    return this.#store.get(key, options)
  }

  async stream(key: string, options?: StreamOptions): Promise<Described<StoredStream> | null> {
    return this.#described(await this.#store.stream(key, options))
  }

  /** The same as `head` for whoever needs no description. */
  entry(key: string): Promise<StoredEntry | null> {
    return this.#store.head(key)
  }

  async head(key: string): Promise<Described<StoredEntry> | null> {
    return this.#described(await this.#store.head(key))
  }

  has(keys: readonly string[]): Promise<readonly boolean[]> {
    return this.#store.has(keys)
  }

  /**
   * What is there of `keys` is not evicted for `leaseMs` (above 0, LIMITS.leaseMsMax at most), or until it expires; a
   * longer lease stays. Counts as a use. One answer a key, in order: whether it is there.
   */
  lease(keys: readonly string[], leaseMs: number): Promise<readonly boolean[]> {
    return this.#parts.bounded.lease(
      keys.map((key) => this.#whole(key)),
      leaseMs,
    )
  }

  remove(keys: readonly string[]): Promise<number> {
    return this.#store.remove(keys)
  }

  /**
   * Changes how long an entry that is there is kept, without moving its bytes: hints that are not named stay as they
   * are, and so does the expiry when `expiresAtMs` is left out; null is no expiry, whatever the fabric's TTL. False when it is
   * not there: what is removed, evicted or expired meanwhile does not come back. Throws INVALID_FRAGMENT for an entry whose
   * head is damaged, INVALID_REQUEST for a time that is none, QUOTA_EXCEEDED and STORE_FULL when it fits its bounds no more.
   */
  revise(key: string, { hints, expiresAtMs }: FabricRevision): Promise<boolean> {
    return this.#parts.bounded.revise(this.#whole(key), (entry) => ({
      head: hints === undefined ? entry.head : reviseHead(entry.head, hints),
      expiresAtMs: expiresAtMs === undefined ? entry.expiresAtMs : expiresAtMs,
    }))
  }

  /** Fragments whose head this version can read; `keys` has the others too, and the fabric's `unindexed` counts them. */
  async *list(prefix?: string): AsyncIterable<Described<StoredEntry>> {
    for await (const entry of this.#store.list(prefix)) {
      const head = this.#parts.index.headOf(entry.head)
      if (head !== null) yield { ...entry, ...head }
    }
  }

  async *keys(prefix?: string): AsyncIterable<string> {
    for await (const { key } of this.#store.list(prefix)) yield key
  }

  /**
   * The leading blocks of a prompt that this node holds, leased for `leaseMs` (LIMITS.leaseMsMax at most): what the
   * index proposes is asked of the store, and the answer ends before the first block that it lacks. Whoever uses the
   * fragments still reads their bytes, which verifies them.
   */
  async longestPrefix(
    prompt: { readonly model: ModelFingerprint; readonly hashes: BlockHashes },
    { leaseMs, blockTokens }: { readonly leaseMs: number; readonly blockTokens: number },
  ): Promise<HeldPrefix> {
    const { tenant, bounded, clock } = this.#parts
    const { indices } = this.#parts.index
    const asked = { tenant, ...prompt }
    const leasedUntilMs = clock.nowMs() + leaseMs
    const proposed = indices.longestPrefix(asked).localBlocks
    const candidates = indices.fragmentsIn(asked, 0, proposed)
    const isThere = await bounded.lease(
      candidates.map(({ key }) => key),
      leaseMs,
    )
    // What the store turned out to lack has left the indices by now.
    const blocks = isThere.every(Boolean) ? proposed : Math.min(proposed, indices.longestPrefix(asked).localBlocks)
    const fragments = indices.fragmentsIn(asked, 0, blocks).map((fragment) => this.#own(fragment))
    return { blocks, tokens: blocks * blockTokens, fragments, leasedUntilMs }
  }

  /**
   * All fragments that cover any block of a prompt, wherever in it, leased for `leaseMs` (LIMITS.leaseMsMax at most):
   * those that the index proposes and the store has. Not counted as a look-up: see `countLookUp`.
   */
  async fragmentsOf(
    prompt: { readonly model: ModelFingerprint; readonly hashes: BlockHashes },
    leaseMs: number,
  ): Promise<readonly IndexedFragment[]> {
    const { tenant, bounded, index } = this.#parts
    const asked = { tenant, ...prompt }
    const proposed = index.indices.fragmentsIn(asked, 0, prompt.hashes.count)
    const isThere = await bounded.lease(
      proposed.map(({ key }) => key),
      leaseMs,
    )
    return proposed.filter((_, position) => isThere[position]).map((fragment) => this.#own(fragment))
  }

  /** One turn of a session: it used these fragments, in this order. What is used together is linked, and kept together. */
  accessed(session: string, keys: readonly string[]): void {
    const { tenant, index } = this.#parts
    index.accessed(
      { tenant, session },
      keys.map((key) => this.#whole(key)),
    )
  }

  /**
   * No further turn of the session comes: what no other open session has used leaves first when room is needed. Whether
   * the session was known.
   */
  closeSession(session: string): boolean {
    const { tenant, index, bounded } = this.#parts
    const { sessions } = index.indices
    const name = { tenant, session }
    const touched = sessions.get(name)?.touched ?? []
    if (!sessions.close(name)) return false
    // From the tail: a chain closes at its end.
    for (const { key } of touched.toReversed()) {
      index.prospectChanged(key)
      if (sessions.prospect(key).kind === 'closed') bounded.closeChain(key)
    }
    return true
  }

  /** What is likely wanted after these fragments, likeliest first, by what was used together before: worth fetching. */
  prefetch(keys: readonly string[], limit: number): readonly PrefetchCandidate[] {
    const { tenant, index } = this.#parts
    const found = index.indices.prefetchCandidates(
      keys.map((key) => this.#whole(key)),
      { limit },
    )
    return found.map((candidate) => ({ ...candidate, key: candidate.key.slice(tenant.length + 1) }))
  }

  /** The chance, 0 to 1, that a fragment is used within `horizonMs`, learnt from sessions; null when nothing is known. */
  reuseProbability(key: string, horizonMs: number): number | null {
    return this.#parts.index.reuseProbability(this.#whole(key), horizonMs)
  }

  /** Fragments whose text is near; null without a semantic index. Never KV for other tokens: for search and prefetch. */
  similar(query: {
    readonly model: ModelFingerprint
    readonly text: string
    /** 1 to LIMITS.nearestMax. */
    readonly limit: number
    /** The least cosine that counts, -1 to 1. */
    readonly similarityMin: number
  }): readonly SimilarFragment[] | null {
    const { tenant, index } = this.#parts
    const found = index.indices.similar({ tenant, ...query })
    return found?.map((one) => ({ ...one, fragment: this.#own(one.fragment) })) ?? null
  }

  /** Fragments of a sequence that share a token position with the span, by start: the first `limit`. */
  overlapping(
    sequence: { readonly model: ModelFingerprint; readonly sequence: string },
    span: TokenSpan,
    limit: number,
  ): readonly IndexedFragment[] {
    const { tenant, index } = this.#parts
    return index.indices.overlapping({ tenant, ...sequence }, span, limit).map((fragment) => this.#own(fragment))
  }

  /** What the fragment is linked with, heaviest first: worth fetching beside it. */
  neighbours(key: string, limit: number): readonly Neighbour[] {
    const { indices } = this.#parts.index
    return indices
      .neighbours(this.#whole(key), { limit })
      .map((neighbour) => ({ ...neighbour, key: neighbour.key.slice(this.#parts.tenant.length + 1) }))
  }

  /** A prompt was asked for: a hit when its first block is here, as `longestPrefix` counts them. */
  countLookUp(prompt: { readonly model: ModelFingerprint; readonly hashes: BlockHashes }): void {
    const { tenant, index } = this.#parts
    index.indices.longestPrefix({ tenant, ...prompt })
  }

  /** Prompt tokens that were read instead of prefilled, once they have been verified: counted in the statistics. */
  saved(tokens: number): void {
    const { tenant, index } = this.#parts
    index.indices.statistics.saved('exact', tenant, { tier: index.tier, tokens })
  }

  /**
   * Gives another tenant the fragments that cover the leading blocks of a prompt. It is asked for by the tenant that
   * has them, prefix by prefix, and there is no other way: `theirHashes` are the same blocks as the other tenant's chain
   * names them, which takes its salt. Gives the fragments that were shared; those after a gap are not.
   */
  async share(
    to: TenantId,
    {
      model,
      hashes,
      theirHashes,
    }: { readonly theirHashes: BlockHashes; readonly model: ModelFingerprint; readonly hashes: BlockHashes },
  ): Promise<number> {
    const { tenant, tenants } = this.#parts
    const { indices } = this.#parts.index
    const blocks = Math.min(hashes.count, theirHashes.count)
    const asked = { tenant, model, hashes }
    const held = Math.min(blocks, indices.longestPrefix(asked).localBlocks)
    const entries: SharedEntry[] = []
    for (const { key, description } of indices.fragmentsIn(asked, 0, held).map((fragment) => this.#own(fragment))) {
      const first = description.signature.tokens.start / description.blockTokens
      const end = first + description.blocks.length
      // What reaches beyond the prefix would say what comes after it.
      if (end > blocks) continue
      const theirs = {
        ...description,
        parent: first === 0 ? null : blockHashAt(theirHashes, first - 1),
        blocks: Array.from({ length: end - first }, (_, index) => blockHashAt(theirHashes, first + index)),
      }
      const head = encodeHead({ hints: DEFAULT_RETENTION, description: theirs })
      entries.push({ key, as: fragmentKey(contextName(theirs)), head })
    }
    return tenants.share(tenant, to, entries)
  }

  #described<T extends StoredEntry>(entry: T | null): Described<T> | null {
    if (entry === null) return null
    // One that cannot be read is read once more, for what is wrong with it.
    return { ...entry, ...(this.#parts.index.headOf(entry.head) ?? decodeHead(entry.head)) }
  }

  #whole(key: string): string {
    return `${this.#parts.tenant}/${key}`
  }

  #own(fragment: IndexedFragment): IndexedFragment {
    return { ...fragment, key: fragment.key.slice(this.#parts.tenant.length + 1) }
  }

  /** What the sender claims is checked below, where every byte passes; what it leaves open is told from the bytes. */
  #contentOf({
    payload,
    contentHash,
    payloadBytes,
    isHashComputed: isComputedBefore = false,
  }: FabricPut): Pick<FragmentPut, 'contentHash' | 'payloadBytes'> & { readonly isHashComputed: boolean } {
    if (payload instanceof Uint8Array) {
      const isHashComputed = contentHash === undefined || isComputedBefore
      return {
        contentHash: contentHash ?? this.#parts.hasher.hash(payload),
        payloadBytes: payload.length,
        isHashComputed,
      }
    }
    if (contentHash !== undefined && payloadBytes !== undefined)
      return { contentHash, payloadBytes, isHashComputed: false }
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
