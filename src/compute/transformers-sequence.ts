/**
 * One token sequence of an ONNX model. Its KV are tensors [1, heads, tokens, headDim] that go into each run and come out
 * of it longer; rows have the tokens first, as in all our engines.
 */
import { assert, MembraneError } from '../core/errors.ts'
import { type KvForm, kvTokenBytes } from './kv-rows.ts'
import type { EngineSequence } from './sequence-context.ts'
import type { OnnxModel, OnnxTensor, TransformersPackage } from './transformers-package.ts'

/** What a run gives. */
export interface OnnxRun {
  /** Of the last token. */
  readonly logits: Float32Array
  /** Of each layer the keys and then the values. */
  readonly present: readonly OnnxTensor[]
}

/** Runs the model on tokens that follow `past`, which is empty at the start. */
export async function runOnnx(
  { Tensor, DynamicCache }: TransformersPackage,
  model: OnnxModel,
  past: readonly OnnxTensor[],
  tokenIds: Uint32Array,
): Promise<OnnxRun> {
  const start = past[0]?.dims[2] ?? 0
  const row = (count: number, of: (index: number) => number): OnnxTensor =>
    new Tensor(
      'int64',
      BigInt64Array.from({ length: count }, (_, index) => BigInt(of(index))),
      [1, count],
    )
  const entries = past.map((tensor, index) => [`past_key_values.${nameOf(index)}`, tensor] as const)
  const outputs = await model.forward({
    input_ids: row(tokenIds.length, (index) => tokenIds[index] ?? 0),
    attention_mask: row(start + tokenIds.length, () => 1),
    position_ids: row(tokenIds.length, (index) => start + index),
    past_key_values: new DynamicCache(Object.fromEntries(entries)),
    num_logits_to_keep: new Tensor('int64', BigInt64Array.of(1n), []),
  })
  const { logits } = outputs
  const layers = Object.keys(outputs).filter((name) => name.startsWith('present.')).length / 2
  const present = Array.from({ length: 2 * layers }, (_, index) => outputs[`present.${nameOf(index)}`])
  if (logits === undefined || layers === 0 || !present.every((tensor) => tensor !== undefined))
    throw new MembraneError(
      'INVALID_MODEL',
      'A model that gives logits, and keys and values of its layers, was expected.',
    )
  return { logits: numbersOf(logits).slice(-(logits.dims.at(-1) ?? 0)), present }
}

export class OnnxSequence implements EngineSequence {
  readonly #transformers: TransformersPackage
  readonly #model: OnnxModel
  readonly #form: KvForm
  #past: readonly OnnxTensor[] = []
  #tokens = 0

  constructor(transformers: TransformersPackage, model: OnnxModel, form: KvForm) {
    this.#transformers = transformers
    this.#model = model
    this.#form = form
  }

  get tokens(): number {
    return this.#tokens
  }

  get residentBytes(): number {
    return this.#tokens * kvTokenBytes(this.#form)
  }

  async save(): Promise<readonly Uint8Array[]> {
    return this.#past.map((tensor, index) => {
      const [heads, headDim] = this.#shape(index)
      const rows = swapAxes(numbersOf(tensor), heads, this.#tokens, headDim)
      return new Uint8Array(rows.buffer, rows.byteOffset, rows.byteLength)
    })
  }

  async load(tokens: number, rows: readonly Uint8Array[]): Promise<void> {
    this.#past = rows.map((row, index) => {
      const [heads, headDim] = this.#shape(index)
      const numbers = new Float32Array(row.buffer, row.byteOffset, row.byteLength / 4)
      const data = swapAxes(numbers, tokens, heads, headDim)
      return new this.#transformers.Tensor('float32', data, [1, heads, tokens, headDim])
    })
    this.#tokens = tokens
  }

  async truncate(tokens: number): Promise<void> {
    if (tokens === 0) this.#past = []
    this.#past = this.#past.map((tensor, index) => {
      const [heads, headDim] = this.#shape(index)
      const data = cutTokens(numbersOf(tensor), { heads, headDim, held: this.#tokens, kept: tokens })
      return new this.#transformers.Tensor('float32', data, [1, heads, tokens, headDim])
    })
    this.#tokens = tokens
  }

  async evaluate(tokenIds: Uint32Array): Promise<Float32Array> {
    const { logits, present } = await ofOnnx(runOnnx(this.#transformers, this.#model, this.#past, tokenIds))
    this.#past = present
    this.#tokens += tokenIds.length
    return logits
  }

  async close(): Promise<void> {
    this.#past = []
    this.#tokens = 0
  }

  #shape(index: number): readonly [number, number] {
    const [heads, headDim] = this.#form.rowShapes[index] ?? []
    assert(heads !== undefined && headDim !== undefined, 'rows have heads')
    return [heads, headDim]
  }
}

/** [a, b, numbers] to [b, a, numbers], copied. */
export function swapAxes(from: Float32Array, a: number, b: number, numbers: number): Float32Array {
  assert(from.length === a * b * numbers, 'the numbers fill the axes')
  const to = new Float32Array(from.length)
  for (let i = 0; i < a; i++) {
    for (let j = 0; j < b; j++) {
      const start = (i * b + j) * numbers
      const target = (j * a + i) * numbers
      for (let k = 0; k < numbers; k++) to[target + k] = from[start + k] ?? 0
    }
  }
  return to
}

interface TokenCut {
  readonly heads: number
  readonly headDim: number
  readonly held: number
  readonly kept: number
}

function cutTokens(from: Float32Array, { heads, headDim, held, kept }: TokenCut): Float32Array {
  const to = new Float32Array(heads * kept * headDim)
  for (let head = 0; head < heads; head++) {
    const start = head * held * headDim
    to.set(from.subarray(start, start + kept * headDim), head * kept * headDim)
  }
  return to
}

function nameOf(index: number): string {
  return `${Math.floor(index / 2)}.${index % 2 === 0 ? 'key' : 'value'}`
}

function numbersOf({ data, type }: OnnxTensor): Float32Array {
  if (data instanceof Float32Array) return data
  throw new MembraneError('INVALID_MODEL', `A model that computes in float32 was expected; found ${type}.`)
}

async function ofOnnx<T>(call: Promise<T>): Promise<T> {
  try {
    return await call
  } catch (cause) {
    if (cause instanceof MembraneError) throw cause
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new MembraneError('COMPUTE_FAILED', `The ONNX runtime failed: ${reason}`, { cause })
  }
}
