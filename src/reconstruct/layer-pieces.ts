/** Puts pieces of KV, layers of a stretch of positions each, together into fragments as they come. */
import { blockHashAt, type BlockHashes } from '../core/block-hashes.ts'
import type { ContextPartShape, KvModel } from '../core/compute.ts'
import { assert, MembraneError } from '../core/errors.ts'
import { signatureMetadata } from '../core/fragment-metadata.ts'
import { axisOf, layerTensorName, parseLayerTensor, readTensors } from '../core/fragment-tensors.ts'
import type { Fragment, Span, StructuralSignature, TokenSpan } from '../core/fragment.ts'
import { LIMITS } from '../core/limits.ts'
import { layOutSafetensors, type WritableLayout } from '../core/safetensors-writer.ts'
import type { Tensor, TensorInfo } from '../core/safetensors.ts'
import { type FragmentizeOptions, fragmentSpans } from './fragmentize.ts'
import { copySlice } from './tensor-slices.ts'

/** Some layers of some positions. */
export interface LayerPiece {
  readonly layers: Span
  readonly span: TokenSpan
  /** A safetensors file of these layers' tensors. */
  readonly tensors: Uint8Array
}

export interface PieceOptions {
  readonly model: KvModel
  readonly hashes: BlockHashes
  /** Of whole blocks. */
  readonly span: TokenSpan
  readonly fragmentize: FragmentizeOptions
}

interface Assembling {
  readonly span: TokenSpan
  readonly signature: StructuralSignature
  readonly layout: WritableLayout
  readonly payload: Uint8Array
}

/**
 * Of a model that has one part of KV, with tensors of the same shape in every layer. Pieces of a layer come in the order
 * of their positions, without gaps. Every byte is copied once, to where it stays.
 */
export class PieceAssembly {
  readonly #options: PieceOptions
  readonly #part: ContextPartShape
  /** Not begun, in order. */
  readonly #spans: TokenSpan[]
  /** Begun, in order. */
  readonly #assembling: Assembling[] = []
  /** For each layer, up to where its positions have come. */
  readonly #ends: number[]

  constructor(options: PieceOptions) {
    const { model, span, fragmentize } = options
    const [part] = model.parts
    assert(part?.kind === 'kv' && model.parts.length === 1, 'the model keeps nothing but KV')
    this.#options = options
    this.#part = part
    this.#spans = [...fragmentSpans(span, fragmentize).spans]
    this.#ends = Array.from({ length: part.layers.end - part.layers.start }, () => span.start)
  }

