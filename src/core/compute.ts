/**
 * What an engine is to the rest. An engine that exports KV (`KvBackend`) keeps a prompt's KV in memory of its own, takes
 * KV from outside, computes what is missing and gives all of it back; a service that keeps its KV to itself
 * (`TextBackend`) takes a prompt in segments and says how much of it was cached.
 */
import type { FragmentKind, Span, StructuralSignature, TokenSpan } from './fragment.ts'
import type { ModelFingerprint } from './ids.ts'
import type { Tensor } from './safetensors.ts'

/** Names of backends, as the command line takes them; `gpu` is `llama` on a device. */
export const BACKENDS = ['cpu', 'llama', 'transformers', 'openai', 'anthropic', 'ollama', 'simulated'] as const
/** One of BACKENDS. */
export type BackendName = (typeof BACKENDS)[number]

/** Text into token ids and back, as the model was trained with. */
export interface Tokenizer {
  /** Ids are 0 to `vocabularyTokens` - 1. */
  readonly vocabularyTokens: number
  /** Which begin a prompt, in order; often one, of some models none. */
  readonly startTokens: readonly number[]
  /** Any of them ends a text. */
  readonly endTokens: readonly number[]
  /** Without start tokens; `prompt` puts them before. Special tokens that are spelled out in the text are plain text. */
  encode(text: string): Uint32Array
  /** Bytes that are not UTF-8 become U+FFFD. End and start tokens have no text. Throws INVALID_REQUEST for an unknown id. */
  decode(tokenIds: Iterable<number>): string
  /** Gives the text of one token after the other, holding back bytes of a character that is not complete yet. */
  decoder(): TokenDecoder
}

/** Token ids of one text that arrive one by one. */
export interface TokenDecoder {
  /** The characters that are complete now: often one word, sometimes none. */
  push(tokenId: number): string
  /** What was held back, with U+FFFD for bytes that never became a character. */
  end(): string
}

/** One kind of bytes that a model keeps of its context. */
export interface ContextPartShape {
  readonly kind: Extract<FragmentKind, 'kv' | 'state'>
  /** Memory pool: `kv`, `state`, … ; parts of one span have different ones. */
  readonly pool: string
  readonly layers: Span
  readonly dtype: string
  readonly layout: string
  /** `rope:<theta>` rotates pairs (2i, 2i+1), `rope-neox:<theta>` pairs (i, i + d/2); `none`. */
  readonly positionEncoding: string
  /** `kv`: bytes of one token. `state`: bytes of one state, whatever the tokens before it. */
  readonly bytes: number
}

/** What a model's context is made of. */
export interface KvModel {
  readonly name: string
  /** Of the name and of everything that the KV depends on beside the tokens: weights, adapter, engine's arithmetic. */
  readonly fingerprint: ModelFingerprint
  readonly tokenizer: Tokenizer
  readonly contextTokensMax: number
  /** One `kv` part of most models; a hybrid model has a `state` part beside it. */
  readonly parts: readonly ContextPartShape[]
  /** Whether equal tokens give equal bytes for every chunking, thread count and machine. */
  readonly isCanonical: boolean
  /** How it was trained to read conversations; null for a model that only continues texts. */
  readonly chat: ChatForm | null
}

/** How a model reads a conversation, as its file says it. */
export interface ChatForm {
  /** In the language of Jinja, as Hugging Face's tokenizers use it. */
  readonly template: string
  /** Texts that the template writes for tokens that no text of a user becomes. */
  readonly specialTokens: ReadonlyMap<string, number>
  /** The special texts that begin and end a text; '' for none. */
  readonly startText: string
  readonly endText: string
}

/** Bytes that a context with room for so many tokens occupies, as its model declares it. */
export function contextBytes({ parts }: Pick<KvModel, 'parts'>, tokens: number): number {
  return parts.reduce((sum, { kind, bytes }) => sum + (kind === 'kv' ? bytes * tokens : bytes), 0)
}

/** Bytes of a span of a context: one part of the model, with the tensors of all its layers. */
export interface ContextPart {
  readonly pool: string
  readonly signature: StructuralSignature
  /** Named and shaped as in a fragment's payload. May be views of memory that the next call on the context changes. */
  readonly tensors: readonly Tensor[]
}

/** Cancels a call: it ends soon with ABORTED, and what it worked on is as if it had not been called. */
export interface CallOptions {
  readonly signal?: AbortSignal | undefined
}

/** KV that a prefill has made, and does not change any more. */
export interface ReadyLayers {
  readonly layers: Span
  readonly span: TokenSpan
}

export interface PrefillOptions extends CallOptions {
  /**
   * Told of the KV of some layers at some positions as soon as it is final: from then on it may be read, also while the
   * prefill goes on. In order: layer after layer of a stretch of positions, stretch after stretch, each exactly once. An
   * engine that knows of no layers tells once, at the end. When the prefill fails, what was told of is gone.
   */
  readonly onLayers?: ((ready: ReadyLayers) => void) | undefined
}

export interface ReadOptions extends CallOptions {
  /** Only these layers of the `kv` parts, and no states. */
  readonly layers?: Span | undefined
}

/**
 * The KV of one token sequence in the engine's memory. One call at a time, but for reads of what a prefill has told of. Positions are filled by `write` (from
 * fragments, in any order) and by `prefill` (computed). Throws OUT_OF_DOMAIN beyond `contextTokensMax`.
 */
