/** KV, recurrent states and token ids as payloads, and back: what comes out is bit for bit what went in. */
import { MembraneError } from './errors.ts'
import { signatureMetadata } from './fragment-metadata.ts'
import { checkTensors, type LayerPart, layerTensorName, parseLayerTensor, readTensors } from './fragment-tensors.ts'
import type { StructuralSignature } from './fragment.ts'
import type { ModelFingerprint } from './ids.ts'
import { type PayloadPieces, safetensorsPieces } from './safetensors-writer.ts'
import type { Tensor } from './safetensors.ts'

/** What a fragment is and its bytes; context, text and group are added by who knows them. */
export interface FragmentContent {
  readonly signature: StructuralSignature
  readonly payload: PayloadPieces
}

/** A tensor that gets its name from where it stands. */
export type TensorData = Omit<Tensor, 'name'>

/** Keys and values of one layer, in the axes of the signature's layout; `v` is null where a latent stands for both. */
export interface KvLayer {
  readonly layer: number
  readonly k: TensorData
  readonly v: TensorData | null
}

/** The recurrent state of one layer, and the window of its convolution where it has one; of any shapes. */
export interface StateLayer {
  readonly layer: number
  readonly state: TensorData
  readonly conv: TensorData | null
}

/** The signature is of kind `kv`. Copies no tensor. Throws INVALID_FRAGMENT when it does not say what the layers are. */
export function buildKv(signature: StructuralSignature, layers: readonly KvLayer[]): FragmentContent {
  const tensors = layers.flatMap(({ layer, k, v }) => [...named(layer, 'k', k), ...named(layer, 'v', v)])
  return build(requireKind(signature, 'kv'), tensors)
}

/** In ascending order of layers, as views of the payload. Throws INVALID_FRAGMENT for a payload of another signature. */
export function parseKv(signature: StructuralSignature, payload: Uint8Array): readonly KvLayer[] {
  const { tensors } = readTensors(requireKind(signature, 'kv'), payload)
  return layersOf(tensors, 'k', 'v').map(({ layer, first, second }) => ({ layer, k: first, v: second }))
}

/** The signature is of kind `state`. Copies no tensor. Throws INVALID_FRAGMENT when it does not say what the layers are. */
export function buildState(signature: StructuralSignature, layers: readonly StateLayer[]): FragmentContent {
  const tensors = layers.flatMap(({ layer, state, conv }) => [
    ...named(layer, 'state', state),
    ...named(layer, 'conv', conv),
  ])
  return build(requireKind(signature, 'state'), tensors)
}

/** In ascending order of layers, as views of the payload. Throws INVALID_FRAGMENT for a payload of another signature. */
export function parseState(signature: StructuralSignature, payload: Uint8Array): readonly StateLayer[] {
  const { tensors } = readTensors(requireKind(signature, 'state'), payload)
  return layersOf(tensors, 'state', 'conv').map(({ layer, first, second }) => ({ layer, state: first, conv: second }))
}

/** Token ids of a span of a prompt. */
export interface PrefixTokens {
  readonly model: ModelFingerprint
  /** Place of the first of `tokenIds` in the prompt. */
  readonly tokenStart: number
  readonly tokenIds: Uint32Array
}

/** Copies the ids once, as little-endian numbers of 4 bytes. */
export function buildPrefix({ model, tokenStart, tokenIds }: PrefixTokens): FragmentContent {
  const signature: StructuralSignature = {
    model,
    kind: 'prefix',
    tokens: { start: tokenStart, end: tokenStart + tokenIds.length },
    layers: { start: 0, end: 0 },
    heads: null,
    dtype: 'U32',
    layout: 'tokens',
    positionEncoding: 'none',
  }
  // Not the array's own bytes: those are in the order of the machine.
  const data = new Uint8Array(4 * tokenIds.length)
  const view = new DataView(data.buffer)
  for (const [index, id] of tokenIds.entries()) view.setUint32(4 * index, id, true)
  return build(signature, [{ name: 'tokens', dtype: 'U32', shape: [tokenIds.length], data }])
}

/** Throws INVALID_FRAGMENT for a payload of another signature. */
export function parsePrefix(signature: StructuralSignature, payload: Uint8Array): PrefixTokens {
  const { tensors } = readTensors(requireKind(signature, 'prefix'), payload)
  const data = tensors[0]?.data ?? new Uint8Array(0)
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength)
  const tokenIds = new Uint32Array(data.length / 4)
  for (let index = 0; index < tokenIds.length; index++) tokenIds[index] = view.getUint32(4 * index, true)
  return { model: signature.model, tokenStart: signature.tokens.start, tokenIds }
}

function build(signature: StructuralSignature, tensors: readonly Tensor[]): FragmentContent {
  checkTensors(signature, tensors)
  return { signature, payload: safetensorsPieces(tensors, signatureMetadata(signature)) }
}

function named(layer: number, part: LayerPart, tensor: TensorData | null): readonly Tensor[] {
  return tensor === null ? [] : [{ ...tensor, name: layerTensorName(layer, part) }]
}

interface LayerPair {
  readonly layer: number
  readonly first: TensorData
  readonly second: TensorData | null
}

function layersOf(tensors: readonly Tensor[], first: LayerPart, second: LayerPart): readonly LayerPair[] {
  const byName = new Map(tensors.map(({ name, ...data }) => [name, data]))
  return tensors
    .flatMap(({ name }) => {
      const place = parseLayerTensor(name)
      const data = byName.get(name)
      if (place?.part !== first || data === undefined) return []
      return [{ layer: place.layer, first: data, second: byName.get(layerTensorName(place.layer, second)) ?? null }]
    })
    .toSorted((a, b) => a.layer - b.layer)
}

function requireKind(signature: StructuralSignature, kind: StructuralSignature['kind']): StructuralSignature {
  if (signature.kind === kind) return signature
  throw new MembraneError('INVALID_FRAGMENT', `A fragment of kind ${kind} was expected; found ${signature.kind}.`)
}
