import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { runs } from '../../test/effort.ts'
import { tinyRead } from '../../test/tiny-safetensors.ts'
import { MembraneError } from './errors.ts'
import { LIMITS } from './limits.ts'
import { DTYPES, type Dtype, tensorBytes } from './safetensors-dtypes.ts'
import { safetensorsPieces, writeSafetensors } from './safetensors-writer.ts'
import { readSafetensors, readSafetensorsLayout, safetensorsHeaderEnd, type Tensor } from './safetensors.ts'

/** A file of this header and so many bytes of data. The header is padded unless its length is given. */
function fileOf(header: string, data: number | readonly number[] = 0, headerBytes?: number): Uint8Array {
  const text = new TextEncoder().encode(header)
  const padded = headerBytes ?? Math.ceil(text.length / 8) * 8
  const bytes = typeof data === 'number' ? Array.from({ length: data }, (_, index) => index % 251) : data
  const file = new Uint8Array(8 + Math.max(padded, text.length) + bytes.length).fill(0x20)
  new DataView(file.buffer).setBigUint64(0, BigInt(padded), true)
  file.set(text, 8)
  file.set(bytes, 8 + Math.max(padded, text.length))
  return file
}

function refusal(file: Uint8Array): string {
  try {
    readSafetensors(file)
  } catch (error) {
    if (error instanceof MembraneError && error.code === 'INVALID_FRAGMENT') return error.message
    throw error
  }
  return 'accepted'
}

const tensor = (name: string, dtype: Dtype, shape: readonly number[], first = 0): Tensor => {
  const data = new Uint8Array(tensorBytes(dtype, shape) ?? 0)
  return { name, dtype, shape, data: data.map((_, index) => first + index) }
}

const arbitraryName = fc.oneof(
  fc.constantFrom('layers.0.k', 'layers.0.v', 'layers.10.k', '__proto__', '1', '\u{1f600}', '\uff21', '"\\\n', ''),
  fc.string({ unit: 'grapheme', maxLength: 5 }),
)
const arbitraryTensor: fc.Arbitrary<Tensor> = fc
  .record({
    name: arbitraryName.filter((name) => name !== '__metadata__'),
    dtype: fc.constantFrom(...DTYPES),
    shape: fc.array(fc.nat(3), { maxLength: 4 }),
    first: fc.nat(255),
  })
  .map(({ name, dtype, shape, first }) => tensor(name, dtype, shape, first))
const arbitraryTensors = fc.uniqueArray(arbitraryTensor, { maxLength: 6, selector: ({ name }) => name })
const arbitraryMetadata = fc.dictionary(arbitraryName, fc.string({ unit: 'grapheme' }), { maxKeys: 4 })

