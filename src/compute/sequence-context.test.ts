import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { runs } from '../../test/effort.ts'
import type { ContextPart } from '../core/compute.ts'
import type { ModelFingerprint } from '../core/ids.ts'
import type { KvForm } from './kv-rows.ts'
import { type EngineSequence, SequenceContext, STEP_TOKENS } from './sequence-context.ts'

const FORM: KvForm = {
  model: 'a'.repeat(64) as ModelFingerprint,
  part: {
    kind: 'kv',
    pool: 'kv',
    layers: { start: 0, end: 2 },
    dtype: 'U8',
    layout: 'tokens,bytes',
    positionEncoding: 'none',
    bytes: 12,
  },
  dtype: 'U8',
  rowShapes: [[3], [3], [3], [3]],
}

const CONTEXT_TOKENS = 40
const VOCABULARY_TOKENS = 97

/** Rows follow from all rows before them, as in a model: a wrong row anywhere shows in every logit after it. */
class FakeSequence implements EngineSequence {
  rows: Uint8Array[] = FORM.rowShapes.map(() => new Uint8Array(0))
  onStep: () => void = () => {}
  readonly residentBytes = 1000

  get tokens(): number {
    return (this.rows[0]?.length ?? 0) / 3
  }

  async save() {
    return this.rows.map((rows) => rows.slice())
  }

  async load(tokens: number, rows: readonly Uint8Array[]) {
    expect(rows.map((row) => row.length)).toEqual(FORM.rowShapes.map(() => 3 * tokens))
    this.rows = rows.map((row) => row.slice())
  }

  async truncate(tokens: number) {
    expect(tokens).toBeLessThan(this.tokens)
    this.rows = this.rows.map((row) => row.slice(0, 3 * tokens))
  }

  async evaluate(tokenIds: Uint32Array, wanted: 'logits' | 'kv') {
    expect(tokenIds.length).toBeLessThanOrEqual(STEP_TOKENS)
    for (const id of tokenIds) {
      const sum = this.rows.reduce((all, rows) => rows.reduce((a, b) => (31 * a + b) % 65_521, all), 1)
      this.rows = this.rows.map((rows, index) => Uint8Array.from([...rows, id, sum + index, (sum >> 8) * (index + 1)]))
    }
    this.onStep()
    const sum = this.rows.reduce((all, rows) => rows.reduce((a, b) => (31 * a + b) % 65_521, all), 1)
    return wanted === 'logits' ? new Float32Array(VOCABULARY_TOKENS).fill(sum) : null
  }

  async close() {
    this.rows = []
  }
}

function open(contextTokens = CONTEXT_TOKENS) {
  const sequence = new FakeSequence()
  const closed: boolean[] = []
  const context = new SequenceContext({
    sequence,
    form: FORM,
    contextTokens,
    vocabularyTokens: VOCABULARY_TOKENS,
    onClose: () => closed.push(true),
  })
  return { context, sequence, closed }
}

/** Parts as another node would hold them: copies. */
function copied(parts: readonly ContextPart[]): readonly ContextPart[] {
  return parts.map((part) => ({
    ...part,
    tensors: part.tensors.map((tensor) => ({ ...tensor, data: tensor.data.slice() })),
  }))
}

const PROMPT = Uint32Array.from({ length: CONTEXT_TOKENS }, (_, index) => (index * 37) % VOCABULARY_TOKENS)

/** The spans of a prompt that was computed, and the logits after each of its prefixes. */
async function prefilled(tokenIds: Uint32Array) {
  const { context } = open()
  const logits: number[] = []
  for (const [start, id] of tokenIds.entries()) {
    await context.prefill(start, Uint32Array.of(id))
    logits.push(context.logits()[0] ?? Number.NaN)
  }
  const partsOf = async (start: number, end: number) => copied(await context.read({ start, end }))
  return { tokenIds, logits, partsOf }
}

