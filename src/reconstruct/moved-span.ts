/**
 * KV of a span at another place of a context. What was there before the span is not what was there when its KV was
 * computed, so it is approximate; most of the error is in the first tokens, which look at what came before them most,
 * and these are computed anew.
 */
import type { ContextPart, KvModel } from '../core/compute.ts'
import { assert, MembraneError } from '../core/errors.ts'
import { axisOf, parseLayerTensor } from '../core/fragment-tensors.ts'
import type { TokenSpan } from '../core/fragment.ts'
import type { Tensor } from '../core/safetensors.ts'
import { canMoveKeys, moveKeys } from './moved-keys.ts'
import { copySlice } from './tensor-slices.ts'

/** How many leading tokens of a moved span are computed: the greater of both. */
export interface MovedRecompute {
  readonly tokensMin: number
  /** Share of the span, 0 to 1. */
  readonly ratio: number
}

/** More costs what moving saves. The share is what CacheBlend recomputes, there of all tokens that matter most. */
export const DEFAULT_MOVED_RECOMPUTE: MovedRecompute = { tokensMin: 16, ratio: 0.15 }

/** Leading tokens of a moved span of so many tokens that are computed, at most all. */
export function recomputedTokens(tokens: number, { tokensMin, ratio } = DEFAULT_MOVED_RECOMPUTE): number {
  return Math.min(tokens, Math.max(tokensMin, Math.ceil(ratio * tokens)))
}

/** Whether KV of this model can be moved: it has one part, and its keys are turned by known angles. */
export function canMove({ parts }: KvModel): boolean {
  const [kv, ...others] = parts
  return kv !== undefined && kv.kind === 'kv' && others.length === 0 && canMoveKeys(kv)
}

/** Where to take KV from, and where to put it. */
interface SpanMove {
  /** Within the parts' tokens. */
  readonly from: TokenSpan
  /** The first token's new place, 0 or later. */
  readonly to: number
}

/**
 * The KV of `from`, as of the tokens from `to` on: the keys turned, the values as they are, all copied once. The parts
 * are of kind `kv`. Throws INVALID_FRAGMENT for parts that cannot be moved, OUT_OF_DOMAIN for a span outside of them.
 */
export function moveSpan(parts: readonly ContextPart[], { from, to }: SpanMove): readonly ContextPart[] {
  const tokens = from.end - from.start
  if (!Number.isSafeInteger(to) || to < 0)
    throw new MembraneError('OUT_OF_DOMAIN', `A span is moved to token 0 or later; found ${to}.`)
  return parts.map((part) => {
    const { signature } = part
    if (signature.kind !== 'kv')
      throw new MembraneError('INVALID_FRAGMENT', `KV can be moved; a ${signature.kind} cannot.`)
    if (tokens < 1 || from.start < signature.tokens.start || from.end > signature.tokens.end)
      throw new MembraneError(
        'OUT_OF_DOMAIN',
        `Tokens within ${signature.tokens.start} to ${signature.tokens.end} can be moved; found ${from.start} to ${from.end}.`,
      )
    const axis = axisOf(signature, 'tokens')
    assert(axis !== null, 'the layout of KV names its tokens')
    const start = from.start - signature.tokens.start
    return {
      ...part,
      signature: { ...signature, tokens: { start: to, end: to + tokens } },
      tensors: part.tensors.map((tensor) => {
        const cut = cutTokens(tensor, axis, { start, end: start + tokens })
        const isKeys = parseLayerTensor(tensor.name)?.part === 'k'
        return isKeys && to !== from.start ? moveKeys(cut, signature, to - from.start) : cut
      }),
    }
  })
}

function cutTokens(tensor: Tensor, axis: number, { start, end }: TokenSpan): Tensor {
  const axisLength = tensor.shape[axis] ?? 0
  const length = end - start
  if (start === 0 && length === axisLength) return tensor
  const data = new Uint8Array((tensor.data.length / axisLength) * length)
  copySlice(tensor, axis, length, { data: tensor.data, axisLength, start }, { data, axisLength: length, start: 0 })
  return { ...tensor, shape: tensor.shape.with(axis, length), data }
}
