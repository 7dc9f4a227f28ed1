/** What is asked of a node, and what it answers. */
import type { BlockHashes } from '../core/block-hashes.ts'
import type { CallOptions, KvContext, Sampling, TextUsage } from '../core/compute.ts'
import { MembraneError } from '../core/errors.ts'
import type { TokenSpan } from '../core/fragment.ts'
import type { ContentHash, TenantId } from '../core/ids.ts'
import { LIMITS } from '../core/limits.ts'
import type { ApproximateLabel } from '../reconstruct/moved-divergence.ts'
import type { ExplainedSpan, RebuildPlan } from '../reconstruct/rebuild-plan.ts'
import type { RebuildRequest, RebuildResult, StoreReport } from '../reconstruct/rebuild-ports.ts'

/** One turn of a conversation. */
export interface ChatMessage {
  readonly role: 'system' | 'user' | 'assistant'
  readonly text: string
}

/**
 * A prompt as text, which the model's tokenizer reads with its start tokens before; as token ids, taken as they are; or
 * as a conversation, written as the model's chat template says, ready for the assistant's next turn.
 */
export type Prompt =
  | { readonly text: string }
  | { readonly tokenIds: Uint32Array }
  | { readonly messages: readonly ChatMessage[] }

/** Whose prompt it is, and how much of it may be reused. */
export interface PromptRequest extends CallOptions {
  readonly tenant: TenantId
  readonly prompt: Prompt
  /** KV is shared between requests of one salt only; default ''. At most LIMITS.chainTextBytesMax bytes with the tenant's. */
  readonly salt?: string
  /** Turns of one session are kept together; null for none. */
  readonly session?: string | null
  /** Default `exact`. `none` computes everything, and stores it. */
  readonly reuse?: RebuildRequest['reuse']
}

/** A sentence or two. */
export const DEFAULT_MAX_TOKENS = 64

/** Throws INVALID_REQUEST for too many, or an empty one. */
export function checkedStop(stop: readonly string[] = []): readonly string[] {
  if (
    stop.length <= LIMITS.stopTextsMax &&
    stop.every((text) => text !== '' && text.length <= LIMITS.stopCharactersMax)
  )
    return stop
  throw new MembraneError(
    'INVALID_REQUEST',
    `An answer ends at one of at most ${LIMITS.stopTextsMax} texts of 1 to ${LIMITS.stopCharactersMax} characters; found ${JSON.stringify(stop).slice(0, 200)}.`,
  )
}

/** A prompt to continue. */
export interface GenerateRequest extends PromptRequest {
  /** Tokens to generate, 1 to what the model's context leaves beside the prompt; default DEFAULT_MAX_TOKENS, or what it leaves. */
  readonly maxTokens?: number | undefined
  /** The answer ends before the first of these texts; LIMITS.stopTextsMax at most, none of them empty. */
  readonly stop?: readonly string[]
  /** Greedy where nothing is said. */
  readonly sampling?: Partial<Sampling>
  /** Called with each piece of text as it is ready. */
  readonly onText?: (text: string) => void
  /** Hash the prompt's KV when it is ready: takes a pass over its bytes, after the first token. */
  readonly wantsKvHash?: boolean
}

/** A prompt that another node wants computed. */
export interface PrefillFor extends CallOptions {
  readonly tenant: TenantId
  readonly tokenIds: Uint32Array
  /** Of all full blocks of the tokens, as the other node names them. */
  readonly hashes: BlockHashes
  /**
   * Takes KV out of the context while `rebuild` fills it, or what stands for it. The context is another's afterwards.
   * Says with `observePrefill` what computing takes: who waits for a network measures something else.
   */
  readonly fill: (
    context: KvContext,
    rebuild: (context: KvContext) => Promise<RebuildResult>,
    observePrefill: (span: TokenSpan, seconds: number) => void,
  ) => Promise<RebuildResult>
}

/** A prompt that was made ready. */
export interface Rebuilt {
  readonly promptTokens: number
  /** Leading tokens and others whose KV was read, not computed. */
  readonly reusedTokens: number
  readonly prefilledTokens: number
  /** From the call until the context was ready. */
  readonly seconds: number
  /** See `hashContext`; null when it was not asked for. */
  readonly kvHash: ContentHash | null
  readonly plan: RebuildPlan
  /** Span by span where the KV came from. */
  readonly explain: readonly ExplainedSpan[]
  /** Null when all is as if it had been computed; else how far moved KV is from that, as far as it was measured. */
  readonly approximate: ApproximateLabel | null
  /** What was computed and is kept as fragments now. */
  readonly stored: StoreReport
}

/** An answer. */
export interface Generation {
  readonly text: string
  /** Generated; an end token is not among them. */
  readonly tokenIds: Uint32Array
  readonly finish: 'stop' | 'length' | 'other'
  /** Null where a service did not say. */
  readonly promptTokens: number | null
  readonly reusedTokens: number | null
  readonly prefilledTokens: number | null
  /** From the call to the first token. */
  readonly ttftSeconds: number
  /** Null when only one token was generated. */
  readonly decodeTokensPerSecond: number | null
  /** Null when it was not asked for, and from services, which keep their KV. */
  readonly kvHash: ContentHash | null
  readonly explain: readonly ExplainedSpan[]
  /** Null when all is as if it had been computed; else how far moved KV is from that, as far as it was measured. */
  readonly approximate: ApproximateLabel | null
  /** Its tokens and times are made up. */
  readonly isSimulated: boolean
  /** What a service reported. */
  readonly usage: TextUsage | null
  /** What was computed and is kept as fragments now; null from services. */
  readonly stored: StoreReport | null
}
