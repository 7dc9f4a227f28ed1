/** Writes GGUF files for tests: any metadata, tensors of F32, F16 and Q8_0, and Llama models with random weights. */
import { unreachable } from '../src/core/errors.ts'
import { seededRandom } from '../src/core/random.ts'

export type MetadataValue =
  | { readonly type: 'u32' | 'f32' | 'u64'; readonly value: number }
  | { readonly type: 'bool'; readonly value: boolean }
  | { readonly type: 'text'; readonly value: string }
  | { readonly type: 'texts'; readonly value: readonly string[] }
  | { readonly type: 'i32s' | 'f32s'; readonly value: readonly number[] }

export interface WrittenTensor {
  readonly name: string
  /** Outermost axis first. */
  readonly shape: readonly number[]
  readonly type: 'F32' | 'F16' | 'Q8_0'
  readonly values: Float32Array
}

export interface WrittenGguf {
  readonly version?: number
  readonly alignmentBytes?: number
  readonly metadata: Readonly<Record<string, MetadataValue>>
  readonly tensors: readonly WrittenTensor[]
}

const SCALAR_TYPES = { u32: 4, f32: 6, bool: 7, text: 8, u64: 10 } as const
const ITEM_TYPES = { texts: 8, i32s: 5, f32s: 6 } as const
const TENSOR_TYPES = { F32: 0, F16: 1, Q8_0: 8 } as const

/** The bytes of a file; `general.alignment` is written when an alignment is given. */
export function ggufBytes({ version = 3, alignmentBytes, metadata, tensors }: WrittenGguf): Uint8Array<ArrayBuffer> {
  const all: Readonly<Record<string, MetadataValue>> =
    alignmentBytes === undefined
      ? metadata
      : { ...metadata, 'general.alignment': { type: 'u32', value: alignmentBytes } }
  const alignment = alignmentBytes ?? 32
  const pieces: Uint8Array[] = [u32(0x46554747), u32(version), u64(tensors.length), u64(Object.keys(all).length)]
  for (const [key, value] of Object.entries(all)) pieces.push(text(key), ...valuePieces(value))
  const data = tensors.map(({ type, values }) => quantize(type, values))
  let offset = 0
  tensors.forEach(({ name, shape, type }, index) => {
    pieces.push(text(name), u32(shape.length), ...shape.toReversed().map(u64), u32(TENSOR_TYPES[type]), u64(offset))
    offset = aligned(offset + (data[index]?.byteLength ?? 0), alignment)
  })
  const headerBytes = pieces.reduce((sum, piece) => sum + piece.byteLength, 0)
  pieces.push(new Uint8Array(aligned(headerBytes, alignment) - headerBytes))
  for (const bytes of data) pieces.push(bytes, new Uint8Array(aligned(bytes.byteLength, alignment) - bytes.byteLength))
  return joined(pieces)
}

/** Shape of a Llama model. `vocabularyTokens` at least 258. */
export interface LlamaShape {
  readonly dimensions: number
  readonly layers: number
  readonly heads: number
  readonly kvHeads: number
  readonly feedForward: number
  readonly vocabularyTokens: number
  readonly contextTokens: number
  /** Of the matrices; norms are F32. Q8_0 wants every row a multiple of 32. */
  readonly type: WrittenTensor['type']
  /** Tied: the output matrix is the embedding. */
  readonly isTied: boolean
  readonly ropeTheta: number
  readonly seed: number
}

/** Milliseconds to write and to run, with every kind of tensor. */
export const TINY_LLAMA: LlamaShape = {
  dimensions: 32,
  layers: 2,
  heads: 4,
  kvHeads: 2,
  feedForward: 64,
  vocabularyTokens: 300,
  contextTokens: 128,
  type: 'F32',
  isTied: true,
  ropeTheta: 10_000,
  seed: 1,
}

