/** Part of the contract of engines that export KV: what is refused, and changes nothing. */
import { describe, expect, test } from 'vitest'
import type { ContextPart } from '../../src/core/compute.ts'
import type { StructuralSignature } from '../../src/core/fragment.ts'
import { parseModelFingerprint } from '../../src/core/ids.ts'
import type { Dtype } from '../../src/core/safetensors-dtypes.ts'
import type { Tensor } from '../../src/core/safetensors.ts'
import {
  copyParts,
  expectLogits,
  expectParts,
  fullLogits,
  recordPrefix,
  type SuiteBackend,
  withContext,
} from './kv-backend-fixtures.ts'
import { rejectsWith } from './store-fixtures.ts'

const OTHER_OF_SAME_BYTES: Readonly<Partial<Record<Dtype, Dtype>>> = { F32: 'I32', F16: 'BF16', BF16: 'F16', U8: 'I8' }

const SPAN = { start: 0, end: 8 }

export function describeKvRefusals({ backend, subject }: SuiteBackend): void {
  const { promptTokens, exactness } = subject
  const length = promptTokens.length

  describe('parts that do not fit are refused, and change nothing:', () => {
    const signed =
      (change: (signature: StructuralSignature) => Partial<StructuralSignature>) =>
      (part: ContextPart): readonly ContextPart[] => [
        { ...part, signature: { ...part.signature, ...change(part.signature) } },
      ]
    const withTensors =
      (change: (tensors: readonly Tensor[]) => readonly Tensor[]) =>
      (part: ContextPart): readonly ContextPart[] => [{ ...part, tensors: change(part.tensors) }]
    const changeFirst = (change: (tensor: Tensor) => Partial<Tensor>) =>
      withTensors((tensors) =>
        tensors.map((tensor, index) => (index === 0 ? { ...tensor, ...change(tensor) } : tensor)),
      )

    const wrong: Readonly<Record<string, (part: ContextPart) => readonly ContextPart[]>> = {
      'of another model': signed(() => ({ model: parseModelFingerprint('ab'.repeat(32)) })),
      'of another kind': signed(() => ({ kind: 'prefix' })),
      'of another dtype': signed(({ dtype }) => ({ dtype: dtype === 'F32' ? 'F16' : 'F32' })),
      'of another layout': signed(() => ({ layout: 'two,heads,tokens,headDim' })),
      'of other positions': signed(() => ({ positionEncoding: 'rope:123' })),
      'of fewer layers': signed(({ layers }) => ({ layers: { start: layers.start, end: layers.end - 1 } })),
      'of more layers': signed(({ layers }) => ({ layers: { start: layers.start, end: layers.end + 1 } })),
      'of other heads': signed(() => ({ heads: { start: 1, end: 99 } })),
      'of fewer tokens than said': signed(() => ({ tokens: { start: 0, end: 9 } })),
      'of more tokens than said': signed(() => ({ tokens: { start: 0, end: 7 } })),
      'of no token': signed(() => ({ tokens: { start: 8, end: 8 } })),
      'of another pool': (part) => [{ ...part, pool: 'swa' }],
      'twice the same': (part) => [part, part],
      'without tensors': withTensors(() => []),
      'with a tensor missing': withTensors((tensors) => tensors.slice(1)),
      'with a tensor too many': withTensors((tensors) =>
        tensors.flatMap((tensor, index) => (index === 0 ? [tensor, { ...tensor, name: 'layers.12345.k' }] : [tensor])),
      ),
      'with a tensor twice': withTensors((tensors) => tensors.map(() => tensors[0] ?? raise())),
      'with another tensor': changeFirst(() => ({ name: 'tokens' })),
      'with a tensor of another dtype': changeFirst(({ dtype }) => ({ dtype: OTHER_OF_SAME_BYTES[dtype] ?? 'BOOL' })),
      'with a tensor of another shape': changeFirst(({ shape }) => ({
        shape: shape.map((_, axis) => (axis === 1 ? product(shape) : 1)),
      })),
      'with a tensor without an axis': changeFirst(({ shape }) => ({ shape: shape.slice(1) })),
      'with too few bytes': changeFirst(({ data }) => ({ data: data.subarray(4) })),
      'with too many bytes': changeFirst(({ data }) => ({ data: new Uint8Array(data.length + 4) })),
      'with a good one before': (part) => [part, { ...part, pool: 'swa' }],
    }

    /** What an engine finds first is its own affair. */
    const nowhere: Readonly<Record<string, (part: ContextPart) => readonly ContextPart[]>> = {
      'of half a token': signed(() => ({ tokens: { start: 0.5, end: 8.5 } })),
      'from before the first token': signed(() => ({ tokens: { start: -4, end: 4 } })),
    }
    const cases = [
      ...Object.entries(wrong).map(([name, change]) => [name, change, /^INVALID_FRAGMENT$/] as const),
      ...Object.entries(nowhere).map(([name, change]) => [name, change, /^(INVALID_FRAGMENT|OUT_OF_DOMAIN)$/] as const),
    ]

    test.each(cases)('%s', async (_, change, code) => {
      const [good] = await recordPrefix(backend(), promptTokens.subarray(0, SPAN.end))
      await withContext(backend(), length, async (context) => {
        await context.prefill(0, promptTokens.subarray(0, 16))
        const before = copyParts(await context.read({ start: 0, end: 16 }))
        const zeros = good?.tensors.map((tensor) => ({ ...tensor, data: new Uint8Array(tensor.data.length) })) ?? []
        await expect(context.write(change({ ...(good ?? raise()), tensors: zeros }))).rejects.toMatchObject({
          name: 'MembraneError',
          code: expect.stringMatching(code) as string,
        })
        expect(context.filledTokens).toBe(16)
        expectParts(await context.read({ start: 0, end: 16 }), before)
        await context.prefill(16, promptTokens.subarray(16))
        expectLogits(context.logits(), await fullLogits(backend(), promptTokens), exactness)
      })
    })
  })

  test('a context has the room that was asked, and no more', async () => {
    const { contextTokensMax, tokenizer } = backend().model
    for (const tokens of [0, -1, 1.5, Number.NaN, contextTokensMax + 1])
      await rejectsWith(backend().openContext(tokens), 'OUT_OF_DOMAIN')
    const parts = await recordPrefix(backend(), promptTokens.subarray(0, 9))
    await withContext(backend(), 8, async (context) => {
      await context.prefill(0, promptTokens.subarray(0, 7))
      await rejectsWith(context.write(parts), 'OUT_OF_DOMAIN')
      await rejectsWith(context.prefill(7, promptTokens.subarray(7, 9)), 'OUT_OF_DOMAIN')
      await rejectsWith(context.prefill(0, new Uint32Array(0)), 'INVALID_REQUEST')
      await rejectsWith(context.prefill(7, Uint32Array.of(tokenizer.vocabularyTokens)), 'INVALID_REQUEST')
      await rejectsWith(context.prefill(8, promptTokens.subarray(8, 9)), 'OUT_OF_DOMAIN')
      expect(context.filledTokens).toBe(7)
      await expect(context.read({ start: 0, end: 8 })).rejects.toThrow()
      await context.prefill(7, promptTokens.subarray(7, 8))
      const expected = await fullLogits(backend(), promptTokens.subarray(0, 8))
      expectLogits(context.logits(), expected, exactness)
    })
  })
}

function raise(): never {
  throw new Error('The recording has a part with tensors.')
}

function product(lengths: readonly number[]): number {
  return lengths.reduce((all, length) => all * length, 1)
}
