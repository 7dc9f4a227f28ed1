/**
 * Which tensors a fragment's payload holds: `layers.{i}.k` and `.v` of KV (models with latent attention have no `v`),
 * `layers.{i}.state` and `.conv` of a recurrent state, `tokens` of a prefix. Hybrid models have either in some layers
 * only, so the layers of a fragment need not all have tensors.
 */
import { MembraneError, unreachable } from './errors.ts'
import { checkMetadata } from './fragment-metadata.ts'
import type { StructuralSignature } from './fragment.ts'
import { readSafetensors, type Safetensors, type TensorInfo } from './safetensors.ts'

export type LayerPart = 'k' | 'v' | 'state' | 'conv'

export function layerTensorName(layer: number, part: LayerPart): string {
  return `layers.${layer}.${part}`
}

/** Null for a name that is of no layer. */
export function parseLayerTensor(name: string): { readonly layer: number; readonly part: LayerPart } | null {
  const match = /^layers\.(0|[1-9]\d{0,8})\.(k|v|state|conv)$/.exec(name)
  return match === null ? null : { layer: Number(match[1]), part: match[2] as LayerPart }
}

/** Place of an axis in the shapes of KV tensors and of a prefix, or null where the layout has no such axis. */
export function axisOf({ layout }: StructuralSignature, axis: 'tokens' | 'heads'): number | null {
  const index = layout.split(',').indexOf(axis)
  return index < 0 ? null : index
}

/**
 * The payload of a KV, state or prefix fragment, its tensors being views of it. Throws INVALID_FRAGMENT when it is no
 * safetensors file, or not of this signature.
 */
export function readTensors(signature: StructuralSignature, payload: Uint8Array): Safetensors {
  const file = readSafetensors(payload)
  checkMetadata(signature, file.metadata)
  checkTensors(signature, file.tensors)
  return file
}

/** Throws INVALID_FRAGMENT when a payload of these tensors is not of this signature. */
export function checkTensors(signature: StructuralSignature, tensors: readonly TensorInfo[]): void {
  const { kind } = signature
  switch (kind) {
    case 'kv':
      checkLayout(signature)
      for (const tensor of tensors) checkKvTensor(signature, tensor)
      checkLayers(tensors, 'k')
      break
    case 'state':
      for (const tensor of tensors) checkStateTensor(signature, tensor)
      checkLayers(tensors, 'state')
      break
    case 'prefix':
      checkPrefix(signature, tensors)
      break
    case 'tool-trace':
    case 'artifact':
    case 'opaque':
      throw invalid(`A fragment of kind ${kind} has no tensors that are known.`)
    default:
      unreachable(kind)
  }
}

function checkLayout({ layout, heads }: StructuralSignature): void {
  const axes = layout.split(',')
  const isDistinct = new Set(axes).size === axes.length
  if (!isDistinct || !axes.includes('tokens') || (heads !== null && !axes.includes('heads')))
    throw invalid(`The layout must name each axis once, with tokens, and heads where they are cut; found ${layout}.`)
}

function checkKvTensor(signature: StructuralSignature, { name, dtype, shape }: TensorInfo): void {
  const { tokens, heads, layout } = signature
  const { part } = layerOf(signature, name)
  if (part !== 'k' && part !== 'v') throw invalid(`A kv fragment has tensors k and v; found ${name}.`)
  if (dtype !== signature.dtype) throw invalid(`Tensor ${name} must be of ${signature.dtype}; found ${dtype}.`)
  const rank = layout.split(',').length
  if (shape.length !== rank) throw invalid(`Tensor ${name} must have the axes ${layout}; found [${shape.join()}].`)
  checkLength(name, shape, axisOf(signature, 'tokens'), tokens.end - tokens.start)
  if (heads !== null) checkLength(name, shape, axisOf(signature, 'heads'), heads.end - heads.start)
}

function checkStateTensor(signature: StructuralSignature, { name, dtype }: TensorInfo): void {
  const { part } = layerOf(signature, name)
  if (part !== 'state' && part !== 'conv') throw invalid(`A state fragment has tensors state and conv; found ${name}.`)
  // A convolution's window may be kept in another precision than the state itself.
  if (part === 'state' && dtype !== signature.dtype)
    throw invalid(`Tensor ${name} must be of ${signature.dtype}; found ${dtype}.`)
}

function checkPrefix(signature: StructuralSignature, tensors: readonly TensorInfo[]): void {
  const [tensor, ...more] = tensors
  const { tokens, dtype, layout } = signature
  if (dtype !== 'U32' || layout !== 'tokens')
    throw invalid(`A prefix must be of dtype U32 and layout tokens; found ${dtype} and ${layout}.`)
  if (tensor?.name !== 'tokens' || tensor.dtype !== 'U32' || tensor.shape.length !== 1 || more.length > 0)
    throw invalid('A prefix has one tensor: tokens, of U32, with one axis.')
  checkLength(tensor.name, tensor.shape, 0, tokens.end - tokens.start)
}

/** Every layer that has any tensor has this one, and there is one. */
function checkLayers(tensors: readonly TensorInfo[], part: LayerPart): void {
  const names = new Set(tensors.map(({ name }) => name))
  if (names.size === 0) throw invalid('The payload has no tensors.')
  for (const name of names) {
    const needed = name.replace(/[a-z]+$/, part)
    if (!names.has(needed)) throw invalid(`Tensor ${name} needs ${needed} beside it, which is missing.`)
  }
}

function layerOf({ layers }: StructuralSignature, name: string): { readonly layer: number; readonly part: LayerPart } {
  const found = parseLayerTensor(name)
  if (found === null || found.layer < layers.start || found.layer >= layers.end)
    throw invalid(
      `A tensor of layers ${layers.start} to ${layers.end - 1} was expected; found ${JSON.stringify(name)}.`,
    )
  return found
}

function checkLength(name: string, shape: readonly number[], axis: number | null, expected: number): void {
  if (axis === null || shape[axis] !== expected)
    throw invalid(`Tensor ${name} must have ${expected} at axis ${axis}; found [${shape.join()}].`)
}

function invalid(message: string): MembraneError {
  return new MembraneError('INVALID_FRAGMENT', message)
}
