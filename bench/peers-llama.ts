/** How long engines that are not ours take for a prefill, for comparison; their packages are optional. */
import { openLlamaBackend } from '../src/compute/llama.ts'
import type { LlamaKvType } from '../src/compute/llama-state.ts'
import { openTransformersBackend } from '../src/compute/transformers.ts'
import type { KvBackend } from '../src/core/compute.ts'
import { loadChainHashes } from '../src/hashing/chain-hashes.ts'
import { loadContentHashers } from '../src/hashing/content-hashers.ts'

export interface LlamaPrefill {
  /** A GGUF file. */
  readonly modelPath: string
  readonly threads: number
  readonly tokens: number
  readonly gpu: 'auto' | 'cuda' | 'vulkan' | 'metal' | false
  /** Default F16. */
  readonly kvType?: LlamaKvType
  /** Runs after one that does not count; default 3. */
  readonly runs?: number
}

/** The shortest of some runs, from an empty context to logits, in seconds. Throws MISSING_PACKAGE. */
export async function timeLlamaPrefill({ tokens, runs = 3, ...options }: LlamaPrefill): Promise<number> {
  return shortestPrefill(await openLlamaBackend({ ...options, contextsMax: 1 }, await modelHashes()), tokens, runs)
}

export interface OnnxPrefill {
  /** A folder with config.json, tokenizer.json and onnx/model.onnx. */
  readonly model: string
  readonly threads: number
  readonly tokens: number
  /** Runs after one that does not count; default 3. */
  readonly runs?: number
}

/** As `timeLlamaPrefill`, of an ONNX model on the processor. */
export async function timeOnnxPrefill({ tokens, runs = 3, ...options }: OnnxPrefill): Promise<number> {
  return shortestPrefill(await openTransformersBackend(options, await modelHashes()), tokens, runs)
}

async function modelHashes(): Promise<Parameters<typeof openLlamaBackend>[1]> {
  const [{ blake3 }, { hashers }] = await Promise.all([loadChainHashes(), loadContentHashers()])
  return { blake3, content: hashers.b3 }
}

async function shortestPrefill(backend: KvBackend, tokens: number, runs: number): Promise<number> {
  const { vocabularyTokens } = backend.model.tokenizer
  // Any ids do: the time does not depend on them.
  const tokenIds = Uint32Array.from({ length: tokens }, (_, index) => (index * 7919) % vocabularyTokens)
  const context = await backend.openContext(tokens)
  const seconds: number[] = []
  for (let run = 0; run <= runs; run++) {
    context.truncate(0)
    const startMs = performance.now()
    await context.prefill(0, tokenIds)
    seconds.push((performance.now() - startMs) / 1000)
  }
  await backend.close()
  return Math.min(...seconds.slice(1))
}
