/** Opens the engine or the service that a command line or a configuration names. Each is loaded when it is asked for. */
import { BACKENDS, type ComputeBackend, type TextBackend } from '../core/compute.ts'
import { MembraneError, unreachable } from '../core/errors.ts'
import type { ChainHashes, ContentHashers } from '../core/ports.ts'
import { systemAlarm } from './system-time.ts'
import type { LlamaBackendOptions } from '../compute/llama.ts'
import type { ProviderName } from '../compute/provider-key.ts'

/** What `--compute` takes: `gpu` is `llama` on the best device that is there. */
export const COMPUTE_CHOICES = [...BACKENDS, 'gpu'] as const
/** One of COMPUTE_CHOICES. */
export type ComputeChoice = (typeof COMPUTE_CHOICES)[number]

/** Which backend, and what it is opened with. */
export interface BackendRequest {
  readonly compute: ComputeChoice
  /** A GGUF file, or a folder of a transformers model; null for the model that comes along. */
  readonly model: string | null
  /** 1 or more. */
  readonly threads: number
  /** Of `gpu`: cuda, vulkan or metal; of `transformers`: cpu, cuda, webgpu, …; null for the best one, or the processor. */
  readonly device: string | null
  /** Of services: base URL and model, and a file with the key; the environment has it otherwise. */
  readonly url: string | null
  readonly providerModel: string | null
  readonly keyFile: string | null
  readonly environment: Readonly<Record<string, string | undefined>>
  /** Of the engine: weights, contexts and work. */
  readonly memoryBytesMax: number
  readonly chainHashes: ChainHashes
  readonly hashers: ContentHashers
}

/**
 * Never another one than was asked for: throws MISSING_PACKAGE, INVALID_MODEL, FILE_UNREADABLE, INVALID_CONFIG and
 * INVALID_REQUEST, each with what to do.
 */
export async function openBackend(request: BackendRequest): Promise<ComputeBackend> {
  const { compute } = request
  if (request.device !== null && compute !== 'gpu' && compute !== 'transformers')
    throw new MembraneError('INVALID_REQUEST', `A device does not go with ${compute}.`, {
      remedy: 'Compute with gpu or transformers, or leave the device out.',
    })
  if (compute === 'openai' || compute === 'anthropic' || compute === 'ollama') return openProvider(compute, request)
  if (request.url !== null || request.providerModel !== null || request.keyFile !== null)
    throw new MembraneError('INVALID_REQUEST', `A URL, model name or key of a service does not go with ${compute}.`, {
      remedy: 'Name the service with --compute, or leave them out; the model of an engine is a file.',
    })
  switch (compute) {
    case 'cpu': {
      const { DEFAULT_MODEL_PATH, openCpuBackend } = await import('../compute/cpu.ts')
      const { threads, memoryBytesMax, chainHashes, hashers } = request
      const modelPath = request.model ?? DEFAULT_MODEL_PATH
      const hashing = { blake3: chainHashes.blake3, contentHasher: hashers.b3 }
      return openCpuBackend({ modelPath, threads, memoryBytesMax, ...hashing })
    }
    case 'llama':
    case 'gpu':
      return openLlama(request)
    case 'transformers':
      return openTransformers(request)
    case 'simulated':
      return openSimulated(request)
    default:
      return unreachable(compute)
  }
}

async function openLlama({
  compute,
  model,
  threads,
  device,
  chainHashes,
  hashers,
}: BackendRequest): Promise<ComputeBackend> {
  const [{ DEFAULT_MODEL_PATH }, { openLlamaBackend }] = await Promise.all([
    import('../compute/cpu.ts'),
    import('../compute/llama.ts'),
  ])
  // Asked for a device, the processor is no answer.
  const gpu = compute === 'gpu' ? gpuOf(device) : false
  const hashing = { blake3: chainHashes.blake3, content: hashers.b3 }
  return openLlamaBackend({ modelPath: model ?? DEFAULT_MODEL_PATH, threads, gpu }, hashing)
}

function gpuOf(device: string | null): LlamaBackendOptions['gpu'] {
  if (device === null) return 'any'
  if (device === 'cuda' || device === 'vulkan' || device === 'metal') return device
  throw new MembraneError('INVALID_REQUEST', `The device of gpu is cuda, vulkan or metal; found ${device}.`)
}

async function openProvider(provider: ProviderName, request: BackendRequest): Promise<TextBackend> {
  const { url, providerModel, keyFile, environment } = request
  if (request.model !== null)
    throw new MembraneError('INVALID_REQUEST', `${provider} takes the name of a model, not a file.`, {
      remedy: 'Give --llm-model NAME.',
    })
  if (providerModel === null)
    throw new MembraneError('INVALID_REQUEST', `${provider} needs the name of a model.`, {
      remedy: 'Give --llm-model NAME.',
    })
  const { apiKeyFrom } = await import('../compute/provider-key.ts')
  const apiKey = await apiKeyFrom({ environment, provider, file: keyFile })
  const options = { model: providerModel, apiKey, ...(url === null ? {} : { baseUrl: url }) }
  switch (provider) {
    case 'openai':
      return (await import('../compute/openai.ts')).openOpenAiBackend(options)
    case 'anthropic':
      return (await import('../compute/anthropic.ts')).openAnthropicBackend(options)
    case 'ollama':
      return (await import('../compute/ollama.ts')).openOllamaBackend(options)
    default:
      return unreachable(provider)
  }
}

async function openTransformers({ model, device, hashers, chainHashes }: BackendRequest): Promise<ComputeBackend> {
  if (model === null)
    throw new MembraneError('INVALID_REQUEST', 'transformers needs a model: none in its form comes along.', {
      remedy: 'Give --model FOLDER, with config.json, tokenizer.json and onnx/model.onnx.',
    })
  const { openTransformersBackend } = await import('../compute/transformers.ts')
  return openTransformersBackend(
    { model, ...(device === null ? {} : { device }) },
    { blake3: chainHashes.blake3, content: hashers.b3 },
  )
}

/** The shape of a model of 8 billion parameters, and the time that one takes on a large accelerator: seconds a prompt. */
const SIMULATED = {
  name: 'simulated-8B',
  layers: 32,
  kvHeads: 8,
  headDim: 128,
  dtype: 'BF16',
  contextTokensMax: 131_072,
  prefillSeconds: (tokens: number) => tokens / 20_000 + tokens ** 2 / 4e9,
} as const

async function openSimulated({ model, memoryBytesMax }: BackendRequest): Promise<ComputeBackend> {
  if (model !== null)
    throw new MembraneError('INVALID_REQUEST', 'simulated reads no model: its KV and texts are made up.', {
      remedy: 'Leave --model out, or compute with cpu.',
    })
  const { openSimulatedBackend, waitOf } = await import('../compute/simulated.ts')
  return openSimulatedBackend({ ...SIMULATED, memoryBytesMax, wait: waitOf(systemAlarm) })
}
