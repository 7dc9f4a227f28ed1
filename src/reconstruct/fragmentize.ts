/** From tokens to blocks to fragments: where a prompt is cut, and what the pieces are called. */
import { MembraneError } from '../core/errors.ts'
import { checkFragment } from '../core/fragment-check.ts'
import { checkTensors } from '../core/fragment-tensors.ts'
import type { Fragment, FragmentDescription, StructuralSignature, TokenSpan } from '../core/fragment.ts'
import type { BlockHash } from '../core/ids.ts'
import type { Tensor } from '../core/safetensors.ts'
import { slicePayload } from './slice-payload.ts'

/** Sizes in tokens. */
export interface FragmentizeOptions {
  readonly blockTokens: number
  /** Tokens of a fragment, a multiple of `blockTokens`. */
  readonly fragmentTokens: number
}

/** Engines hash 16 tokens; 512 of them are some tens of megabytes of KV, enough to keep a link or a disk busy. */
export const DEFAULT_FRAGMENTIZE: FragmentizeOptions = { blockTokens: 16, fragmentTokens: 512 }

/** Where fragments begin and end. */
export interface FragmentSpans {
  readonly spans: readonly TokenSpan[]
  /** The tokens at the end that fill no block: they have no name, so nothing can be stored under it. Often empty. */
  readonly leftOver: TokenSpan
}

/**
 * Cuts at multiples of `fragmentTokens` counted from the prompt's first token, wherever `tokens` begins, so that two
 * prompts with the same beginning have the same fragments there; the last may be shorter, of whole blocks.
 * Throws INVALID_REQUEST when the tokens do not begin at a block, or the sizes are not whole blocks.
 */
export function fragmentSpans(tokens: TokenSpan, options = DEFAULT_FRAGMENTIZE): FragmentSpans {
  const { blockTokens, fragmentTokens } = options
  requireMultiple('blockTokens', blockTokens, 1)
  requireMultiple('fragmentTokens', fragmentTokens, blockTokens)
  if (tokens.start !== 0) requireMultiple('The first token', tokens.start, blockTokens)
  if (!Number.isSafeInteger(tokens.end) || tokens.end < tokens.start)
    throw new MembraneError('INVALID_REQUEST', `Tokens must end at ${tokens.start} or later; found ${tokens.end}.`)
  const end = tokens.end - (tokens.end % blockTokens)
  const spans: TokenSpan[] = []
  for (let start = tokens.start; start < end; ) {
    const nextCut = start - (start % fragmentTokens) + fragmentTokens
    spans.push({ start, end: Math.min(nextCut, end) })
    start = nextCut
  }
  return { spans, leftOver: { start: end, end: tokens.end } }
}

/** A span of a prompt that is to be stored. */
export interface Fragmentizable {
  /** Of all the tokens, those that fill no block too. */
  readonly signature: StructuralSignature
  readonly parent: BlockHash | null
  /** Hashes of the whole blocks of `signature.tokens`, in order. */
  readonly blocks: readonly BlockHash[]
  readonly sequence: string | null
}

/** What the fragments are called; `fragmentizeTensors` gives their bytes too. */
export interface Fragmentized {
  /** In order, end to end. Their texts and groups are null: whoever knows them adds them. */
  readonly fragments: readonly FragmentDescription[]
  readonly leftOver: TokenSpan
}

/** Throws INVALID_REQUEST as `fragmentSpans`, and INVALID_FRAGMENT when the block hashes do not fit the tokens. */
export function fragmentize(whole: Fragmentizable, options = DEFAULT_FRAGMENTIZE): Fragmentized {
  const { signature, parent, blocks, sequence } = whole
  const { blockTokens } = options
  const { spans, leftOver } = fragmentSpans(signature.tokens, options)
  const blockOf = (token: number): number => (token - signature.tokens.start) / blockTokens
  const blocksExpected = blockOf(leftOver.start)
  if (blocks.length !== blocksExpected)
    throw new MembraneError(
      'INVALID_FRAGMENT',
      `${blocksExpected} block hashes were expected for the whole blocks of the tokens; found ${blocks.length}.`,
    )
  const fragments = spans.map((tokens): FragmentDescription => {
    const first = blockOf(tokens.start)
    const description: FragmentDescription = {
      signature: { ...signature, tokens },
      parent: first === 0 ? parent : (blocks[first - 1] ?? null),
      blocks: blocks.slice(first, blockOf(tokens.end)),
      blockTokens,
      group: null,
      text: null,
      sequence,
      derivedFrom: [],
    }
    checkFragment(description)
    return description
  })
  return { fragments, leftOver }
}

/** Fragments with their bytes. */
export interface FragmentizedTensors {
  readonly fragments: readonly Fragment[]
  readonly leftOver: TokenSpan
}

/**
 * What a prefill computed, of kind `kv` or `prefix`, as fragments. The tensors hold all tokens of `whole.signature`
 * and are named as in a payload. Each byte is copied once; what is left over is in no fragment.
 * Throws as `fragmentize`, and INVALID_FRAGMENT when the tensors are not of the signature.
 */
export function fragmentizeTensors(
  whole: Fragmentizable,
  tensors: readonly Tensor[],
  options = DEFAULT_FRAGMENTIZE,
): FragmentizedTensors {
  const { fragments, leftOver } = fragmentize(whole, options)
  checkTensors(whole.signature, tensors)
  const slice = { axis: 'tokens', whole: whole.signature.tokens, metadata: {} } as const
  return {
    fragments: fragments.map((description) => ({
      description,
      payload: slicePayload(tensors, description.signature, { ...slice, span: description.signature.tokens }),
    })),
    leftOver,
  }
}

function requireMultiple(what: string, value: number, unit: number): void {
  if (Number.isSafeInteger(value) && value > 0 && value % unit === 0) return
  throw new MembraneError('INVALID_REQUEST', `${what} must be a positive multiple of ${unit}; found ${value}.`)
}
