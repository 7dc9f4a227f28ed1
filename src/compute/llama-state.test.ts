import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { runs } from '../../test/effort.ts'
import { MembraneError } from '../core/errors.ts'
import { buildLlamaState, GGML_TYPES, type LlamaKvType, type LlamaState, parseLlamaState } from './llama-state.ts'

/** Two tokens, one layer with keys of two F32 numbers and values of one F16 number. */
const GOLDEN = Uint8Array.from(
  Buffer.from(
    `
    71736767 03000000 02000000 07000000 e8030000
    01000000 02000000
    00000000 01000000 00000000
    01000000 01000000 00000000
    00000000 01000000
    00000000 0800000000000000 0a0b0c0d0e0f1011 1415161718191a1b
    01000000 0200000000000000 1e1f 2829
    `.replaceAll(/\s/g, ''),
    'hex',
  ),
)

const KV_TYPES = Object.keys(GGML_TYPES) as readonly LlamaKvType[]

/** Where numbers of the golden file stand. */
const AT = {
  magic: 0,
  version: 4,
  tokens: 8,
  streams: 20,
  cells: 24,
  position: 40,
  sequences: 44,
  transposed: 52,
  layers: 56,
  type: 60,
  rowBytes: 64,
  rowBytesHigh: 68,
}

const states: fc.Arbitrary<LlamaState> = fc
  .record({
    tokenIds: fc.uint8Array({ minLength: 1, maxLength: 70 }).map((ids) => Uint32Array.from(ids)),
    rows: fc.array(fc.record({ type: fc.constantFrom(...KV_TYPES), groups: fc.integer({ min: 1, max: 3 }) }), {
      minLength: 1,
      maxLength: 4,
    }),
    seed: fc.nat(250),
  })
  .map(({ tokenIds, rows, seed }) => {
    const rowsOf = (shift: number) =>
      rows.map(({ type, groups }, layer) => {
        const rowBytes = groups * GGML_TYPES[type].groupBytes
        const data = Uint8Array.from({ length: rowBytes * tokenIds.length }, (_, i) => i * 7 + layer + seed + shift)
        return { type, rowBytes, data }
      })
    return { tokenIds, keys: rowsOf(0), values: rowsOf(100) }
  })

describe('a state of llama.cpp', () => {
  test('is read as tokens and rows', () => {
    expect(parseLlamaState(GOLDEN)).toEqual({
      tokenIds: Uint32Array.of(7, 1000),
      keys: [{ type: 'F32', rowBytes: 8, data: GOLDEN.subarray(72, 88) }],
      values: [{ type: 'F16', rowBytes: 2, data: Uint8Array.of(30, 31, 40, 41) }],
    })
  })

  test('is written as it was read', () => {
    expect(buildLlamaState(parseLlamaState(GOLDEN))).toEqual(GOLDEN)
    fc.assert(
      fc.property(states, (state) => {
        const file = buildLlamaState(state)
        expect(parseLlamaState(file)).toEqual(state)
        expect(buildLlamaState(parseLlamaState(file))).toEqual(file)
      }),
      { numRuns: runs(50) },
    )
  })

  test('that lies somewhere in a larger buffer is read alike', () => {
    const buffer = new Uint8Array(GOLDEN.length + 3)
    buffer.set(GOLDEN, 3)
    expect(parseLlamaState(buffer.subarray(3))).toEqual(parseLlamaState(GOLDEN))
  })

  test('cut into blocks of 16 tokens and put together again is the same file', () => {
    fc.assert(
      fc.property(states, (state) => {
        const file = buildLlamaState(state)
        const { tokenIds, keys, values } = parseLlamaState(file)
        const starts = Array.from({ length: Math.ceil(tokenIds.length / 16) }, (_, block) => 16 * block)
        const rejoined = (rows: LlamaState['keys']) =>
          rows.map(({ data, rowBytes, ...rest }) => {
            const blocks = starts.map((start) => data.slice(start * rowBytes, (start + 16) * rowBytes))
            return { ...rest, rowBytes, data: Uint8Array.from(Buffer.concat(blocks)) }
          })
        expect(buildLlamaState({ tokenIds, keys: rejoined(keys), values: rejoined(values) })).toEqual(file)
      }),
      { numRuns: runs(50) },
    )
  })

  test.each([
    ['another mark', AT.magic, 0, 'the mark "ggsq"; found 1734832896 at byte 0'],
    ['another version', AT.version, 4, 'version 3; found 4'],
    ['no tokens', AT.tokens, 0, 'tokens'],
    ['more tokens than bytes', AT.tokens, 0xff, 'tokens'],
    ['two streams', AT.streams, 2, '1 stream; found 2'],
    ['more cells than tokens', AT.cells, 3, '2 cells, as many as tokens; found 3'],
    ['a cell of another position', AT.position, 5, 'position 1 in the cell of that number; found 5'],
    ['a cell of two sequences', AT.sequences, 2, '1 sequence in cell 1; found 2'],
    ['transposed values', AT.transposed, 1, 'V by rows, as with flash attention; found 1'],
    ['no layers', AT.layers, 0, 'layers'],
    ['more layers than bytes', AT.layers, 0xff, 'layers'],
    ['an unknown type', AT.type, 2, 'rows of F32, F16, Q8_0; found type 2'],
    ['empty rows', AT.rowBytes, 0, 'rows of a multiple of 4 bytes; found 0'],
    ['rows that are no whole numbers', AT.rowBytes, 7, 'rows of a multiple of 4 bytes; found 7'],
    ['rows beyond the end', AT.rowBytes, 0xf0, 'more bytes'],
    ['rows of 4 GiB', AT.rowBytesHigh, 1, 'rows of less than 4 GiB; found 1'],
  ])('with %s is refused', (_, at, byte, message) => {
    const file = GOLDEN.slice()
    file[at] = byte
    expect(() => parseLlamaState(file)).toThrow(message)
  })

  test('that goes on after its last row is refused', () => {
    expect(() => parseLlamaState(Uint8Array.from([...GOLDEN, 0]))).toThrow(
      'an end after the last row; found 1 more bytes',
    )
  })

  test('that ends early is refused, wherever it ends', () => {
    for (let end = 0; end < GOLDEN.length; end++)
      expect(() => parseLlamaState(GOLDEN.subarray(0, end))).toThrow(MembraneError)
  })

  test('of any bytes is refused, or is the file that would be written for what was read', () => {
    const changes = fc.array(fc.tuple(fc.nat(GOLDEN.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 })
    fc.assert(
      fc.property(changes, (bytes) => {
        const file = GOLDEN.slice()
        for (const [at, byte] of bytes) file[at] = byte
        let state: LlamaState
        try {
          state = parseLlamaState(file)
        } catch (error) {
          expect(error).toMatchObject({ code: 'INVALID_FRAGMENT' })
          return
        }
        expect(buildLlamaState(state)).toEqual(file)
      }),
      { numRuns: runs(500) },
    )
  })
})
