/** The engine that comes along: models of the Llama family on the processor, without native code. */
import { basename } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { ContextPartShape, KvBackend, KvModel } from '../core/compute.ts'
import { MembraneError } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import { modelFingerprint } from '../core/model-fingerprint.ts'
import type { ContentHasher, HashFunction } from '../core/ports.ts'
import type { KernelBuild } from '../engine/kernel-build.ts'
import { type Gguf, readableTensors, readGguf, readGgufHeader } from '../engine/gguf.ts'
import type { GgufHeader } from '../engine/gguf-header.ts'
import type { LlamaConfig } from '../engine/llama-config.ts'
import { KV_ARITHMETIC, LlamaEngine } from '../engine/llama-engine.ts'
import { chatFormOf } from '../engine/chat-form.ts'
import { tokenizerOf } from '../engine/tokenizer.ts'
import { CpuContext } from './cpu-context.ts'
import { hashFile, requireUnchanged } from './model-file.ts'

/** debian-desc-5M, which writes descriptions of Debian packages: see models/README.md. */
export const DEFAULT_MODEL_PATH = fileURLToPath(new URL('../../models/debian-desc-5M-q8_0.gguf', import.meta.url))

/** What `openCpuBackend` takes. */
export interface CpuBackendOptions {
  /** A GGUF file of architecture `llama` with weights of F32, F16 or Q8_0. */
  readonly modelPath: string
  /** Part of the fingerprint: nodes that share KV say the same. Default is the file's `general.name`, else its file name. */
  readonly modelName?: string | undefined
  /** 1 to LIMITS.engineThreadsMax; they sleep between calls. The KV does not depend on it. */
  readonly threads: number
  /** Of weights, which are kept as 32-bit floats, contexts and work together; at most 4 GiB are used. */
  readonly memoryBytesMax: number
  /** Hashes the fingerprint, and the model's file. */
  readonly blake3: HashFunction
  readonly contentHasher: ContentHasher
  /** Default is the fastest build of the kernel that is right on this machine. All give the same bits. */
  readonly build?: KernelBuild | undefined
}

/**
 * Reads a model and starts the threads. Equal tokens give equal KV for every chunking, thread count and machine. Throws
 * FILE_UNREADABLE, LIMIT_REACHED and INVALID_MODEL for the file, COMPUTE_FULL when its weights do not fit
 * `memoryBytesMax`, COMPUTE_FAILED when the kernel does not run here, INVALID_REQUEST for options out of range.
 */
export async function openCpuBackend(options: CpuBackendOptions): Promise<KvBackend> {
  const { modelPath, threads, memoryBytesMax, build } = options
  if (!Number.isInteger(threads) || threads < 1 || threads > LIMITS.engineThreadsMax)
    throw invalidRequest(`An engine has 1 to ${LIMITS.engineThreadsMax} threads; found ${threads}.`)
  if (!(memoryBytesMax > 0)) throw invalidRequest(`memoryBytesMax must be above 0; found ${memoryBytesMax}.`)
  // What is no model, or too large a one, is told at once: before all of it is read and hashed.
  requireRoom(await readGgufHeader(modelPath), memoryBytesMax)
  const [hashed, gguf] = await Promise.all([hashFile(options.contentHasher, modelPath), readGguf(modelPath)])
  // Weights under the name of others would make KV that is taken for theirs.
  await requireUnchanged(hashed)
  const tokenizer = tokenizerOf(gguf)
  const engine = await LlamaEngine.open(gguf, { threads, memoryBytesMax, build })
  try {
    await touchMemory(engine)
    const { config } = engine
    if (tokenizer.vocabularyTokens !== config.vocabularyTokens)
      throw new MembraneError(
        'INVALID_MODEL',
        `The tokenizer has ${tokenizer.vocabularyTokens} tokens, and the weights have ${config.vocabularyTokens}.`,
        { details: { path: modelPath } },
      )
    const name = options.modelName ?? nameOf(gguf, modelPath)
    return backendOf(engine, {
      name,
      fingerprint: modelFingerprint(options.blake3, `${name} (${KV_ARITHMETIC})`, hashed.contentHash),
      tokenizer,
      contextTokensMax: config.contextTokensMax,
      parts: [partShape(config)],
      isCanonical: true,
      chat: chatFormOf(gguf),
    })
  } catch (error) {
    await engine.close()
    throw error
  }
}

/** Throws INVALID_MODEL for tensors that are not read, COMPUTE_FULL when their numbers alone are too many. */
function requireRoom(header: GgufHeader, memoryBytesMax: number): void {
  const bytes = readableTensors(header).reduce(
    (sum, { shape }) => sum + shape.reduce((product, length) => product * length, 4),
    0,
  )
  if (bytes <= memoryBytesMax) return
  throw new MembraneError(
    'COMPUTE_FULL',
    `The weights need ${bytes} bytes as 32-bit floats; the engine may use ${memoryBytesMax}.`,
    { remedy: 'Take a smaller model, or compute with llama.', details: { bytes, memoryBytesMax } },
  )
}

/** Of a context's memory, what is touched when a model is opened. */
const TOUCHED_BYTES_MAX = 64 * 1024 * 1024

/** Memory costs more when it is touched for the first time than what is then written to it: paid here, by no request. */
async function touchMemory(engine: LlamaEngine): Promise<void> {
  const { config, kvBytesPerToken } = engine
  const tokens = Math.min(config.contextTokensMax, Math.floor(TOUCHED_BYTES_MAX / kvBytesPerToken))
  if (tokens === 0) return
  try {
    const kv = await engine.allocateKv(tokens)
    engine.bytes(kv, tokens * kvBytesPerToken).fill(0)
    engine.releaseKv(kv)
  } catch (error) {
    // Little memory is allowed; contexts that fit will be opened all the same.
    if (!(error instanceof MembraneError) || error.code !== 'COMPUTE_FULL') throw error
  }
}

function backendOf(engine: LlamaEngine, model: KvModel): KvBackend {
  const contexts = new Set<CpuContext>()
  let isClosed = false
  return {
    kind: 'kv',
    name: 'cpu',
    description: `${engine.threads} ${engine.threads === 1 ? 'thread' : 'threads'}, ${engine.build} kernel`,
    model,
    isSimulated: false,
    openContext: async (tokens) => {
      if (!Number.isInteger(tokens) || tokens < 1 || tokens > model.contextTokensMax)
        throw new MembraneError(
          'OUT_OF_DOMAIN',
          `A context of ${model.name} has 1 to ${model.contextTokensMax} tokens; found ${tokens}.`,
        )
      if (isClosed) throw new MembraneError('COMPUTE_FAILED', 'The engine has been closed.')
      const context = await CpuContext.open(engine, model, { tokens, onClose: () => contexts.delete(context) })
      contexts.add(context)
      return context
    },
    close: async () => {
      isClosed = true
      await Promise.all([...contexts].map((context) => context.close()))
      await engine.close()
    },
  }
}

function partShape({ layers, kvHeads, headDim, ropeTheta }: LlamaConfig): ContextPartShape {
  return {
    kind: 'kv',
    pool: 'kv',
    layers: { start: 0, end: layers },
    dtype: 'F32',
    layout: 'tokens,heads,headDim',
    positionEncoding: `rope:${ropeTheta}`,
    bytes: 2 * layers * kvHeads * headDim * 4,
  }
}

function nameOf({ metadata }: Gguf, path: string): string {
  const name = metadata.get('general.name')
  return typeof name === 'string' && name !== '' ? name : basename(path, '.gguf')
}

function invalidRequest(message: string): MembraneError {
  return new MembraneError('INVALID_REQUEST', message)
}