describe('a context', () => {
  test('gives the logits of the whole prompt, whichever spans were written in whatever order', async () => {
    const { logits, partsOf } = await prefilled(PROMPT)
    const cuts = fc.uniqueArray(fc.integer({ min: 1, max: CONTEXT_TOKENS - 1 }), { minLength: 1, maxLength: 5 })
    await fc.assert(
      fc.asyncProperty(cuts, fc.infiniteStream(fc.nat()), async (ends, order) => {
        const { context } = open()
        const bounds = [0, ...ends.toSorted((a, b) => a - b)]
        const last = bounds.at(-1) ?? 0
        const spans = bounds
          .slice(1)
          .map((end, index) => ({ start: bounds[index] ?? 0, end, key: order.next().value ?? 0 }))
        for (const { start, end } of spans.toSorted((a, b) => a.key - b.key))
          await context.write(await partsOf(start, end))
        expect(context.filledTokens).toBe(last)
        await context.prefill(last, PROMPT.subarray(last))
        expect(context.logits()[0]).toBe(logits.at(-1))
        expect(await context.read({ start: 0, end: CONTEXT_TOKENS })).toEqual(await partsOf(0, CONTEXT_TOKENS))
      }),
      { numRuns: runs(50) },
    )
  })

  test('stays right through any run of calls', async () => {
    const sources = [await prefilled(PROMPT), await prefilled(PROMPT.toReversed())] as const
    const at = fc.integer({ min: 0, max: CONTEXT_TOKENS - 1 })
    const length = fc.integer({ min: 1, max: 12 })
    const step = fc.tuple(
      fc.constantFrom('write', 'write at the end', 'prefill', 'prefill at the end', 'truncate', 'read', 'abort'),
      at,
      length,
      fc.constantFrom(...sources),
    )
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 20 }), async (steps) => {
        const { context, sequence } = open()
        // What each position should hold: of all rows, the bytes of that token.
        let expected: (readonly Uint8Array[] | null)[] = Array.from({ length: CONTEXT_TOKENS }, () => null)
        for (const [call, anywhere, count, { partsOf, tokenIds }] of steps) {
          const filled = filledTokens(expected)
          const start = call.endsWith('at the end') ? Math.min(filled, CONTEXT_TOKENS - 1) : anywhere
          const end = Math.min(start + count, CONTEXT_TOKENS)
          if (call.startsWith('write')) {
            const parts = await partsOf(start, end)
            await context.write(parts)
            for (const [index, rows] of rowsOf(parts).entries()) expected[start + index] = rows
          } else if (call === 'truncate') {
            context.truncate(start)
            expected = expected.map((rows, position) => (position < start ? rows : null))
          } else if (call === 'read') {
            const reading = context.read({ start, end })
            if (expected.slice(start, end).includes(null))
              await expect(reading).rejects.toMatchObject({ code: 'INVALID_REQUEST' })
            else expect(rowsOf(await reading)).toEqual(expected.slice(start, end))
          } else {
            const controller = new AbortController()
            sequence.onStep = call === 'abort' ? () => controller.abort() : () => {}
            const ids = tokenIds.subarray(start, end)
            const prefill = context.prefill(start, ids, { signal: controller.signal })
            if (start > filled) await expect(prefill).rejects.toMatchObject({ code: 'INVALID_REQUEST' })
            else if (call === 'abort') await expect(prefill).rejects.toMatchObject({ code: 'ABORTED' })
            else {
              await prefill
              const alone = new FakeSequence()
              const before = expected.slice(0, start).map((rows) => rows ?? [])
              await alone.load(
                start,
                FORM.rowShapes.map((_, index) => joined(before.map((rows) => rows[index]))),
              )
              expect(context.logits()).toEqual(await alone.evaluate(ids, 'logits'))
              expected = expected.map((_, position) =>
                position < end ? alone.rows.map((rows) => rows.slice(3 * position, 3 * position + 3)) : null,
              )
            }
          }
          expect(context.filledTokens).toBe(filledTokens(expected))
        }
        const filled = filledTokens(expected)
        if (filled > 0) expect(rowsOf(await context.read({ start: 0, end: filled }))).toEqual(expected.slice(0, filled))
      }),
      { numRuns: runs(300) },
    )
  })

  test('refuses parts of another model, shape or place, and is as before', async () => {
    const { partsOf } = await prefilled(PROMPT)
    const [part] = await partsOf(0, 4)
    const { context } = open(20)
    if (part === undefined) expect.unreachable('there is a part')
    const { signature, tensors } = part
    const [first, ...others] = tensors
    if (first === undefined) expect.unreachable('there is a tensor')
    const wrong: Readonly<Record<string, readonly ContextPart[]>> = {
      'one part': [],
      'pool kv': [{ ...part, pool: 'state' }],
      'model aaaa': [{ ...part, signature: { ...signature, model: 'b'.repeat(64) as ModelFingerprint } }],
      'dtype U8': [{ ...part, signature: { ...signature, dtype: 'F16' } }],
      'layout tokens,bytes': [{ ...part, signature: { ...signature, layout: 'bytes,tokens' } }],
      'position encoding none': [{ ...part, signature: { ...signature, positionEncoding: 'rope:1' } }],
      'layers [0, 2)': [{ ...part, signature: { ...signature, layers: { start: 0, end: 1 } } }],
      'all heads': [{ ...part, signature: { ...signature, heads: { start: 0, end: 1 } } }],
      'a span of one token or more': [{ ...part, signature: { ...signature, tokens: { start: 4, end: 4 } } }],
      'number of tensors 4': [{ ...part, tensors: others }],
      'a tensor layers.0.k': [{ ...part, tensors: [...others, { ...first, name: 'layers.7.k' }] }],
      'dtype of layers.0.k U8': [{ ...part, tensors: [{ ...first, dtype: 'I8' }, ...others] }],
      'shape of layers.0.k [4,3]': [{ ...part, tensors: [{ ...first, shape: [3, 4] }, ...others] }],
      'bytes of layers.0.k 12': [{ ...part, tensors: [{ ...first, data: first.data.subarray(1) }, ...others] }],
    }
    for (const [message, parts] of Object.entries(wrong)) {
      await expect(context.write(parts), message).rejects.toMatchObject({
        code: 'INVALID_FRAGMENT',
        message: expect.stringContaining(message),
      })
    }
    const beyond = { ...part, signature: { ...signature, tokens: { start: 18, end: 22 } } }
    await expect(context.write([beyond])).rejects.toMatchObject({ code: 'OUT_OF_DOMAIN' })
    expect(context.filledTokens).toBe(0)
  })

  test('refuses tokens that it has no room or no meaning for', async () => {
    const { context } = open(8)
    await expect(context.prefill(0, new Uint32Array(9))).rejects.toMatchObject({ code: 'OUT_OF_DOMAIN' })
    await expect(context.prefill(0, new Uint32Array(0))).rejects.toMatchObject({ code: 'INVALID_REQUEST' })
    await expect(context.prefill(0, Uint32Array.of(VOCABULARY_TOKENS))).rejects.toMatchObject({
      code: 'INVALID_REQUEST',
    })
    expect(() => context.logits()).toThrow('Logits are there after a prefill')
  })

  test('computes a long prompt in steps, and can be cancelled between them', async () => {
    const { context, sequence } = open(2 * STEP_TOKENS)
    const controller = new AbortController()
    let steps = 0
    sequence.evaluate = async (tokenIds) => {
      steps++
      controller.abort()
      sequence.rows = sequence.rows.map((rows) => new Uint8Array(rows.length + 3 * tokenIds.length))
      return null
    }
    const prefill = context.prefill(0, new Uint32Array(2 * STEP_TOKENS), { signal: controller.signal })
    await expect(prefill).rejects.toMatchObject({ code: 'ABORTED' })
    expect([steps, context.filledTokens]).toEqual([1, 0])
  })

  test('waits for the call that runs, then frees its memory, once', async () => {
    const { context, sequence, closed } = open()
    const running = context.prefill(0, PROMPT)
    await Promise.all([context.close(), context.close(), running])
    expect(closed).toEqual([true])
    expect([sequence.rows, context.residentBytes]).toEqual([[], 0])
    await expect(context.read({ start: 0, end: 1 })).rejects.toMatchObject({ code: 'INVALID_REQUEST' })
  })
})

/** Tokens from the first on that have rows. */
function filledTokens(expected: readonly unknown[]): number {
  const gap = expected.indexOf(null)
  return gap < 0 ? expected.length : gap
}

/** Of each token of a part, its bytes in each tensor. */
function rowsOf(parts: readonly ContextPart[]): readonly (readonly Uint8Array[])[] {
  const [part] = parts
  if (part === undefined) return expect.unreachable('there is a part')
  const { start, end } = part.signature.tokens
  return Array.from({ length: end - start }, (_, token) =>
    part.tensors.map(({ data }) => data.slice(3 * token, 3 * token + 3)),
  )
}

function joined(rows: readonly (Uint8Array | undefined)[]): Uint8Array {
  return Uint8Array.from(rows.flatMap((row) => [...(row ?? [])]))
}
