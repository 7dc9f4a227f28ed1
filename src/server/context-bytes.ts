import type { KvModel } from '../core/compute.ts'

/** What a context of so many tokens occupies, as its model declares it. */
export function contextBytes(model: KvModel, tokens: number): number {
  return model.parts.reduce((sum, { kind, bytes }) => sum + (kind === 'kv' ? bytes * tokens : bytes), 0)
}