export interface KvContext {
  /** Tokens from the first on without a gap. */
  readonly filledTokens: number
  /** Bytes of the engine's memory that this context occupies. */
  readonly residentBytes: number
  /**
   * Puts the parts of one span in place, replacing what is there. Every byte is copied: the tensors' memory is the caller's. A `state` counts at its span's end, and only there: the
   * context can be continued from that token. Throws INVALID_FRAGMENT, and changes nothing, for parts of another model,
   * shape, dtype, layout or position encoding.
   */
  write(parts: readonly ContextPart[], options?: CallOptions): Promise<void>
  /**
   * Computes the KV of `tokenIds` at positions `start` on; every position before is filled. What was at these positions
   * and after them is replaced. At least one token. Throws INVALID_REQUEST when a position before is missing.
   */
  prefill(start: number, tokenIds: Uint32Array, options?: PrefillOptions): Promise<void>
  /**
   * Scores of each token of the vocabulary to come after the last token of the latest `prefill`: natural logarithms of
   * probabilities up to a constant. A view, until the next call.
   */
  logits(): Float32Array
  /**
   * All parts of a filled span. A model with a state gives it only for a span that ends where the latest `prefill` or
   * written state ends; for other spans its `kv` parts alone.
   */
  read(span: TokenSpan, options?: ReadOptions): Promise<readonly ContextPart[]>
  /** Forgets positions from `tokens` on. */
  truncate(tokens: number): void
  /** Frees its memory. A second call changes nothing. */
  close(): Promise<void>
}

/** An engine that gives its KV and takes it back. */
export interface KvBackend {
  readonly kind: 'kv'
  readonly name: BackendName
  /** What ran, for people: threads, device. */
  readonly description: string
  readonly model: KvModel
  /** Its KV and texts are made up, and its times follow a profile. */
  readonly isSimulated: boolean
  /** Room for `tokens` positions, 1 to `model.contextTokensMax`. Throws COMPUTE_FULL when the engine has no memory left. */
  openContext(tokens: number): Promise<KvContext>
  /** Ends all contexts and frees everything. A second call changes nothing. */
  close(): Promise<void>
}

/** How tokens are drawn from logits. */
export interface Sampling {
  /** 0 takes the likeliest token, of equals the smallest id; above, logits are divided by it. */
  readonly temperature: number
  /** Only the so many likeliest; 0 for all. */
  readonly topK: number
  /** Only the likeliest whose probabilities together reach this, above 0 to 1. */
  readonly topP: number
  /** An unsigned 32-bit number: equal seeds draw equal tokens from equal logits. */
  readonly seed: number
}

/** Takes the likeliest token. */
export const GREEDY: Sampling = { temperature: 0, topK: 0, topP: 1, seed: 0 }

/** A stretch of a prompt that is sent to a service. */
export interface PromptSegment {
  readonly role: 'system' | 'user' | 'assistant'
  readonly text: string
  /**
   * How long it stays the same: for all prompts, for this session's, for this prompt only. Services reuse prefixes, so
   * within one role's run the most lasting come first.
   */
  readonly lasts: 'always' | 'session' | 'once'
}

/** What is asked of a service. */
export interface TextRequest extends CallOptions {
  readonly segments: readonly PromptSegment[]
  readonly maxTokens: number
  readonly sampling: Partial<Sampling>
  /** The answer ends before any of these texts. */
  readonly stop?: readonly string[]
  /** The same for prompts that share a prefix, so that the service sends them to one place; null leaves it to the service. */
  readonly cacheKey: string | null
}

/** What a service said that it used; null where it said nothing. */
export interface TextUsage {
  /** All tokens of the prompt, cached ones among them. */
  readonly promptTokens: number | null
  /** Of these, those that were read from the service's cache, and those that were written to it. */
  readonly cachedTokens: number | null
  readonly cacheWriteTokens: number | null
  readonly completionTokens: number | null
  /** The service's own fields, as received. */
  readonly received: unknown
}

/** A finished answer. */
export interface TextAnswer {
  readonly text: string
  /** `cancelled` is never said here: a cancelled call throws ABORTED. */
  readonly finish: 'stop' | 'length' | 'other'
  readonly usage: TextUsage
  /** The model that answered, as the service names it. */
  readonly model: string
}

/** What a stream yields: pieces of text, then one answer with all of it. */
export type TextEvent = { readonly kind: 'text'; readonly text: string } | ({ readonly kind: 'end' } & TextAnswer)

/** A service that generates text and keeps its KV. */
export interface TextBackend {
  readonly kind: 'text'
  readonly name: BackendName
  /** As the service calls it. */
  readonly model: string
  readonly description: string
  readonly isSimulated: boolean
  /**
   * Throws PROVIDER_REFUSED (wrong key, model or request), PROVIDER_LIMITED and PROVIDER_UNAVAILABLE (after its retries;
   * retryable), PROVIDER_MALFORMED (an answer that is none) and ABORTED.
   */
  generate(request: TextRequest): Promise<TextAnswer>
  /** As `generate`; once text has come, nothing is tried again. Leaving the loop early ends the request. */
  stream(request: TextRequest): AsyncIterable<TextEvent>
  close(): Promise<void>
}

/** Any backend. */
export type ComputeBackend = KvBackend | TextBackend
