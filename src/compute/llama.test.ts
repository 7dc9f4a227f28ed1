import { readFileSync } from 'node:fs'
import { copyFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { describeKvBackend } from '../../test/contracts/kv-backend.ts'
import { SKIP_OPTIONAL, TEST_MODELS, WHY_OPTIONAL } from '../../test/optional-engines.ts'
import type { ContextPart, KvBackend, KvContext } from '../core/compute.ts'
import { loadChainHashes } from '../hashing/chain-hashes.ts'
import { loadContentHashers } from '../hashing/content-hashers.ts'
import type { LlamaKvType } from './llama-state.ts'
import { type LlamaBackendOptions, openLlamaBackend } from './llama.ts'
import { openTransformersBackend } from './transformers.ts'

const HASHES = { blake3: (await loadChainHashes()).blake3, content: (await loadContentHashers()).hashers.b3 }
const STORIES = join(TEST_MODELS, 'stories260K/stories260K-f32.gguf')
const DEBIAN_Q8 = join(TEST_MODELS, 'debian-desc-5M/debian-desc-5M-q8_0.gguf')
const DEBIAN_F16 = join(TEST_MODELS, 'debian-desc-5M/debian-desc-5M-f16.gguf')

/**
 * Largest difference of a probability between a prompt computed in one go and one of which a part was restored. The rest
 * is then a smaller batch, for which llama.cpp may take another kernel: 3.2e-3 was the largest found.
 */
const RECOMPUTED_MAX = 0.01

const open = (modelPath: string, options: Partial<LlamaBackendOptions> = {}) =>
  openLlamaBackend({ modelPath, gpu: false, threads: 1, ...options }, HASHES)

const TOKENS = 300

/** Some prose of the package descriptions that were held out in training. */
function prompt(backend: KvBackend): Uint32Array {
  const lines = readFileSync(join(TEST_MODELS, 'debian-desc-5M/val.jsonl'), 'utf8').split('\n', 12)
  const text = lines.map((line) => (JSON.parse(line) as { text: string }).text).join('\n')
  return backend.model.tokenizer.encode(text).subarray(0, TOKENS)
}

async function partsOf(context: KvContext, start: number, end: number): Promise<readonly ContextPart[]> {
  const parts = await context.read({ start, end })
  return parts.map((part) => ({
    ...part,
    tensors: part.tensors.map((tensor) => ({ ...tensor, data: tensor.data.slice() })),
  }))
}

function probabilities(logits: Float32Array): readonly number[] {
  const max = logits.reduce((a, b) => Math.max(a, b))
  const weights = Array.from(logits, (logit) => Math.exp(logit - max))
  const sum = weights.reduce((a, b) => a + b)
  return weights.map((weight) => weight / sum)
}

function distance(a: Float32Array, b: Float32Array): number {
  const others = probabilities(b)
  return probabilities(a).reduce((max, p, id) => Math.max(max, Math.abs(p - (others[id] ?? Number.NaN))), 0)
}

describe.skipIf(SKIP_OPTIONAL).each<[string, string, LlamaKvType]>([
  ['a model of F32, KV of F32', STORIES, 'F32'],
  ['a model of F16, KV of F16', DEBIAN_F16, 'F16'],
  ['a model of Q8_0, KV of F16', DEBIAN_Q8, 'F16'],
  ['a model of Q8_0, KV of Q8_0', DEBIAN_Q8, 'Q8_0'],
])(`llama.cpp with %s${WHY_OPTIONAL}`, (_, path, kvType) => {
  let backend: KvBackend
  let tokenIds: Uint32Array
  let whole: Float32Array
  let context: KvContext
  beforeAll(async () => {
    backend = await open(path, { kvType })
    tokenIds = prompt(backend)
    context = await backend.openContext(TOKENS)
    await context.prefill(0, tokenIds)
    whole = context.logits().slice()
  })
  afterAll(() => backend.close())

  test.each([1, 16, 100, TOKENS - 17, TOKENS - 1])('continues from %i restored tokens', async (split) => {
    const other = await backend.openContext(TOKENS)
    await other.write(await partsOf(context, 0, split))
    await other.prefill(split, tokenIds.subarray(split))
    expect(distance(other.logits(), whole)).toBeLessThan(RECOMPUTED_MAX)
    // Its own KV, continued by the same batch: not one bit may differ.
    const own = await backend.openContext(TOKENS)
    await own.prefill(0, tokenIds)
    own.truncate(split)
    await own.prefill(split, tokenIds.subarray(split))
    expect(other.logits()).toEqual(own.logits())
    expect(await partsOf(other, 0, TOKENS)).toEqual(await partsOf(own, 0, TOKENS))
    await Promise.all([other.close(), own.close()])
  })

  test('takes spans in any order, and gives the same bytes back before and after it has computed', async () => {
    const other = await backend.openContext(TOKENS)
    const bounds = [0, 16, 48, 64, 200]
    for (const index of [2, 0, 3, 1])
      await other.write(await partsOf(context, bounds[index] ?? 0, bounds[index + 1] ?? 0))
    expect(other.filledTokens).toBe(200)
    expect(await partsOf(other, 0, 200)).toEqual(await partsOf(context, 0, 200))
    await other.prefill(200, tokenIds.subarray(200))
    expect(await partsOf(other, 0, 200)).toEqual(await partsOf(context, 0, 200))
    expect(distance(other.logits(), whole)).toBeLessThan(RECOMPUTED_MAX)
    await other.close()
  })

  test('gives equal bits when it is opened again', async () => {
    const parts = await partsOf(context, 0, 100)
    const reopened = await open(path, { kvType })
    expect(reopened.model.fingerprint).toBe(backend.model.fingerprint)
    const [here, there] = [await backend.openContext(TOKENS), await reopened.openContext(TOKENS)]
    for (const each of [here, there]) {
      await each.write(parts)
      await each.prefill(100, tokenIds.subarray(100))
    }
    expect(there.logits()).toEqual(here.logits())
    await here.close()
    await reopened.close()
  })

  test('decodes into the last position of a context without losing the first', async () => {
    const full = await backend.openContext(TOKENS)
    await full.write(await partsOf(context, 0, TOKENS - 3))
    for (let position = TOKENS - 3; position < TOKENS; position++)
      await full.prefill(position, tokenIds.subarray(position, position + 1))
    expect(full.filledTokens).toBe(TOKENS)
    expect(distance(full.logits(), whole)).toBeLessThan(RECOMPUTED_MAX)
    await expect(full.prefill(TOKENS, Uint32Array.of(5))).rejects.toMatchObject({ code: 'OUT_OF_DOMAIN' })
    await full.close()
  })

  test('makes text into tokens and back', () => {
    const { tokenizer } = backend.model
    for (const text of [
      'This package contains',
      ' two  spaces',
      'ünïcode 日本語 😀',
      'not <s> special </s> <|endoftext|>',
    ]) {
      const ids = tokenizer.encode(text)
      expect(tokenizer.decode(ids)).toBe(text)
      const decoder = tokenizer.decoder()
      const streamed = [...ids].map((id) => decoder.push(id)).join('') + decoder.end()
      expect(streamed.trimStart()).toBe(text.trimStart())
      for (const id of [...tokenizer.startTokens, ...tokenizer.endTokens]) expect([...ids]).not.toContain(id)
    }
    expect(tokenizer.decode([...tokenizer.startTokens, ...tokenizer.endTokens])).toBe('')
    expect(() => tokenizer.decode([tokenizer.vocabularyTokens])).toThrow('A token id is below')
  })
})

describe.skipIf(SKIP_OPTIONAL)(`llama.cpp${WHY_OPTIONAL}`, () => {
  let folder: string
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'membrane-test-'))
  })
  afterAll(() => rm(folder, { recursive: true }))

  test('is refused for what is no model, or was asked for wrongly', async () => {
    const broken = join(folder, 'broken.gguf')
    await writeFile(broken, 'GGUF and nothing more')
    await expect(open(broken)).rejects.toMatchObject({ code: 'INVALID_MODEL' })
    const half = join(folder, 'half.gguf')
    await writeFile(half, readFileSync(STORIES).subarray(0, 1_000_000))
    await expect(open(half)).rejects.toMatchObject({ code: 'INVALID_MODEL' })
    await expect(open(join(folder, 'none.gguf'))).rejects.toMatchObject({ code: 'FILE_UNREADABLE' })
    await expect(open(STORIES, { threads: -1 })).rejects.toMatchObject({ code: 'INVALID_CONFIG' })
    await expect(open(STORIES, { contextsMax: 0 })).rejects.toMatchObject({ code: 'INVALID_CONFIG' })
    // In heads of 8 numbers, no group of 32 has room.
    await expect(open(STORIES, { kvType: 'Q8_0' })).rejects.toMatchObject({ code: 'INVALID_CONFIG' })
    await expect(open(STORIES, { gpu: 'cuda' })).rejects.toMatchObject({ code: 'MISSING_PACKAGE' })
  })

  test('keeps a fingerprint with the bytes of the file, the name and the type of KV, wherever the file lies', async () => {
    const same = join(folder, 'stories260K-f32.gguf')
    const changed = join(folder, 'changed', 'stories260K-f32.gguf')
    await copyFile(STORIES, same)
    const bytes = readFileSync(STORIES)
    const last = bytes.length - 1
    bytes[last] = (bytes[last] ?? 0) ^ 1
    await mkdir(join(folder, 'changed'))
    await writeFile(changed, bytes)
    const fingerprints: string[] = []
    for (const [path, options] of [
      [STORIES, {}],
      [same, {}],
      [changed, {}],
      [STORIES, { kvType: 'F32' }],
      [STORIES, { modelName: 'other' }],
    ] as const) {
      const backend = await open(path, options)
      fingerprints.push(backend.model.fingerprint)
      await backend.close()
    }
    expect(fingerprints[1]).toBe(fingerprints[0])
    expect(new Set(fingerprints).size).toBe(4)
  })

  test('refuses the KV of another model before llama.cpp sees it', async () => {
    const [stories, debian] = [await open(STORIES), await open(DEBIAN_Q8)]
    const from = await stories.openContext(20)
    await from.prefill(0, prompt(stories).subarray(0, 20))
    const to = await debian.openContext(20)
    await expect(to.write(await partsOf(from, 0, 20))).rejects.toMatchObject({ code: 'INVALID_FRAGMENT' })
    expect(to.filledTokens).toBe(0)
    await Promise.all([stories.close(), debian.close()])
  })

  test('opens as many contexts as it may, and another when one is closed', async () => {
    const backend = await open(STORIES, { contextsMax: 2 })
    const [first] = await Promise.all([backend.openContext(10), backend.openContext(10)])
    await expect(backend.openContext(10)).rejects.toMatchObject({ code: 'COMPUTE_FULL' })
    await expect(backend.openContext(513)).rejects.toMatchObject({ code: 'OUT_OF_DOMAIN' })
    await first.close()
    await backend.openContext(10)
    await Promise.all([backend.close(), backend.close()])
    await expect(backend.openContext(10)).rejects.toMatchObject({ code: 'INVALID_REQUEST' })
  })

  test('is cancelled between steps, and as before then', async () => {
    const backend = await open(DEBIAN_Q8)
    const tokenIds = Uint32Array.from({ length: 1500 }, (_, index) => 100 + (index % 900))
    const context = await backend.openContext(1600)
    await context.prefill(0, tokenIds.subarray(0, 50))
    const before = await partsOf(context, 0, 50)
    const controller = new AbortController()
    const prefill = context.prefill(50, tokenIds.subarray(50), { signal: controller.signal })
    controller.abort()
    await expect(prefill).rejects.toMatchObject({ code: 'ABORTED' })
    expect(context.filledTokens).toBe(50)
    expect(await partsOf(context, 0, 50)).toEqual(before)
    await context.prefill(50, tokenIds.subarray(50))
    expect(context.filledTokens).toBe(1500)
    await backend.close()
  })

  test('goes on from KV that the ONNX runtime computed, as if it had computed them itself', async () => {
    const llama = await open(STORIES, { kvType: 'F32' })
    const onnx = await openTransformersBackend(
      { model: join(TEST_MODELS, 'stories260K'), threads: 1, tokenizer: llama.model.tokenizer },
      HASHES,
    )
    const tokenIds = prompt(llama)
    const from = await onnx.openContext(TOKENS)
    await from.prefill(0, tokenIds)
    const [to, own] = [await llama.openContext(TOKENS), await llama.openContext(TOKENS)]
    const asOwn = (await partsOf(from, 0, 200)).map((part) => ({
      ...part,
      signature: { ...part.signature, model: llama.model.fingerprint, positionEncoding: 'rope:10000' },
    }))
    await to.write(asOwn)
    await to.prefill(200, tokenIds.subarray(200))
    await own.prefill(0, tokenIds)
    expect(distance(to.logits(), own.logits())).toBeLessThan(1e-3)
    expect(distance(from.logits(), own.logits())).toBeLessThan(1e-2)
    await Promise.all([llama.close(), onnx.close()])
  })
})

