/** What a rebuild needs of the node that it runs in. */
import type { CallOptions, KvModel } from '../core/compute.ts'
import type { ErrorCode } from '../core/errors.ts'
import type { Fragment, FragmentDescription } from '../core/fragment.ts'
import type { BlockHashes } from '../core/block-hashes.ts'
import type { ContentHash, TenantId } from '../core/ids.ts'
import type {
  Alarm,
  ContentHashers,
  FragmentDirectory,
  PeerFetch,
  PromptName,
  PutOutcome,
  RemotePrefill,
  Stopwatch,
} from '../core/ports.ts'
import type { TokenSpan } from '../core/fragment.ts'
import type { FragmentizeOptions } from './fragmentize.ts'
import type { ApproximateLabel } from './moved-divergence.ts'
import type { MovedReuse } from './moved-options.ts'
import type { ExplainedSpan, RebuildPlanRequest, RebuildPlan, RebuildRates } from './rebuild-plan.ts'

/** A fragment of this node. */
export interface LocalFragment {
  readonly key: string
  readonly description: FragmentDescription
  readonly contentHash: ContentHash
  readonly payloadBytes: number
  readonly tier: 'memory' | 'disk' | 'remote'
}

/** One tenant's fragments on this node. */
export interface RebuildMemory {
  /** All fragments that cover blocks of the prompt, anywhere in it. None is evicted within the lease. */
  find(prompt: PromptName, leaseSeconds: number): Promise<readonly LocalFragment[]>
  /** Verified bytes, or null when they are gone or damaged. */
  read(key: string, options?: CallOptions): Promise<Uint8Array | null>
  put(fragment: Fragment): Promise<PutOutcome>
  /** Says what a turn used, in order: kept together and prefetched. */
  used(session: string, keys: readonly string[]): void
}

/** Rates that learn from what happens. */
export interface RateBook extends RebuildRates {
  observeRead(place: string, bytes: number, seconds: number): void
  observePrefill(span: TokenSpan, seconds: number): void
}

/** What a node rebuilds with. Null ports: this node is alone. */
export interface RebuildParts {
  readonly model: KvModel
  readonly memory: RebuildMemory
  readonly rates: RateBook
  readonly hashers: ContentHashers
  readonly stopwatch: Stopwatch
  readonly alarm: Alarm
  readonly fragmentize: FragmentizeOptions
  readonly directory: FragmentDirectory | null
  readonly peers: PeerFetch | null
  readonly remotePrefill: RemotePrefill | null
  /** Null, the default: KV is used at its own position only. */
  readonly moved?: MovedReuse | null
  /** Default DEFAULT_REBUILD. */
  readonly options?: Partial<RebuildOptions>
}

/** How a rebuild goes about it. */
export interface RebuildOptions {
  /** Reads of one place at a time, 1 or more. */
  readonly parallelReads: number
  /** Bytes on their way or waiting to be written, of one rebuild; what is larger is computed. */
  readonly bytesInFlightMax: number
  /** Bytes that were computed and are held until they are stored, of one rebuild; what is beyond is not stored. */
  readonly storeBytesMax: number
  /** Share of the time to compute the whole prompt that look-ups may take, 0 to 1. */
  readonly lookUpRatio: number
  /** No wait is given up sooner: computing something short takes less than it takes to notice that it was short. */
  readonly patienceSecondsMin: number
  /** See `RebuildPlanRequest`. */
  readonly gainSecondsMin: number
  readonly plan: (request: RebuildPlanRequest) => RebuildPlan
}

/** A prompt to make ready. */
export interface RebuildRequest extends CallOptions {
  readonly tenant: TenantId
  readonly tokenIds: Uint32Array
  /** Of all full blocks of `tokenIds`, by the chain of the fabric. */
  readonly hashes: BlockHashes
  /** Null: of no session. */
  readonly session: string | null
  /**
   * `moved` takes KV of the same tokens at other positions too, where there is no exact one: the answer is approximate.
   * `none` computes everything and looks nothing up. What was computed is stored, but not what rests on moved KV.
   */
  readonly reuse: 'exact' | 'moved' | 'none'
  /**
   * Who may share KV at other positions: the tenant, the salt, the adapter, all that keeps prompts apart beside the model.
   * Needed for `moved`. Null, the default: what is stored for the prompt is found at its own position only.
   */
  readonly movedScope?: string | null
}

/** A prompt that is ready: the context holds its KV, and `context.logits()` are those of its last token. */
export interface RebuildResult {
  readonly plan: RebuildPlan
  /** In order, end to end, over all tokens. */
  readonly explain: readonly ExplainedSpan[]
  /** Tokens whose KV existed before. */
  readonly reusedTokens: number
  /** All others: computed for this prompt, here or by another node. */
  readonly prefilledTokens: number
  /** Of all places; a read that was late is explained, and not here. */
  readonly failedReads: readonly FailedRead[]
  /** What was not heard of while looking for KV: sentences; empty as a rule. */
  readonly unheard: readonly string[]
  /**
   * Null: the context is as if all had been computed. Else it rests on moved KV: it must not be used for another prompt,
   * and nothing of it must be stored.
   */
  readonly approximate: ApproximateLabel | null
  /** From the call until the context was ready. */
  readonly seconds: number
  /** Ends when what was computed is stored; never rejects. */
  readonly stored: Promise<StoreReport>
}

/** KV that could not be had as it was said to be: a gap, or had from elsewhere. */
export interface FailedRead {
  readonly place: string
  /** NOT_FOUND gone, CONTENT_MISMATCH other bytes, INVALID_FRAGMENT other tensors, STORE_UNAVAILABLE no answer. */
  readonly code: ErrorCode
  /** A sentence. */
  readonly reason: string
}

/** What became of what was computed. */
export interface StoreReport {
  readonly fragments: number
  readonly bytes: number
  /** Fragments that a full store refused, or that failed. */
  readonly refused: number
  readonly error: Error | null
}
