/** Part of the contract of engines that export KV: replacing, forgetting, cancelling, and contexts beside each other. */
import { describe, expect, test } from 'vitest'
import type { KvContext } from '../../src/core/compute.ts'
import {
  BLOCK_TOKENS,
  copyParts,
  expectLogits,
  expectParts,
  fullLogits,
  hasState,
  kvOnly,
  otherPrompt,
  recordPrefix,
  type SuiteBackend,
  withContext,
} from './kv-backend-fixtures.ts'
import { rejectsWith } from './store-fixtures.ts'

export function describeKvContext({ backend, subject }: SuiteBackend): void {
  const { promptTokens, exactness } = subject
  const length = promptTokens.length
  const other = otherPrompt(promptTokens)
  const cut = 2 * BLOCK_TOKENS + 1
  /** The beginning of one prompt and the rest of another. */
  const mixed = Uint32Array.from(promptTokens, (tokenId, index) => (index < cut ? tokenId : (other[index] ?? 0)))

  /** Makes the context ready for position `cut`, whatever is behind it. */
  const restoreState = async (context: KvContext): Promise<void> => {
    const parts = await recordPrefix(backend(), promptTokens.subarray(0, cut))
    const states = parts.filter(({ signature }) => signature.kind === 'state')
    if (states.length > 0) await context.write(states)
  }

  describe('a context', () => {
    test('is empty at first', async () => {
      await withContext(backend(), length, async (context) => {
        expect(context.filledTokens).toBe(0)
        expect(context.residentBytes).toBeGreaterThanOrEqual(0)
      })
    })

    test('counts tokens from the first on, up to the first gap', async () => {
      const parts = kvOnly(await recordPrefix(backend(), promptTokens.subarray(0, 8)))
      const rest = await withContext(backend(), length, async (context) => {
        await context.prefill(0, promptTokens.subarray(0, 16))
        return copyParts(await context.read({ start: 8, end: 16 }))
      })
      await withContext(backend(), length, async (context) => {
        await context.write(rest)
        expect(context.filledTokens).toBe(0)
        await rejectsWith(context.prefill(16, promptTokens.subarray(16)), 'INVALID_REQUEST')
        await rejectsWith(context.prefill(1, promptTokens.subarray(1)), 'INVALID_REQUEST')
        await context.write(parts)
        expect(context.filledTokens).toBe(16)
        await context.prefill(16, promptTokens.subarray(16))
        expectLogits(context.logits(), await fullLogits(backend(), promptTokens), exactness)
      })
    })

    test('computes again over what is filled, and forgets what was behind', async () => {
      const expected = await fullLogits(backend(), mixed)
      await withContext(backend(), length, async (context) => {
        await context.prefill(0, promptTokens)
        await restoreState(context)
        await context.prefill(cut, mixed.subarray(cut, cut + 3))
        expect(context.filledTokens).toBe(cut + 3)
        await rejectsWith(context.prefill(cut + 4, mixed.subarray(cut + 4)), 'INVALID_REQUEST')
        await context.prefill(cut + 3, mixed.subarray(cut + 3))
        expectLogits(context.logits(), expected, exactness)
        await context.prefill(0, promptTokens)
        expectLogits(context.logits(), await fullLogits(backend(), promptTokens), exactness)
      })
    })

    test('takes parts over what is filled', async () => {
      const parts = await recordPrefix(backend(), other.subarray(0, 16))
      await withContext(backend(), length, async (context) => {
        await context.prefill(0, promptTokens)
        await context.write(parts)
        expect(context.filledTokens).toBe(length)
        await context.prefill(16, other.subarray(16))
        expectLogits(context.logits(), await fullLogits(backend(), other), exactness)
      })
    })

    test('says something else for KV of another prompt', async () => {
      const parts = await recordPrefix(backend(), other.subarray(0, 16))
      const expected = await fullLogits(backend(), promptTokens)
      await withContext(backend(), length, async (context) => {
        await context.write(parts)
        await context.prefill(16, promptTokens.subarray(16))
        expect(context.logits().some((logit, index) => logit !== expected[index])).toBe(true)
      })
    })

    test('forgets from a position on', async () => {
      await withContext(backend(), length, async (context) => {
        await context.prefill(0, promptTokens)
        const before = copyParts(kvOnly(await context.read({ start: 0, end: cut })))
        context.truncate(length + 5)
        expect(context.filledTokens).toBe(length)
        context.truncate(cut)
        expect(context.filledTokens).toBe(cut)
        expectParts(kvOnly(await context.read({ start: 0, end: cut })), before)
        await expect(context.read({ start: 0, end: cut + 1 })).rejects.toThrow()
        if (hasState(backend())) await rejectsWith(context.prefill(cut, mixed.subarray(cut)), 'INVALID_REQUEST')
        await restoreState(context)
        await context.prefill(cut, mixed.subarray(cut))
        expectLogits(context.logits(), await fullLogits(backend(), mixed), exactness)
        context.truncate(0)
        expect(context.filledTokens).toBe(0)
        await context.prefill(0, promptTokens)
        expectLogits(context.logits(), await fullLogits(backend(), promptTokens), exactness)
      })
    })

    test('keeps to itself while another computes', async () => {
      const expected = [await fullLogits(backend(), promptTokens), await fullLogits(backend(), other)]
      await withContext(backend(), length, async (a) => {
        await withContext(backend(), length, async (b) => {
          await Promise.all([a.prefill(0, promptTokens), b.prefill(0, other)])
          expectLogits(a.logits(), expected[0] ?? new Float32Array(0), exactness)
          expectLogits(b.logits(), expected[1] ?? new Float32Array(0), exactness)
          for (let start = 0; start < length; start += 8) {
            await a.prefill(start, other.subarray(start, start + 8))
            await b.prefill(start, promptTokens.subarray(start, start + 8))
          }
          expectLogits(a.logits(), expected[1] ?? new Float32Array(0), exactness)
          expectLogits(b.logits(), expected[0] ?? new Float32Array(0), exactness)
        })
      })
    })
  })

  describe('a cancelled call', () => {
    test('that had not begun changes nothing', async () => {
      const signal = AbortSignal.abort()
      const parts = await recordPrefix(backend(), other.subarray(0, 8))
      await withContext(backend(), length, async (context) => {
        await context.prefill(0, promptTokens.subarray(0, 20))
        const span = { start: 0, end: 20 }
        const before = copyParts(await context.read(span))
        await rejectsWith(context.prefill(20, promptTokens.subarray(20), { signal }), 'ABORTED')
        await rejectsWith(context.prefill(0, other, { signal }), 'ABORTED')
        await rejectsWith(context.write(parts, { signal }), 'ABORTED')
        await rejectsWith(context.read(span, { signal }), 'ABORTED')
        expect(context.filledTokens).toBe(20)
        expectParts(await context.read(span), before)
      })
    })

    test.each([0, 1, 5])('leaves what was before it, and can be made again: %i turns later', async (turns) => {
      const expected = await fullLogits(backend(), promptTokens)
      await withContext(backend(), length, async (context) => {
        await context.prefill(0, promptTokens.subarray(0, 16))
        const span = { start: 0, end: 16 }
        const before = copyParts(kvOnly(await context.read(span)))
        const abort = new AbortController()
        const call = context.prefill(16, promptTokens.subarray(16), { signal: abort.signal }).then(
          () => 'done',
          (error: unknown) => (error as { readonly code?: string }).code ?? String(error),
        )
        for (let turn = 0; turn < turns; turn++) await new Promise((resolve) => setImmediate(resolve))
        abort.abort()
        const outcome = await call
        expect(['done', 'ABORTED']).toContain(outcome)
        expect(context.filledTokens).toBe(outcome === 'done' ? length : 16)
        expectParts(kvOnly(await context.read(span)), before)
        if (outcome === 'ABORTED') await context.prefill(16, promptTokens.subarray(16))
        expectLogits(context.logits(), expected, exactness)
      })
    })
  })
}
