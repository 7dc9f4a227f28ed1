/** Puts the weights of a model into the kernel's memory. */
import { MembraneError } from '../core/errors.ts'
import { dequantize } from './dequantize.ts'
import type { Gguf } from './gguf.ts'
import { LAYER_BYTES, MODEL_BYTES, writeLayer, writeModel } from './kernel-layout.ts'
import type { KernelMemory } from './kernel-memory.ts'
import { layerWeights, type LlamaConfig } from './llama-config.ts'
import { PANEL, packRows, roundUp } from './panels.ts'
import { ropeFrequencies } from './rope.ts'

/** Where the model's description lies. Throws COMPUTE_FULL when the weights do not fit. */
export function loadWeights({ tensors }: Pick<Gguf, 'tensors'>, config: LlamaConfig, memory: KernelMemory): number {
  const { dim, ffnDim, heads, kvHeads, headDim, layers, vocabularyTokens } = config
  const [dimWidth, ffnWidth] = [roundUp(dim), roundUp(ffnDim)]
  const [queries, keys] = [heads * headDim, kvHeads * headDim]

  const panels = (
    inputs: number,
    outputs: number,
    parts: Readonly<Record<string, (row: number) => number>>,
  ): number => {
    const depthWidth = roundUp(inputs)
    const size = depthWidth * roundUp(outputs)
    const at = allocate(memory, size * 4)
    const target = memory.floats(at, size).fill(0)
    for (const [name, columnOf] of Object.entries(parts)) {
      packRows(numbersOf(tensors, name), target, { depth: inputs, depthWidth, columnOf })
    }
    return at
  }
  const vector = (name: string): number => {
    const at = allocate(memory, dimWidth * 4)
    memory.floats(at, dimWidth).fill(0).set(numbersOf(tensors, name))
    return at
  }
  const same = (row: number): number => row
  /** Panels of gate and up in turns. */
  const inTurns = (row: number): number => row + row - (row % PANEL)

  const layerTable = allocate(memory, layers * LAYER_BYTES)
  for (let layer = 0; layer < layers; layer++) {
    const name = (part: string): string => layerWeights(layer, part)
    writeLayer(memory, layerTable + layer * LAYER_BYTES, {
      attentionNorm: vector(name('attn_norm')),
      qkv: panels(dim, queries + 2 * keys, {
        [name('attn_q')]: same,
        [name('attn_k')]: (row) => queries + row,
        [name('attn_v')]: (row) => queries + keys + row,
      }),
      attentionOutput: panels(queries, dim, { [name('attn_output')]: same }),
      ffnNorm: vector(name('ffn_norm')),
      gateUp: panels(dim, 2 * ffnWidth, {
        [name('ffn_gate')]: inTurns,
        [name('ffn_up')]: (row) => inTurns(row) + PANEL,
      }),
      down: panels(ffnDim, dim, { [name('ffn_down')]: same }),
    })
  }
  const embedding = panels(dim, vocabularyTokens, { 'token_embd.weight': same })
  const frequencies = ropeFrequencies(config.ropeTheta, headDim)
  const frequenciesAt = allocate(memory, frequencies.byteLength)
  memory.bytes(frequenciesAt, frequencies.byteLength).set(new Uint8Array(frequencies.buffer))
  const model = allocate(memory, MODEL_BYTES)
  writeModel(memory, model, {
    dim,
    dimWidth,
    ffnWidth,
    heads,
    kvHeads,
    headDim,
    layers,
    vocabularyWidth: roundUp(vocabularyTokens),
    epsilon: config.epsilon,
    // A square root is rounded alike everywhere. The kernel's softmax is one of powers of 2.
    queryScale: Math.LOG2E / Math.sqrt(headDim),
    embedding,
    output: config.isTied ? embedding : panels(dim, vocabularyTokens, { 'output.weight': same }),
    outputNorm: vector('output_norm.weight'),
    layerTable,
    ropeFrequencies: frequenciesAt,
  })
  return model
}

function numbersOf(tensors: Gguf['tensors'], name: string): Float32Array {
  const tensor = tensors.get(name)
  if (tensor === undefined) throw new Error(`Bug: ${name} was not checked`)
  const numbers = new Float32Array(tensor.shape.reduce((product, length) => product * length, 1))
  dequantize(tensor, numbers)
  return numbers
}

function allocate(memory: KernelMemory, bytes: number): number {
  const at = memory.allocate(bytes)
  if (at === null) throw new MembraneError('COMPUTE_FULL', 'The weights do not fit the memory that the engine may use.')
  return at
}
