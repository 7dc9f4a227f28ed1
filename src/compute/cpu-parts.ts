/** Checks what is written to a context: KV of this model, all layers and heads of one span of tokens. */
import type { ContextPart, KvModel } from '../core/compute.ts'
import { MembraneError } from '../core/errors.ts'
import { checkTensors, layerTensorName } from '../core/fragment-tensors.ts'
import type { Span } from '../core/fragment.ts'
import type { LlamaConfig } from '../engine/llama-config.ts'

export interface CheckedRows {
  readonly tokens: Span
  /** Keys of layer 0, values of layer 0, keys of layer 1, … */
  readonly rows: readonly Uint8Array[]
}

/** Throws INVALID_FRAGMENT that says what was expected. */
export function checkParts(parts: readonly ContextPart[], model: KvModel, config: LlamaConfig): CheckedRows {
  const [part, ...more] = parts
  const [shape] = model.parts
  if (part === undefined || shape === undefined || more.length > 0)
    throw invalid(`A context of ${model.name} has one part; found ${parts.length}.`)
  const { signature, tensors } = part
  const expected = { ...shape, model: model.fingerprint, layers: spanText(shape.layers), heads: null }
  const found = { ...signature, pool: part.pool, layers: spanText(signature.layers) }
  for (const field of ['pool', 'model', 'kind', 'layers', 'heads', 'dtype', 'layout', 'positionEncoding'] as const) {
    if (found[field] !== expected[field])
      throw invalid(`The ${field} must be ${String(expected[field])}; found ${JSON.stringify(found[field])}.`)
  }
  checkTensors(signature, tensors)
  const byName = new Map(tensors.map((tensor) => [tensor.name, tensor]))
  const { layers, kvHeads, headDim } = config
  const axes = [signature.tokens.end - signature.tokens.start, kvHeads, headDim]
  const rows = Array.from({ length: layers }, (_, layer) => layer).flatMap((layer) =>
    (['k', 'v'] as const).map((side) => {
      const name = layerTensorName(layer, side)
      const tensor = byName.get(name)
      if (tensor === undefined) throw invalid(`The tensor ${name} is missing.`)
      if (tensor.shape.join() !== axes.join())
        throw invalid(`The tensor ${name} must have the shape [${axes.join()}]; found [${tensor.shape.join()}].`)
      const bytes = axes.reduce((product, length) => product * length, 4)
      if (tensor.data.byteLength !== bytes)
        throw invalid(`The tensor ${name} must have ${bytes} bytes; found ${tensor.data.byteLength}.`)
      return tensor.data
    }),
  )
  return { tokens: signature.tokens, rows }
}

function spanText({ start, end }: Span): string {
  return `${start} to ${end - 1}`
}

function invalid(message: string): MembraneError {
  return new MembraneError('INVALID_FRAGMENT', message)
}
