/** Part of the contract of engines that export KV: any history of writes, prefills and cuts, against a simple model of it. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { KvContext } from '../../src/core/compute.ts'
import { runs } from '../effort.ts'
import {
  BLOCK_TOKENS,
  expectLogits,
  fullLogits,
  hasState,
  kvOnly,
  recordBlocks,
  type SuiteBackend,
  withContext,
} from './kv-backend-fixtures.ts'

type Step =
  | { readonly kind: 'write'; readonly block: number; readonly isKvOnly: boolean }
  | { readonly kind: 'prefill'; readonly from: number; readonly tokens: number }
  | { readonly kind: 'truncate'; readonly to: number }

/** What a context must have done: which positions are filled, and where a state stands. */
interface Expected {
  readonly filled: boolean[]
  stateAt: number | null
}

export function describeKvHistories({ backend, subject }: SuiteBackend): void {
  const { promptTokens, exactness } = subject
  const length = promptTokens.length

  describe('a history of writes, prefills and cuts', () => {
    test('leaves what it should, and ends with what a full prefill says', async () => {
      const blocks = await recordBlocks(backend(), promptTokens)
      const expected = await fullLogits(backend(), promptTokens)
      const steps: fc.Arbitrary<Step> = fc.oneof(
        fc.record({
          kind: fc.constant('write' as const),
          block: fc.nat(blocks.length - 1),
          isKvOnly: fc.boolean(),
        }),
        fc.record({
          kind: fc.constant('prefill' as const),
          from: fc.nat(length - 1),
          tokens: fc.integer({ min: 1, max: 12 }),
        }),
        fc.record({ kind: fc.constant('truncate' as const), to: fc.nat(length) }),
      )
      const take = async (context: KvContext, step: Step, model: Expected): Promise<void> => {
        if (step.kind === 'write') {
          const parts = blocks[step.block] ?? []
          await context.write(step.isKvOnly ? kvOnly(parts) : parts)
          const end = (step.block + 1) * BLOCK_TOKENS
          model.filled.fill(true, end - BLOCK_TOKENS, end)
          if (!step.isKvOnly) model.stateAt = end
        } else if (step.kind === 'truncate') {
          context.truncate(step.to)
          model.filled.fill(false, step.to)
          if (model.stateAt !== null && model.stateAt > step.to) model.stateAt = null
        } else await prefill(context, step, model)
      }
      const prefill = async (
        context: KvContext,
        { from, tokens }: Extract<Step, { kind: 'prefill' }>,
        model: Expected,
      ): Promise<void> => {
        const start = Math.min(from, filledOf(model))
        const end = Math.min(start + tokens, length)
        if (start === end) return
        const call = context.prefill(start, promptTokens.subarray(start, end))
        if (hasState(backend()) && start > 0 && model.stateAt !== start) {
          await expect(call).rejects.toMatchObject({ code: 'INVALID_REQUEST' })
          return
        }
        await call
        model.filled.fill(true, start, end)
        model.filled.fill(false, end)
        model.stateAt = end
      }
      await fc.assert(
        fc.asyncProperty(fc.array(steps, { maxLength: 12 }), async (history) => {
          const model: Expected = { filled: Array.from({ length }, () => false), stateAt: null }
          await withContext(backend(), length, async (context) => {
            for (const step of history) {
              await take(context, step, model)
              expect(context.filledTokens).toBe(filledOf(model))
            }
            const filled = Math.min(filledOf(model), length - 1)
            const start = hasState(backend()) && model.stateAt !== filled ? 0 : filled
            await context.prefill(start, promptTokens.subarray(start))
            expectLogits(context.logits(), expected, exactness)
          })
        }),
        { numRuns: runs(60) },
      )
    })
  })
}

function filledOf({ filled }: Expected): number {
  const gap = filled.indexOf(false)
  return gap < 0 ? filled.length : gap
}
