import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { runs } from '../../test/effort.ts'
import { ggufBytes, type MetadataValue, smallTokenizer } from '../../test/gguf-writer.ts'
import type { Tokenizer } from '../core/compute.ts'
import { LIMITS } from '../core/limits.ts'
import { parseHeader } from './gguf-header.ts'
import { readGgufHeader } from './gguf.ts'
import { tokenizerOf } from './tokenizer.ts'

const GOLDEN = join(import.meta.dirname, '../../test/golden')
const { metadata: DEBIAN_METADATA } = await readGgufHeader(
  join(import.meta.dirname, '../../models/debian-desc-5M-q8_0.gguf'),
)
const DEBIAN = tokenizerOf({ metadata: DEBIAN_METADATA })

function tokenizerWith(metadata: Readonly<Record<string, MetadataValue>>): Tokenizer {
  const bytes = ggufBytes({ metadata, tensors: [] })
  return tokenizerOf(parseHeader(bytes, bytes.byteLength))
}

/** Texts with the ids that llama.cpp gives them. */
function vectors(name: string): readonly (readonly [string, readonly number[]])[] {
  return JSON.parse(readFileSync(join(GOLDEN, `${name}-tokens.json`), 'utf8'))
}

const SPM_BYTES = Array.from({ length: 256 }, (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`)
const spm: Readonly<Record<string, MetadataValue>> = {
  'tokenizer.ggml.model': { type: 'text', value: 'llama' },
  'tokenizer.ggml.tokens': { type: 'texts', value: [...SPM_BYTES, '\u2581'] },
  'tokenizer.ggml.scores': { type: 'f32s', value: Array<number>(257).fill(0) },
  'tokenizer.ggml.token_type': { type: 'i32s', value: Array.from({ length: 257 }, (_, id) => (id < 256 ? 6 : 1)) },
}

const anyText = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 200 }),
  fc.string({ unit: 'grapheme', maxLength: 60 }),
  // Lone surrogates too.
  fc.array(fc.integer({ min: 0, max: 0xffff }), { maxLength: 40 }).map((units) => String.fromCharCode(...units)),
  fc
    .array(fc.constantFrom('the', ' ', '  ', '\n', 'é', '1', "'s", '.', '日', '👍'), { maxLength: 60 })
    .map((all) => all.join('')),
)

describe('the tokenizer of debian-desc-5M', () => {
  test('gives the ids that llama.cpp gives', () => {
    for (const [text, ids] of vectors('debian-desc-5M')) expect([text, [...DEBIAN.encode(text)]]).toEqual([text, ids])
  })

  test('begins a prompt with token 0, ends a text with it, and has no text for it', () => {
    expect(DEBIAN).toMatchObject({ startTokens: [0], endTokens: [0], vocabularyTokens: 4096 })
    expect(DEBIAN.decode([0])).toBe('')
    expect([...DEBIAN.encode('<|endoftext|>')]).not.toContain(0)
  })

  test('gives every text back, surrogates without a partner as U+FFFD', () => {
    fc.assert(
      fc.property(anyText, (text) => {
        expect(DEBIAN.decode(DEBIAN.encode(text))).toBe(text.toWellFormed())
      }),
      { numRuns: runs(500) },
    )
  })

  test('gives the same ids with words that it has seen before and with new ones', () => {
    fc.assert(
      fc.property(fc.array(anyText, { maxLength: 4 }), anyText, (before, text) => {
        const fresh = tokenizerWith(smallTokenizer(400))
        const used = tokenizerWith(smallTokenizer(400))
        for (const other of before) used.encode(other)
        expect(used.encode(text)).toEqual(fresh.encode(text))
      }),
      { numRuns: runs(30) },
    )
  })

  test('tells any tokens one by one as it tells them together', () => {
    const someIds = fc.array(fc.nat(DEBIAN.vocabularyTokens - 1), { maxLength: 50 })
    fc.assert(
      fc.property(
        fc.oneof(
          someIds,
          anyText.map((text) => [...DEBIAN.encode(text)]),
        ),
        (ids) => {
          const decoder = DEBIAN.decoder()
          const pieces = ids.map((id) => decoder.push(id))
          expect(pieces.join('') + decoder.end()).toBe(DEBIAN.decode(ids))
        },
      ),
      { numRuns: runs(500) },
    )
  })

  test('holds back the bytes of a character until it is whole', () => {
    const decoder = DEBIAN.decoder()
    const pieces = [...DEBIAN.encode('👍')].map((id) => decoder.push(id))
    expect(pieces.length).toBeGreaterThan(1)
    expect(pieces.slice(0, -1).join('')).toBe('')
    expect(pieces.at(-1)).toBe('👍')
    decoder.push(DEBIAN.encode('é')[0] ?? 0)
    expect(decoder.end()).toBe('\ufffd')
  })

  test.each([-1, 4096, 0.5, Number.NaN])('has no text for an id %d', (id) => {
    const wrong = expect.objectContaining({ code: 'INVALID_REQUEST', message: expect.stringContaining('0 to 4095') })
    expect(() => DEBIAN.decode([id])).toThrow(wrong)
    expect(() => DEBIAN.decoder().push(id)).toThrow(wrong)
  })

  test('encodes one endless word of any kind, up to its limit', () => {
    const length = runs(2 ** 17, LIMITS.encodedTextCharactersMax)
    for (const unit of ['a', 'ab', '日', '👍', '\u0301', ' ', '\n', '7', ' \n']) {
      const text = unit.repeat(length / unit.length)
      expect(DEBIAN.decode(DEBIAN.encode(text)) === text).toBe(true)
    }
    expect(() => DEBIAN.encode('a'.repeat(LIMITS.encodedTextCharactersMax + 1))).toThrow(
      expect.objectContaining({ code: 'INVALID_REQUEST' }),
    )
  }, 60_000)
})

const STORIES = join(import.meta.dirname, '../../../shared/data/models/stories260K/stories260K-f32.gguf')
const hasData = existsSync(STORIES)
const WHY = hasData ? '' : ` (SKIPPED: no data folder ${STORIES})`

describe.skipIf(!hasData)(`the tokenizer of stories260K${WHY}`, () => {
  test('gives the ids that llama.cpp gives, and the text back', async () => {
    const tokenizer = tokenizerOf(await readGgufHeader(STORIES))
    expect(tokenizer).toMatchObject({ startTokens: [1], endTokens: [2], vocabularyTokens: 512 })
    for (const [text, ids] of vectors('stories260K')) {
      expect([text, [...tokenizer.encode(text)]]).toEqual([text, ids])
      expect(tokenizer.decode(ids)).toBe(text.toWellFormed().replaceAll('\u2581', ' '))
    }
  })
})

describe('the same vocabulary with the rules of other models', () => {
  type Vectors = Readonly<Record<string, readonly (readonly [string, readonly number[]])[]>>
  const byRules: Vectors = JSON.parse(readFileSync(join(GOLDEN, 'debian-desc-5M-tokens-by-rules.json'), 'utf8'))
  test.each(Object.keys(byRules))('%s: gives the ids that llama.cpp gives', (pre) => {
    const tokenizer = tokenizerOf({ metadata: new Map([...DEBIAN_METADATA, ['tokenizer.ggml.pre', pre]]) })
    for (const [text, ids] of byRules[pre] ?? []) expect([text, [...tokenizer.encode(text)]]).toEqual([text, ids])
  })
})

describe('a vocabulary with user-defined tokens', () => {
  const small = smallTokenizer(300)
  const tokens = ['<tool>', '<tool>>', '→']
  const texts = small['tokenizer.ggml.tokens']
  const kinds = small['tokenizer.ggml.token_type']
  const tokenizer = tokenizerWith({
    ...small,
    'tokenizer.ggml.tokens': { type: 'texts', value: [...(texts?.type === 'texts' ? texts.value : []), ...tokens] },
    'tokenizer.ggml.token_type': { type: 'i32s', value: [...(kinds?.type === 'i32s' ? kinds.value : []), 4, 4, 4] },
  })

  test('has them cut out of a text, the longest first, and gives it back', () => {
    expect([...tokenizer.encode('<tool>')]).toEqual([300])
    expect([...tokenizer.encode('x<tool>>→<tool><tool')]).toEqual([
      ...tokenizer.encode('x'),
      301,
      302,
      300,
      ...tokenizer.encode('<tool'),
    ])
    fc.assert(
      fc.property(fc.array(fc.constantFrom('<', 'tool', '>', '→', 'é', ' '), { maxLength: 20 }), (parts) => {
        expect(tokenizer.decode(tokenizer.encode(parts.join('')))).toBe(parts.join(''))
      }),
    )
  })
})

describe('what is easily confused', () => {
  test('a byte order mark is a character like others', () => {
    const ids = [...DEBIAN.encode('\ufeffx\ufeff')]
    expect(DEBIAN.decode(ids)).toBe('\ufeffx\ufeff')
    const decoder = DEBIAN.decoder()
    expect(ids.map((id) => decoder.push(id)).join('')).toBe('\ufeffx\ufeff')
  })

  test('a byte without a token is not joined with what is before it', () => {
    const tokenizer = tokenizerWith({
      'tokenizer.ggml.model': { type: 'text', value: 'gpt2' },
      'tokenizer.ggml.pre': { type: 'text', value: 'gpt-2' },
      'tokenizer.ggml.tokens': { type: 'texts', value: ['a', 'b', 'ac', 'c'] },
      'tokenizer.ggml.merges': { type: 'texts', value: ['a c'] },
    })
    expect([...tokenizer.encode('bx')]).toEqual([1])
    expect([...tokenizer.encode('ac')]).toEqual([2])
  })

  test('a control token is not what a word of the same letters becomes', () => {
    const small = smallTokenizer(300)
    const texts = small['tokenizer.ggml.tokens']
    const tokens = texts?.type === 'texts' ? ['zz', ...texts.value.slice(1)] : []
    const tokenizer = tokenizerWith({
      ...small,
      'tokenizer.ggml.pre': { type: 'text', value: 'llama-bpe' },
      'tokenizer.ggml.tokens': { type: 'texts', value: tokens },
    })
    expect([...tokenizer.encode('zz')]).toEqual([...tokenizer.encode('z'), ...tokenizer.encode('z')])
  })

  test('SentencePiece puts its space before what follows a user-defined token too', () => {
    const tokenizer = tokenizerWith({
      ...spm,
      'tokenizer.ggml.tokens': { type: 'texts', value: [...SPM_BYTES, '\u2581', 'a', '<x>'] },
      'tokenizer.ggml.scores': { type: 'f32s', value: Array<number>(259).fill(0) },
      'tokenizer.ggml.token_type': {
        type: 'i32s',
        value: Array.from({ length: 259 }, (_, id) => (id < 256 ? 6 : id < 258 ? 1 : 4)),
      },
    })
    expect([...tokenizer.encode('a<x>a')]).toEqual([256, 257, 258, 256, 257])
  })
})

describe('what begins a prompt', () => {
  const with_ = (changes: Readonly<Record<string, MetadataValue | undefined>>): Tokenizer =>
    tokenizerWith(
      Object.fromEntries(
        Object.entries({ ...smallTokenizer(300), ...changes }).flatMap(([key, value]) => (value ? [[key, value]] : [])),
      ),
    )
  const unsaid = { 'tokenizer.ggml.add_bos_token': undefined }

  test('is what the file says', () => {
    expect(with_({}).startTokens).toEqual([0])
    expect(with_({ 'tokenizer.ggml.add_bos_token': { type: 'bool', value: false } }).startTokens).toEqual([])
  })

  test('is nothing for GPT-2, and the start token for Llama 3, where the file says nothing', () => {
    expect(with_(unsaid).startTokens).toEqual([])
    expect(with_({ ...unsaid, 'tokenizer.ggml.pre': { type: 'text', value: 'llama-bpe' } }).startTokens).toEqual([0])
  })

  test('is named by the file when it asks for it', () => {
    expect(() => with_({ 'tokenizer.ggml.bos_token_id': undefined })).toThrow('names none (bos_token_id)')
  })

  test('ends with any of the tokens that end a text or a turn', () => {
    expect(with_({ 'tokenizer.ggml.eot_token_id': { type: 'u32', value: 7 } }).endTokens).toEqual([0, 7])
  })
})

describe('tokenizerOf', () => {
  const small = smallTokenizer(300)
  const refusals: readonly (readonly [string, Readonly<Record<string, MetadataValue>>, string])[] = [
    ['no tokenizer', {}, 'has no tokenizer'],
    ['another kind', { 'tokenizer.ggml.model': { type: 'text', value: 't5' } }, 'kind "t5"; gpt2 and llama'],
    ['rules that are not known', { ...small, 'tokenizer.ggml.pre': { type: 'text', value: 'default' } }, '"default"'],
    [
      'a rule named as what objects have',
      { ...small, 'tokenizer.ggml.pre': { type: 'text', value: 'constructor' } },
      '"constructor"',
    ],
    ['rules that are no text', { ...small, 'tokenizer.ggml.pre': { type: 'u32', value: 1 } }, 'does not say how'],
    ['no tokens', { ...small, 'tokenizer.ggml.tokens': { type: 'texts', value: [] } }, 'has 0 tokens'],
    ['tokens that are no texts', { ...small, 'tokenizer.ggml.tokens': { type: 'i32s', value: [1] } }, 'array of texts'],
    [
      'a token twice',
      {
        ...small,
        'tokenizer.ggml.token_type': { type: 'i32s', value: Array<number>(300).fill(1) },
        'tokenizer.ggml.tokens': { type: 'texts', value: Array<string>(300).fill('a') },
      },
      'both "a"',
    ],
    [
      'a token that is too long',
      {
        ...small,
        'tokenizer.ggml.token_type': { type: 'i32s', value: [1] },
        'tokenizer.ggml.tokens': { type: 'texts', value: ['a'.repeat(1025)] },
      },
      '1025 characters',
    ],
    ['too few kinds', { ...small, 'tokenizer.ggml.token_type': { type: 'i32s', value: [1] } }, 'each of 300 tokens'],
    [
      'a kind that is none',
      { ...small, 'tokenizer.ggml.token_type': { type: 'i32s', value: Array<number>(300).fill(7) } },
      'of kind 7',
    ],
    ['an end that is no token', { ...small, 'tokenizer.ggml.eos_token_id': { type: 'u32', value: 300 } }, '0 to 299'],
    [
      'a merge of what are no tokens',
      { ...small, 'tokenizer.ggml.merges': { type: 'texts', value: ['qq zz'] } },
      'two tokens that make a third',
    ],
    [
      'a merge of one token',
      { ...small, 'tokenizer.ggml.merges': { type: 'texts', value: ['e'] } },
      'two tokens that make a third',
    ],
    [
      'a merge twice',
      { ...small, 'tokenizer.ggml.merges': { type: 'texts', value: ['e e', 'e e'] } },
      'is there twice',
    ],
    [
      'SentencePiece without scores',
      { ...small, 'tokenizer.ggml.model': { type: 'text', value: 'llama' } },
      'the byte 0',
    ],
    [
      'too many user-defined tokens',
      {
        ...small,
        'tokenizer.ggml.merges': { type: 'texts', value: [] },
        'tokenizer.ggml.tokens': { type: 'texts', value: Array.from({ length: 8193 }, (_, id) => `t${id}`) },
        'tokenizer.ggml.token_type': { type: 'i32s', value: Array<number>(8193).fill(4) },
      },
      'more than 8192 user-defined',
    ],
    [
      'SentencePiece without a space',
      { ...spm, 'tokenizer.ggml.tokens': { type: 'texts', value: [...SPM_BYTES, 'a'] } },
      'no token for a space',
    ],
    [
      'SentencePiece with too few scores',
      { ...spm, 'tokenizer.ggml.scores': { type: 'f32s', value: [1] } },
      'one number for each of 257',
    ],
    [
      'SentencePiece with a score that is none',
      { ...spm, 'tokenizer.ggml.scores': { type: 'f32s', value: Array<number>(257).fill(Number.NaN) } },
      'one number for each of 257',
    ],
    [
      'SentencePiece with rules for characters',
      { ...spm, 'tokenizer.ggml.precompiled_charsmap': { type: 'i32s', value: [] } },
      'precompiled_charsmap',
    ],
  ]
  test.each(refusals)('refuses %s', (_, metadata, message) => {
    expect(() => tokenizerWith(metadata)).toThrow(
      expect.objectContaining({ code: 'INVALID_MODEL', message: expect.stringContaining(message) }),
    )
  })
})
