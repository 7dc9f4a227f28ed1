import { existsSync } from 'node:fs'
import { mkdtemp, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { runs } from '../../test/effort.ts'
import {
  ggufBytes,
  type MetadataValue,
  quantize,
  randomLlama,
  TINY_LLAMA,
  type WrittenTensor,
} from '../../test/gguf-writer.ts'
import { LIMITS } from '../core/limits.ts'
import { type GgufHeader, parseHeader } from './gguf-header.ts'
import { readGguf, readGgufHeader } from './gguf.ts'

let folder = ''
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'membrane-gguf-'))
})
afterAll(async () => {
  await rm(folder, { recursive: true })
})

async function fileOf(bytes: Uint8Array): Promise<string> {
  const path = join(folder, 'model.gguf')
  await writeFile(path, bytes)
  return path
}

/** Numbers are written as u32, big ones as u64, texts with their length. */
type Field = number | bigint | string | Uint8Array

function fields(...all: readonly Field[]): Uint8Array {
  return Buffer.concat(
    all.map((field) => {
      if (field instanceof Uint8Array) return field
      if (typeof field === 'string')
        return Buffer.concat([fields(BigInt(Buffer.byteLength(field))), Buffer.from(field)])
      const bytes = Buffer.alloc(typeof field === 'bigint' ? 8 : 4)
      if (typeof field === 'bigint') bytes.writeBigUInt64LE(field)
      else bytes.writeUInt32LE(field)
      return bytes
    }),
  )
}

const MAGIC = 0x46554747
const U32 = 4
const BOOLEAN = 7
const TEXT = 8
const ARRAY = 9
const F32 = 0
const Q8_0 = 8

/** A file with this metadata, and 64 bytes behind. */
function withMetadata(count: bigint, ...all: readonly Field[]): Uint8Array {
  return fields(MAGIC, 3, 0n, count, ...all, new Uint8Array(64))
}

/** A file with these tensors and 256 bytes of data. */
function withTensors(count: bigint, ...all: readonly Field[]): Uint8Array {
  const head = fields(MAGIC, 3, count, 0n, ...all)
  return fields(head, new Uint8Array(32 - (head.byteLength % 32)), new Uint8Array(256))
}

const parsed = (bytes: Uint8Array): GgufHeader => parseHeader(bytes, bytes.byteLength)

