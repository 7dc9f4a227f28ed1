/** Reads fragments that lie end to end, as one part of the model. */
import type { CallOptions, ContextPart, KvModel } from '../core/compute.ts'
import { MembraneError } from '../core/errors.ts'
import { readTensors } from '../core/fragment-tensors.ts'
import type { Fragment } from '../core/fragment.ts'
import { mergeFragments } from './merge-fragments.ts'
import type { LocalFragment, RebuildMemory } from './rebuild-ports.ts'

export interface MovedReading {
  readonly model: KvModel
  readonly memory: Pick<RebuildMemory, 'read'>
  readonly fragments: readonly LocalFragment[]
}

/** Null when one of them is gone, or is not what it was said to be. */
export async function readMovedParts(
  { model, memory, fragments }: MovedReading,
  options: CallOptions,
): Promise<readonly ContextPart[] | null> {
  const payloads = await Promise.all(fragments.map(async ({ key }) => await memory.read(key, options)))
  const read: Fragment[] = []
  for (const [index, { description }] of fragments.entries()) {
    const payload = payloads[index]
    if (payload === null || payload === undefined) return null
    // What the sessions are called does not matter any more, and would keep them apart.
    read.push({ description: { ...description, sequence: null, text: null }, payload })
  }
  try {
    const { description, payload } = mergeFragments(read)
    const { signature } = description
    const pool = model.parts[0]?.pool ?? signature.kind
    return [{ pool, signature, tensors: readTensors(signature, payload).tensors }]
  } catch (error) {
    if (error instanceof MembraneError && error.code === 'INVALID_FRAGMENT') return null
    throw error
  }
}
