/** The ONNX runtime, where it is installed, with the weights of our model as 32-bit floats. */
import { existsSync } from 'node:fs'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { readGguf } from '../src/engine/gguf.ts'
import { readLlamaConfig } from '../src/engine/llama-config.ts'
import { DEFAULT_MODEL_PATH } from '../src/server/library.ts'
import { onnxModel } from './onnx-file.ts'
import { type PrefillEngine, threadsText } from './prefill-engine.ts'
import type { Peers } from './prefill-llama-cpp.ts'

const MODULE = fileURLToPath(new URL('../.optional/node_modules/onnxruntime-node/dist/index.js', import.meta.url))

/** What is used of onnxruntime-node. */
interface OnnxModule {
  readonly InferenceSession: {
    create(model: Uint8Array, options: object): Promise<OnnxSession>
  }
  readonly Tensor: new (type: 'int64', data: BigInt64Array, dims: readonly number[]) => unknown
}
interface OnnxSession {
  run(feeds: Readonly<Record<string, unknown>>): Promise<Readonly<Record<string, { readonly data: Float32Array }>>>
  release(): Promise<void>
}

/** One session for each length of prompt and number of threads. Gives K and V of all tokens too, as ours does. */
export async function openOnnxPeers(threadCounts: readonly number[], lengths: readonly number[]): Promise<Peers> {
  if (!existsSync(MODULE))
    return { engines: [], notes: ['No ONNX runtime beside it: npm install --prefix .optional installs it.'] }
  const { default: onnx }: { readonly default: OnnxModule } = await import(pathToFileURL(MODULE).href)
  const gguf = await readGguf(DEFAULT_MODEL_PATH)
  const config = readLlamaConfig(gguf)
  const engines: PrefillEngine[] = []
  for (const threads of threadCounts) {
    const sessions = new Map<number, OnnxSession>()
    const options = {
      intraOpNumThreads: threads,
      interOpNumThreads: 1,
      graphOptimizationLevel: 'all',
      logSeverityLevel: 3,
    }
    for (const tokens of lengths)
      sessions.set(tokens, await onnx.InferenceSession.create(onnxModel(gguf, config, tokens).bytes, options))
    engines.push({
      name: `ONNX runtime F32, ${threadsText(threads)}`,
      prefill: async (tokenIds) => {
        const session = sessions.get(tokenIds.length)
        if (session === undefined) throw new Error(`No session takes ${tokenIds.length} tokens.`)
        const ids = BigInt64Array.from(tokenIds, BigInt)
        await session.run({ ids: new onnx.Tensor('int64', ids, [tokenIds.length]) })
      },
      decode: null,
      close: async () => {
        for (const session of sessions.values()) await session.release()
      },
    })
  }
  return { engines, notes: [] }
}