describe('a GGUF file', () => {
  const values = fc.oneof<fc.Arbitrary<MetadataValue>[]>(
    fc.record({ type: fc.constant('u32' as const), value: fc.nat() }),
    fc.record({ type: fc.constant('u64' as const), value: fc.maxSafeNat() }),
    fc.record({ type: fc.constant('f32' as const), value: fc.float({ noNaN: true }) }),
    fc.record({ type: fc.constant('bool' as const), value: fc.boolean() }),
    fc.record({ type: fc.constant('text' as const), value: fc.string({ unit: 'binary' }) }),
    fc.record({ type: fc.constant('texts' as const), value: fc.array(fc.string({ unit: 'binary' })) }),
    fc.record({ type: fc.constant('i32s' as const), value: fc.array(fc.integer()) }),
    fc.record({ type: fc.constant('f32s' as const), value: fc.array(fc.float({ noNaN: true })) }),
  )
  const tensor = fc
    .record({
      shape: fc.array(fc.integer({ min: 1, max: 3 }), { maxLength: 3 }),
      type: fc.constantFrom('F32' as const, 'F16' as const, 'Q8_0' as const),
      first: fc.float({ noNaN: true, min: -100, max: 100 }),
    })
    .map(({ shape, type, first }): Omit<WrittenTensor, 'name'> => {
      const whole = [...shape, 32]
      const values_ = new Float32Array(whole.reduce((a, b) => a * b, 1)).map((_, index) => first + index)
      return { shape: whole, type, values: values_ }
    })
  const name = fc.string({ unit: 'grapheme-ascii', maxLength: 20 }).filter((key) => key !== 'general.alignment')

  test('is read as it was written: values, shapes, types and bytes', async () => {
    const anyFile = fc.record({
      version: fc.constantFrom(2, 3),
      alignmentBytes: fc.constantFrom(undefined, 8, 32, 256),
      metadata: fc.dictionary(name, values, { noNullPrototype: true }),
      tensors: fc.dictionary(name, tensor, { noNullPrototype: true }),
    })
    await fc.assert(
      fc.asyncProperty(anyFile, async ({ tensors, ...rest }) => {
        const written = Object.entries(tensors).map(([key, value]) => ({ name: key, ...value }))
        const { alignmentBytes, ...file } = rest
        const path = await fileOf(
          ggufBytes({ ...file, ...(alignmentBytes === undefined ? {} : { alignmentBytes }), tensors: written }),
        )
        const gguf = await readGguf(path)
        const metadata = new Map(gguf.metadata)
        expect(metadata.get('general.alignment')).toBe(alignmentBytes)
        metadata.delete('general.alignment')
        expect([...metadata.keys()]).toEqual(Object.keys(file.metadata))
        for (const [key, { value }] of Object.entries(file.metadata)) {
          const read = metadata.get(key)
          expect(ArrayBuffer.isView(read) ? [...(read as Int32Array)] : read).toEqual(value)
        }
        expect([...gguf.tensors.values()]).toEqual(
          written.map((w) => ({ name: w.name, shape: w.shape, type: w.type, data: quantize(w.type, w.values) })),
        )
        const header = await readGgufHeader(path)
        expect(header.metadata).toEqual(gguf.metadata)
        expect([...header.tensors.values()].map(({ bytes }) => bytes)).toEqual(
          [...gguf.tensors.values()].map(({ data }) => data.byteLength),
        )
      }),
      { numRuns: runs(60) },
    )
  })

  test('may have a header that is longer than what is read of it at first', async () => {
    const texts = Array.from({ length: 60_000 }, (_, index) => `token ${index} ${'x'.repeat(index % 100)}`)
    const model = randomLlama(TINY_LLAMA)
    const bytes = ggufBytes({ ...model, metadata: { ...model.metadata, texts: { type: 'texts', value: texts } } })
    const { metadata, tensors } = await readGguf(await fileOf(bytes))
    expect(metadata.get('texts')).toEqual(texts)
    expect(tensors.size).toBe(model.tensors.length)
  })

  test('has every kind of number, and integers of 64 bits as they are', () => {
    const { metadata } = parsed(
      withMetadata(
        10n,
        fields('u8', 0, Uint8Array.of(200), 'i8', 1, Uint8Array.of(200), 'u16', 2, Uint8Array.of(1, 200)),
        fields('i16', 3, Uint8Array.of(1, 200), 'u64', 10, 2n ** 53n - 1n, 'u64 above', 10, 2n ** 64n - 1n),
        fields('i64', 11, 2n ** 64n - 5n, 'f64', 12, 0x3ff8000000000000n),
        fields('u64s', ARRAY, 10, 2n, 7n, 2n ** 63n, 'bools', ARRAY, BOOLEAN, 2n, Uint8Array.of(1, 0)),
      ),
    )
    expect(Object.fromEntries(metadata)).toEqual({
      u8: 200,
      i8: -56,
      u16: 51_201,
      i16: -14_335,
      u64: 2 ** 53 - 1,
      'u64 above': 2n ** 64n - 1n,
      i64: -5,
      f64: 1.5,
      u64s: BigUint64Array.of(7n, 2n ** 63n),
      bools: [true, false],
    })
  })

  test('of another type is listed, and refused by its name when its numbers are wanted', async () => {
    const path = await fileOf(withTensors(1n, 'blk.0.ffn_up.weight', 1, 256n, 12, 0n))
    const { tensors } = await readGgufHeader(path)
    expect(tensors.get('blk.0.ffn_up.weight')).toMatchObject({ type: 'Q4_K', bytes: 144, shape: [256] })
    await expect(readGguf(path)).rejects.toMatchObject({
      code: 'INVALID_MODEL',
      message: expect.stringMatching(/blk\.0\.ffn_up\.weight is of the type Q4_K; F32, F16, Q8_0 are read/),
    })
    const unknown = await fileOf(withTensors(1n, 'w', 1, 256n, 99, 0n))
    expect((await readGgufHeader(unknown)).tensors.get('w')).toMatchObject({ type: 'type 99', bytes: null })
    await expect(readGguf(unknown)).rejects.toThrow('w is of the type type 99')
  })

  test('is refused when it is one part of several', async () => {
    const path = await fileOf(withMetadata(1n, 'split.count', U32, 2))
    await expect(readGguf(path)).rejects.toThrow('one of 2 parts')
  })

  test('cut short anywhere says so', () => {
    const bytes = ggufBytes(
      randomLlama({ ...TINY_LLAMA, layers: 1, vocabularyTokens: 258, dimensions: 8, feedForward: 8 }),
    )
    const dataEnd = Math.max(...[...parsed(bytes).tensors.values()].map((t) => t.offset + (t.bytes ?? 0)))
    for (let length = 0; length < dataEnd; length += length < 400 ? 1 : 37)
      expect(() => parsed(bytes.subarray(0, length))).toThrow(
        expect.objectContaining({ code: 'INVALID_MODEL', message: expect.stringContaining('The file ends too early') }),
      )
  })

  test.each<[string, Uint8Array, string]>([
    ['another format', fields(0x04034b50, new Uint8Array(64)), 'does not begin with GGUF'],
    ['version 1', fields(MAGIC, 1, 0, 0), 'version 1; versions 2 and 3'],
    ['version 4', fields(MAGIC, 4, 0n, 0n), 'version 4; versions 2 and 3'],
    ['a big-endian file', fields(MAGIC, 0x03000000, 0n, 0n), 'big-endian'],
    ['too many metadata', withMetadata(16_385n), 'has 16385 metadata'],
    ['too many tensors', fields(MAGIC, 3, 65_537n, 0n), 'has 65537 tensors'],
    ['more metadata than bytes', withMetadata(16_384n), 'The list of metadata and tensors needs 229376 bytes'],
    ['counts above all numbers', withMetadata(2n ** 64n - 1n), 'more than any file holds'],
    ['a key above all lengths', withMetadata(1n, 2n ** 40n), 'has 1099511627776 bytes, at most 65535'],
    ['a text beyond the end', withMetadata(1n, 'k', TEXT, 2n ** 26n), 'The file ends too early'],
    ['a text beyond all headers', withMetadata(1n, 'k', TEXT, 2n ** 40n), 'at most 134217728'],
    ['an array beyond the end', withMetadata(1n, 'k', ARRAY, U32, 2n ** 40n), 'needs 4398046511104 bytes'],
    ['an array of booleans beyond the end', withMetadata(1n, 'k', ARRAY, BOOLEAN, 2n ** 33n), 'needs 8589934592 bytes'],
    ['texts beyond the end', withMetadata(1n, 'k', ARRAY, TEXT, 2n ** 22n), 'needs 33554432 bytes'],
    ['too many texts', withMetadata(1n, 'k', ARRAY, TEXT, 2n ** 22n + 1n), 'may have 4194304 together'],
    ['arrays of arrays', withMetadata(1n, 'k', ARRAY, ARRAY, 1n), 'array of arrays'],
    ['arrays of nothing known', withMetadata(1n, 'k', ARRAY, 13, 1n), 'array of type 13'],
    ['values of nothing known', withMetadata(1n, 'k', 13), 'of type 13'],
    ['a boolean of 2', withMetadata(1n, 'k', BOOLEAN, Uint8Array.of(2)), 'a boolean is 0 or 1'],
    ['a text that is not UTF-8', withMetadata(1n, 'k', TEXT, 1n, Uint8Array.of(0xff)), 'k is not UTF-8'],
    ['a key twice', withMetadata(2n, 'k', U32, 1, 'k', U32, 1), 'two metadata k'],
    ['an alignment of 24', withMetadata(1n, 'general.alignment', U32, 24), 'power of two from 8'],
    ['an alignment of 4', withMetadata(1n, 'general.alignment', U32, 4), 'power of two from 8'],
    ['an alignment of 2^31', withMetadata(1n, 'general.alignment', U32, 2 ** 31), 'power of two from 8'],
    ['an alignment that is a text', withMetadata(1n, 'general.alignment', TEXT, '32'), 'power of two from 8'],
    ['a tensor twice', withTensors(2n, 'a', 1, 1n, F32, 0n, 'a', 1, 1n, F32, 32n), 'two tensors a'],
    ['a long tensor name', withTensors(1n, 'a'.repeat(65), 1, 1n, F32, 0n), 'at most 64 are allowed'],
    ['a tensor without axes', withTensors(1n, 'a', 0, F32, 0n), '0 axes'],
    ['a tensor of five axes', withTensors(1n, 'a', 5, 1n, 1n, 1n, 1n, 1n, F32, 0n), '5 axes'],
    ['an axis of 0', withTensors(1n, 'a', 2, 0n, 1n, F32, 0n), 'every axis must be at least 1'],
    ['a product above all numbers', withTensors(1n, 'a', 2, 2n ** 40n, 2n ** 40n, F32, 0n), 'the product exact'],
    ['rows that are no whole blocks', withTensors(1n, 'a', 2, 33n, 32n, Q8_0, 0n), 'rows of 33 numbers'],
    ['a tensor between alignments', withTensors(1n, 'a', 1, 1n, F32, 16n), 'no multiple of 32'],
    ['tensors that overlap', withTensors(2n, 'a', 1, 9n, F32, 0n, 'b', 1, 1n, F32, 32n), 'a and b overlap'],
    ['tensors in one place', withTensors(2n, 'b', 1, 1n, 99, 32n, 'a', 1, 1n, F32, 32n), 'b and a overlap'],
    ['a tensor beyond the end', withTensors(1n, 'a', 1, 64n, F32, 32n), 'The tensor a ends at byte'],
    ['a tensor far beyond the end', withTensors(1n, 'a', 1, 2n ** 50n, F32, 0n), 'The tensor a ends at byte'],
  ])('is refused: %s', async (_, bytes, message) => {
    await expect(readGguf(await fileOf(bytes))).rejects.toMatchObject({
      code: 'INVALID_MODEL',
      message: expect.stringContaining(message),
    })
  })

  test('above the limit is refused before anything is read, and what is no file too', async () => {
    const path = await fileOf(ggufBytes(randomLlama(TINY_LLAMA)))
    await truncate(path, LIMITS.modelFileBytesMax + 1)
    await expect(readGguf(path)).rejects.toMatchObject({ code: 'LIMIT_REACHED' })
    await expect(readGguf(folder)).rejects.toMatchObject({ code: 'FILE_UNREADABLE' })
    await expect(readGgufHeader(join(folder, 'none'))).rejects.toMatchObject({ code: 'FILE_UNREADABLE' })
  })
})

const MODELS = join(import.meta.dirname, '../../../shared/data/models')
const hasData = existsSync(MODELS)
const WHY = hasData ? '' : ` (SKIPPED: no data folder ${MODELS})`

describe.skipIf(!hasData)(`the real models${WHY}`, () => {
  test.each([
    ['debian-desc-5M/debian-desc-5M-f16.gguf', 56, 5_475_584],
    ['debian-desc-5M/debian-desc-5M-q8_0.gguf', 56, 5_475_584],
    ['stories260K/stories260K-f32.gguf', 47, 260_032],
  ])('%s has its %d tensors and all its parameters', async (path, tensors, parameters) => {
    const gguf = await readGguf(join(MODELS, path))
    expect(gguf.tensors.size).toBe(tensors)
    const counts = [...gguf.tensors.values()].map(({ shape }) => shape.reduce((a, b) => a * b, 1))
    expect(counts.reduce((a, b) => a + b, 0)).toBe(parameters)
    expect(gguf.metadata.get('general.architecture')).toBe('llama')
  })
})
