/** KV of an engine by layer, head and token: for what is kept in pieces, sent in pieces, or looked at. */
import type { CallOptions, ContextPart, KvContext } from '../core/compute.ts'
import { MembraneError } from '../core/errors.ts'
import { axisOf, parseLayerTensor } from '../core/fragment-tensors.ts'
import type { Span, StructuralSignature, TokenSpan } from '../core/fragment.ts'
import { DTYPE_BYTES } from '../core/safetensors-dtypes.ts'
import type { Tensor } from '../core/safetensors.ts'
import { copySlice } from './tensor-slices.ts'

/** Which KV. All layers and heads where nothing is said; a span of them is half-open and not empty. */
export interface KvRange {
  readonly tokens: TokenSpan
  readonly layers?: Span
  /** KV heads. */
  readonly heads?: Span
}

/**
 * The attention KV of a context within a range, as parts whose signatures say what they are. Of all heads they may be
 * views, which the context's next call changes; of some heads they are copies. Throws OUT_OF_DOMAIN for layers or heads
 * that the model has not, INVALID_REQUEST for heads of a layout without them, and what reading throws.
 */
export async function readKv(
  context: KvContext,
  { tokens, layers, heads }: KvRange,
  options: CallOptions = {},
): Promise<readonly ContextPart[]> {
  const parts = (await context.read(tokens, options)).filter(({ signature }) => signature.kind === 'kv')
  return parts
    .map((part) => (layers === undefined ? part : ofLayers(part, layers)))
    .map((part) => (heads === undefined ? part : ofHeads(part, heads)))
}

function ofLayers({ pool, signature, tensors }: ContextPart, layers: Span): ContextPart {
  requireWithin('layers', layers, signature.layers)
  const chosen = tensors.filter(({ name }) => {
    const layer = parseLayerTensor(name)?.layer ?? -1
    return layer >= layers.start && layer < layers.end
  })
  return { pool, signature: { ...signature, layers }, tensors: chosen }
}

function ofHeads({ pool, signature, tensors }: ContextPart, heads: Span): ContextPart {
  const axis = axisOf(signature, 'heads')
  if (axis === null)
    throw new MembraneError('INVALID_REQUEST', `KV of layout ${signature.layout} is not known by heads.`)
  return {
    pool,
    signature: { ...signature, heads } satisfies StructuralSignature,
    tensors: tensors.map((tensor) => headsOf(tensor, axis, heads)),
  }
}

function headsOf({ name, dtype, shape, data }: Tensor, axis: number, heads: Span): Tensor {
  const axisLength = shape[axis] ?? 0
  requireWithin('heads', heads, { start: 0, end: axisLength })
  const length = heads.end - heads.start
  const sliced = { name, dtype, shape: shape.with(axis, length) }
  const bytes = sliced.shape.reduce((product, size) => product * size, DTYPE_BYTES[dtype])
  const copy = new Uint8Array(bytes)
  const to = { data: copy, axisLength: length, start: 0 }
  copySlice(sliced, axis, length, { data, axisLength, start: heads.start }, to)
  return { ...sliced, data: copy }
}

function requireWithin(what: string, { start, end }: Span, all: Span): void {
  const isWithin =
    Number.isInteger(start) && Number.isInteger(end) && all.start <= start && start < end && end <= all.end
  if (!isWithin)
    throw new MembraneError(
      'OUT_OF_DOMAIN',
      `The ${what} are within [${all.start}, ${all.end}); found [${start}, ${end}).`,
    )
}
