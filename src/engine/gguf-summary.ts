/** What a model file is, from what stands before its tensors. */
import { MembraneError } from '../core/errors.ts'
import type { GgufHeader } from './gguf-header.ts'
import { type GgufTensor, readableTensors } from './gguf.ts'
import { checkLlamaTensors, readLlamaConfig } from './llama-config.ts'
import { tokenizerOf } from './tokenizer.ts'

/** Null where the file does not say it, or not as one number. */
export interface GgufSummary {
  readonly name: string | null
  readonly architecture: string | null
  readonly parameters: number
  readonly layers: number | null
  readonly heads: number | null
  readonly kvHeads: number | null
  /** Of all layers, as 32-bit floats, which is what the built-in engine keeps. */
  readonly kvBytesPerToken: number | null
  readonly contextTokensMax: number | null
  /** Kind, rules of splitting and number of tokens. */
  readonly tokenizer: { readonly model: string | null; readonly pre: string | null; readonly tokens: number | null }
  /** The type with the most bytes first. */
  readonly tensorTypes: readonly string[]
  readonly fileBytes: number
  /** Why the built-in engine does not run it; null when it does. */
  readonly refusal: string | null
}

const F32_BYTES = 4
const NO_NUMBERS = new Uint8Array(0)

export function summarizeGguf(header: GgufHeader): GgufSummary {
  const { metadata, tensors, fileBytes } = header
  const textOf = (key: string): string | null => {
    const value = metadata.get(key)
    return typeof value === 'string' ? value : null
  }
  const architecture = textOf('general.architecture')
  const numberOf = (name: string): number | null => {
    const value = metadata.get(`${architecture ?? ''}.${name}`)
    return typeof value === 'number' ? value : null
  }
  const [layers, heads] = [numberOf('block_count'), numberOf('attention.head_count')]
  // A list of them, one for each layer, is not one number.
  const kvHeads = metadata.has(`${architecture ?? ''}.attention.head_count_kv`)
    ? numberOf('attention.head_count_kv')
    : heads
  const embedding = numberOf('embedding_length')
  const headDim = embedding === null || heads === null ? null : embedding / heads
  const keys = numberOf('attention.key_length') ?? headDim
  const values = numberOf('attention.value_length') ?? headDim
  const hasKv = layers !== null && kvHeads !== null && keys !== null && values !== null
  const vocabulary = metadata.get('tokenizer.ggml.tokens')
  return {
    name: textOf('general.name'),
    architecture,
    parameters: [...tensors.values()].reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0),
    layers,
    heads,
    kvHeads,
    kvBytesPerToken: hasKv ? layers * kvHeads * (keys + values) * F32_BYTES : null,
    contextTokensMax: numberOf('context_length'),
    tokenizer: {
      model: textOf('tokenizer.ggml.model'),
      pre: textOf('tokenizer.ggml.pre'),
      tokens: Array.isArray(vocabulary) ? vocabulary.length : null,
    },
    tensorTypes: typesOf(header),
    fileBytes,
    refusal: refusalOf(header),
  }
}

function typesOf({ tensors }: GgufHeader): readonly string[] {
  const bytesOf = new Map<string, number>()
  for (const { type, bytes } of tensors.values()) bytesOf.set(type, (bytesOf.get(type) ?? 0) + (bytes ?? 0))
  return [...bytesOf].sort(([, a], [, b]) => b - a).map(([type]) => type)
}

/** Asks the engine's own checks, none of which looks at a number of a tensor. */
function refusalOf(header: GgufHeader): string | null {
  try {
    const tensors = new Map<string, GgufTensor>()
    for (const { name, shape, type } of readableTensors(header))
      tensors.set(name, { name, shape, type, data: NO_NUMBERS })
    const model = { ...header, tensors }
    checkLlamaTensors(model, readLlamaConfig(model))
    tokenizerOf(model)
    return null
  } catch (error) {
    if (error instanceof MembraneError && error.code === 'INVALID_MODEL') return error.message
    throw error
  }
}
