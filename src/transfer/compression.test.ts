import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { MembraneError } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import { seededRandom, standardNormal } from '../core/random.ts'
import { zstdCodec } from '../server/zstd.ts'
import { runs } from '../../test/effort.ts'
import { joinPlanes, lowerBytes, splitPlanes } from './byte-planes.ts'
import { decodeFrame, encodeFrame, sampledRatio } from './compression.ts'

/** Numbers as KV has them: BF16, some channels larger than others. */
function brainFloats(count: number): Uint8Array {
  const random = seededRandom(1)
  const floats = Float32Array.from({ length: count }, (_, index) => standardNormal(random) * (1 + (index % 64) / 8))
  const bits = new Uint32Array(floats.buffer)
  return new Uint8Array(Uint16Array.from(bits, (word) => word >>> 16).buffer)
}

function randomBytes(count: number, seed: number): Uint8Array {
  const random = seededRandom(seed)
  return Uint8Array.from({ length: count }, () => random() * 256)
}

describe('byte planes', () => {
  test('are even and odd bytes, wherever the bytes lie, and join to what was split', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), fc.nat(3), fc.nat(3), (data, offset, planeOffset) => {
        const bytes = new Uint8Array(offset + data.length).fill(1).subarray(offset)
        bytes.set(data)
        const lower = new Uint8Array(planeOffset + lowerBytes(data.length)).subarray(planeOffset)
        const upper = new Uint8Array(data.length - lower.length)
        splitPlanes(bytes, lower, upper)
        expect([...lower]).toEqual([...data].filter((_, at) => at % 2 === 0))
        expect([...upper]).toEqual([...data].filter((_, at) => at % 2 === 1))
        const joined = new Uint8Array(offset + data.length).subarray(offset)
        joinPlanes(lower, upper, joined)
        expect(joined).toEqual(bytes)
      }),
      { numRuns: runs(200) },
    )
  })
})

describe('a frame', () => {
  test('holds the bytes exactly, and takes at most 8 bytes more', () => {
    const data = fc.oneof(
      fc.uint8Array({ maxLength: 300 }),
      fc.tuple(fc.nat(70_000), fc.nat()).map(([count, seed]) => randomBytes(count, seed)),
      fc.nat(70_000).map((count) => brainFloats(35_000).subarray(0, count)),
    )
    fc.assert(
      fc.property(data, fc.boolean(), (bytes, isCompressed) => {
        const frame = encodeFrame(bytes, isCompressed ? zstdCodec : null)
        const into = new Uint8Array(bytes.length)
        decodeFrame(frame, into, zstdCodec)
        expect(into).toEqual(bytes)
        expect(frame.length).toBeLessThanOrEqual(bytes.length + 8)
      }),
      { numRuns: runs(100) },
    )
  })

  test('of 16-bit floats is a quarter smaller, and of noise is not tried', () => {
    const bytes = brainFloats(500_000)
    expect(bytes.length / encodeFrame(bytes, zstdCodec).length).toBeGreaterThan(1.3)
    expect(sampledRatio(bytes, zstdCodec)).toBeGreaterThan(1.3)
    expect(sampledRatio(randomBytes(500_000, 1), zstdCodec)).toBeLessThan(1.001)
    expect(sampledRatio(new Uint8Array(0), zstdCodec)).toBe(1)
    expect(encodeFrame(randomBytes(1000, 2), zstdCodec)[3]).toBe(0)
    expect(() => encodeFrame(new Uint8Array(LIMITS.transferChunkBytesMax + 1), zstdCodec)).toThrow('at most')
  })

  test('that is damaged, or of another length, is INVALID_REQUEST or other bytes', () => {
    const bytes = brainFloats(3000)
    const frame = encodeFrame(bytes, zstdCodec).slice()
    const flips = fc.array(fc.tuple(fc.oneof(fc.nat(20), fc.nat()), fc.nat(255)), { maxLength: 3 })
    fc.assert(
      fc.property(flips, fc.option(fc.nat()), fc.nat(1), (flips, end, more) => {
        const damaged = frame.slice()
        for (const [at, value] of flips) damaged[at % damaged.length] = value
        try {
          const cut = end === null ? damaged : damaged.subarray(0, end % damaged.length)
          decodeFrame(cut, new Uint8Array(bytes.length + more), zstdCodec)
          expect(more === 1 && flips.length === 0).toBe(false)
        } catch (error) {
          expect(error).toBeInstanceOf(MembraneError)
          expect(error).toMatchObject({ code: 'INVALID_REQUEST' })
        }
      }),
      { numRuns: runs(300) },
    )
  })
})
