import { readFileSync } from 'node:fs'
import { cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { runs } from '../../test/effort.ts'
import { describeKvBackend } from '../../test/contracts/kv-backend.ts'
import { SKIP_OPTIONAL, TEST_MODELS, WHY_OPTIONAL } from '../../test/optional-engines.ts'
import type { ContextPart, KvBackend, KvContext } from '../core/compute.ts'
import { loadChainHashes } from '../hashing/chain-hashes.ts'
import { loadContentHashers } from '../hashing/content-hashers.ts'
import { readModelFolder } from './transformers-folder.ts'
import { swapAxes } from './transformers-sequence.ts'
import { plainPieces } from './transformers-tokenizer.ts'
import { openTransformersBackend, type TransformersBackendOptions } from './transformers.ts'

const HASHES = { blake3: (await loadChainHashes()).blake3, content: (await loadContentHashers()).hashers.b3 }

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'membrane-test-'))
})
afterAll(() => rm(folder, { recursive: true }))

describe('axes', () => {
  test('that are swapped bring heads behind tokens', () => {
    expect([...swapAxes(Float32Array.of(1, 2, 3, 4, 5, 6), 3, 1, 2)]).toEqual([1, 2, 3, 4, 5, 6])
    expect([...swapAxes(Float32Array.of(1, 2, 3, 4, 5, 6), 2, 3, 1)]).toEqual([1, 4, 2, 5, 3, 6])
  })

  test('that are swapped twice are as before', () => {
    const sizes = fc.tuple(
      fc.integer({ min: 1, max: 4 }),
      fc.integer({ min: 1, max: 4 }),
      fc.integer({ min: 1, max: 4 }),
    )
    fc.assert(
      fc.property(sizes, ([a, b, numbers]) => {
        const from = Float32Array.from({ length: a * b * numbers }, (_, index) => index)
        expect(swapAxes(swapAxes(from, a, b, numbers), b, a, numbers)).toEqual(from)
      }),
      { numRuns: runs(30) },
    )
  })
})

describe('a text that spells out special tokens', () => {
  test('is cut inside each of them, and nowhere else', () => {
    expect(plainPieces('a </s></s> b', ['</s>', '<s>', 'a'])).toEqual(['a <', '/s><', '/s> b'])
    expect(plainPieces('', ['</s>'])).toEqual([''])
  })

  test('has none in any of its pieces, and all of its characters', () => {
    const text = fc.array(fc.constantFrom('<', 's', '>', '<s>', '</s>', '<<', 'x')).map((parts) => parts.join(''))
    fc.assert(
      fc.property(text, (written) => {
        const pieces = plainPieces(written, ['<s>', '</s>', '<<'])
        expect(pieces.join('')).toBe(written)
        for (const piece of pieces) expect(piece).not.toMatch(/<s>|<\/s>|<</)
      }),
      { numRuns: runs(200) },
    )
  })
})

describe('the folder of a model', () => {
  const put = async (name: string, files: Readonly<Record<string, string>>): Promise<string> => {
    const path = join(folder, name)
    await mkdir(join(path, 'onnx'), { recursive: true })
    for (const [file, text] of Object.entries(files)) await writeFile(join(path, file), text)
    return path
  }
  const FILES = {
    'config.json': '{"eos_token_id": 2}',
    'generation_config.json': '{"eos_token_id": [2, 3]}',
    'tokenizer.json': '{"added_tokens": [{"content": "</s>"}, {"id": 7}]}',
    'onnx/model.onnx': 'graph',
    'onnx/model.onnx_data': 'weights',
  }

  test('says which tokens end a text, and which are special', async () => {
    const read = await readModelFolder(await put('plain', FILES), 'fp32', HASHES.content)
    expect(read).toMatchObject({ endTokens: [2, 3], specialTexts: ['</s>'] })
    const { 'tokenizer.json': _, 'generation_config.json': __, ...bare } = FILES
    const without = await readModelFolder(await put('bare', bare), 'fp32', HASHES.content)
    expect(without).toMatchObject({ endTokens: [2], specialTexts: null })
  })

  test('has another hash when any of its files has other bytes, but not for files of other precisions', async () => {
    const hashOf = async (name: string, files: Readonly<Record<string, string>>) =>
      (await readModelFolder(await put(name, files), 'fp32', HASHES.content)).contentHash
    const hash = await hashOf('first', FILES)
    expect(await hashOf('second', { ...FILES, 'onnx/model_quantized.onnx': 'other', 'README.md': 'words' })).toBe(hash)
    for (const [index, file] of Object.keys(FILES).entries())
      expect(
        await hashOf(`changed-${index}`, { ...FILES, [file]: file.endsWith('.json') ? '{}' : 'changed' }),
      ).not.toBe(hash)
  })

  test('is refused without a graph of the precision that was asked for', async () => {
    await expect(readModelFolder(await put('fp32', FILES), 'q4', HASHES.content)).rejects.toMatchObject({
      code: 'INVALID_MODEL',
      message: 'The model folder has no onnx/model_q4.onnx.',
    })
    await expect(readModelFolder(join(folder, 'none'), 'fp32', HASHES.content)).rejects.toMatchObject({
      code: 'FILE_UNREADABLE',
    })
  })
})

