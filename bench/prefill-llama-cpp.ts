/**
 * llama.cpp, through node-llama-cpp where it is installed, with the weights of our model as 32-bit
 * and 16-bit floats and as Q8_0.
 */
import { existsSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { dequantize } from '../src/engine/dequantize.ts'
import type { GgufValue } from '../src/engine/gguf-value.ts'
import { readGguf } from '../src/engine/gguf.ts'
import { DEFAULT_MODEL_PATH } from '../src/server/library.ts'
import { ggufBytes, type MetadataValue } from '../test/gguf-writer.ts'
import { type PrefillEngine, threadsText } from './prefill-engine.ts'

const MODULE = fileURLToPath(new URL('../.optional/node_modules/node-llama-cpp/dist/index.js', import.meta.url))

/** What is used of node-llama-cpp. */
interface LlamaModule {
  readonly getLlama: (
    options: object,
  ) => Promise<{ loadModel(options: { modelPath: string }): Promise<LlamaModel> } & Disposable>
}
interface Disposable {
  dispose(): Promise<void>
}
interface LlamaModel {
  createContext(options: object): Promise<{ getSequence(): LlamaSequence }>
}
interface LlamaSequence {
  clearHistory(): Promise<void>
  controlledEvaluate(input: readonly (number | readonly [number, object])[]): Promise<unknown>
}

export interface Peers {
  readonly engines: readonly PrefillEngine[]
  readonly notes: readonly string[]
}

export async function openLlamaCppPeers(threadCounts: readonly number[]): Promise<Peers> {
  if (!existsSync(MODULE))
    return { engines: [], notes: ['No llama.cpp beside it: npm install --prefix .optional installs node-llama-cpp.'] }
  const { getLlama }: LlamaModule = await import(pathToFileURL(MODULE).href)
  const folder = await mkdtemp(join(tmpdir(), 'membrane-bench-'))
  const f32Path = join(folder, 'f32.gguf')
  const f16Path = join(folder, 'f16.gguf')
  await writeFile(f32Path, await rewritten('F32'))
  await writeFile(f16Path, await rewritten('F16'))
  // Ours computes with 32-bit floats and keeps KV of them, so the first two are the same work.
  const kinds = [
    { name: 'llama.cpp F32', modelPath: f32Path, options: { flashAttention: false, ...kvType('F32') } },
    {
      name: 'llama.cpp F32 with flash attention',
      modelPath: f32Path,
      options: { flashAttention: true, ...kvType('F32') },
    },
    { name: 'llama.cpp F16', modelPath: f16Path, options: { flashAttention: true } },
    { name: 'llama.cpp Q8_0', modelPath: DEFAULT_MODEL_PATH, options: { flashAttention: true } },
  ]
  const llama = await getLlama({ gpu: false, build: 'never', logLevel: 'error', progressLogs: false })
  const engines: PrefillEngine[] = []
  for (const threads of threadCounts) {
    for (const { name, modelPath, options } of kinds) {
      const model = await llama.loadModel({ modelPath })
      const context = await model.createContext({ contextSize: 2048, batchSize: 2048, threads, ...options })
      engines.push(engineOf(`${name}, ${threadsText(threads)}`, context.getSequence()))
    }
  }
  await rm(folder, { recursive: true })
  const [first] = engines
  if (first !== undefined) engines[0] = { ...first, close: () => llama.dispose() }
  return { engines, notes: [] }
}

function kvType(type: string): object {
  return { experimentalKvCacheKeyType: type, experimentalKvCacheValueType: type }
}

function engineOf(name: string, sequence: LlamaSequence): PrefillEngine {
  const evaluate = async (tokenIds: Uint32Array): Promise<void> => {
    const [last] = tokenIds.subarray(-1)
    if (last === undefined) return
    await sequence.controlledEvaluate([...tokenIds.subarray(0, -1), [last, { generateNext: { token: true } }]])
  }
  return {
    name,
    prefill: async (tokenIds) => {
      await sequence.clearHistory()
      await evaluate(tokenIds)
    },
    decode: async (tokenId) => {
      await evaluate(Uint32Array.of(tokenId))
    },
    close: async () => {},
  }
}

/** Our model's file with its matrices of another type; vectors are 32-bit floats always, as llama.cpp wants them. */
async function rewritten(type: 'F32' | 'F16'): Promise<Uint8Array> {
  const { metadata, tensors } = await readGguf(DEFAULT_MODEL_PATH)
  return ggufBytes({
    metadata: Object.fromEntries([...metadata].map(([key, value]) => [key, written(key, value)])),
    tensors: [...tensors.values()].map((tensor) => {
      const values = new Float32Array(tensor.shape.reduce((product, length) => product * length, 1))
      dequantize(tensor, values)
      return { name: tensor.name, shape: tensor.shape, type: tensor.shape.length === 1 ? 'F32' : type, values }
    }),
  })
}

/** As the type that llama.cpp expects under this key. */
function written(key: string, value: GgufValue): MetadataValue {
  if (typeof value === 'string') return { type: 'text', value }
  if (typeof value === 'boolean') return { type: 'bool', value }
  if (typeof value === 'number') return { type: /freq_base|epsilon/.test(key) ? 'f32' : 'u32', value }
  if (value instanceof Int32Array) return { type: 'i32s', value: [...value] }
  if (value instanceof Float32Array) return { type: 'f32s', value: [...value] }
  if (Array.isArray(value)) return { type: 'texts', value: value as readonly string[] }
  throw new Error(`There is no writer for ${key}.`)
}