/** A model with random weights whose activations keep their size; equal shapes and seeds give equal bytes. */
export function randomLlama(shape: LlamaShape): WrittenGguf {
  const { dimensions, layers, heads, kvHeads, feedForward, vocabularyTokens, type, isTied } = shape
  const random = seededRandom(shape.seed)
  const kvDimensions = (dimensions / heads) * kvHeads
  const matrix = (name: string, rows: number, columns: number): WrittenTensor => {
    const spread = Math.sqrt(3 / columns)
    const values = Float32Array.from({ length: rows * columns }, () => (2 * random() - 1) * spread)
    return { name, shape: [rows, columns], type, values }
  }
  const norm = (name: string): WrittenTensor => {
    const values = Float32Array.from({ length: dimensions }, () => 0.75 + random() / 2)
    return { name, shape: [dimensions], type: 'F32', values }
  }
  const tensors = [matrix('token_embd.weight', vocabularyTokens, dimensions)]
  for (let layer = 0; layer < layers; layer++) {
    const name = (part: string): string => `blk.${layer}.${part}.weight`
    tensors.push(
      norm(name('attn_norm')),
      matrix(name('attn_q'), dimensions, dimensions),
      matrix(name('attn_k'), kvDimensions, dimensions),
      matrix(name('attn_v'), kvDimensions, dimensions),
      matrix(name('attn_output'), dimensions, dimensions),
      norm(name('ffn_norm')),
      matrix(name('ffn_gate'), feedForward, dimensions),
      matrix(name('ffn_down'), dimensions, feedForward),
      matrix(name('ffn_up'), feedForward, dimensions),
    )
  }
  tensors.push(norm('output_norm.weight'))
  if (!isTied) tensors.push(matrix('output.weight', vocabularyTokens, dimensions))
  return { metadata: { ...llamaMetadata(shape), ...smallTokenizer(vocabularyTokens) }, tensors }
}

function llamaMetadata(shape: LlamaShape): Readonly<Record<string, MetadataValue>> {
  return {
    'general.architecture': { type: 'text', value: 'llama' },
    'general.name': { type: 'text', value: `random-${shape.seed}` },
    'llama.context_length': { type: 'u32', value: shape.contextTokens },
    'llama.embedding_length': { type: 'u32', value: shape.dimensions },
    'llama.block_count': { type: 'u32', value: shape.layers },
    'llama.feed_forward_length': { type: 'u32', value: shape.feedForward },
    'llama.attention.head_count': { type: 'u32', value: shape.heads },
    'llama.attention.head_count_kv': { type: 'u32', value: shape.kvHeads },
    'llama.rope.dimension_count': { type: 'u32', value: shape.dimensions / shape.heads },
    'llama.rope.freq_base': { type: 'f32', value: shape.ropeTheta },
    'llama.attention.layer_norm_rms_epsilon': { type: 'f32', value: 1e-5 },
    'llama.vocab_size': { type: 'u32', value: shape.vocabularyTokens },
  }
}

/**
 * A byte-level BPE tokenizer: id 0 begins and ends a text, 1 to 256 are the bytes, then pairs of letters, then tokens
 * that are never used.
 */
export function smallTokenizer(vocabularyTokens: number): Readonly<Record<string, MetadataValue>> {
  const letters = 'etaoinshrdlcumwfgypbvk'.split('')
  const merges = letters.flatMap((first) => letters.map((second) => `${first} ${second}`))
  const tokens = ['<|endoftext|>', ...byteCharacters(), ...merges.map((merge) => merge.replace(' ', ''))]
  while (tokens.length < vocabularyTokens) tokens.push(`<unused${tokens.length}>`)
  const used = Math.min(merges.length, Math.max(0, vocabularyTokens - 257))
  const kept = tokens.slice(0, vocabularyTokens)
  return {
    'tokenizer.ggml.model': { type: 'text', value: 'gpt2' },
    'tokenizer.ggml.pre': { type: 'text', value: 'gpt-2' },
    'tokenizer.ggml.tokens': { type: 'texts', value: kept },
    'tokenizer.ggml.token_type': {
      type: 'i32s',
      value: kept.map((token, id) => (id === 0 ? 3 : token.startsWith('<unused') ? 5 : 1)),
    },
    'tokenizer.ggml.merges': { type: 'texts', value: merges.slice(0, used) },
    'tokenizer.ggml.bos_token_id': { type: 'u32', value: 0 },
    'tokenizer.ggml.eos_token_id': { type: 'u32', value: 0 },
    'tokenizer.ggml.add_bos_token': { type: 'bool', value: true },
  }
}

