/** What a GGUF file says about a decoder of the Llama family, and that it is one that the engine computes. */
import { invalidModel } from './gguf-cursor.ts'
import type { Gguf } from './gguf.ts'

/** Numbers of a model. */
export interface LlamaConfig {
  readonly dim: number
  readonly ffnDim: number
  readonly layers: number
  readonly heads: number
  readonly kvHeads: number
  readonly headDim: number
  readonly vocabularyTokens: number
  readonly contextTokensMax: number
  readonly epsilon: number
  readonly ropeTheta: number
  /** Whether the output's weights are the embeddings. */
  readonly isTied: boolean
}

/** Keys that the engine follows. */
const FOLLOWED = [
  'context_length',
  'embedding_length',
  'feed_forward_length',
  'block_count',
  'vocab_size',
  'attention.head_count',
  'attention.head_count_kv',
  'attention.layer_norm_rms_epsilon',
  'attention.key_length',
  'attention.value_length',
  'rope.freq_base',
  'rope.dimension_count',
] as const
type Key = (typeof FOLLOWED)[number]

/** Keys of things that the engine does not do, with the values that say that the model does not either. */
const UNUSED: Readonly<Record<string, readonly unknown[]>> = {
  expert_count: [0],
  expert_used_count: [0],
  tensor_data_layout: ['Meta AI original pth', 'reference'],
  use_parallel_residual: [false],
  'attention.causal': [true],
  'attention.sliding_window': [0],
  'rope.scaling.type': ['none'],
  'rope.scaling.factor': [1, 0],
  'rope.scale_linear': [1, 0],
}

/**
 * Throws INVALID_MODEL for any other architecture, for a number that is missing or out of range, and for every key
 * under `llama.` that is not known here: what it asks for would be left out silently.
 */
export function readLlamaConfig({ metadata, tensors }: Pick<Gguf, 'metadata' | 'tensors'>): LlamaConfig {
  const architecture = metadata.get('general.architecture')
  if (architecture !== 'llama')
    throw invalidModel(`The engine computes models of the architecture llama; found ${JSON.stringify(architecture)}.`)
  for (const [key, value] of metadata) checkKey(key, value)
  const number = (key: Key, fallback?: number): number => {
    const value = metadata.get(`llama.${key}`) ?? fallback
    if (typeof value === 'number' && Number.isFinite(value) && value > 0) return value
    throw invalidModel(`llama.${key} must be a number above 0; found ${String(value)}.`)
  }
  const whole = (key: Key, max: number, fallback?: number): number => {
    const value = number(key, fallback)
    if (Number.isInteger(value) && value <= max) return value
    throw invalidModel(`llama.${key} must be a whole number of at most ${max}; found ${value}.`)
  }
  const heads = whole('attention.head_count', HEADS_MAX)
  const kvHeads = whole('attention.head_count_kv', HEADS_MAX, heads)
  const dim = whole('embedding_length', WIDTH_MAX)
  const headDim = whole('attention.key_length', WIDTH_MAX, dim / heads)
  if (heads % kvHeads !== 0) throw invalidModel(`${heads} heads cannot share ${kvHeads} KV heads evenly.`)
  if (headDim % 8 !== 0) throw invalidModel(`A head must have a multiple of 8 numbers; found ${headDim}.`)
  checkSame('llama.attention.value_length', whole('attention.value_length', WIDTH_MAX, headDim), headDim)
  checkSame('llama.rope.dimension_count', whole('rope.dimension_count', WIDTH_MAX, headDim), headDim)
  const vocabularyTokens = tensors.get('token_embd.weight')?.shape[0] ?? 0
  checkSame('llama.vocab_size', whole('vocab_size', WIDTH_MAX * 16, vocabularyTokens), vocabularyTokens)
  return {
    dim,
    ffnDim: whole('feed_forward_length', WIDTH_MAX),
    layers: whole('block_count', LAYERS_MAX),
    heads,
    kvHeads,
    headDim,
    vocabularyTokens,
    contextTokensMax: whole('context_length', POSITIONS_MAX),
    epsilon: number('attention.layer_norm_rms_epsilon'),
    ropeTheta: number('rope.freq_base', 10_000),
    isTied: !tensors.has('output.weight'),
  }
}

/** Far above all models that fit 4 GiB; below, no product of two of them is inexact. */
const HEADS_MAX = 4096
const WIDTH_MAX = 2 ** 20
const LAYERS_MAX = 4096
/** Rotations of positions below are exact to 64-bit floats. */
const POSITIONS_MAX = 2 ** 20 - 1

function checkKey(key: string, value: unknown): void {
  if (!key.startsWith('llama.')) return
  const name = key.slice('llama.'.length)
  if ((FOLLOWED as readonly string[]).includes(name)) return
  const harmless = UNUSED[name]
  if (harmless?.includes(value) === true) return
  const found = typeof value === 'object' ? 'a list' : JSON.stringify(value)
  throw invalidModel(
    harmless === undefined
      ? `The engine does not know what ${key} (${found}) asks for.`
      : `The engine computes models whose ${key} is ${harmless.join(' or ')}; found ${found}.`,
  )
}

function checkSame(name: string, found: number, expected: number): void {
  if (found !== expected) throw invalidModel(`${name} must be ${expected}; found ${found}.`)
}

/** Shapes, outermost axis first, of all tensors that the model must have; it must have no other. */
function llamaTensorShapes(config: LlamaConfig): ReadonlyMap<string, readonly number[]> {
  const { dim, ffnDim, heads, kvHeads, headDim, vocabularyTokens, isTied } = config
  const shapes = new Map<string, readonly number[]>([
    ['token_embd.weight', [vocabularyTokens, dim]],
    ['output_norm.weight', [dim]],
  ])
  if (!isTied) shapes.set('output.weight', [vocabularyTokens, dim])
  for (let layer = 0; layer < config.layers; layer++) {
    const add = (name: string, ...shape: readonly number[]): void => {
      shapes.set(layerWeights(layer, name), shape)
    }
    add('attn_norm', dim)
    add('attn_q', heads * headDim, dim)
    add('attn_k', kvHeads * headDim, dim)
    add('attn_v', kvHeads * headDim, dim)
    add('attn_output', dim, heads * headDim)
    add('ffn_norm', dim)
    add('ffn_gate', ffnDim, dim)
    add('ffn_up', ffnDim, dim)
    add('ffn_down', dim, ffnDim)
  }
  return shapes
}

export function layerWeights(layer: number, name: string): string {
  return `blk.${layer}.${name}.weight`
}

/** Throws INVALID_MODEL for a tensor that is missing, of another shape, or not expected: a bias, scaled RoPE, experts. */
export function checkLlamaTensors({ tensors }: Pick<Gguf, 'tensors'>, config: LlamaConfig): void {
  const shapes = llamaTensorShapes(config)
  for (const [name, shape] of shapes) {
    const found = tensors.get(name)?.shape
    if (found === undefined) throw invalidModel(`The tensor ${name} is missing.`)
    if (found.length !== shape.length || found.some((length, axis) => length !== shape[axis]))
      throw invalidModel(`The tensor ${name} must have the shape [${shape.join()}]; found [${found.join()}].`)
  }
  for (const name of tensors.keys()) {
    if (!shapes.has(name)) throw invalidModel(`The engine does not know what the tensor ${name} is for.`)
  }
}
