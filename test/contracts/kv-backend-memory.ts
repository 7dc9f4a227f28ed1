/** Part of the contract of engines that export KV: contexts give back their memory, and what is closed stays closed. */
import { describe, expect, test } from 'vitest'
import type { KvContext } from '../../src/core/compute.ts'
import { expectLogits, fullLogits, type SuiteBackend } from './kv-backend-fixtures.ts'
import { rejectsWith } from './store-fixtures.ts'

export function describeKvMemory({ backend, subject }: SuiteBackend): void {
  const { promptTokens, exactness, bounded } = subject
  const length = promptTokens.length

  describe('what is closed', () => {
    test('does nothing any more', async () => {
      const context = await backend().openContext(length)
      await context.prefill(0, promptTokens)
      await context.close()
      await context.close()
      await expect(context.prefill(0, promptTokens)).rejects.toMatchObject({ name: 'MembraneError' })
      await expect(context.read({ start: 0, end: 1 })).rejects.toMatchObject({ name: 'MembraneError' })
      await expect(context.write([])).rejects.toMatchObject({ name: 'MembraneError' })
    })

    test('takes its contexts along, where it is the engine', async () => {
      const engine = await subject.open()
      const context = await engine.openContext(length)
      await context.prefill(0, promptTokens)
      await engine.close()
      await engine.close()
      await expect(engine.openContext(length)).rejects.toMatchObject({ name: 'MembraneError' })
      await expect(context.prefill(0, promptTokens)).rejects.toMatchObject({ name: 'MembraneError' })
    })

    test('leaves nothing to the next context', async () => {
      const expected = await fullLogits(backend(), promptTokens.subarray(0, 20))
      for (let round = 0; round < 3; round++) {
        const before = await backend().openContext(length)
        await before.prefill(0, promptTokens)
        await before.close()
        const context = await backend().openContext(length)
        expect(context.filledTokens).toBe(0)
        await context.prefill(0, promptTokens.subarray(0, 20))
        expectLogits(context.logits(), expected, exactness)
        await context.close()
      }
    })
  })

  if (bounded === undefined) return
  describe('an engine whose memory is full', () => {
    test('refuses a context, and takes it when another one has been closed', async () => {
      const { open, contextTokens, contexts } = bounded
      const engine = await open()
      const opened: KvContext[] = []
      try {
        const openAll = async (): Promise<void> => {
          for (let count = 0; count <= contexts; count++) opened.push(await engine.openContext(contextTokens))
        }
        await rejectsWith(openAll(), 'COMPUTE_FULL')
        expect(opened.length).toBeGreaterThan(0)
        await rejectsWith(engine.openContext(contextTokens), 'COMPUTE_FULL')
        for (let round = 0; round < 5 * contexts; round++) {
          const oldest = opened.shift()
          await oldest?.close()
          opened.push(await engine.openContext(contextTokens))
        }
        const last = opened.at(-1)
        await last?.prefill(0, promptTokens.subarray(0, 1))
        expect(last?.filledTokens).toBe(1)
      } finally {
        await engine.close()
      }
    })
  })
}
