/** A client of one node: its memory and its engine, over HTTP. Calls stand in `client-*.ts`, by what they are about. */
import type { BlockHash, ModelFingerprint } from '../core/ids.ts'
import { MembraneError } from '../core/errors.ts'
import { BlobPool } from './blob-pool.ts'
import { AdminCalls } from './client-admin.ts'
import { ClusterCalls } from './client-cluster.ts'
import {
  type ClientGenerate,
  type ClientPrompt,
  type ClientRebuild,
  ComputeCalls,
  type GenerationEvent,
} from './client-compute.ts'
import type { ClientPlan, ClientRebuilt } from './client-compute-shapes.ts'
import { type CallOptions, ControlChannel, orNull, pathOf } from './client-control.ts'
import {
  type ClientFragment,
  type ClientGet,
  type ClientPut,
  type ClientStream,
  FragmentCalls,
} from './client-fragments.ts'
import { type ClientHead, clientHeadOf } from './client-head.ts'
import { type Lease, startLease } from './client-lease.ts'
import { checkClientOptions, type ClientOptions } from './client-options.ts'
import {
  CLOSED,
  type ClientEntry,
  ENTRY,
  FOUND,
  type LongestPrefix,
  PAGE,
  PREFIX,
  PRESENCE,
  type Presence,
  type PutResult,
  REMOVED,
  type Similar,
} from './client-shapes.ts'

/** A prompt by its block hashes. */
export interface ClientPrefix extends CallOptions {
  readonly model: ModelFingerprint
  /** 1 to LIMITS.lookUpKeysMax of them, in order. */
  readonly blocks: readonly BlockHash[]
  /** Tokens of a block. */
  readonly blockTokens: number
  readonly leaseMs?: number
}

/** How long a fragment is kept: what is left out stays as it is. */
export interface ClientRevision extends CallOptions {
  /** From now; null keeps it without a time. */
  readonly ttlMs?: number | null
  readonly isPinned?: boolean
  readonly priority?: ClientPut['priority']
}

/** What is searched for. */
export interface ClientSearch extends CallOptions {
  readonly text: string
  /** Default: that of the node's engine. */
  readonly model?: ModelFingerprint
  /** 1 to LIMITS.nearestMax, default 10. */
  readonly limit?: number
  /** The least cosine that counts, -1 to 1, default 0. */
  readonly similarityMin?: number
}

/** Looked for at once; a page of a listing is one call. */
const PAGE_FRAGMENTS = 1000
/** What a lease lasts that renews itself. */
const LEASE_MS = 60_000

/**
 * Every call throws the server's errors as MembraneError with the server's code, PEER_UNAVAILABLE when it cannot be
 * reached, DEADLINE_EXCEEDED and ABORTED. What is safe to do twice is tried again, see `ClientLimits`.
 */
export class MembraneClient {
  readonly #control: ControlChannel
  readonly #blobs: BlobPool
  readonly #fragments: FragmentCalls
  readonly #compute: ComputeCalls
  /** Tenants, quotas and the node itself, for administrators. */
  readonly admin: AdminCalls
  /** The nodes that this one belongs to, for whoever may observe. */
  readonly cluster: ClusterCalls

