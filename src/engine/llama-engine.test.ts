import { createHash } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, describe, expect, test } from 'vitest'
import { runs } from '../../test/effort.ts'
import { ggufBytes, type LlamaShape, randomLlama, TINY_LLAMA } from '../../test/gguf-writer.ts'
import { runReference } from '../../test/reference-llama.ts'
import { readGguf } from './gguf.ts'
import { LlamaEngine, type LlamaEngineOptions } from './llama-engine.ts'

const OPTIONS: LlamaEngineOptions = { threads: 1, memoryBytesMax: 64 * 1024 * 1024 }

const open: LlamaEngine[] = []
afterEach(async () => {
  for (const engine of open.splice(0)) await engine.close()
})

async function engineOf(shape: LlamaShape, options: Partial<LlamaEngineOptions> = {}) {
  const dir = mkdtempSync(join(tmpdir(), 'membrane-engine-'))
  const path = join(dir, 'model.gguf')
  writeFileSync(path, ggufBytes(randomLlama(shape)))
  const gguf = await readGguf(path)
  rmSync(dir, { recursive: true })
  const engine = await LlamaEngine.open(gguf, { ...OPTIONS, ...options })
  open.push(engine)
  return { engine, gguf }
}

/** Bytes of the KV and of the scores after `tokenIds`, computed in pieces of `step`. */
async function computed(engine: LlamaEngine, tokenIds: Uint32Array, step: number) {
  const capacity = tokenIds.length + 5
  const kv = await engine.allocateKv(capacity)
  // What is beyond the tokens must not matter: here numbers that are none.
  engine.bytes(kv, capacity * engine.kvBytesPerToken).fill(0xff)
  const logits = new Float32Array(engine.config.vocabularyTokens)
  for (let start = 0; start < tokenIds.length; start += step) {
    await engine.prefill({ kv, capacity, start, tokenIds: tokenIds.subarray(start, start + step), logits })
  }
  const { layers, kvHeads, headDim } = engine.config
  const row = kvHeads * headDim
  const parts = Array.from({ length: 2 * layers }, (_, index) => {
    const bytes = engine.bytes(kv + index * capacity * row * 4, tokenIds.length * row * 4).slice()
    return new Float32Array(bytes.buffer)
  })
  engine.releaseKv(kv)
  return { parts, logits }
}

function tokensOf(count: number, { vocabularyTokens }: LlamaShape): Uint32Array {
  return Uint32Array.from({ length: count }, (_, index) => (index * 7919 + 11) % vocabularyTokens)
}

/** Heads of 16, three queries a key, FFN and vocabulary that fill no panel, more positions than one block of sums. */
const ODD: LlamaShape = {
  ...TINY_LLAMA,
  dimensions: 96,
  heads: 6,
  kvHeads: 2,
  feedForward: 172,
  vocabularyTokens: 301,
  contextTokens: 700,
  isTied: false,
  ropeTheta: 500_000,
  seed: 7,
}

describe('the numbers', () => {
  test.each([
    ['a small model', TINY_LLAMA, 40],
    ['a model of odd lengths', ODD, 300],
  ])('are those of plain 64-bit arithmetic to 2e-5: %s', async (_, shape, count) => {
    const { engine, gguf } = await engineOf(shape)
    const tokenIds = tokensOf(count, shape)
    const { parts, logits } = await computed(engine, tokenIds, count)
    const reference = runReference(gguf, engine.config, tokenIds)
    for (let layer = 0; layer < engine.config.layers; layer++) {
      expect(largestDifference(parts[2 * layer], reference.keys[layer]?.flat())).toBeLessThan(2e-5)
      expect(largestDifference(parts[2 * layer + 1], reference.values[layer]?.flat())).toBeLessThan(2e-5)
    }
    expect(largestDifference(logits, reference.logits)).toBeLessThan(2e-5)
  })

  test('are the same bits for every chunking, thread count and build', async () => {
    const tokenIds = tokensOf(290, ODD)
    const { engine } = await engineOf(ODD)
    const expected = digestOf(await computed(engine, tokenIds, tokenIds.length))
    for (const threads of [1, 2, 3]) {
      const { engine: other } = await engineOf(ODD, { threads })
      for (const step of [1, 7, 13, 64, 160, 290])
        expect(digestOf(await computed(other, tokenIds, step))).toBe(expected)
    }
    const { engine: portable } = await engineOf(ODD, { threads: 2, build: 'portable' })
    for (const step of [7, 290]) expect(digestOf(await computed(portable, tokenIds, step))).toBe(expected)
  }, 30_000)

  test('are the same bits for any chunking of any prompt', async () => {
    const { engine } = await engineOf(TINY_LLAMA, { threads: 2 })
    const prompt = fc.uint8Array({ minLength: 1, maxLength: 120 })
    await fc.assert(
      fc.asyncProperty(prompt, fc.integer({ min: 1, max: 120 }), async (bytes, step) => {
        const tokenIds = Uint32Array.from(bytes)
        const whole = await computed(engine, tokenIds, tokenIds.length)
        expect(digestOf(await computed(engine, tokenIds, step))).toBe(digestOf(whole))
      }),
      { numRuns: runs(20) },
    )
  })
})

function digestOf({ parts, logits }: Awaited<ReturnType<typeof computed>>): string {
  const hash = createHash('sha256')
  for (const numbers of [...parts, logits]) hash.update(numbers)
  return hash.digest('hex')
}

function largestDifference(a: Float32Array | undefined, b: readonly number[] | undefined): number {
  expect(a?.length).toBe(b?.length)
  return Math.max(...(b ?? []).map((value, index) => Math.abs(value - (a?.[index] ?? Number.NaN))))
}