const STORIES = join(TEST_MODELS, 'stories260K')
const TEXT =
  'Once upon a time, there was a little girl named Lily. She loved to play outside in the park. One day, she saw a big, red ball.'

/** Of any run of the graph, however it is cut: 4e-7 was the largest difference of a probability that was found. */
const RECOMPUTED_MAX = 1e-5

describe.skipIf(SKIP_OPTIONAL)(`an ONNX model in the usual layout${WHY_OPTIONAL}`, () => {
  let model: string
  let backend: KvBackend
  let tokenIds: Uint32Array
  let whole: Float32Array
  let context: KvContext
  const open = (options: Partial<TransformersBackendOptions> = {}) =>
    openTransformersBackend({ model, threads: 1, ...options }, HASHES)

  beforeAll(async () => {
    model = await storiesFolder(join(folder, 'hub/someone/stories'))
    backend = await open()
    tokenIds = Uint32Array.from([...backend.model.tokenizer.startTokens, ...backend.model.tokenizer.encode(TEXT)])
    context = await backend.openContext(tokenIds.length)
    await context.prefill(0, tokenIds)
    whole = context.logits().slice()
  })
  afterAll(() => backend.close())

  test('has its tokenizer, and writes stories', async () => {
    const { tokenizer, contextTokensMax } = backend.model
    expect([tokenizer.vocabularyTokens, tokenizer.startTokens, tokenizer.endTokens]).toEqual([512, [1], [2]])
    expect(contextTokensMax).toBe(512)
    for (const text of [TEXT, ' two  spaces', 'ünï 日本 😀', 'no <s> special </s>']) {
      expect(tokenizer.decode(tokenizer.encode(text))).toBe(text)
      const decoder = tokenizer.decoder()
      expect([...tokenizer.encode(text)].map((id) => decoder.push(id)).join('') + decoder.end()).toBe(text)
    }
    const story = await backend.openContext(60)
    const ids = [1, ...tokenizer.encode('Once upon a time')]
    await story.prefill(0, Uint32Array.from(ids))
    while (ids.length < 30) {
      const logits = story.logits()
      const next = logits.indexOf(Math.max(...logits))
      await story.prefill(ids.length, Uint32Array.of(next))
      ids.push(next)
    }
    expect(tokenizer.decode(ids)).toMatch(/^Once upon a time, there was a little/)
    await story.close()
  })

  test.each([1, 7, 20])('continues from %i restored tokens, written in any order', async (split) => {
    const other = await backend.openContext(tokenIds.length)
    const middle = Math.floor(split / 2)
    await other.write(await partsOf(context, middle, split))
    if (middle > 0) await other.write(await partsOf(context, 0, middle))
    expect(other.filledTokens).toBe(split)
    await other.prefill(split, tokenIds.subarray(split))
    expect(distance(other.logits(), whole)).toBeLessThan(RECOMPUTED_MAX)
    expect(await partsOf(other, 0, split)).toEqual(await partsOf(context, 0, split))
    const own = await backend.openContext(tokenIds.length)
    await own.prefill(0, tokenIds)
    own.truncate(split)
    await own.prefill(split, tokenIds.subarray(split))
    expect(other.logits()).toEqual(own.logits())
    await Promise.all([other.close(), own.close()])
  })

  test('gives equal bits when it is opened again, from the hub too', async () => {
    const reopened = await open({ model: 'someone/stories', hubFolder: join(folder, 'hub') })
    expect(reopened.model.fingerprint).toBe(backend.model.fingerprint)
    const [here, there] = [await backend.openContext(100), await reopened.openContext(100)]
    for (const each of [here, there]) {
      await each.write(await partsOf(context, 0, 10))
      await each.prefill(10, tokenIds.subarray(10))
    }
    expect(there.logits()).toEqual(here.logits())
    await here.close()
    await reopened.close()
  })

  test('is refused with a wrong name, folder, or no tokenizer', async () => {
    await expect(open({ model: '../stories', hubFolder: folder })).rejects.toMatchObject({ code: 'INVALID_CONFIG' })
    await expect(open({ model: STORIES })).rejects.toMatchObject({
      code: 'INVALID_MODEL',
      message: 'The model folder has no tokenizer.json.',
    })
    await expect(open({ device: 'abacus' })).rejects.toMatchObject({ code: 'INVALID_MODEL' })
    await expect(open({ contextTokensMax: 0 })).rejects.toMatchObject({ code: 'INVALID_CONFIG' })
  })
})

