/** A decoder of the Llama family as one writes it first: plain loops over 64-bit floats, one token after the other. */
import type { Gguf } from '../src/engine/gguf.ts'
import { dequantize } from '../src/engine/dequantize.ts'
import type { LlamaConfig } from '../src/engine/llama-config.ts'

type Numbers = ArrayLike<number>
type Rows = readonly (readonly number[])[]

export interface ReferenceRun {
  /** By layer; each [token][kvHead * headDim + number]. */
  readonly keys: readonly Rows[]
  readonly values: readonly Rows[]
  /** After the last token. */
  readonly logits: readonly number[]
}

export function runReference(
  { tensors }: Pick<Gguf, 'tensors'>,
  config: LlamaConfig,
  tokenIds: Iterable<number>,
): ReferenceRun {
  const weights = new Map(
    [...tensors.values()].map((tensor) => {
      const numbers = new Float32Array(tensor.shape.reduce((product, length) => product * length, 1))
      dequantize(tensor, numbers)
      return [tensor.name, numbers] as const
    }),
  )
  const of = (name: string): Float32Array =>
    weights.get(`${name}.weight`) ?? weights.get('token_embd.weight') ?? new Float32Array(0)
  const { dim, layers, heads, kvHeads, headDim, ropeTheta } = config
  const keys: number[][][] = Array.from({ length: layers }, () => [])
  const values: number[][][] = Array.from({ length: layers }, () => [])
  let logits: readonly number[] = []
  let position = 0
  for (const token of tokenIds) {
    let x = [...of('token_embd').subarray(token * dim, (token + 1) * dim)]
    for (let layer = 0; layer < layers; layer++) {
      const name = (part: string): Numbers => of(`blk.${layer}.${part}`)
      const normed = normalize(x, name('attn_norm'), config.epsilon)
      const query = rotate(times(name('attn_q'), normed), { position, headDim, theta: ropeTheta })
      keys[layer]?.push(rotate(times(name('attn_k'), normed), { position, headDim, theta: ropeTheta }))
      values[layer]?.push(times(name('attn_v'), normed))
      const attended = Array.from({ length: heads }, (_, head) => {
        const at = Math.floor(head / (heads / kvHeads)) * headDim
        return attend(query.slice(head * headDim, (head + 1) * headDim), {
          keys: keys[layer],
          values: values[layer],
          at,
        })
      }).flat()
      x = plus(x, times(name('attn_output'), attended))
      const hidden = normalize(x, name('ffn_norm'), config.epsilon)
      const up = times(name('ffn_up'), hidden)
      const gated = times(name('ffn_gate'), hidden).map(
        (gate, index) => (gate / (1 + Math.exp(-gate))) * (up[index] ?? 0),
      )
      x = plus(x, times(name('ffn_down'), gated))
    }
    logits = times(of('output'), normalize(x, of('output_norm'), config.epsilon))
    position += 1
  }
  return { keys, values, logits }
}

function normalize(x: readonly number[], weights: Numbers, epsilon: number): number[] {
  const scale = 1 / Math.sqrt(dot(x, x) / x.length + epsilon)
  return x.map((value, index) => value * scale * (weights[index] ?? 0))
}

function rotate(
  x: readonly number[],
  { position, headDim, theta }: { readonly position: number; readonly headDim: number; readonly theta: number },
): number[] {
  return x.map((value, index) => {
    const pair = Math.floor((index % headDim) / 2)
    const angle = position * theta ** ((-2 * pair) / headDim)
    const other = index % 2 === 0 ? -(x[index + 1] ?? 0) : (x[index - 1] ?? 0)
    return value * Math.cos(angle) + other * Math.sin(angle)
  })
}

/** What one head says; its numbers stand at `at` of each row. */
function attend(
  query: readonly number[],
  {
    keys = [],
    values = [],
    at,
  }: { readonly keys?: Rows | undefined; readonly values?: Rows | undefined; readonly at: number },
): number[] {
  const scores = keys.map((key) => {
    let sum = 0
    for (let index = 0; index < query.length; index++) sum += (query[index] ?? 0) * (key[at + index] ?? 0)
    return sum / Math.sqrt(query.length)
  })
  const top = Math.max(...scores)
  const shares = scores.map((score) => Math.exp(score - top))
  const sum = shares.reduce((total, share) => total + share, 0)
  return query.map((_, index) => {
    let total = 0
    for (let key = 0; key < values.length; key++) total += (values[key]?.[at + index] ?? 0) * (shares[key] ?? 0)
    return total / sum
  })
}

/** A matrix, outputs by inputs, times a vector. */
function times(matrix: Numbers, x: Numbers): number[] {
  return Array.from({ length: matrix.length / x.length }, (_, row) => {
    let sum = 0
    for (let index = 0; index < x.length; index++) sum += (matrix[row * x.length + index] ?? 0) * (x[index] ?? 0)
    return sum
  })
}

function dot(a: Numbers, b: Numbers): number {
  return times(a, b)[0] ?? 0
}

function plus(a: readonly number[], b: readonly number[]): number[] {
  return a.map((value, index) => value + (b[index] ?? 0))
}
