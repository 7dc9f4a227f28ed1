import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { runs } from '../../test/effort.ts'
import { ggufBytes, type MetadataValue, randomLlama, smallTokenizer, TINY_LLAMA } from '../../test/gguf-writer.ts'
import { MembraneError } from '../core/errors.ts'
import { type GgufHeader, parseHeader } from './gguf-header.ts'
import { tokenizerOf } from './tokenizer.ts'

/** Null for what is refused as it should be. Anything else that is thrown fails the test. */
function validOrRefused<T>(make: () => T): T | null {
  try {
    return make()
  } catch (error) {
    if (error instanceof MembraneError && error.code === 'INVALID_MODEL' && error.message.length < 70_000) return null
    throw error
  }
}

/** Bytes of a file with some replaced, removed or added. Lengths and counts are near the front, and often hit. */
function damaged(file: Uint8Array): fc.Arbitrary<Uint8Array> {
  const place = fc.oneof(fc.nat(Math.min(1200, file.byteLength - 1)), fc.nat(file.byteLength - 1))
  const bytes = fc.oneof(
    fc.uint8Array({ minLength: 1, maxLength: 8 }),
    fc.constantFrom(0, 1, 0x7f, 0x80, 0xff).map((byte) => new Uint8Array(4).fill(byte)),
    fc
      .constantFrom(2n ** 16n, 2n ** 31n, 2n ** 32n, 2n ** 53n, 2n ** 63n, 2n ** 64n - 1n)
      .map((n) => new Uint8Array(BigUint64Array.of(n).buffer)),
  )
  const edit = fc.record({
    place,
    bytes,
    kind: fc.constantFrom('replace', 'replace', 'replace', 'insert', 'remove', 'cut'),
  })
  return fc.array(edit, { minLength: 1, maxLength: 4 }).map((edits) =>
    edits.reduce<Uint8Array>((all, { place: at, bytes: put, kind }) => {
      const behind =
        kind === 'replace' ? at + put.byteLength : kind === 'remove' ? at + 1 : kind === 'cut' ? all.length : at
      return Buffer.concat([all.subarray(0, at), kind === 'remove' ? Buffer.alloc(0) : put, all.subarray(behind)])
    }, file),
  )
}

function checkHeader({ tensors, fileBytes }: GgufHeader): void {
  let end = 0
  for (const { offset, bytes, shape } of [...tensors.values()].sort((a, b) => a.offset - b.offset)) {
    expect(offset).toBeGreaterThanOrEqual(end)
    end = offset + (bytes ?? 1)
    expect(end).toBeLessThanOrEqual(fileBytes)
    expect(shape.every((length) => length >= 1)).toBe(true)
  }
}

function checkTokenizer(header: GgufHeader): void {
  const tokenizer = validOrRefused(() => tokenizerOf(header))
  if (tokenizer === null) return
  for (const text of ['', ' the cat\n', 'é日👍\ud800', '<|endoftext|> 123', 'etaoin '.repeat(20)]) {
    const ids = tokenizer.encode(text)
    expect(ids.every((id) => id < tokenizer.vocabularyTokens)).toBe(true)
    expect(typeof tokenizer.decode(ids)).toBe('string')
  }
  const all = Array.from({ length: Math.min(tokenizer.vocabularyTokens, 1000) }, (_, id) => id)
  expect(tokenizer.decode(all).isWellFormed()).toBe(true)
  for (const id of [...tokenizer.startTokens, ...tokenizer.endTokens])
    expect(id).toBeLessThan(tokenizer.vocabularyTokens)
}

const sentencePiece: Readonly<Record<string, MetadataValue>> = {
  'tokenizer.ggml.model': { type: 'text', value: 'llama' },
  'tokenizer.ggml.tokens': {
    type: 'texts',
    value: [
      '<unk>',
      ...Array.from({ length: 256 }, (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`),
      '\u2581',
      't',
      'h',
      'e',
      'th',
      'the',
      '\u2581the',
      '\u2581t',
      '\u2581\u2581',
    ],
  },
  'tokenizer.ggml.scores': { type: 'f32s', value: Array.from({ length: 266 }, (_, id) => -id) },
  'tokenizer.ggml.token_type': {
    type: 'i32s',
    value: Array.from({ length: 266 }, (_, id) => (id === 0 ? 2 : id <= 256 ? 6 : 1)),
  },
}

const FILES = {
  'a model': ggufBytes(randomLlama({ ...TINY_LLAMA, layers: 1, dimensions: 8, feedForward: 8, vocabularyTokens: 260 })),
  'a byte-level vocabulary': ggufBytes({ metadata: smallTokenizer(300), tensors: [] }),
  'a SentencePiece vocabulary': ggufBytes({ metadata: sentencePiece, tensors: [] }),
}

describe.each(Object.entries(FILES))('%s whose bytes are damaged', (_, file) => {
  test('is refused as an invalid model, or valid', () => {
    let valid = 0
    fc.assert(
      fc.property(damaged(file), (bytes) => {
        const header = validOrRefused(() => parseHeader(bytes, bytes.byteLength))
        if (header === null) return
        valid += 1
        checkHeader(header)
        checkTokenizer(header)
      }),
      { numRuns: runs(400, 50_000) },
    )
    // Otherwise nothing behind the header would have been tried.
    expect(valid).toBeGreaterThan(0)
  }, 60_000)
})

describe('metadata of a tokenizer that are of any type', () => {
  test('are refused, or give a tokenizer that works', () => {
    const token = fc.oneof(
      fc.constantFrom('a', 'b', 'ab', 'Ġ', '\u2581', '<0x41>', ''),
      fc.string({ unit: 'binary', maxLength: 4 }),
    )
    const value = fc.oneof<fc.Arbitrary<MetadataValue>[]>(
      fc.record({ type: fc.constant('u32' as const), value: fc.nat(300) }),
      fc.record({ type: fc.constant('bool' as const), value: fc.boolean() }),
      fc.record({
        type: fc.constant('text' as const),
        value: fc.constantFrom('gpt2', 'llama', 'gpt-2', 'qwen2', '', '__proto__'),
      }),
      fc.record({
        type: fc.constant('texts' as const),
        value: fc.array(
          fc.oneof(
            token,
            fc.tuple(token, token).map((pair) => pair.join(' ')),
          ),
          { maxLength: 8 },
        ),
      }),
      fc.record({
        type: fc.constant('i32s' as const),
        value: fc.array(fc.integer({ min: -1, max: 7 }), { maxLength: 8 }),
      }),
      fc.record({ type: fc.constant('f32s' as const), value: fc.array(fc.float(), { maxLength: 8 }) }),
    )
    const keys = [
      'model',
      'pre',
      'tokens',
      'merges',
      'scores',
      'token_type',
      'bos_token_id',
      'eos_token_id',
      'eot_token_id',
      'add_bos_token',
      'add_space_prefix',
      'precompiled_charsmap',
    ]
    const changes = fc.dictionary(fc.constantFrom(...keys.map((key) => `tokenizer.ggml.${key}`)), value, {
      noNullPrototype: true,
    })
    fc.assert(
      fc.property(fc.constantFrom({}, smallTokenizer(300), sentencePiece), changes, (base, changed) => {
        const bytes = ggufBytes({ metadata: { ...base, ...changed }, tensors: [] })
        checkTokenizer(parseHeader(bytes, bytes.byteLength))
      }),
      { numRuns: runs(300, 20_000) },
    )
  }, 60_000)
})
