/** How llama.cpp keeps the KV of a model: found out by letting it keep one token, since files of models do not say all. */
import { MembraneError } from '../core/errors.ts'
import type { ModelFingerprint } from '../core/ids.ts'
import type { Dtype } from '../core/safetensors-dtypes.ts'
import { DTYPE_BYTES } from '../core/safetensors-dtypes.ts'
import { type KvForm, kvTokenBytes } from './kv-rows.ts'
import type { LlamaContext, LlamaModel } from './llama-package.ts'
import { readStateFile } from './llama-state-files.ts'
import { type LlamaKvType, type LlamaRows, parseLlamaState } from './llama-state.ts'

/** What rows are in fragments. Q8_0 are groups of 32 numbers, 34 bytes each: a factor of 2 bytes, then a byte for each. */
const FRAGMENT_FORMS: Readonly<Record<LlamaKvType, { readonly dtype: Dtype; readonly layout: string }>> = {
  F32: { dtype: 'F32', layout: 'tokens,heads,headDim' },
  F16: { dtype: 'F16', layout: 'tokens,heads,headDim' },
  Q8_0: { dtype: 'U8', layout: 'tokens,q8_0' },
}

/** How architectures rotate: by pairs of neighbours, or of halves. Of others we do not know it. */
const ROTATIONS: Readonly<Record<string, 'rope' | 'rope-neox'>> = {
  llama: 'rope',
  qwen2: 'rope-neox',
  qwen3: 'rope-neox',
  phi3: 'rope-neox',
  gemma: 'rope-neox',
  olmo2: 'rope-neox',
}

/** Throws INVALID_MODEL for a model whose context is more than one cache of keys and values. */
export async function llamaForm(
  fingerprint: ModelFingerprint,
  model: LlamaModel,
  kvType: LlamaKvType,
  probe: LlamaContext,
): Promise<KvForm> {
  const { keys, values } = await stateOfOneToken(model, probe)
  const heads = kvHeads(model, keys.length)
  const { dtype, layout } = FRAGMENT_FORMS[kvType]
  const rowShapes = keys.flatMap((key, layer) =>
    [key, values[layer] ?? key].map((rows) => rowShape(rows, kvType, dtype, heads[layer])),
  )
  const bytes = kvTokenBytes({ dtype, rowShapes })
  const layers = { start: 0, end: keys.length }
  const positionEncoding = positionEncodingOf(model, heads[0], rowShapes[0]?.at(-1))
  return {
    model: fingerprint,
    part: { kind: 'kv', pool: 'kv', layers, dtype, layout, positionEncoding, bytes },
    dtype,
    rowShapes,
  }
}

async function stateOfOneToken(model: LlamaModel, probe: LlamaContext): Promise<ReturnType<typeof parseLlamaState>> {
  const sequence = probe.getSequence()
  await sequence.controlledEvaluate([model.tokens.bos ?? 0])
  const file = await readStateFile(PROBE_BYTES, (path) => sequence.saveStateToFile(path))
  try {
    return parseLlamaState(file)
  } catch (cause) {
    throw new MembraneError('INVALID_MODEL', 'A model with one cache of keys and values was expected.', {
      cause,
      remedy: 'Models with sliding windows, recurrent layers or latent attention do not run on this backend.',
    })
  }
}

/** Room for the KV of one token: the largest models take some megabytes. */
const PROBE_BYTES = 16 * 1024 * 1024

function rowShape(rows: LlamaRows, kvType: LlamaKvType, dtype: Dtype, heads: number | undefined): readonly number[] {
  if (rows.type !== kvType)
    throw new MembraneError('INVALID_MODEL', `KV of ${kvType} was asked for; llama.cpp keeps ${rows.type}.`)
  if (kvType === 'Q8_0') return [rows.rowBytes]
  const numbers = rows.rowBytes / DTYPE_BYTES[dtype]
  if (heads === undefined || numbers % heads !== 0)
    throw new MembraneError('INVALID_MODEL', `Rows of ${numbers} numbers do not divide into ${heads} KV heads.`)
  return [heads, numbers / heads]
}

/** Of each layer; the file says one number for all of them, or a list. */
function kvHeads(model: LlamaModel, layers: number): readonly number[] {
  const { attention } = settings(model)
  const said = fieldOf(attention, 'head_count_kv') ?? fieldOf(attention, 'head_count')
  const list = Array.isArray(said) ? said : Array.from({ length: layers }, () => said)
  if (list.length !== layers || !list.every((count) => Number.isInteger(count) && count > 0))
    throw new MembraneError('INVALID_MODEL', `${layers} layers with KV heads were expected; found ${String(said)}.`)
  return list as readonly number[]
}

/** `unknown` where positions cannot be told from the file: such KV stays where it is. */
function positionEncodingOf(model: LlamaModel, heads: number | undefined, headDim: number | undefined): string {
  const { architecture, rope, attention } = settings(model)
  const rotation = ROTATIONS[architecture]
  const scaling = fieldOf(fieldOf(rope, 'scaling'), 'type') ?? 'none'
  const rotated = fieldOf(rope, 'dimension_count') ?? headDim
  const hasFactors = model.fileInfo.fullTensorInfo?.some(({ name }) => name.startsWith('rope_')) ?? true
  const isPlain =
    scaling === 'none' && !hasFactors && (rotated === headDim || fieldOf(attention, 'key_length') === rotated)
  if (rotation === undefined || heads === undefined || !isPlain) return 'unknown'
  const theta = fieldOf(rope, 'freq_base') ?? 10_000
  return typeof theta === 'number' ? `${rotation}:${theta}` : 'unknown'
}

function settings({ fileInfo: { metadata } }: LlamaModel): {
  readonly architecture: string
  readonly attention: unknown
  readonly rope: unknown
} {
  const named = fieldOf(metadata['general'], 'architecture')
  const architecture = typeof named === 'string' ? named : ''
  const own = metadata[architecture]
  return { architecture, attention: fieldOf(own, 'attention'), rope: fieldOf(own, 'rope') }
}

function fieldOf(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? (value as Readonly<Record<string, unknown>>)[name] : undefined
}
