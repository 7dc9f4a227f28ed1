/**
 * ONNX models, run by the package @huggingface/transformers. KV goes in and out as tensors of float32. Equal tokens give
 * rows that differ in their last bits by how they are cut into runs, so they are not canonical.
 */
import { stat } from 'node:fs/promises'
import { basename, isAbsolute, join, resolve } from 'node:path'
import type { KvBackend, Tokenizer } from '../core/compute.ts'
import { MembraneError } from '../core/errors.ts'
import type { ModelFingerprint } from '../core/ids.ts'
import { LIMITS } from '../core/limits.ts'
import { modelFingerprint } from '../core/model-fingerprint.ts'
import { checkCount } from './check-count.ts'
import { type KvForm, kvTokenBytes } from './kv-rows.ts'
import { type ModelHashes, requireUnchanged } from './model-file.ts'
import { SequenceBackend } from './sequence-backend.ts'
import { type ModelFolder, ONNX_ENDINGS, type OnnxWeights, readModelFolder } from './transformers-folder.ts'
import { loadTransformersPackage, type OnnxModel, type TransformersPackage } from './transformers-package.ts'
import { OnnxSequence, type OnnxRun, runOnnx } from './transformers-sequence.ts'
import { transformersTokenizer } from './transformers-tokenizer.ts'

/** What `openTransformersBackend` takes. */
export interface TransformersBackendOptions {
  /** A folder with config.json, tokenizer.json and onnx/model.onnx; nothing is fetched. */
  readonly model: string
  /** A folder of models that were fetched from the hub; `model` is then a name there, and what is missing is fetched. */
  readonly hubFolder: string | null
  /** Its name in fingerprints; null for the name of the folder. */
  readonly modelName: string | null
  /** `cpu`, or what the installed ONNX runtime knows besides, such as `cuda`. */
  readonly device: string
  readonly weights: OnnxWeights
  /** Threads of one operation; 0 lets the runtime choose. */
  readonly threads: number
  /** Tokens of a context at most; null for what config.json says. */
  readonly contextTokensMax: number | null
  /** Contexts that are open at once, 1 to LIMITS.computeContextsMax. */
  readonly contextsMax: number
  /** For a folder without a tokenizer.json; null demands one. */
  readonly tokenizer: Tokenizer | null
}

/** What stands in for options that are not given. */
export const DEFAULT_TRANSFORMERS_OPTIONS: Omit<TransformersBackendOptions, 'model'> = {
  hubFolder: null,
  modelName: null,
  device: 'cpu',
  weights: 'fp32',
  threads: 0,
  contextTokensMax: null,
  contextsMax: 16,
  tokenizer: null,
}

/**
 * Loads the package and the model. Throws MISSING_PACKAGE, INVALID_CONFIG, FILE_UNREADABLE, and INVALID_MODEL for a
 * folder without such a model, one that the package refuses, or one that gives other than keys and values in float32.
 */
export async function openTransformersBackend(
  options: Partial<TransformersBackendOptions> & Pick<TransformersBackendOptions, 'model'>,
  hashes: ModelHashes,
): Promise<KvBackend> {
  const all = { ...DEFAULT_TRANSFORMERS_OPTIONS, ...options }
  checkOptions(all)
  const transformers = await loadTransformersPackage()
  const path = await folderOf(transformers, all)
  const folder = await readModelFolder(path, all.weights, hashes.content)
  const model = await loadModel(transformers, path, { ...all, hubFolder: null })
  try {
    for (const file of folder.files) await requireUnchanged(file)
    const name = all.modelName ?? basename(path)
    const fingerprint = modelFingerprint(hashes.blake3, `${name} onnxruntime`, folder.contentHash)
    const probe = await runOnnx(transformers, model, [], Uint32Array.of(0))
    const form = onnxForm(fingerprint, probe)
    const { device, threads, contextsMax } = all
    return new SequenceBackend({
      name: 'transformers',
      description: `ONNX runtime by transformers.js, ${device}, ${threads === 0 ? 'its own choice of' : threads} threads`,
      model: {
        name,
        tokenizer: all.tokenizer ?? (await loadTokenizer(transformers, path, folder, probe.logits.length)),
        contextTokensMax: contextTokensOf(model, all.contextTokensMax),
        chat: folder.chat,
      },
      form,
      contextsMax,
      openSequence: async () => new OnnxSequence(transformers, model, form),
      closeEngine: async () => {
        await model.dispose()
      },
    })
  } catch (cause) {
    await model.dispose()
    throw cause
  }
}