/**
 * How much natural logarithms of probabilities may differ, of prompts that were cut anywhere: llama.cpp takes other
 * kernels for batches of other sizes. In 2,112 comparisons of each, 0.0097, 0.0998 and 0 were the largest found.
 */
describe.skipIf(SKIP_OPTIONAL).each<[string, string, LlamaKvType, number]>([
  ['a model of F32, KV of F32', STORIES, 'F32', 0.05],
  ['a model of Q8_0, KV of F16', DEBIAN_Q8, 'F16', 0.3],
  ['a model of Q8_0, KV of Q8_0', DEBIAN_Q8, 'Q8_0', 0.3],
])(`the contract${WHY_OPTIONAL}:`, (name, path, kvType, logitsMax) => {
  describeKvBackend(`llama.cpp with ${name}`, {
    open: () => open(path, { kvType }),
    promptTokens: Uint32Array.from({ length: 80 }, (_, index) => 3 + ((index * 7919) % 500)),
    exactness: { logitsMax },
    // llama.cpp decodes " !" as "!" where the vocabulary is of pairs of bytes.
    losesSpaces: path === DEBIAN_Q8,
    splits: [1, 4, 15, 16, 17, 31, 32, 33, 64, 79],
    bounded: { open: () => open(path, { kvType, contextsMax: 3 }), contextTokens: 40, contexts: 3 },
  })
})
