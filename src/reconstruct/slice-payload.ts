/** Parts of payloads: the axes along which fragments are cut, and the payload of one part. */
import { assert } from '../core/errors.ts'
import { signatureMetadata } from '../core/fragment-metadata.ts'
import { axisOf, checkTensors, parseLayerTensor } from '../core/fragment-tensors.ts'
import type { FragmentKind, Span, StructuralSignature } from '../core/fragment.ts'
import { layOutSafetensors, type Metadata } from '../core/safetensors-writer.ts'
import type { Tensor } from '../core/safetensors.ts'
import { copySlice } from './tensor-slices.ts'

/** Axes of a fragment along which it can be cut and joined. */
export type FragmentAxis = 'tokens' | 'layers' | 'heads'

/**
 * Along what a kind can be cut. A recurrent state has all tokens in it and none of them apart; its axes are the
 * model's own, so nothing is known of heads.
 */
export const FRAGMENT_AXES: Readonly<Record<FragmentKind, readonly FragmentAxis[]>> = {
  kv: ['tokens', 'layers', 'heads'],
  state: ['layers'],
  prefix: ['tokens'],
  'tool-trace': [],
  artifact: [],
  opaque: [],
}

/** Metadata of a part that was cut out of all heads: how many they are, so that merging knows when it has all again. */
export const HEADS_OF_ALL = 'headsOfAll'

interface PayloadSlice {
  readonly axis: FragmentAxis
  /** What to take of `whole`, which is what the tensors hold. */
  readonly span: Span
  readonly whole: Span
  /** Beside that of the signature. */
  readonly metadata: Metadata
}

/** Copies each byte once. Throws INVALID_FRAGMENT when the slice of these tensors is not of the part's signature. */
export function slicePayload(
  all: readonly Tensor[],
  signature: StructuralSignature,
  { axis, span, whole, metadata }: PayloadSlice,
): Uint8Array {
  const index = axis === 'layers' ? null : axisOf(signature, axis)
  const length = span.end - span.start
  const tensors = axis === 'layers' ? all.filter(({ name }) => isOfLayers(name, span)) : all
  const infos = tensors.map(({ name, dtype, shape }) => ({
    name,
    dtype,
    shape: index === null || index >= shape.length ? shape : shape.with(index, length),
  }))
  checkTensors(signature, infos)
  const layout = layOutSafetensors(infos, { ...metadata, ...signatureMetadata(signature) })
  const payload = new Uint8Array(layout.payloadBytes)
  payload.set(layout.header)
  const sources = new Map(tensors.map((tensor) => [tensor.name, tensor]))
  for (const place of layout.tensors) {
    const source = sources.get(place.name)
    assert(source !== undefined, 'every part of a tensor has a tensor')
    const data = payload.subarray(place.span.start, place.span.end)
    if (index === null) data.set(source.data)
    else {
      const from = { data: source.data, axisLength: source.shape[index] ?? 0, start: span.start - whole.start }
      copySlice(place, index, length, from, { data, axisLength: length, start: 0 })
    }
  }
  return payload
}

function isOfLayers(name: string, { start, end }: Span): boolean {
  const layer = parseLayerTensor(name)?.layer ?? -1
  return layer >= start && layer < end
}