function checkOptions({ weights, threads, contextTokensMax, contextsMax }: TransformersBackendOptions): void {
  checkCount('threads', threads, 0, LIMITS.computeThreadsMax)
  checkCount('contextsMax', contextsMax, 1, LIMITS.computeContextsMax)
  if (contextTokensMax !== null) checkCount('contextTokensMax', contextTokensMax, 1, Number.MAX_SAFE_INTEGER)
  if (!Object.hasOwn(ONNX_ENDINGS, weights))
    throw new MembraneError('INVALID_CONFIG', `weights is ${Object.keys(ONNX_ENDINGS).join(', ')}; found ${weights}.`)
}

/** Has the package fetch a model of the hub once; from then on it is a folder as any other. */
async function folderOf(transformers: TransformersPackage, options: TransformersBackendOptions): Promise<string> {
  const { hubFolder, model, weights } = options
  if (hubFolder === null) return resolve(model)
  if (isAbsolute(model) || !/^[\w.-]+\/[\w.-]+$/.test(model) || model.includes('..'))
    throw new MembraneError('INVALID_CONFIG', `A model of the hub is named owner/name; found ${model}.`)
  const folder = join(resolve(hubFolder), model)
  const isThere = await stat(join(folder, `onnx/model${ONNX_ENDINGS[weights]}.onnx`)).then(
    () => true,
    () => false,
  )
  if (!isThere) {
    await transformers.AutoTokenizer.from_pretrained(model, { cache_dir: resolve(hubFolder) }).catch(unfetched)
    await (await loadModel(transformers, model, options)).dispose()
  }
  return folder
}

async function loadModel(
  { AutoModelForCausalLM }: TransformersPackage,
  model: string,
  { hubFolder, device, weights, threads }: TransformersBackendOptions,
): Promise<OnnxModel> {
  try {
    return await AutoModelForCausalLM.from_pretrained(model, {
      ...(hubFolder === null ? { local_files_only: true } : { cache_dir: resolve(hubFolder) }),
      device,
      dtype: weights,
      session_options: { interOpNumThreads: 1, ...(threads > 0 && { intraOpNumThreads: threads }) },
    })
  } catch (cause) {
    return unfetched(cause)
  }
}

function unfetched(cause: unknown): never {
  const reason = cause instanceof Error ? cause.message : String(cause)
  throw new MembraneError('INVALID_MODEL', `transformers.js does not load the model: ${reason}`, { cause })
}

function onnxForm(model: ModelFingerprint, { present }: OnnxRun): KvForm {
  const rowShapes = present.map(({ type, dims }) => {
    const [batch, heads, tokens, headDim, ...more] = dims
    const isKv = batch === 1 && tokens === 1 && heads !== undefined && headDim !== undefined && more.length === 0
    if (!isKv || type !== 'float32')
      throw new MembraneError(
        'INVALID_MODEL',
        `KV of float32 [1, heads, tokens, headDim] was expected; found ${type} [${dims.join()}].`,
      )
    return [heads, headDim]
  })
  const dtype = 'F32'
  return {
    model,
    part: {
      kind: 'kv',
      pool: 'kv',
      layers: { start: 0, end: present.length / 2 },
      dtype,
      layout: 'tokens,heads,headDim',
      // The graph rotates in a way that nothing in the folder says: such KV stays where it is.
      positionEncoding: 'unknown',
      bytes: kvTokenBytes({ dtype, rowShapes }),
    },
    dtype,
    rowShapes,
  }
}

async function loadTokenizer(
  { AutoTokenizer }: TransformersPackage,
  path: string,
  { specialTexts, endTokens }: ModelFolder,
  vocabularyTokens: number,
): Promise<Tokenizer> {
  if (specialTexts === null)
    throw new MembraneError('INVALID_MODEL', 'The model folder has no tokenizer.json.', {
      remedy: 'Put the tokenizer.json of the model into its folder, or hand in a tokenizer.',
      details: { path },
    })
  const tokenizer = await AutoTokenizer.from_pretrained(path, { local_files_only: true }).catch(unfetched)
  return transformersTokenizer({ tokenizer, specialTexts, vocabularyTokens, endTokens })
}

function contextTokensOf({ config }: OnnxModel, asked: number | null): number {
  const known = ['max_position_embeddings', 'n_positions', 'n_ctx'].map((name) => config[name])
  const said = known.find((tokens) => typeof tokens === 'number' && Number.isInteger(tokens) && tokens > 0)
  if (typeof said === 'number') return Math.min(said, asked ?? said)
  if (asked !== null) return asked
  throw new MembraneError('INVALID_MODEL', 'config.json does not say how long a context may be.', {
    remedy: 'Give contextTokensMax.',
  })
}
