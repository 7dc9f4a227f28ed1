/** What a simulated model is: its shape, checked, and its name among models. */
import { hash } from 'node:crypto'
import type { ContextPartShape, KvModel } from '../core/compute.ts'
import { MembraneError } from '../core/errors.ts'
import { parseModelFingerprint } from '../core/ids.ts'
import { LIMITS } from '../core/limits.ts'
import { DTYPE_BYTES, type Dtype } from '../core/safetensors-dtypes.ts'
import type { WordForm } from './simulated-mix.ts'
import { FIRST_WORD, simulatedTokenizer } from './simulated-tokenizer.ts'

/** Element types of simulated KV. Their numbers are finite: floats lie between 1 and 2, of either sign. */
export const SIMULATED_DTYPES = ['F32', 'F16', 'BF16', 'F8_E4M3', 'I8'] as const
/** One of SIMULATED_DTYPES. */
export type SimulatedDtype = (typeof SIMULATED_DTYPES)[number]

/** The recurrent layers of a hybrid model. */
export interface SimulatedHybrid {
  /** Of so many layers the last has attention and the others a recurrent state; at least 2, at most the layers. */
  readonly attentionEvery: number
  /** Bytes of the state of one layer, F32; a multiple of 4, at least 8. */
  readonly stateBytes: number
}

/** The shape of a simulated model; times and memory are `SimulatedOptions`. */
export interface SimulatedShape {
  readonly name: string
  readonly layers: number
  readonly kvHeads: number
  /** Numbers of a key, and of a value, of one head; together a multiple of 4 bytes. */
  readonly headDim: number
  readonly dtype: SimulatedDtype
  readonly contextTokensMax: number
  /** Above 258; default 512. */
  readonly vocabularyTokens?: number
  /** Null, the default: all layers have attention. */
  readonly hybrid?: SimulatedHybrid | null
}

/** A model, and what its bytes are made by. */
export interface SimulatedModel {
  readonly model: KvModel
  /** Which have attention, ascending; the others have a state. */
  readonly attentionLayers: readonly number[]
  readonly stateLayers: readonly number[]
  readonly kvHeads: number
  readonly headDim: number
  readonly dtype: Dtype
  readonly form: WordForm
  /** Words of one state; 0 where there is none. */
  readonly stateWords: number
}

export const STATE_FORM: WordForm = { keep: 0x807fffff, set: 0x3f800000 }

const FORMS: Readonly<Record<SimulatedDtype, WordForm>> = {
  F32: STATE_FORM,
  F16: { keep: 0x83ff83ff, set: 0x3c003c00 },
  BF16: { keep: 0x807f807f, set: 0x3f803f80 },
  F8_E4M3: { keep: 0x87878787, set: 0x38383838 },
  I8: { keep: 0xffffffff, set: 0 },
}

/** Throws INVALID_CONFIG. */
export function simulatedModel(shape: SimulatedShape): SimulatedModel {
  const { name, layers, kvHeads, headDim, dtype, contextTokensMax, vocabularyTokens = 512, hybrid = null } = shape
  checkWhole('layers', layers, 1, LIMITS.fragmentLayersMax)
  checkWhole('kvHeads', kvHeads, 1, LIMITS.fragmentHeadsMax)
  checkWhole('headDim', headDim, 1, LIMITS.simulatedHeadDimMax)
  checkWhole('contextTokensMax', contextTokensMax, 1, LIMITS.requestTokensMax)
  checkWhole('vocabularyTokens', vocabularyTokens, FIRST_WORD + 1, LIMITS.simulatedVocabularyTokensMax)
  if (!SIMULATED_DTYPES.includes(dtype))
    throw invalid(`dtype must be one of ${SIMULATED_DTYPES.join(', ')}; found ${dtype}.`)
  const rowBytes = headDim * DTYPE_BYTES[dtype]
  if (rowBytes % 4 !== 0) throw invalid(`The key of a head must take a multiple of 4 bytes; found ${rowBytes}.`)
  if (hybrid !== null) {
    checkWhole('hybrid.attentionEvery', hybrid.attentionEvery, 2, layers)
    checkWhole('hybrid.stateBytes', hybrid.stateBytes, 8, LIMITS.payloadBytesMax / layers)
    if (hybrid.stateBytes % 4 !== 0)
      throw invalid(`hybrid.stateBytes must be a multiple of 4; found ${hybrid.stateBytes}.`)
  }
  const all = Array.from({ length: layers }, (_, layer) => layer)
  const attentionLayers = all.filter((layer) => hybrid === null || (layer + 1) % hybrid.attentionEvery === 0)
  const stateLayers = all.filter((layer) => !attentionLayers.includes(layer))
  const stateBytes = hybrid?.stateBytes ?? 0
  const kv: ContextPartShape = {
    kind: 'kv',
    pool: 'kv',
    layers: { start: 0, end: layers },
    dtype,
    layout: 'heads,tokens,headDim',
    positionEncoding: POSITIONS,
    bytes: attentionLayers.length * 2 * kvHeads * rowBytes,
  }
  const state: ContextPartShape = {
    kind: 'state',
    pool: 'state',
    layers: { start: 0, end: layers },
    dtype: 'F32',
    layout: 'stateDim',
    positionEncoding: 'none',
    bytes: stateLayers.length * stateBytes,
  }
  const identity = JSON.stringify(['membrane.simulated.v1', name, layers, kvHeads, headDim, dtype, hybrid])
  return {
    model: {
      name,
      fingerprint: parseModelFingerprint(hash('sha256', identity, 'hex')),
      tokenizer: simulatedTokenizer(vocabularyTokens),
      contextTokensMax,
      parts: hybrid === null ? [kv] : [kv, state],
      isCanonical: true,
      chat: null,
    },
    attentionLayers,
    stateLayers,
    kvHeads,
    headDim,
    dtype,
    form: FORMS[dtype],
    stateWords: stateBytes / 4,
  }
}

/** Not `rope`: these numbers mean nothing, and so nothing after a rotation. */
const POSITIONS = 'simulated'

export function checkWhole(name: string, value: number, min: number, max: number): void {
  if (!Number.isSafeInteger(value) || value < min || value > max)
    throw invalid(`${name} must be a whole number from ${min} to ${Math.floor(max)}; found ${value}.`)
}

function invalid(message: string): MembraneError {
  return new MembraneError('INVALID_CONFIG', `Of a simulated model: ${message}`)
}