/** The characters that stand for the bytes 0 to 255 in a byte-level vocabulary, written out after GPT-2's own code. */
function byteCharacters(): readonly string[] {
  const isShown = (byte: number): boolean =>
    (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || (byte >= 174 && byte <= 255)
  let next = 256
  return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(isShown(byte) ? byte : next++))
}

/** What llama.cpp's own quantization does for Q8_0: the greatest magnitude of 32 becomes 127. */
export function quantize(type: WrittenTensor['type'], values: Float32Array): Uint8Array {
  if (type === 'F32') return new Uint8Array(values.slice().buffer)
  if (type === 'F16') return new Uint8Array(Uint16Array.from(values, f16Bits).buffer)
  const bytes = new Uint8Array((values.length / 32) * 34)
  const view = new DataView(bytes.buffer)
  for (let block = 0; block < values.length / 32; block++) {
    const part = values.subarray(32 * block, 32 * (block + 1))
    const scale = part.reduce((greatest, value) => Math.max(greatest, Math.abs(value)), 0) / 127
    view.setUint16(34 * block, f16Bits(scale), true)
    part.forEach((value, index) => view.setInt8(34 * block + 2 + index, scale === 0 ? 0 : Math.round(value / scale)))
  }
  return bytes
}

/** The nearest number of 16 bits; of two the even one. */
function f16Bits(value: number): number {
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0
  const magnitude = Math.abs(value)
  if (Number.isNaN(value)) return 0x7e00
  if (magnitude >= 65_520) return sign | 0x7c00
  const exponent = Math.max(-14, Math.floor(Math.log2(Math.max(magnitude, 2 ** -24))))
  const steps = magnitude / 2 ** (exponent - 10)
  const below = Math.floor(steps)
  const isUp = steps - below > 0.5 || (steps - below === 0.5 && below % 2 === 1)
  // A carry out of the fraction is one more in the exponent, as it should be.
  const rounded = below + (isUp ? 1 : 0)
  return sign | (exponent === -14 ? rounded : rounded + ((exponent + 14) << 10))
}

function valuePieces(item: MetadataValue): readonly Uint8Array[] {
  switch (item.type) {
    case 'u32':
      return [u32(SCALAR_TYPES.u32), u32(item.value)]
    case 'u64':
      return [u32(SCALAR_TYPES.u64), u64(item.value)]
    case 'f32':
      return [u32(SCALAR_TYPES.f32), f32s([item.value])]
    case 'bool':
      return [u32(SCALAR_TYPES.bool), Uint8Array.of(item.value ? 1 : 0)]
    case 'text':
      return [u32(SCALAR_TYPES.text), text(item.value)]
    case 'texts':
      return [u32(9), u32(ITEM_TYPES.texts), u64(item.value.length), ...item.value.map(text)]
    case 'i32s':
      return [u32(9), u32(ITEM_TYPES.i32s), u64(item.value.length), joined(item.value.map((value) => u32(value >>> 0)))]
    case 'f32s':
      return [u32(9), u32(ITEM_TYPES.f32s), u64(item.value.length), f32s(item.value)]
    default:
      return unreachable(item)
  }
}

function u32(value: number): Uint8Array {
  const bytes = new Uint8Array(4)
  new DataView(bytes.buffer).setUint32(0, value, true)
  return bytes
}

function u64(value: number): Uint8Array {
  const bytes = new Uint8Array(8)
  new DataView(bytes.buffer).setBigUint64(0, BigInt(value), true)
  return bytes
}

function f32s(values: readonly number[]): Uint8Array {
  return new Uint8Array(Float32Array.from(values).buffer)
}

function text(value: string): Uint8Array {
  const bytes = new TextEncoder().encode(value)
  return joined([u64(bytes.byteLength), bytes])
}

function aligned(bytes: number, alignment: number): number {
  return Math.ceil(bytes / alignment) * alignment
}

function joined(pieces: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.byteLength, 0))
  let offset = 0
  for (const piece of pieces) {
    bytes.set(piece, offset)
    offset += piece.byteLength
  }
  return bytes
}
