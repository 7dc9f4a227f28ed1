/** Part of the contract of engines that export KV: a context from parts says what a full prefill says. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { ContextPart, KvBackend } from '../../src/core/compute.ts'
import { assert } from '../../src/core/errors.ts'
import { decodeDescription, encodeDescription } from '../../src/core/fragment-codec.ts'
import { contextName, fragmentKey } from '../../src/core/fragment-key.ts'
import type { Fragment } from '../../src/core/fragment.ts'
import { loadContentHashers } from '../../src/hashing/content-hashers.ts'
import { mergeFragments } from '../../src/reconstruct/merge-fragments.ts'
import { openDiskStore } from '../../src/store/disk.ts'
import { runs } from '../effort.ts'
import {
  BLOCK_TOKENS,
  copyParts,
  expectLogits,
  expectParts,
  fullLogits,
  hasState,
  kvOnly,
  likeliest,
  recordBlocks,
  recordPrefix,
  type SuiteBackend,
  tokensOf,
  withContext,
} from './kv-backend-fixtures.ts'
import { fragmentsOf, partsOf } from './kv-backend-fragments.ts'

const CONTINUED_TOKENS = 12

export function describeKvRebuild({ backend, subject }: SuiteBackend): void {
  const { promptTokens, exactness } = subject
  const length = promptTokens.length
  const splits = subject.splits ?? Array.from({ length: length - 1 }, (_, index) => index + 1)
  const blockEnd = length - 1 - ((length - 1) % BLOCK_TOKENS)

  /** Writes, computes what is missing, and expects what a full prefill says. */
  const expectRebuilt = async (
    engine: KvBackend,
    pieces: readonly (readonly ContextPart[])[],
    filledTokens: number,
    when: string,
  ): Promise<void> => {
    await withContext(engine, length, async (context) => {
      for (const parts of pieces) await context.write(parts)
      expect(context.filledTokens, when).toBe(filledTokens)
      await context.prefill(filledTokens, promptTokens.subarray(filledTokens))
      expect(context.filledTokens).toBe(length)
      expectLogits(context.logits(), await expected, exactness, when)
    })
  }
  let expected: Promise<Float32Array> = Promise.resolve(new Float32Array(0))

  describe('a context from parts', () => {
    test('says what a full prefill says, wherever the prompt was cut', async () => {
      expected = fullLogits(backend(), promptTokens)
      for (const split of splits) {
        const parts = await recordPrefix(backend(), promptTokens.subarray(0, split))
        await expectRebuilt(backend(), [parts], split, `when cut after ${split} tokens`)
      }
    })

    test('may get its blocks in any order, and the rest computed', async () => {
      expected = fullLogits(backend(), promptTokens)
      const blocks = await recordBlocks(backend(), promptTokens)
      const whole = blocks.slice(0, blockEnd / BLOCK_TOKENS)
      const orders = fc.shuffledSubarray([...whole.keys()], { minLength: whole.length })
      await fc.assert(
        fc.asyncProperty(orders, async (order) => {
          const last = whole.length - 1
          // Only the state at the end counts, and the latest that is written is the one that stands.
          const pieces = order.map((index) => (index === last ? (whole[index] ?? []) : kvOnly(whole[index] ?? [])))
          await expectRebuilt(backend(), pieces, blockEnd, `in the order ${order.join()}`)
        }),
        { numRuns: runs(8) },
      )
    })

    test('may get fragments, one by one or merged', async () => {
      expected = fullLogits(backend(), promptTokens)
      const parts = await recordPrefix(backend(), promptTokens.subarray(0, blockEnd))
      for (const fragmentTokens of [BLOCK_TOKENS, 3 * BLOCK_TOKENS, 1024 * BLOCK_TOKENS]) {
        const fragments = fragmentsOf(parts, fragmentTokens)
        await expectRebuilt(
          backend(),
          fragments.toReversed().map(partsOf),
          blockEnd,
          `in ${fragmentTokens} tokens each`,
        )
        const kv = mergeFragments(fragments.filter(({ description }) => description.signature.kind === 'kv'))
        const states = fragments.filter(({ description }) => description.signature.kind === 'state')
        expectParts(partsOf(kv), kvOnly(parts))
        await expectRebuilt(backend(), [[kv, ...states].flatMap(partsOf)], blockEnd, 'merged')
      }
    })

    test('may get fragments that were on disk, in an engine that was not there when they were made', async () => {
      const first = await subject.open()
      expected = fullLogits(first, promptTokens)
      await expected
      const parts = await recordPrefix(first, promptTokens.subarray(0, blockEnd))
      const fragments = fragmentsOf(parts, 2 * BLOCK_TOKENS)
      await first.close()
      const found = await overDisk(fragments)
      const second = await subject.open()
      try {
        expect(second.model.fingerprint).toBe(first.model.fingerprint)
        await expectRebuilt(second, found.map(partsOf), blockEnd, 'after a restart')
      } finally {
        await second.close()
      }
    })

    test('goes on token by token as after a full prefill', async () => {
      const start = length - CONTINUED_TOKENS
      const prompt = promptTokens.subarray(0, start)
      const split = start - (start % BLOCK_TOKENS) - BLOCK_TOKENS
      const parts = await recordPrefix(backend(), prompt.subarray(0, split))
      await withContext(backend(), length, async (full) => {
        await withContext(backend(), length, async (rebuilt) => {
          await full.prefill(0, prompt)
          await rebuilt.write(parts)
          await rebuilt.prefill(split, prompt.subarray(split))
          for (let at = start; at < length; at++) {
            expectLogits(rebuilt.logits(), full.logits(), exactness, `at token ${at}`)
            const next = Uint32Array.of(likeliest(full.logits()))
            await full.prefill(at, next)
            await rebuilt.prefill(at, next)
          }
        })
      })
    })
  })

  describe('parts', () => {
    test('are read as they were written, whatever the spans', async () => {
      const blocks = await recordBlocks(backend(), promptTokens)
      await withContext(backend(), length, async (context) => {
        for (const parts of blocks.toReversed()) await context.write(parts)
        for (const parts of blocks) {
          const { start, end } = parts[0]?.signature.tokens ?? { start: 0, end: 0 }
          expectParts(kvOnly(await context.read({ start, end })), kvOnly(parts))
        }
        const end = blocks.length * BLOCK_TOKENS
        const whole = copyParts(kvOnly(await context.read({ start: 0, end })))
        await withContext(backend(), length, async (other) => {
          await other.write(whole)
          const odd = { start: 1, end: end - 2 }
          for (const [index, { signature, tensors }] of kvOnly(await other.read(odd)).entries()) {
            const part = whole[index] ?? raise()
            expect(signature).toEqual({ ...part.signature, tokens: odd })
            for (const [at, { data }] of tensors.entries())
              expect(Buffer.compare(data, tokensOf(part, part.tensors[at] ?? raise(), odd))).toBe(0)
          }
        })
      })
    })

    test('are the same bytes for every way of computing them, where the model says so', async () => {
      if (!backend().model.isCanonical) return
      const whole = await recordPrefix(backend(), promptTokens)
      await withContext(backend(), length + 16, async (context) => {
        for (const step of [1, 3, 7, 16]) {
          for (let start = 0; start < length; start += step)
            await context.prefill(start, promptTokens.subarray(start, start + step))
          expectParts(await context.read({ start: 0, end: length }), whole)
        }
      })
    })

    test('are what the model says that they are', async () => {
      const parts = await recordPrefix(backend(), promptTokens)
      const { model } = backend()
      expect(parts.map(({ pool }) => pool)).toEqual(model.parts.map(({ pool }) => pool))
      for (const [index, { kind, layers, dtype, layout, positionEncoding, bytes }] of model.parts.entries()) {
        const part = parts[index]
        expect(part?.signature).toEqual({
          model: model.fingerprint,
          kind,
          tokens: { start: 0, end: length },
          layers,
          heads: null,
          dtype,
          layout,
          positionEncoding,
        })
        const found = part?.tensors.reduce((sum, { data }) => sum + data.length, 0)
        expect(found).toBe(kind === 'kv' ? length * bytes : bytes)
      }
    })
  })

  describe('a state', () => {
    test('is read where the latest prefill ended, and nowhere else', async () => {
      if (!hasState(backend())) return
      await withContext(backend(), length, async (context) => {
        await context.prefill(0, promptTokens.subarray(0, 9))
        const kinds = async (start: number, end: number): Promise<readonly string[]> =>
          (await context.read({ start, end })).map(({ signature }) => signature.kind)
        expect(await kinds(0, 9)).toContain('state')
        expect(await kinds(4, 9)).toContain('state')
        expect(await kinds(0, 8)).not.toContain('state')
        await context.prefill(9, promptTokens.subarray(9, 12))
        expect(await kinds(0, 9)).not.toContain('state')
        expect(await kinds(0, 12)).toContain('state')
      })
    })

    test('is forgotten with the tokens that it stands behind', async () => {
      if (!hasState(backend())) return
      await withContext(backend(), length, async (context) => {
        await context.prefill(0, promptTokens.subarray(0, 12))
        const kv = copyParts(kvOnly(await context.read({ start: 8, end: 12 })))
        context.truncate(8)
        await context.write(kv)
        expect(context.filledTokens).toBe(12)
        await expect(context.prefill(12, promptTokens.subarray(12))).rejects.toMatchObject({ code: 'INVALID_REQUEST' })
      })
    })

    test('is needed to go on behind KV that was written', async () => {
      if (!hasState(backend())) return
      const parts = await recordPrefix(backend(), promptTokens.subarray(0, 8))
      await withContext(backend(), length, async (context) => {
        await context.write(kvOnly(parts))
        expect(context.filledTokens).toBe(8)
        const goOn = async (): Promise<void> => await context.prefill(8, promptTokens.subarray(8))
        await expect(goOn()).rejects.toMatchObject({ code: 'INVALID_REQUEST' })
        await context.write(parts.filter(({ signature }) => signature.kind === 'state'))
        await goOn()
        expectLogits(context.logits(), await fullLogits(backend(), promptTokens), exactness)
      })
    })
  })
}

/** Puts fragments into a store on disk, and reads them from one that was opened anew. */
async function overDisk(fragments: readonly Fragment[]): Promise<readonly Fragment[]> {
  const directory = mkdtempSync(join(tmpdir(), 'membrane-kv-'))
  const { hashers } = await loadContentHashers()
  try {
    const store = await openDiskStore({ directory, hashers })
    const keys: string[] = []
    for (const { description, payload } of fragments) {
      const key = fragmentKey(contextName(description))
      const contentHash = hashers.b3.hash(payload)
      const head = encodeDescription(description)
      await store.put({ key, head, payload, payloadBytes: payload.length, contentHash })
      keys.push(key)
    }
    await store.close()
    const reopened = await openDiskStore({ directory, hashers })
    const found: Fragment[] = []
    for (const key of keys) {
      const entry = await reopened.get(key)
      assert(entry !== null, 'what was put is found')
      expect(hashers.b3.hash(entry.payload)).toBe(entry.contentHash)
      found.push({ description: decodeDescription(entry.head), payload: entry.payload.slice() })
    }
    await reopened.close()
    return found
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

function raise(): never {
  throw new Error('A part as it was written was expected.')
}