  /** Throws INVALID_FRAGMENT for a piece that is not of the model or not the next one, LIMIT_REACHED when too much is held. */
  add({ layers, span, tensors: file }: LayerPiece): void {
    this.#advance(layers, span)
    const { tensors } = readTensors(this.#signature(span, layers), file)
    const all = this.#part.layers
    const expected =
      ((this.#part.bytes * (layers.end - layers.start)) / (all.end - all.start)) * (span.end - span.start)
    const bytes = tensors.reduce((sum, { data }) => sum + data.length, 0)
    if (bytes !== expected) throw invalid(`tensors of ${bytes} bytes, not ${expected}`)
    this.#begin(span.end, tensors, span)
    for (const fragment of this.#assembling) {
      const start = Math.max(span.start, fragment.span.start)
      const end = Math.min(span.end, fragment.span.end)
      if (start < end) copyInto(fragment, tensors, { piece: span, part: { start, end } })
    }
  }

  /** The next fragment, once all layers of it are there. */
  take(): Fragment | null {
    const [first] = this.#assembling
    if (first === undefined || Math.min(...this.#ends) < first.span.end) return null
    this.#assembling.shift()
    const { hashes, fragmentize } = this.#options
    const { blockTokens } = fragmentize
    const { signature, payload } = first
    const from = signature.tokens.start / blockTokens
    const count = (signature.tokens.end - signature.tokens.start) / blockTokens
    return {
      description: {
        signature,
        parent: from === 0 ? null : blockHashAt(hashes, from - 1),
        blocks: Array.from({ length: count }, (_, index) => blockHashAt(hashes, from + index)),
        blockTokens,
        group: null,
        text: null,
        sequence: null,
        derivedFrom: [],
      },
      payload,
    }
  }

  get isComplete(): boolean {
    return this.#spans.length === 0 && this.#assembling.length === 0
  }

  #advance(layers: Span, span: TokenSpan): void {
    const all = this.#part.layers
    if (layers.start < all.start || layers.end > all.end || span.end > this.#options.span.end)
      throw invalid(`layers ${layers.start} to ${layers.end} of tokens to ${span.end}, which are not asked for`)
    for (let layer = layers.start - all.start; layer < layers.end - all.start; layer++) {
      if (this.#ends[layer] !== span.start) throw invalid(`tokens from ${span.start} on, not from ${this.#ends[layer]}`)
      this.#ends[layer] = span.end
    }
  }

  /** The first piece says how the tensors of a layer look. */
  #begin(end: number, tensors: readonly Tensor[], piece: TokenSpan): void {
    for (let [next] = this.#spans; next !== undefined && next.start < end; [next] = this.#spans) {
      this.#spans.shift()
      const { layers } = this.#part
      const signature = this.#signature(next, layers)
      const infos = infosOf(signature, tensors)
      const layout = layOutSafetensors(infos, signatureMetadata(signature))
      const dataBytes = layout.payloadBytes - layout.header.length
      const expected = this.#part.bytes * (next.end - next.start)
      if (dataBytes !== expected) throw invalid(`tensors of ${dataBytes} bytes, not ${expected}`)
      const heldBytes = this.#assembling.reduce((sum, { payload }) => sum + payload.length, layout.payloadBytes)
      if (heldBytes > LIMITS.prefillHeldBytesMax)
        throw new MembraneError(
          'LIMIT_REACHED',
          `Pieces from ${piece.start} on came before those that are needed first.`,
        )
      const payload = new Uint8Array(layout.payloadBytes)
      payload.set(layout.header)
      this.#assembling.push({ span: next, signature, layout, payload })
    }
  }

  #signature(tokens: TokenSpan, layers: Span): StructuralSignature {
    const { kind, dtype, layout, positionEncoding } = this.#part
    const model = this.#options.model.fingerprint
    return { model, kind, tokens, layers, heads: null, dtype, layout, positionEncoding }
  }
}

/** Of all layers, as those of the piece are, for the tokens of the signature. */
function infosOf(signature: StructuralSignature, tensors: readonly Tensor[]): readonly TensorInfo[] {
  const axis = axisOf(signature, 'tokens')
  const [first] = tensors
  const layer = first === undefined ? null : (parseLayerTensor(first.name)?.layer ?? null)
  if (axis === null || layer === null) throw invalid('no tensors')
  const ofLayer = tensors.filter(({ name }) => parseLayerTensor(name)?.layer === layer)
  const tokens = signature.tokens.end - signature.tokens.start
  const { start, end } = signature.layers
  return Array.from({ length: end - start }, (_, index) =>
    ofLayer.map(({ name, dtype, shape }) => ({
      name: layerTensorName(start + index, parseLayerTensor(name)?.part ?? 'k'),
      dtype,
      shape: shape.with(axis, tokens),
    })),
  ).flat()
}

function copyInto(
  { span, signature, layout, payload }: Assembling,
  tensors: readonly Tensor[],
  { piece, part }: { readonly piece: TokenSpan; readonly part: TokenSpan },
): void {
  const axis = axisOf(signature, 'tokens')
  assert(axis !== null, 'the layout of KV names its tokens')
  const places = new Map(layout.tensors.map((place) => [place.name, place]))
  for (const tensor of tensors) {
    const place = places.get(tensor.name)
    const pieceTokens = piece.end - piece.start
    if (place === undefined || place.shape.with(axis, pieceTokens).join() !== tensor.shape.join())
      throw invalid(`a tensor ${tensor.name} of another shape`)
    const from = { data: tensor.data, axisLength: pieceTokens, start: part.start - piece.start }
    const data = payload.subarray(place.span.start, place.span.end)
    const to = { data, axisLength: span.end - span.start, start: part.start - span.start }
    copySlice(place, axis, part.end - part.start, from, to)
  }
}

function invalid(found: string): MembraneError {
  return new MembraneError('INVALID_FRAGMENT', `The next piece of a prefill was expected; found ${found}.`)
}
