/** What a node is put together from, and what it counts. */
import type { KvBackend } from '../core/compute.ts'
import type { HashChain } from '../core/hash-chain.ts'
import type { TenantId } from '../core/ids.ts'
import type { Alarm, ContentHashers, FragmentDirectory, PeerFetch, RemotePrefill, Stopwatch } from '../core/ports.ts'
import type { Random } from '../core/random.ts'
import { DEFAULT_FRAGMENTIZE } from '../reconstruct/fragmentize.ts'
import type { RateBook } from '../reconstruct/rebuild-ports.ts'
import type { Fabric } from './fabric.ts'
import { DEFAULT_READ_AHEAD, type ReadAheadStats } from './read-ahead.ts'
import type { ResidentStats } from './resident-pool.ts'

/** What a node is put together from. */
export interface NodeOptions {
  readonly fabric: Fabric
  readonly backend: KvBackend
  /** Names the blocks of prompts: the same for all prompts of a fabric. */
  readonly chain: HashChain
  readonly rates: RateBook
  readonly hashers: ContentHashers
  readonly stopwatch: Stopwatch
  readonly alarm: Alarm
  /** Tokens of a fragment, a multiple of the chain's block. */
  readonly fragmentTokens: number
  /** Secret of a tenant in its block hashes; '' for none. */
  readonly saltOf: (tenant: TenantId) => string
  /** Of the engine's memory, for contexts that outlive their request. */
  readonly residentBytesMax: number
  /** Of fragments that are read before a session's next turn asks for them; 0 reads none. */
  readonly readAheadBytesMax: number
  /** Requests that compute or decode at a time. */
  readonly requestsMax: number
  /** Ways to other nodes; null for a node that is alone. */
  readonly directory: FragmentDirectory | null
  readonly peers: PeerFetch | null
  readonly remotePrefill: RemotePrefill | null
  /** Null: nobody plans by it. */
  readonly observer: PromptObserver | null
  /** Null: KV is used at its own position only, whatever is asked. */
  readonly moved: NodeMovedOptions | null
}

/** Is told what comes and goes: for who plans by it. */
export interface PromptObserver {
  /** A prompt was made ready; `uncachedTokens` of it had to be computed, here or elsewhere. */
  readonly seen: (promptTokens: number, uncachedTokens: number) => void
  /** An answer has ended; null for one too short to have a rate. */
  readonly answered: (outputTokens: number, tokensPerSecond: number | null) => void
}

/** Reuse of KV at other positions, which gives approximate answers; asked for by each request. */
export interface NodeMovedOptions {
  /** Share of the calls with moved KV, 0 to 1, whose prompt is computed as well, to measure how far off they are. */
  readonly measuredShare: number
  readonly random: Random
}

/** Counted since the node was opened. Tokens are those of prompts, but for those generated. */
export interface NodeStats {
  readonly requests: number
  readonly reusedTokens: number
  readonly prefilledTokens: number
  readonly generatedTokens: number
  /** Fragments that were found and could not be read: gone, damaged or of another shape. */
  readonly failedReads: number
  /** From the call until the context was ready, of all requests together. */
  readonly rebuildSeconds: number
  readonly resident: ResidentStats
  readonly readAhead: ReadAheadStats
}

/** A node that is alone, with room for some conversations. */
export const DEFAULT_NODE_OPTIONS = {
  fragmentTokens: DEFAULT_FRAGMENTIZE.fragmentTokens,
  // Tenants are apart by their keys already; a secret comes with the credential.
  saltOf: (tenant: TenantId): string => tenant,
  residentBytesMax: 1024 ** 3,
  readAheadBytesMax: DEFAULT_READ_AHEAD.bytesMax,
  requestsMax: 4,
  directory: null,
  peers: null,
  remotePrefill: null,
  observer: null,
  moved: null,
} as const satisfies Partial<NodeOptions>