describe.skipIf(SKIP_OPTIONAL)(`the contract${WHY_OPTIONAL}:`, () => {
  let model: string
  beforeAll(async () => {
    model = await storiesFolder(join(folder, 'contract'))
  })
  const open = (options: Partial<TransformersBackendOptions> = {}) =>
    openTransformersBackend({ model, threads: 1, ...options }, HASHES)
  describeKvBackend('the ONNX runtime', {
    open,
    promptTokens: Uint32Array.from({ length: 80 }, (_, index) => 3 + ((index * 7919) % 500)),
    // In 1,896 comparisons 5.4e-6 was the largest found.
    exactness: { logitsMax: 1e-4 },
    splits: [1, 4, 15, 16, 17, 31, 32, 33, 64, 79],
    bounded: { open: () => open({ contextsMax: 3 }), contextTokens: 40, contexts: 3 },
  })
})

async function partsOf(context: KvContext, start: number, end: number): Promise<readonly ContextPart[]> {
  const parts = await context.read({ start, end })
  return parts.map((part) => ({
    ...part,
    tensors: part.tensors.map((tensor) => ({ ...tensor, data: tensor.data.slice() })),
  }))
}

function distance(a: Float32Array, b: Float32Array): number {
  const [first, second] = [a, b].map((logits) => {
    const weights = Array.from(logits, (logit) => Math.exp(logit - Math.max(...logits)))
    const sum = weights.reduce((x, y) => x + y)
    return weights.map((weight) => weight / sum)
  })
  return Math.max(...(first ?? []).map((p, id) => Math.abs(p - (second?.[id] ?? Number.NaN))))
}

/** The model with a tokenizer, in a folder of its own. */
async function storiesFolder(model: string): Promise<string> {
  await mkdir(join(model, 'onnx'), { recursive: true })
  await cp(join(STORIES, 'config.json'), join(model, 'config.json'))
  await cp(join(STORIES, 'onnx/model.onnx'), join(model, 'onnx/model.onnx'))
  await writeFile(join(model, 'tokenizer.json'), JSON.stringify(storiesTokenizer()))
  await writeFile(join(model, 'tokenizer_config.json'), JSON.stringify({ tokenizer_class: 'PreTrainedTokenizer' }))
  return model
}

/** The vocabulary of tok512.bin as a tokenizer.json: pieces with scores become merges in the order of their ids. */
function storiesTokenizer(): unknown {
  const file = readFileSync(join(STORIES, 'tok512.bin'))
  const pieces: string[] = []
  for (let at = 4; at < file.length; ) {
    const bytes = file.readInt32LE(at + 4)
    pieces.push(file.toString('utf8', at + 8, at + 8 + bytes))
    at += 8 + bytes
  }
  const FIRST_PIECE = 259
  const vocabulary = pieces.map((piece, id) => {
    if (id < 3) return ['<unk>', '<s>', '</s>'][id] ?? ''
    if (id < FIRST_PIECE) return `<0x${(id - 3).toString(16).toUpperCase().padStart(2, '0')}>`
    return piece.replaceAll(' ', '▁')
  })
  const known = new Set(vocabulary.slice(FIRST_PIECE))
  const merges = vocabulary
    .slice(FIRST_PIECE)
    .flatMap((piece) =>
      Array.from({ length: Math.max(0, piece.length - 1) }, (_, index) => [
        piece.slice(0, index + 1),
        piece.slice(index + 1),
      ]).filter((pair) => pair.every((part) => known.has(part))),
    )
  const special = (id: number, content: string) => ({
    id,
    content,
    special: true,
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized: false,
  })
  return {
    version: '1.0',
    added_tokens: [special(0, '<unk>'), special(1, '<s>'), special(2, '</s>')],
    normalizer: { type: 'Replace', pattern: { String: ' ' }, content: '▁' },
    pre_tokenizer: null,
    post_processor: {
      type: 'TemplateProcessing',
      single: [{ SpecialToken: { id: '<s>', type_id: 0 } }, { Sequence: { id: 'A', type_id: 0 } }],
      pair: [],
      special_tokens: { '<s>': { id: '<s>', ids: [1], tokens: ['<s>'] } },
    },
    decoder: {
      type: 'Sequence',
      decoders: [
        { type: 'Replace', pattern: { String: '▁' }, content: ' ' },
        { type: 'ByteFallback' },
        { type: 'Fuse' },
      ],
    },
    model: {
      type: 'BPE',
      unk_token: '<unk>',
      fuse_unk: true,
      byte_fallback: true,
      vocab: Object.fromEntries(vocabulary.map((piece, id) => [piece, id])),
      merges,
    },
  }
}
