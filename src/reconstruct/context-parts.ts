/** Between fragments and what an engine takes and gives: payloads into parts of a context, and back. */
import type { ContextPart, ContextPartShape, KvModel } from '../core/compute.ts'
import { assert, MembraneError } from '../core/errors.ts'
import { signatureMetadata } from '../core/fragment-metadata.ts'
import { axisOf, readTensors } from '../core/fragment-tensors.ts'
import type { Fragment, FragmentDescription, StructuralSignature, TokenSpan } from '../core/fragment.ts'
import type { BlockHash } from '../core/ids.ts'
import { writeSafetensors } from '../core/safetensors-writer.ts'
import type { Tensor } from '../core/safetensors.ts'
import { mergeFragments } from './merge-fragments.ts'
import { partBytes } from './rebuild-candidates.ts'
import { copySlice } from './tensor-slices.ts'

/**
 * One part of the model, from fragments that tile its layers and heads. Heads that were cut are copied once; all else
 * are views of the payloads. Throws INVALID_FRAGMENT when a payload is not of its description, or together they are
 * not all of the part.
 */
export function assemblePart(
  { fingerprint }: KvModel,
  shape: ContextPartShape,
  fragments: readonly Fragment[],
): ContextPart {
  const ofLayers = Map.groupBy(fragments, ({ description }) => description.signature.layers.start)
  const tensors: Tensor[] = []
  for (const heads of ofLayers.values()) {
    // The group is complete by now, and its parts are taken for what they are.
    const { description, payload } = mergeFragments(heads.map(withoutGroup))
    tensors.push(...readTensors(description.signature, payload).tensors)
  }
  const tokens = fragments[0]?.description.signature.tokens
  assert(tokens !== undefined, 'a part has fragments')
  const expected = partBytes(shape, tokens)
  const bytes = tensors.reduce((sum, { data }) => sum + data.length, 0)
  if (bytes !== expected)
    throw new MembraneError('INVALID_FRAGMENT', `The part ${shape.pool} must have ${expected} bytes; found ${bytes}.`, {
      details: { pool: shape.pool, expected, bytes },
    })
  const { kind, pool, layers, dtype, layout, positionEncoding } = shape
  return {
    pool,
    signature: { model: fingerprint, kind, tokens, layers, heads: null, dtype, layout, positionEncoding },
    tensors,
  }
}

function withoutGroup({ description, payload }: Fragment): Fragment {
  return { description: { ...description, group: null }, payload }
}

/** The tokens of `span` alone, which lies within the parts. A state stands at their end, so that end stays. */
export function sliceParts(parts: readonly ContextPart[], span: TokenSpan): readonly ContextPart[] {
  return parts.map((part) => {
    const { signature, tensors } = part
    const whole = signature.tokens
    assert(signature.kind === 'kv' || whole.end === span.end, 'a state is not cut')
    if (signature.kind !== 'kv' || (whole.start === span.start && whole.end === span.end)) return part
    const axis = axisOf(signature, 'tokens')
    assert(axis !== null, 'the layout of KV names its tokens')
    const length = span.end - span.start
    return {
      ...part,
      signature: { ...signature, tokens: span },
      tensors: tensors.map((tensor) => sliceTensor(tensor, axis, { start: span.start - whole.start, length })),
    }
  })
}

function sliceTensor(
  tensor: Tensor,
  axis: number,
  { start, length }: { readonly start: number; readonly length: number },
): Tensor {
  const axisLength = tensor.shape[axis] ?? 0
  const data = new Uint8Array((tensor.data.length / axisLength) * length)
  copySlice(tensor, axis, length, { data: tensor.data, axisLength, start }, { data, axisLength: length, start: 0 })
  return { ...tensor, shape: tensor.shape.with(axis, length), data }
}

/** Where a span stands in a prompt. */
export interface SpanName {
  /** Of whole blocks. */
  readonly span: TokenSpan
  readonly blockTokens: number
  /** Of all full blocks of the prompt. */
  readonly blocks: readonly BlockHash[]
}

/**
 * What an engine gave for a span, one fragment a part of the model, in the order of its parts; more than one are a
 * group, which has the same name wherever it is made. Every byte is copied. Throws INVALID_FRAGMENT when a part is
 * missing or not of its shape.
 */
export function fragmentsOfParts(
  { parts: shapes, fingerprint }: KvModel,
  given: readonly ContextPart[],
  { span, blockTokens, blocks }: SpanName,
): readonly Fragment[] {
  const first = span.start / blockTokens
  const end = span.end / blockTokens
  const lastBlock = blocks[end - 1]
  return shapes.map((shape, index): Fragment => {
    const part = given.find(({ pool, signature }) => pool === shape.pool && signature.kind === shape.kind)
    if (part === undefined)
      throw new MembraneError('INVALID_FRAGMENT', `The engine was to give its part ${shape.pool}; it did not.`)
    const from = shape.kind === 'state' ? end - 1 : first
    const { kind, layers, dtype, layout, positionEncoding } = shape
    const tokens = { start: from * blockTokens, end: span.end }
    const signature: StructuralSignature = {
      model: fingerprint,
      kind,
      tokens,
      layers,
      heads: null,
      dtype,
      layout,
      positionEncoding,
    }
    const description: FragmentDescription = {
      signature,
      parent: from === 0 ? null : (blocks[from - 1] ?? null),
      blocks: blocks.slice(from, end),
      blockTokens,
      group:
        shapes.length === 1
          ? null
          : { id: `${fingerprint}/${span.start}/${lastBlock}`, part: index, parts: shapes.length, pool: shape.pool },
      text: null,
      // The same bytes are the same fragment whichever session computed them.
      sequence: null,
      derivedFrom: [],
    }
    return { description, payload: writeSafetensors(part.tensors, signatureMetadata(signature)) }
  })
}
