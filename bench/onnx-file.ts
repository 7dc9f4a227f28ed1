/**
 * Our model as an ONNX file, for prompts of one length from an empty context: what the ONNX runtime needs to be a peer.
 * Protocol buffers are written by hand; the field numbers are those of onnx.proto.
 */
import { dequantize } from '../src/engine/dequantize.ts'
import type { Gguf } from '../src/engine/gguf.ts'
import type { LlamaConfig } from '../src/engine/llama-config.ts'

const OPSET = 12
const FLOAT = 1
const INT64 = 7

const encoder = new TextEncoder()

function varint(value: number): number[] {
  const bytes: number[] = []
  let rest = value
  for (; rest > 127; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 128)
  return [...bytes, rest]
}

function field(number: number, payload: Uint8Array | string | number): Uint8Array {
  if (typeof payload === 'number') return Uint8Array.from([...varint(number * 8), ...varint(payload)])
  const bytes = typeof payload === 'string' ? encoder.encode(payload) : payload
  return joined([Uint8Array.from([...varint(number * 8 + 2), ...varint(bytes.length)]), bytes])
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts))
}

type Attribute = number | readonly number[]

/** Builds a graph, node after node; each gives the name of its output. */
class Graph {
  readonly #nodes: Uint8Array[] = []
  readonly #initializers: Uint8Array[] = []
  readonly #outputs: Uint8Array[] = []
  #names = 0

  node(op: string, inputs: readonly string[], attributes: Readonly<Record<string, Attribute>> = {}): string {
    const output = `${op}${++this.#names}`
    const parts = [...inputs.map((input) => field(1, input)), field(2, output), field(4, op)]
    for (const [name, value] of Object.entries(attributes)) parts.push(field(5, attributeOf(name, value)))
    this.#nodes.push(joined(parts))
    return output
  }

  floats(shape: readonly number[], values: Float32Array): string {
    return this.#initializer(shape, FLOAT, new Uint8Array(values.buffer, values.byteOffset, values.byteLength))
  }

  integers(values: readonly number[]): string {
    const bytes = new Uint8Array(BigInt64Array.from(values, BigInt).buffer)
    return this.#initializer([values.length], INT64, bytes)
  }

  output(name: string, shape: readonly number[]): void {
    this.#outputs.push(valueInfo(name, FLOAT, shape))
  }

  model(input: Uint8Array): Uint8Array {
    const graph = joined([
      ...this.#nodes.map((node) => field(1, node)),
      field(2, 'llama'),
      ...this.#initializers.map((tensor) => field(5, tensor)),
      field(11, input),
      ...this.#outputs.map((output) => field(12, output)),
    ])
    return joined([field(1, 7), field(7, graph), field(8, field(2, OPSET))])
  }

  #initializer(shape: readonly number[], type: number, bytes: Uint8Array): string {
    const name = `w${++this.#names}`
    this.#initializers.push(
      joined([...shape.map((length) => field(1, length)), field(2, type), field(8, name), field(9, bytes)]),
    )
    return name
  }
}

function attributeOf(name: string, value: Attribute): Uint8Array {
  // 2 and 7: one integer, a list of them.
  const parts =
    typeof value === 'number' ? [field(3, value), field(20, 2)] : [...value.map((item) => field(8, item)), field(20, 7)]
  return joined([field(1, name), ...parts])
}

function valueInfo(name: string, type: number, shape: readonly number[]): Uint8Array {
  const dimensions = joined(shape.map((length) => field(1, field(1, length))))
  return joined([field(1, name), field(2, field(1, joined([field(1, type), field(2, dimensions)])))])
}

/** A file and the name of its last output. */
export interface OnnxModel {
  /** Input `ids`: INT64 [tokens]; outputs: logits of the last token, then K and V of each layer. */
  readonly bytes: Uint8Array
  readonly logits: string
}

