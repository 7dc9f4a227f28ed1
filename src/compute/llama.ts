/**
 * Models in GGUF files, run by llama.cpp through the package node-llama-cpp, on processors and GPUs. Its KV goes in and
 * out as rows, bit for bit; computed anew, rows differ in their last bits by batch and machine, so they are not canonical.
 */
import { basename } from 'node:path'
import type { KvBackend } from '../core/compute.ts'
import { MembraneError } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import { modelFingerprint } from '../core/model-fingerprint.ts'
import { chatFormOf } from '../engine/chat-form.ts'
import { readGgufHeader } from '../engine/gguf.ts'
import { createLlamaContext, type LlamaLog } from './llama-contexts.ts'
import { requireGguf } from './llama-file.ts'
import { llamaForm } from './llama-form.ts'
import { type LlamaModel, type LlamaPackage, type LlamaRuntime, loadLlamaPackage } from './llama-package.ts'
import { LlamaSequence } from './llama-sequence.ts'
import { GGML_TYPES, type LlamaKvType } from './llama-state.ts'
import { llamaTokenizer } from './llama-tokenizer.ts'
import { checkCount } from './check-count.ts'
import { hashFile, type ModelHashes, requireUnchanged } from './model-file.ts'
import { missing } from './optional-package.ts'
import { SequenceBackend } from './sequence-backend.ts'

/** What `openLlamaBackend` takes. */
export interface LlamaBackendOptions {
  /** A GGUF file. */
  readonly modelPath: string
  /** Its name in fingerprints; null for the name of the file without its ending. */
  readonly modelName: string | null
  /** What computes: `auto` takes the best that is there, `any` the best device but not the processor, false the processor. */
  readonly gpu: 'auto' | 'any' | 'cuda' | 'vulkan' | 'metal' | false
  /** Threads of a prefill; 0 for one on each core. */
  readonly threads: number
  /** Numbers of the KV. Q8_0 takes half the memory of F16 and is further from it than F16 is from F32. */
  readonly kvType: LlamaKvType
  /** Tokens of a context at most; null for what the model was trained with. */
  readonly contextTokensMax: number | null
  /** Contexts that are open at once, 1 to LIMITS.computeContextsMax. */
  readonly contextsMax: number
}

/** What stands in for options that are not given. */
export const DEFAULT_LLAMA_OPTIONS: Omit<LlamaBackendOptions, 'modelPath'> = {
  modelName: null,
  gpu: 'auto',
  threads: 0,
  kvType: 'F16',
  contextTokensMax: null,
  contextsMax: 16,
}

/**
 * Loads the package and the model. Throws MISSING_PACKAGE when node-llama-cpp, or its binary for this machine, is not
 * there; INVALID_CONFIG; FILE_UNREADABLE; INVALID_MODEL for a file that llama.cpp refuses, or a model whose context is
 * not one cache of keys and values; COMPUTE_FULL.
 */
export async function openLlamaBackend(
  options: Partial<LlamaBackendOptions> & Pick<LlamaBackendOptions, 'modelPath'>,
  hashes: ModelHashes,
): Promise<KvBackend> {
  const all = { ...DEFAULT_LLAMA_OPTIONS, ...options }
  checkOptions(all)
  const llama = await loadLlamaPackage()
  await requireGguf(all.modelPath)
  const file = await hashFile(hashes.content, all.modelPath)
  const log: LlamaLog = { error: '' }
  const runtime = await startRuntime(llama, all, log)
  let model: LlamaModel | null = null
  const closeEngine = async (): Promise<void> => {
    await model?.dispose()
    await runtime.dispose()
  }
  try {
    if (all.gpu === 'any' && runtime.gpu === false)
      throw missing('node-llama-cpp', 'node-llama-cpp finds no device on this machine but the processor.')
    model = await loadModel(runtime, all, log)
    await requireUnchanged(file)
    const { kvType, contextsMax } = all
    const threads = all.threads === 0 ? runtime.cpuMathCores : all.threads
    const source = { llama, model, threads, kvType, log }
    const header = await readGgufHeader(all.modelPath)
    const name = all.modelName ?? basename(all.modelPath, '.gguf')
    // Rows of another engine, of other weights or of another type are other rows.
    const fingerprint = modelFingerprint(hashes.blake3, `${name} llama.cpp ${kvType}`, file.contentHash)
    const probe = await createLlamaContext(source, 1)
    const form = await llamaForm(fingerprint, model, kvType, probe).finally(() => probe.dispose())
    const contextTokensMax = Math.min(all.contextTokensMax ?? Infinity, model.trainContextSize)
    const device = runtime.gpu === false ? 'processor' : runtime.gpu
    return new SequenceBackend({
      name: 'llama',
      description: `llama.cpp by node-llama-cpp, ${device}, ${threads} threads, KV ${kvType}`,
      model: { name, tokenizer: llamaTokenizer(model), contextTokensMax, chat: chatFormOf(header) },
      form,
      contextsMax,
      openSequence: async (tokens) => new LlamaSequence(await createLlamaContext(source, tokens), form, kvType),
      closeEngine,
    })
  } catch (cause) {
    await closeEngine()
    throw cause
  }
}

function checkOptions({ threads, kvType, contextTokensMax, contextsMax }: LlamaBackendOptions): void {
  checkCount('threads', threads, 0, LIMITS.computeThreadsMax)
  checkCount('contextsMax', contextsMax, 1, LIMITS.computeContextsMax)
  if (contextTokensMax !== null) checkCount('contextTokensMax', contextTokensMax, 1, Number.MAX_SAFE_INTEGER)
  if (!Object.hasOwn(GGML_TYPES, kvType))
    throw new MembraneError('INVALID_CONFIG', `kvType is ${Object.keys(GGML_TYPES).join(', ')}; found ${kvType}.`)
}

async function startRuntime(llama: LlamaPackage, { gpu }: LlamaBackendOptions, log: LlamaLog): Promise<LlamaRuntime> {
  try {
    // Nothing is built and nothing fetched: what runs is what was installed.
    return await llama.getLlama({
      gpu: gpu === 'any' ? 'auto' : gpu,
      build: 'never',
      skipDownload: true,
      progressLogs: false,
      logLevel: 'error',
      logger: (_, message) => {
        log.error ||= message.trim()
      },
      maxThreads: 0,
    })
  } catch (cause) {
    throw missing('node-llama-cpp', `node-llama-cpp has no binary for this machine with gpu ${gpu}.`, { cause })
  }
}

async function loadModel(
  runtime: LlamaRuntime,
  { modelPath, gpu }: LlamaBackendOptions,
  log: LlamaLog,
): Promise<LlamaModel> {
  log.error = ''
  try {
    return await runtime.loadModel({ modelPath, ...(gpu === false && { gpuLayers: 0 }) })
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new MembraneError('INVALID_MODEL', `llama.cpp does not load the model: ${log.error || reason}`, {
      cause,
      details: { modelPath },
    })
  }
}
