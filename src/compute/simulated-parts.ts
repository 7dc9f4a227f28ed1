/** Whether parts from outside are a simulated model's own: nothing of them is written before all of them are checked. */
import type { ContextPart, ContextPartShape } from '../core/compute.ts'
import { MembraneError } from '../core/errors.ts'
import { layerTensorName } from '../core/fragment-tensors.ts'
import type { Span, TokenSpan } from '../core/fragment.ts'
import { tensorBytes } from '../core/safetensors-dtypes.ts'
import type { Tensor } from '../core/safetensors.ts'
import type { SimulatedModel } from './simulated-model.ts'

/** Parts of one span that fit. */
export interface CheckedParts {
  readonly end: number
  readonly kv: { readonly span: TokenSpan; readonly tensors: readonly Tensor[] } | null
  readonly state: readonly Tensor[] | null
}

/** Throws INVALID_FRAGMENT, and OUT_OF_DOMAIN for a span that ends behind `capacity`. */
export function checkParts(simulated: SimulatedModel, capacity: number, parts: readonly ContextPart[]): CheckedParts {
  const [first] = parts
  if (first === undefined) throw invalid('At least one part is needed; found none.')
  const { end } = first.signature.tokens
  for (const part of parts) checkPart(simulated, part)
  if (parts.some(({ signature }) => signature.tokens.end !== end))
    throw invalid('Parts that are written together must end at one token.')
  if (new Set(parts.map(({ pool }) => pool)).size < parts.length)
    throw invalid('Parts that are written together must be of different pools.')
  if (end > capacity)
    throw new MembraneError('OUT_OF_DOMAIN', `The context has room for ${capacity} tokens; the parts end at ${end}.`)
  const kv = parts.find(({ signature }) => signature.kind === 'kv')
  const state = parts.find(({ signature }) => signature.kind === 'state')
  return {
    end,
    kv: kv === undefined ? null : { span: kv.signature.tokens, tensors: kv.tensors },
    state: state?.tensors ?? null,
  }
}

function checkPart(simulated: SimulatedModel, { pool, signature, tensors }: ContextPart): void {
  const { model, kvHeads } = simulated
  const shape = model.parts.find((part) => part.pool === pool && part.kind === signature.kind)
  if (shape === undefined)
    throw invalid(`The model has no part of kind ${signature.kind} in a pool ${JSON.stringify(pool)}.`)
  requireSame('model', signature.model, model.fingerprint)
  requireSame('dtype', signature.dtype, shape.dtype)
  requireSame('layout', signature.layout, shape.layout)
  requireSame('positionEncoding', signature.positionEncoding, shape.positionEncoding)
  requireSame('layers', spanText(signature.layers), spanText(shape.layers))
  const heads = spanText(signature.heads ?? { start: 0, end: kvHeads })
  requireSame('heads', heads, spanText({ start: 0, end: kvHeads }))
  const { start, end } = signature.tokens
  if (!Number.isSafeInteger(start) || !Number.isSafeInteger(end) || start < 0 || end <= start)
    throw invalid(`A span of at least one token was expected; found ${start} to ${end}.`)
  checkTensors(expectedTensors(simulated, shape, end - start), shape.dtype, tensors)
}

type Expected = ReadonlyMap<string, readonly number[]>

function expectedTensors(simulated: SimulatedModel, shape: ContextPartShape, tokens: number): Expected {
  const { attentionLayers, stateLayers, kvHeads, headDim, stateWords } = simulated
  if (shape.kind === 'state')
    return new Map(stateLayers.map((layer) => [layerTensorName(layer, 'state'), [stateWords]]))
  const names = attentionLayers.flatMap((layer) => [layerTensorName(layer, 'k'), layerTensorName(layer, 'v')])
  return new Map(names.map((name) => [name, [kvHeads, tokens, headDim]]))
}

function checkTensors(expected: Expected, dtype: string, tensors: readonly Tensor[]): void {
  const byName = new Map(tensors.map((tensor) => [tensor.name, tensor]))
  if (tensors.length !== expected.size || byName.size !== expected.size)
    throw invalid(`${expected.size} tensors were expected; found ${tensors.length}.`)
  for (const [name, shape] of expected) {
    const tensor = byName.get(name)
    if (tensor === undefined) throw invalid(`A tensor ${name} was expected; found none.`)
    requireSame(`dtype of ${name}`, tensor.dtype, dtype)
    requireSame(`shape of ${name}`, `[${tensor.shape.join()}]`, `[${shape.join()}]`)
    requireSame(`bytes of ${name}`, `${tensor.data.length}`, `${tensorBytes(tensor.dtype, shape)}`)
  }
}

function requireSame(what: string, found: string, expected: string): void {
  if (found !== expected) throw invalid(`The ${what} must be ${expected}; found ${found}.`)
}

function spanText({ start, end }: Span): string {
  return `${start}-${end}`
}

function invalid(message: string): MembraneError {
  return new MembraneError('INVALID_FRAGMENT', message)
}
