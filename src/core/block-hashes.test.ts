import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { runs } from '../../test/effort.ts'
import {
  type BlockHashes,
  blockHashAt,
  commonBlocks,
  digestAt,
  eventHashes,
  joinBlockHashes,
  packBlockHashes,
  sliceBlockHashes,
  unpackBlockHashes,
} from './block-hashes.ts'
import { parseBlockHash } from './ids.ts'

const packed = (chain: string, digestBytes: number, bytes: readonly number[]): BlockHashes => ({
  chain,
  digestBytes,
  count: bytes.length / digestBytes,
  bytes: Uint8Array.from(bytes),
})

const anyHashes: fc.Arbitrary<BlockHashes> = fc
  .record({ digestBytes: fc.constantFrom(8, 16, 32), count: fc.integer({ min: 1, max: 12 }) })
  .chain(({ digestBytes, count }) =>
    fc
      .uint8Array({ minLength: count * digestBytes, maxLength: count * digestBytes })
      .map((bytes) => ({ chain: 'sha256_cbor', digestBytes, count, bytes })),
  )

describe('packed block hashes', () => {
  test('are as text what they were before packing', () => {
    fc.assert(
      fc.property(anyHashes, (hashes) => {
        const texts = unpackBlockHashes(hashes)
        expect(texts.map(parseBlockHash)).toEqual(texts)
        expect(packBlockHashes(texts)).toEqual(hashes)
      }),
      { numRuns: runs(100) },
    )
  })

  test('have the text <chain>:<hex>', () => {
    const hashes = packed('dynamo', 8, [0, 1, 2, 3, 4, 5, 6, 7, 248, 249, 250, 251, 252, 253, 254, 255])
    expect(unpackBlockHashes(hashes)).toEqual(['dynamo:0001020304050607', 'dynamo:f8f9fafbfcfdfeff'])
    expect([...digestAt(hashes, 1)]).toEqual([248, 249, 250, 251, 252, 253, 254, 255])
  })

  test('are one list cut and joined anywhere', () => {
    fc.assert(
      fc.property(anyHashes, fc.nat(), (hashes, where) => {
        const cut = where % (hashes.count + 1)
        expect(joinBlockHashes(sliceBlockHashes(hashes, 0, cut), sliceBlockHashes(hashes, cut))).toEqual(hashes)
        expect(commonBlocks(hashes, sliceBlockHashes(hashes, 0, cut))).toBe(cut)
      }),
      { numRuns: runs(100) },
    )
  })

  test('have in common what comes before the first difference, and nothing with another chain', () => {
    const a = packed('x', 2, [1, 2, 3, 4, 5, 6])
    expect(commonBlocks(a, packed('x', 2, [1, 2, 3, 9, 5, 6]))).toBe(1)
    expect(commonBlocks(a, packed('x', 2, [9, 2, 3, 4, 5, 6]))).toBe(0)
    expect(commonBlocks(a, packed('y', 2, [1, 2]))).toBe(0)
  })

  test('are in events their last eight bytes, big-endian, wherever the array lies', () => {
    const bytes = Uint8Array.from(
      [
        [9, 9, 9],
        [0, 0, 0, 0, 0, 0, 0, 7],
        [1, 0, 0, 0, 0, 0, 0, 2],
      ].flat(),
    )
    const wide = { chain: 'x', digestBytes: 16, count: 1, bytes: bytes.subarray(3) }
    expect([...eventHashes(wide)]).toEqual([0x0100000000000002n])
    expect([...eventHashes({ ...wide, digestBytes: 8, count: 2 })]).toEqual([7n, 0x0100000000000002n])
  })

  test('do not mix', () => {
    const long = parseBlockHash('b3:0011')
    expect(() => packBlockHashes([])).toThrowError(/one or more/)
    expect(() => packBlockHashes([long, parseBlockHash('b4:0011')])).toThrowError(/number 1 is b4:0011/)
    expect(() => packBlockHashes([long, parseBlockHash('b3:00')])).toThrowError(/number 1 is b3:00\./)
    expect(() => joinBlockHashes(packed('x', 2, [1, 2]), packed('y', 2, [1, 2]))).toThrowError(/cannot follow/)
  })

  test('have no block outside', () => {
    const hashes = packed('x', 2, [1, 2, 3, 4])
    for (const index of [-1, 2, 0.5]) {
      expect(() => blockHashAt(hashes, index)).toThrowError(expect.objectContaining({ code: 'OUT_OF_DOMAIN' }))
    }
    for (const [start, end] of [
      [-1, 1],
      [1, 3],
      [2, 1],
      [0.5, 1],
    ] as const) {
      expect(() => sliceBlockHashes(hashes, start, end)).toThrowError(/not within/)
    }
  })
})