describe('a safetensors file', () => {
  it('has the bytes that the reference implementation gives', () => {
    const f32 = new Uint8Array(Float32Array.of(0, 1, 2, 3, 4, 5).buffer)
    const aligned = writeSafetensors([{ name: 'attn.0', dtype: 'F32', shape: [1, 2, 3], data: f32 }])
    expect(aligned).toEqual(fileOf('{"attn.0":{"dtype":"F32","shape":[1,2,3],"data_offsets":[0,24]}}', [...f32], 64))
    const padded = writeSafetensors([{ name: 'attn0', dtype: 'F32', shape: [1, 1, 2, 3], data: f32 }])
    expect(padded).toEqual(
      fileOf('{"attn0":{"dtype":"F32","shape":[1,1,2,3],"data_offsets":[0,24]}}       ', [...f32], 72),
    )
    expect([...writeSafetensors([])]).toEqual([8, 0, 0, 0, 0, 0, 0, 0, 123, 125, 32, 32, 32, 32, 32, 32])
    expect(writeSafetensors([], { framework: 'pt' })).toEqual(fileOf('{"__metadata__":{"framework":"pt"}}', 0, 40))
  })

  it('has wide elements first, then names in the order of their UTF-8 bytes', () => {
    const names = ['b', 'a', '\u{1f600}', '\uff21', 'ab']
    const tensors = [
      ...DTYPES.map((dtype) => tensor(dtype, dtype, [1])),
      ...names.map((name) => tensor(name, 'U8', [1])),
    ]
    const written = readSafetensors(writeSafetensors(tensors)).tensors.map(({ name }) => name)
    const wide = 'U64 I64 F64 F32 U32 I32 BF16 F16 U16 I16 F8_E4M3 F8_E5M2 I8'.split(' ')
    expect(written).toEqual([...wide, 'U8', 'a', 'ab', 'b', '\uff21', '\u{1f600}', 'BOOL'])
  })

  it('is read back by this and by another reader, for any tensors', () => {
    fc.assert(
      fc.property(arbitraryTensors, arbitraryMetadata, (tensors, metadata) => {
        const file = writeSafetensors(tensors, metadata)
        const read = readSafetensors(file)
        expect(new Map(read.metadata)).toEqual(new Map(Object.entries(metadata)))
        const byName = (a: Tensor, b: Tensor): number => (a.name < b.name ? -1 : 1)
        expect(read.tensors.toSorted(byName)).toEqual(tensors.toSorted(byName))
        const tiny = tinyRead(file)
        expect(new Map(Object.entries(tiny.metadata))).toEqual(new Map(Object.entries(metadata)))
        for (const { name, dtype, shape, data } of tensors)
          expect(tiny.tensors.get(name)).toEqual({ dtype, shape, bytes: [...data] })
        expect(tiny.tensors.size).toBe(tensors.length)
      }),
      { numRuns: runs(200) },
    )
  })

  it('has the same bytes in whatever order it is written', () => {
    fc.assert(
      fc.property(arbitraryTensors, arbitraryMetadata, (tensors, metadata) => {
        const turned = Object.fromEntries(Object.entries(metadata).toReversed())
        expect(writeSafetensors(tensors.toReversed(), turned)).toEqual(writeSafetensors(tensors, metadata))
      }),
      { numRuns: runs(50) },
    )
  })

  it('gives its tensors as aligned views, and is written from them without a copy', () => {
    const file = writeSafetensors([tensor('b', 'U8', [3]), tensor('a', 'F64', [2])])
    const { tensors } = readSafetensors(file)
    for (const { data } of tensors) expect(data.buffer).toBe(file.buffer)
    expect(tensors.map(({ name, data }) => [name, data.byteOffset % 8])).toEqual([
      ['a', 0],
      ['b', 0],
    ])
    const { pieces, payloadBytes } = safetensorsPieces(tensors)
    expect(pieces.slice(1)).toEqual(tensors.map(({ data }) => data))
    expect(pieces[1]).toBe(tensors[0]?.data)
    expect(payloadBytes).toBe(file.length)
  })

  it('within a larger buffer is read from its own bytes only', () => {
    const file = writeSafetensors([tensor('a', 'U16', [5], 7)], { x: 'y' })
    const larger = new Uint8Array(file.length + 30).fill(0xee)
    larger.set(file, 13)
    const read = readSafetensors(larger.subarray(13, 13 + file.length))
    expect(read).toEqual(readSafetensors(file))
    for (let length = 0; length < file.length; length++)
      expect(refusal(larger.subarray(13, 13 + length)), `${length} bytes`).not.toBe('accepted')
    expect(refusal(larger.subarray(13, 14 + file.length))).toContain('11 bytes follow the header')
  })

  it('is laid out from its header alone', () => {
    const file = writeSafetensors([tensor('a', 'U16', [5]), tensor('b', 'U8', [1])])
    const end = safetensorsHeaderEnd(file.subarray(0, 8), file.length)
    const layout = readSafetensorsLayout(file.subarray(0, end), file.length)
    expect(layout.tensors.map(({ name, span }) => [name, span.start - end, span.end - end])).toEqual([
      ['a', 0, 10],
      ['b', 10, 11],
    ])
    expect(() => readSafetensorsLayout(file.subarray(0, end - 1), file.length)).toThrow('bytes are needed')
    expect(() => readSafetensorsLayout(file.subarray(0, end), file.length + 1)).toThrow('12 bytes follow')
  })
})