/** The same arithmetic as ours in 32-bit floats: RMSNorm, interleaved RoPE, grouped-query attention, SwiGLU, tied head. */
export function onnxModel({ tensors }: Pick<Gguf, 'tensors'>, config: LlamaConfig, tokens: number): OnnxModel {
  const { layers, heads, kvHeads, headDim, dim, vocabularyTokens, epsilon: normEpsilon, ropeTheta } = config
  const graph = new Graph()
  const weight = (name: string): string => {
    const tensor = tensors.get(name)
    if (tensor === undefined) throw new Error(`The model has no tensor ${name}.`)
    const values = new Float32Array(tensor.shape.reduce((product, length) => product * length, 1))
    dequantize(tensor, values)
    return graph.floats(tensor.shape, values)
  }
  const one = (value: number): string => graph.floats([1], Float32Array.of(value))
  const epsilon = one(normEpsilon)
  const scale = one(1 / Math.sqrt(headDim))
  const reshaped = (value: string, shape: readonly number[]): string =>
    graph.node('Reshape', [value, graph.integers(shape)])
  const linear = (value: string, name: string): string => graph.node('Gemm', [value, weight(name)], { transB: 1 })
  const normed = (value: string, name: string): string => {
    const squares = graph.node('ReduceMean', [graph.node('Mul', [value, value])], { axes: [1], keepdims: 1 })
    const root = graph.node('Sqrt', [graph.node('Add', [squares, epsilon])])
    return graph.node('Mul', [graph.node('Div', [value, root]), weight(name)])
  }
  const half = headDim / 2
  const angles = Array.from({ length: tokens * half }, (_, index) => {
    const pair = index % half
    return ((index - pair) / half) * ropeTheta ** ((-2 * pair) / headDim)
  })
  const cosines = graph.floats([tokens, half], Float32Array.from(angles, Math.cos))
  const sines = graph.floats([tokens, half], Float32Array.from(angles, Math.sin))
  const [even, odd] = [graph.integers([0]), graph.integers([1])]
  const perHead = (value: string, count: number): string =>
    graph.node('Transpose', [reshaped(value, [tokens, count, headDim])], { perm: [1, 0, 2] })
  const rotated = (value: string, count: number): string => {
    const pairs = reshaped(value, [count, tokens, half, 2])
    const a = reshaped(graph.node('Gather', [pairs, even], { axis: 3 }), [count, tokens, half])
    const b = reshaped(graph.node('Gather', [pairs, odd], { axis: 3 }), [count, tokens, half])
    const mul = (x: string, y: string): string => graph.node('Mul', [x, y])
    const first = graph.node('Sub', [mul(a, cosines), mul(b, sines)])
    const second = graph.node('Add', [mul(a, sines), mul(b, cosines)])
    const stacked = [first, second].map((part) => reshaped(part, [count, tokens, half, 1]))
    return reshaped(graph.node('Concat', stacked, { axis: 3 }), [count, tokens, headDim])
  }
  const mask = new Float32Array(tokens * tokens)
  for (let row = 0; row < tokens; row++) mask.fill(-1e9, row * tokens + row + 1, (row + 1) * tokens)
  const masked = graph.floats([tokens, tokens], mask)
  const ofHead = graph.integers(Array.from({ length: heads }, (_, head) => Math.floor((head * kvHeads) / heads)))
  const embedding = weight('token_embd.weight')
  let x = graph.node('Gather', [embedding, 'ids'])
  for (let layer = 0; layer < layers; layer++) {
    const block = `blk.${layer}`
    const h = normed(x, `${block}.attn_norm.weight`)
    const q = rotated(perHead(linear(h, `${block}.attn_q.weight`), heads), heads)
    const k = rotated(perHead(linear(h, `${block}.attn_k.weight`), kvHeads), kvHeads)
    const v = perHead(linear(h, `${block}.attn_v.weight`), kvHeads)
    graph.output(k, [kvHeads, tokens, headDim])
    graph.output(v, [kvHeads, tokens, headDim])
    const keys = graph.node('Transpose', [graph.node('Gather', [k, ofHead])], { perm: [0, 2, 1] })
    const scores = graph.node('Add', [graph.node('Mul', [graph.node('MatMul', [q, keys]), scale]), masked])
    const weights = graph.node('Softmax', [scores], { axis: 2 })
    const mixed = graph.node('MatMul', [weights, graph.node('Gather', [v, ofHead])])
    const rows = reshaped(graph.node('Transpose', [mixed], { perm: [1, 0, 2] }), [tokens, heads * headDim])
    x = graph.node('Add', [x, linear(rows, `${block}.attn_output.weight`)])
    const f = normed(x, `${block}.ffn_norm.weight`)
    const gate = linear(f, `${block}.ffn_gate.weight`)
    const silu = graph.node('Mul', [gate, graph.node('Sigmoid', [gate])])
    const up = graph.node('Mul', [silu, linear(f, `${block}.ffn_up.weight`)])
    x = graph.node('Add', [x, linear(up, `${block}.ffn_down.weight`)])
  }
  const last = reshaped(graph.node('Gather', [x, graph.integers([tokens - 1])]), [1, dim])
  const logits = graph.node('Gemm', [normed(last, 'output_norm.weight'), embedding], { transB: 1 })
  graph.output(logits, [1, vocabularyTokens])
  return { bytes: graph.model(valueInfo('ids', INT64, [tokens])), logits }
}
