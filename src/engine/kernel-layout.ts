/** The structures that the kernel reads, field by field in the order of `kernel/assembly/layout.ts`. */
import type { KernelMemory } from './kernel-memory.ts'

const MODEL = [
  'dim',
  'dimWidth',
  'ffnWidth',
  'heads',
  'kvHeads',
  'headDim',
  'layers',
  'vocabularyWidth',
  'epsilon',
  'queryScale',
  'embedding',
  'output',
  'outputNorm',
  'layerTable',
  'ropeFrequencies',
] as const
const LAYER = ['attentionNorm', 'qkv', 'attentionOutput', 'ffnNorm', 'gateUp', 'down'] as const
const JOB = [
  'model',
  'tokens',
  'rows',
  'start',
  'kv',
  'capacity',
  'wantsLogits',
  'logits',
  'isNotFinite',
  'scratch',
  'sync',
  'threads',
  'layersDone',
] as const
const SCRATCH = [
  'residual',
  'normed',
  'qkv',
  'attended',
  'gateUp',
  'hidden',
  'rotations',
  'keyPanels',
  'valuePanels',
  'scores',
  'scoresBytes',
] as const

/** Which numbers are 32-bit floats; the others are integers and addresses. */
const FLOATS: ReadonlySet<string> = new Set(['epsilon', 'queryScale'])
const FIELD_BYTES = 4

type Fields<Names extends readonly string[]> = Readonly<Record<Names[number], number>>
export type ModelFields = Fields<typeof MODEL>
export type LayerFields = Fields<typeof LAYER>
export type JobFields = Fields<typeof JOB>
export type ScratchFields = Fields<typeof SCRATCH>

export const MODEL_BYTES = MODEL.length * FIELD_BYTES
export const LAYER_BYTES = LAYER.length * FIELD_BYTES
export const JOB_BYTES = JOB.length * FIELD_BYTES
export const SCRATCH_BYTES = SCRATCH.length * FIELD_BYTES
/** The next unit, who arrived, the phase: each on a cache line of its own. */
export const SYNC_BYTES = 192

export function writeModel(memory: KernelMemory, at: number, fields: ModelFields): void {
  write(memory, at, MODEL, fields)
}

export function writeLayer(memory: KernelMemory, at: number, fields: LayerFields): void {
  write(memory, at, LAYER, fields)
}

export function writeJob(memory: KernelMemory, at: number, fields: JobFields): void {
  write(memory, at, JOB, fields)
}

export function writeScratch(memory: KernelMemory, at: number, fields: ScratchFields): void {
  write(memory, at, SCRATCH, fields)
}

/** Whether the kernel met a number of the KV that is not finite. */
export function readIsNotFinite(memory: KernelMemory, job: number): boolean {
  return memory.words(job, JOB.length)[JOB.indexOf('isNotFinite')] === 1
}

/** How many layers of a job have their KV: a number that the kernel's threads change while they run. */
export function layersDone(memory: KernelMemory, job: number): Int32Array<SharedArrayBuffer> {
  return memory.words(job + JOB.indexOf('layersDone') * FIELD_BYTES, 1)
}

function write<Names extends readonly string[]>(
  memory: KernelMemory,
  at: number,
  names: Names,
  fields: Fields<Names>,
): void {
  const words = memory.words(at, names.length)
  const floats = memory.floats(at, names.length)
  for (const [index, name] of names.entries()) {
    const value = fields[name as Names[number]]
    if (FLOATS.has(name)) floats[index] = value
    else words[index] = value
  }
}