describe('a file that is no safetensors file', () => {
  const T = '"dtype":"U16","shape":[2],"data_offsets":[0,4]'

  it.each([
    ['nothing', new Uint8Array(0), 'begins with 8 bytes of length; found 0 bytes'],
    ['half a length', new Uint8Array(7), 'found 7 bytes'],
    ['no header', new Uint8Array(8), 'Character 0 of a safetensors header: expected "{" at once; found the end'],
    ['a header that is cut off', fileOf('{}', 0, 16).subarray(0, 16), 'should take 16 bytes, but only 8 follow'],
    ['a huge header', fileOf('{}', 0, 8).fill(0xff, 0, 8), `takes at most ${LIMITS.safetensorsHeaderBytesMax} bytes`],
    ['a header that is not padded', fileOf('{}', 0, 2), 'multiple of 8 bytes, so that tensors are aligned; found 2'],
    ['no UTF-8', fileOf('{}').fill(0xff, 10, 11), 'must be UTF-8'],
    ['a byte order mark', fileOf('\ufeff{}'), 'expected "{" at once'],
    ['a space before the header', fileOf(' {}'), 'expected "{" at once'],
    ['another padding', fileOf('{}\n'), 'Character 2 of a safetensors header: expected nothing but spaces'],
    ['more after the header', fileOf('{}{}'), 'expected nothing but spaces; found "{}    "'],
    ['a list', fileOf('[]'), 'expected "{" at once'],
    ['an open object', fileOf('{"a":{'), 'expected the name of a field in double quotes; found the end'],
    ['a comma too many', fileOf(`{"a":{${T}},}`, 4), 'expected the name of a tensor in double quotes; found "}'],
    ['an open name', fileOf('{"a'), 'Character 1 of a safetensors header: expected the name of a tensor'],
    ['an escape at the end', fileOf('{"a\\'), 'Character 1 of a safetensors header: expected the name of a tensor'],
    ['a wrong escape', fileOf('{"\\x":1}'), 'expected the name of a tensor in double quotes'],
    ['a line break in a name', fileOf('{"\n":1}'), 'expected the name of a tensor in double quotes'],
    ['half a surrogate pair', fileOf(`{"\\ud800":{${T}}}`, 4), 'the name of a tensor without lone surrogates'],
    ['a tensor twice', fileOf(`{"a":{${T}},"\\u0061":{${T}}}`, 4), 'another name than "a", just read again,'],
    ['metadata twice', fileOf('{"__metadata__":{},"__metadata__":{}}'), 'another name than "__metadata__"'],
    ['a metadata name twice', fileOf('{"__metadata__":{"a":"","a":""}}'), 'a metadata entry of another name than "a"'],
    ['a field twice', fileOf(`{"a":{${T},"dtype":"U16"}}`, 4), 'a field of another name than "dtype"'],
    ['metadata that is null', fileOf('{"__metadata__":null}'), 'expected "{"; found "null'],
    ['metadata of numbers', fileOf('{"__metadata__":{"a":1}}'), 'expected a text in double quotes; found "1'],
    ['an unknown field', fileOf(`{"a":{${T},"scale":1}}`, 4), 'no field but dtype, shape and data_offsets in "a"'],
    ['a missing field', fileOf('{"a":{"dtype":"U8","shape":[]}}'), 'dtype, shape and data_offsets in "a"'],
    ['one offset', fileOf('{"a":{"dtype":"U8","shape":[],"data_offsets":[0]}}'), 'two data_offsets in "a"'],
    ['three offsets', fileOf(`{"a":{${T.replace('[0,4]', '[0,4,4]')}}}`, 4), 'two data_offsets in "a"'],
    ['an unknown dtype', fileOf(`{"a":{${T.replace('U16', 'F4')}}}`, 4), 'Tensor "a" must have a dtype of BOOL, U8'],
    ['an inherited dtype', fileOf(`{"a":{${T.replace('U16', 'toString')}}}`, 4), 'must have a dtype of'],
    ['a negative length', fileOf(`{"a":{${T.replace('[2]', '[-2]')}}}`, 4), 'a whole number below 2^53; found "-2]'],
    ['a fraction', fileOf(`{"a":{${T.replace('[2]', '[2.0]')}}}`, 4), 'a whole number below 2^53; found "2.0'],
    ['an exponent', fileOf(`{"a":{${T.replace('[2]', '[2e0]')}}}`, 4), 'a whole number below 2^53; found "2e0'],
    ['a leading zero', fileOf(`{"a":{${T.replace('[2]', '[02]')}}}`, 4), 'a whole number below 2^53; found "02]'],
    ['an inexact number', fileOf(`{"a":{${T.replace('[2]', '[9007199254740993]')}}}`, 4), 'a whole number below 2^53'],
    [
      'an endless number',
      fileOf(`{"a":{${T.replace('[2]', `[${'9'.repeat(400)}]`)}}}`, 4),
      'a whole number below 2^53',
    ],
    [
      'an overflowing shape',
      fileOf(`{"a":{${T.replace('[2]', '[4294967296,4294967296]')}}}`, 4),
      'less than 2^53 bytes',
    ],
    [
      'a shape that overflows before it is empty',
      fileOf('{"a":{"dtype":"U8","shape":[4294967296,4294967296,0],"data_offsets":[0,0]}}'),
      'less than 2^53 bytes',
    ],
    ['a shape of another size', fileOf(`{"a":{${T.replace('[2]', '[3]')}}}`, 4), 'data_offsets 6 bytes apart for [3]'],
    ['more data than its shape', fileOf(`{"a":{${T.replace('[2]', '[1]')}}}`, 4), 'data_offsets 2 bytes apart for [1]'],
    [
      'a shape that is empty before it overflows',
      fileOf('{"a":{"dtype":"U8","shape":[0,4294967296,4294967296],"data_offsets":[0,0]}}'),
      'less than 2^53 bytes',
    ],
    ['offsets that go back', fileOf(`{"a":{${T.replace('[0,4]', '[4,0]')}}}`, 4), 'data_offsets 4 bytes apart'],
    ['offsets beyond the data', fileOf(`{"a":{${T}}}`, 3), 'The tensors take 4 bytes, but 3 bytes follow'],
    ['data of no tensor', fileOf(`{"a":{${T}}}`, 5), 'The tensors take 4 bytes, but 5 bytes follow'],
    ['a hole', fileOf(`{"a":{${T.replace('[0,4]', '[2,6]')}}}`, 6), 'Tensor "a" must have data that begins at 0'],
    ['an overlap', fileOf(`{"a":{${T}},"b":{${T.replace('[0,4]', '[2,6]')}}}`, 6), 'begins at 4, where what is before'],
    ['the same bytes twice', fileOf(`{"a":{${T}},"b":{${T}}}`, 4), 'Tensor "b" must have data that begins at 4'],
    [
      'a tensor that is not aligned',
      fileOf(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{${T.replace('[0,4]', '[1,5]')}}}`, 5),
      'Tensor "b" must have a start that is a multiple of 2',
    ],
  ])('is refused: %s', (_, file, message) => {
    expect(refusal(file)).toContain(message)
  })

  it('is not refused for spaces inside, another order of fields, or empty tensors', () => {
    const header =
      '{ "e" : {"data_offsets":[4,4],"shape":[0,9],"dtype":"F64"},\n"a":{"dtype":"U16","shape":[2],"data_offsets":[0,4]},' +
      '"b":{"dtype":"U8","shape":[],"data_offsets":[4,5]},"f":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}'
    // F64 at 4 would not be aligned, empty or not.
    expect(refusal(fileOf(header, 5))).toContain('multiple of 8')
    const read = readSafetensors(fileOf(header.replace('F64', 'F32'), 5))
    expect(read.tensors.map(({ name, data }) => [name, ...data])).toEqual([['f'], ['a', 0, 1, 2, 3], ['e'], ['b', 4]])
  })

  it('made from a valid one by changing bytes is refused as such, or another reader reads the same', () => {
    const change = fc.record({ at: fc.nat(), byte: fc.nat(255), drop: fc.nat(2), insert: fc.boolean() })
    const changes = fc.array(change, { minLength: 1, maxLength: 3 })
    fc.assert(
      fc.property(arbitraryTensors, arbitraryMetadata, changes, (tensors, metadata, edits) => {
        let bytes = [...writeSafetensors(tensors, metadata)]
        for (const { at, byte, drop, insert } of edits)
          bytes = bytes.toSpliced(at % (bytes.length + 1), drop, ...(insert ? [byte] : []))
        agree(Uint8Array.from(bytes))
      }),
      { numRuns: runs(1000) },
    )
  })

  it('made from a valid header by changing its words is refused as such, or another reader reads the same', () => {
    const words = [
      '"dtype"',
      '"U8"',
      '"F64"',
      '[',
      ']',
      '{',
      '}',
      ':',
      ',',
      '0',
      '1',
      '8',
      '"a"',
      '"__metadata__"',
      ' ',
    ]
    const edit = fc.record({
      at: fc.nat(),
      drop: fc.nat(3),
      words: fc.array(fc.constantFrom(...words), { maxLength: 4 }),
    })
    fc.assert(
      fc.property(
        arbitraryTensors,
        fc.array(edit, { minLength: 1, maxLength: 3 }),
        fc.nat(40),
        (tensors, edits, data) => {
          const file = writeSafetensors(tensors)
          const header = new TextDecoder().decode(file.subarray(8, safetensorsHeaderEnd(file, file.length)))
          let tokens: string[] = header.match(/"(?:[^"\\]|\\.)*"|\d+|\s+|./gu) ?? []
          for (const { at, drop, words } of edits) tokens = tokens.toSpliced(at % (tokens.length + 1), drop, ...words)
          agree(fileOf(tokens.join(''), data))
        },
      ),
      { numRuns: runs(1000) },
    )
  })

  /** Whatever is accepted, the other reader accepts, with the same tensors. */
  function agree(file: Uint8Array): void {
    if (refusal(file) !== 'accepted') return
    const { tensors } = readSafetensors(file)
    const tiny = tinyRead(file)
    expect(tiny.tensors.size).toBe(tensors.length)
    for (const { name, dtype, shape, data } of tensors)
      expect(tiny.tensors.get(name)).toEqual({ dtype, shape, bytes: [...data] })
  }
})

describe('a writer', () => {
  it.each([
    ['two tensors of one name', [tensor('a', 'U8', [1]), tensor('a', 'U16', [1])], 'Two tensors have the name "a"'],
    ['a tensor named as metadata', [tensor('__metadata__', 'U8', [1])], 'cannot be the name of a tensor'],
    ['half a surrogate pair', [tensor('\ud800', 'U8', [1])], 'cannot be the name of a tensor'],
    ['data of another size', [{ ...tensor('a', 'U8', [1]), shape: [2] }], 'must have 2 bytes, by its shape; found 1'],
    ['a shape of fractions', [{ ...tensor('a', 'U8', [1]), shape: [0.5, 2] }], 'must be whole numbers'],
    ['a huge shape', [{ ...tensor('a', 'U8', [1]), shape: [2 ** 30, 2 ** 30] }], 'beyond 2^53 bytes'],
    ['a huge payload', [{ ...tensor('a', 'U8', [1]), shape: [2 ** 32] }], '4294967295 are the most'],
    ['a huge header', [tensor('a'.repeat(LIMITS.safetensorsHeaderBytesMax), 'U8', [1])], '1048576 are the most'],
  ] as const)('refuses %s', (_, tensors, message) => {
    expect(() => writeSafetensors(tensors)).toThrow(message)
    expect(() => writeSafetensors(tensors)).toThrow(MembraneError)
  })

  it('refuses metadata that is no text', () => {
    expect(() => writeSafetensors([], { a: '\udc00' })).toThrow('Metadata "a" must be text without lone surrogates.')
  })
})