  /** Use `openClient`. Throws INVALID_CONFIG. */
  constructor(options: ClientOptions) {
    const checked = checkClientOptions(options)
    this.#control = new ControlChannel(checked)
    this.#blobs = new BlobPool(checked.origin, checked.limits.connectionsMax)
    this.#fragments = new FragmentCalls(checked, this.#blobs)
    this.#compute = new ComputeCalls(this.#control)
    this.admin = new AdminCalls(this.#control)
    this.cluster = new ClusterCalls(this.#control)
  }

  /**
   * Once this ends, the bytes are there, whole, until they are removed, evicted or expire. Putting twice is as good as
   * once. Throws CONTENT_MISMATCH, INVALID_FRAGMENT, STORE_FULL, QUOTA_EXCEEDED and LIMIT_REACHED.
   */
  put(put: ClientPut): Promise<PutResult> {
    return this.#fragments.put(put)
  }

  /** Null for what is not there. All bytes are compared with their hash here: CONTENT_MISMATCH. */
  get(key: string, options?: ClientGet): Promise<ClientFragment | null> {
    return this.#fragments.get(key, options)
  }

  /** Null for what is not there. Its pieces hold one connection until they are read or left. */
  stream(key: string, options?: Pick<ClientGet, 'span' | keyof CallOptions>): Promise<ClientStream | null> {
    return this.#fragments.stream(key, options)
  }

  /** What GET would say, without the bytes; null for what is not there. */
  async head(key: string, options: CallOptions = {}): Promise<ClientHead | null> {
    const call = { ...options, method: 'HEAD' as const, path: `/v1/fragments/${pathOf(key)}` }
    const answer = await orNull(this.#control.answer(call))
    if (answer === null) return null
    const headers = new Map(Object.entries(answer.headers).map(([name, value]) => [name, String(value)]))
    return clientHeadOf(key, { status: answer.status, headers }, Number(headers.get('content-length') ?? 0))
  }

  /** What is there is leased for `leaseMs`, the server's choice by default; 0 takes no lease. */
  async has(
    keys: readonly string[],
    { leaseMs, ...options }: CallOptions & { readonly leaseMs?: number } = {},
  ): Promise<Presence> {
    if (keys.length === 0) return { isPresent: [], leadingPresent: 0, leasedUntilMs: Date.now() }
    const body = { keys, ...(leaseMs === undefined ? {} : { leaseMs }) }
    const presence = await this.#control.json(PRESENCE, { ...options, method: 'POST', path: '/v1/has', body })
    if (presence.isPresent.length === keys.length) return presence
    throw new MembraneError(
      'PEER_UNAVAILABLE',
      `The server answered ${presence.isPresent.length} of ${keys.length} keys.`,
    )
  }

  /** The leading blocks of a prompt that are there, leased as with `has`. */
  longestPrefix({ model, blocks, blockTokens, leaseMs, ...options }: ClientPrefix): Promise<LongestPrefix> {
    const body = { model, blocks, blockTokens, ...(leaseMs === undefined ? {} : { leaseMs }) }
    return this.#control.json(PREFIX, { ...options, method: 'POST', path: '/v1/longest-prefix', body })
  }

  /** Keeps what is there of these from being evicted until it is released, renewing its lease. */
  lease(keys: readonly string[], { leaseMs = LEASE_MS }: { readonly leaseMs?: number } = {}): Promise<Lease> {
    return startLease(keys, {
      leaseMs,
      take: (wanted, signal) => this.has(wanted, { leaseMs, signal }),
      gone: (key) => new MembraneError('NOT_FOUND', `${JSON.stringify(key)} is gone, though it was leased.`),
    })
  }

  /** How many were there; after a retry, those that the first try removed are not counted. */
  async remove(keys: readonly string[], options: CallOptions = {}): Promise<number> {
    if (keys.length === 0) return 0
    const call = { ...options, method: 'POST' as const, path: '/v1/remove', body: { keys } }
    return (await this.#control.json(REMOVED, call)).removed
  }

  /** What begins with `prefix`, in no order. What is put or removed meanwhile may be among it, or not. */
  async *list(prefix = '', options: CallOptions = {}): AsyncGenerator<ClientEntry, void, undefined> {
    for (let cursor: string | null = ''; cursor !== null; ) {
      const query = new URLSearchParams({ prefix, limit: String(PAGE_FRAGMENTS), ...(cursor === '' ? {} : { cursor }) })
      const path = `/v1/fragments?${query.toString()}`
      const page: { fragments: ClientEntry[]; cursor: string | null } = await this.#control.json(PAGE, {
        ...options,
        method: 'GET',
        path,
      })
      yield* page.fragments
      cursor = page.cursor
    }
  }

  /** What a fragment is, without its bytes; null for what is not there. */
  describe(key: string, options: CallOptions = {}): Promise<ClientEntry | null> {
    return this.#control.jsonOrNull(ENTRY, { ...options, method: 'GET', path: `/v1/descriptions/${pathOf(key)}` })
  }

  /** Changes how long a fragment is kept; the bytes are not moved. What it is now, or null for what is not there. */
  revise(key: string, { ttlMs, isPinned, priority, ...options }: ClientRevision): Promise<ClientEntry | null> {
    const body = {
      ...(ttlMs === undefined ? {} : { ttlMs }),
      ...(isPinned === undefined ? {} : { pin: isPinned }),
      ...(priority === undefined ? {} : { priority }),
    }
    return this.#control.jsonOrNull(ENTRY, { ...options, method: 'PATCH', path: `/v1/fragments/${pathOf(key)}`, body })
  }

  /** Makes a prompt ready, computing only what is missing. Throws NOT_SUPPORTED where there is no engine. */
  rebuild(request: ClientRebuild): Promise<ClientRebuilt> {
    return this.#compute.rebuild(request)
  }

  /** What a rebuild would do now. */
  explain(request: ClientPrompt): Promise<ClientPlan> {
    return this.#compute.explain(request)
  }

  /**
   * Continues a prompt: text as it is ready, then one event with the whole answer. Whoever stops reading ends the work.
   * Not tried again once it has begun.
   */
  generate(request: ClientGenerate): AsyncGenerator<GenerationEvent, void, undefined> {
    return this.#compute.generate(request)
  }

  /** Fragments whose text is near, the nearest first. Throws NOT_SUPPORTED where there is no semantic index. */
  async search({ text, model, limit, similarityMin, ...options }: ClientSearch): Promise<readonly Similar[]> {
    const body = {
      text,
      ...(model === undefined ? {} : { model }),
      ...(limit === undefined ? {} : { limit }),
      ...(similarityMin === undefined ? {} : { similarityMin }),
    }
    const { fragments } = await this.#control.json(FOUND, { ...options, method: 'POST', path: '/v1/search', body })
    return fragments
  }

  /** One turn of a session used these fragments, in this order: what is used together is kept together. */
  async accessed(session: string, keys: readonly string[], options: CallOptions = {}): Promise<void> {
    const path = `/v1/sessions/${encodeURIComponent(session)}`
    await this.#control.answer({ ...options, method: 'POST', path, body: { accessed: keys } })
  }

  /** No further turn comes: what only this session has used leaves first. Whether it was known. */
  async closeSession(session: string, options: CallOptions = {}): Promise<boolean> {
    const call = { ...options, method: 'DELETE' as const, path: `/v1/sessions/${encodeURIComponent(session)}` }
    return (await this.#control.json(CLOSED, call)).wasKnown
  }

  /** Closes the connections; what is under way fails. */
  async close(): Promise<void> {
    this.#blobs.close()
    await this.#control.close()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }
}
