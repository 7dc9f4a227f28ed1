/**
 * What every engine that exports KV promises (src/core/compute.ts), as tests. The first of its laws: what it says after
 * a context was put together from parts is what it says after a full prefill.
 */
import { afterAll, beforeAll, describe, expect } from 'vitest'
import type { KvBackend } from '../../src/core/compute.ts'
import { describeKvContext } from './kv-backend-context.ts'
import type { KvBackendUnderTest } from './kv-backend-fixtures.ts'
import { describeKvHistories } from './kv-backend-histories.ts'
import { describeKvLayers } from './kv-backend-layers.ts'
import { describeKvMemory } from './kv-backend-memory.ts'
import { describeKvRebuild } from './kv-backend-rebuild.ts'
import { describeKvRefusals } from './kv-backend-refusals.ts'
import { describeKvTokenizer } from './kv-backend-tokenizer.ts'

export function describeKvBackend(name: string, subject: KvBackendUnderTest): void {
  describe(`${name} as an engine that exports KV`, () => {
    let opened: KvBackend | null = null
    beforeAll(async () => {
      opened = await subject.open()
    })
    afterAll(async () => {
      await opened?.close()
    })
    const backend = (): KvBackend => {
      expect(opened).not.toBeNull()
      return opened as KvBackend
    }
    describeKvRebuild({ backend, subject })
    describeKvContext({ backend, subject })
    describeKvRefusals({ backend, subject })
    describeKvHistories({ backend, subject })
    describeKvLayers({ backend, subject })
    describeKvMemory({ backend, subject })
    describeKvTokenizer({ backend, subject })
  })
}
