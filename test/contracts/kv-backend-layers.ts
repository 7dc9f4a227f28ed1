/** Part of the contract of engines that export KV: what a prefill tells of while it goes on. */
import { describe, expect, test } from 'vitest'
import type { ContextPart, ReadyLayers } from '../../src/core/compute.ts'
import type { Span } from '../../src/core/fragment.ts'
import type { Tensor } from '../../src/core/safetensors.ts'
import {
  copyParts,
  expectLogits,
  expectParts,
  fullLogits,
  type SuiteBackend,
  withContext,
} from './kv-backend-fixtures.ts'
import { rejectsWith } from './store-fixtures.ts'

export function describeKvLayers({ backend, subject }: SuiteBackend): void {
  const { promptTokens, exactness } = subject
  const length = promptTokens.length
  const layers = (): Span => backend().model.parts.find(({ kind }) => kind === 'kv')?.layers ?? { start: 0, end: 0 }

  describe('layers of a prefill', () => {
    test.each([0, 16])('are told of in order, each once, and are final: from %i on', async (start) => {
      await withContext(backend(), length, async (context) => {
        if (start > 0) await context.prefill(0, promptTokens.subarray(0, start))
        const told: ReadyLayers[] = []
        const reads: Promise<readonly ContextPart[]>[] = []
        const onLayers = (ready: ReadyLayers): void => {
          told.push(ready)
          const read = async (): Promise<readonly ContextPart[]> =>
            copyParts(await context.read(ready.span, { layers: ready.layers }))
          // One read at a time.
          const before = reads.at(-1) ?? Promise.resolve([])
          reads.push(before.then(read))
        }
        await context.prefill(start, promptTokens.subarray(start), { onLayers })
        const early = await Promise.all(reads)
        const seen = new Map<number, number>()
        for (const ready of told)
          for (let layer = ready.layers.start; layer < ready.layers.end; layer++) {
            expect(ready.span.start, 'a layer goes on where it ended').toBe(seen.get(layer) ?? start)
            if (layer > layers().start) expect(seen.get(layer - 1) ?? start).toBeGreaterThanOrEqual(ready.span.end)
            seen.set(layer, ready.span.end)
          }
        expect([...seen.keys()].toSorted((a, b) => a - b)).toEqual(
          Array.from({ length: layers().end - layers().start }, (_, index) => layers().start + index),
        )
        expect(new Set(seen.values())).toEqual(new Set([length]))
        for (const [index, { span, layers: some }] of told.entries())
          expectParts(await context.read(span, { layers: some }), early[index] ?? [])
        expectLogits(context.logits(), await fullLogits(backend(), promptTokens), exactness)
      })
    })

    test('are told of again when a prefill replaces what is filled', async () => {
      await withContext(backend(), length, async (context) => {
        await context.prefill(0, promptTokens)
        const told: ReadyLayers[] = []
        await context.prefill(0, promptTokens, { onLayers: (ready) => told.push(ready) })
        expect(told.at(-1)).toMatchObject({ layers: { end: layers().end }, span: { end: length } })
      })
    })

    test('are what a read of all of them gives, without states', async () => {
      await withContext(backend(), length, async (context) => {
        await context.prefill(0, promptTokens)
        const span = { start: 3, end: 21 }
        const whole = copyParts(await context.read(span)).find(({ signature }) => signature.kind === 'kv')
        const tensors: Tensor[] = []
        for (let layer = layers().start; layer < layers().end; layer++) {
          const some = { start: layer, end: layer + 1 }
          const parts = copyParts(await context.read(span, { layers: some }))
          expect(parts).toHaveLength(1)
          expect(parts[0]?.signature).toMatchObject({ kind: 'kv', layers: some })
          tensors.push(...(parts[0]?.tensors ?? []))
        }
        const byName = (all: readonly Tensor[]) => new Map(all.map((tensor) => [tensor.name, tensor]))
        expect(byName(tensors)).toEqual(byName([...(whole?.tensors ?? [])]))
      })
    })

    test('cannot be read before they are told of', async () => {
      await withContext(backend(), length, async (context) => {
        const reads: Promise<unknown>[] = []
        const onLayers = ({ layers: ready, span }: ReadyLayers): void => {
          const next = { start: ready.end, end: ready.end + 1 }
          if (reads.length === 0 && ready.end < layers().end)
            reads.push(rejectsWith(context.read(span, { layers: next }), 'INVALID_REQUEST'))
        }
        await context.prefill(0, promptTokens, { onLayers })
        await Promise.all(reads)
      })
    })

    test('of a prefill that is cancelled are gone', async () => {
      await withContext(backend(), length, async (context) => {
        await context.prefill(0, promptTokens.subarray(0, 16))
        const abort = new AbortController()
        const call = context.prefill(16, promptTokens.subarray(16), {
          signal: abort.signal,
          onLayers: () => abort.abort(),
        })
        const outcome = await call.then(
          () => 'done',
          (error: unknown) => (error as { readonly code?: string }).code ?? String(error),
        )
        expect(['done', 'ABORTED']).toContain(outcome)
        expect(context.filledTokens).toBe(outcome === 'done' ? length : 16)
        await context.prefill(
          context.filledTokens === 16 ? 16 : 0,
          promptTokens.subarray(context.filledTokens === 16 ? 16 : 0),
        )
        expectLogits(context.logits(), await fullLogits(backend(), promptTokens), exactness)
      })
    })
  })
}
