/**
 * What a fragment is: immutable KV bytes of one token span and layer range (and optionally head range) of one model.
 * This description travels with the bytes, as the head of a store entry; the payload is a safetensors file, except of
 * opaque fragments and artifacts, whose bytes are theirs. `checkFragment` says what descriptions make sense.
 */
import type { BlockHash, ContentHash, ModelFingerprint } from './ids.ts'

/** Half-open. */
export interface Span {
  readonly start: number
  readonly end: number
}

/** Tokens `[start, end)` of a prompt, counted from its first token. */
export type TokenSpan = Span

/**
 * `kv`: attention KV of a token span. `state`: recurrent state exactly at `tokens.end` (hybrid models); its tokens are
 * the one block before that. `prefix`: token ids. All three are named by their last block hash.
 */
export const CONTEXT_KINDS = ['kv', 'state', 'prefix'] as const
/** A kind that is named by block hashes. */
export type ContextKind = (typeof CONTEXT_KINDS)[number]

/** `tool-trace`, `artifact`: what agents keep beside KV. `opaque`: bytes under a foreign key. None has block hashes. */
export const BYTE_KINDS = ['tool-trace', 'artifact', 'opaque'] as const
/** A kind without a context. */
export type ByteKind = (typeof BYTE_KINDS)[number]

/** All kinds of fragments. */
export const FRAGMENT_KINDS = [...CONTEXT_KINDS, ...BYTE_KINDS] as const
/** One of FRAGMENT_KINDS. */
export type FragmentKind = ContextKind | ByteKind

export function isContextKind(kind: FragmentKind): kind is ContextKind {
  return kind === 'kv' || kind === 'state' || kind === 'prefix'
}

/** What the bytes are. Two fragments with equal signatures are interchangeable in shape, not in content. */
export interface StructuralSignature {
  readonly model: ModelFingerprint
  readonly kind: FragmentKind
  readonly tokens: TokenSpan
  /** Layers `[start, end)`; `[0, 0)` where there are none, as in a prefix. */
  readonly layers: Span
  /** KV heads `[start, end)`, or null for all of them. */
  readonly heads: Span | null
  /** A safetensors dtype, such as `BF16`. */
  readonly dtype: string
  /** Order of the axes of a tensor, such as `heads,tokens,headDim`; of an artifact, its media type. */
  readonly layout: string
  /** How positions are in the bytes, such as `rope:10000` or `none`; bytes move to other positions only by it. */
  readonly positionEncoding: string
}

/** Fragments that are only valid together: all of `parts`, or none (attention KV and the recurrent state at its end). */
export interface FragmentGroup {
  /** The same for all parts, and for no others. */
  readonly id: string
  /** Which part this is, 0 to `parts` - 1. */
  readonly part: number
  readonly parts: number
  /** Memory pool of the engine that the part lives in: `kv`, `state`, `swa`, … */
  readonly pool: string
}

/** The head of a store entry. */
export interface FragmentDescription {
  readonly signature: StructuralSignature
  /** The block hash before the first of `blocks`; null at the start of a prompt and where there is no chain. */
  readonly parent: BlockHash | null
  /** Hashes of the blocks that `signature.tokens` covers, in order; empty where there is no chain. */
  readonly blocks: readonly BlockHash[]
  readonly blockTokens: number
  readonly group: FragmentGroup | null
  /** What the tokens say, for the semantic index; null keeps the fragment out of it. */
  readonly text: string | null
  /** The sequence (session, document) whose positions `signature.tokens` counts, for the positional index. */
  readonly sequence: string | null
  /** Content or block hashes that this fragment was made from, for the graph. */
  readonly derivedFrom: readonly (ContentHash | BlockHash)[]
}

/** A fragment in memory. */
export interface Fragment {
  readonly description: FragmentDescription
  readonly payload: Uint8Array
}
