import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { bytesOf, sha256Of } from '../../test/contracts/store-fixtures.ts'
import { runs } from '../../test/effort.ts'
import { parseContentHash } from '../core/ids.ts'
import { decodeRecord, encodeKill, encodePut, type Place, RECORD_HEADER_BYTES, saltOfFirstRecord } from './record.ts'

const SALT = Uint8Array.of(9, 8, 7, 6, 5, 4, 3, 2)
const LARGE = 2 ** 48 - 1

const places: fc.Arbitrary<Place> = fc.record({
  segment: fc.integer({ min: 1, max: LARGE }),
  offset: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
})
const stamps = fc.record({
  sequence: fc.integer({ min: 1, max: LARGE }),
  syncedThrough: fc.integer({ min: 0, max: LARGE }),
})
const puts = fc.record({
  key: fc.string({ minLength: 1, maxLength: 100, unit: 'grapheme' }).map((key) => Buffer.from(key)),
  head: fc.uint8Array({ maxLength: 200 }),
  contentHash: fc.constantFrom(sha256Of(bytesOf(5)), parseContentHash(`b3:${'0f'.repeat(32)}`)),
  expiresAtMs: fc.option(fc.nat()),
  payloadBytes: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
  isOwn: fc.boolean(),
})

describe('A record', () => {
  test('says what was written, at the place it was written to', () => {
    fc.assert(
      fc.property(places, stamps, puts, (place, stamp, put) => {
        const bytes = Buffer.from(encodePut(SALT, place, stamp, put))
        expect(decodeRecord(bytes, 0, SALT, place)).toEqual({
          kind: 'put',
          ...place,
          ...stamp,
          ...put,
          key: put.key.toString(),
          head: Uint8Array.from(put.head),
          metaBytes: bytes.length,
        })
        expect(saltOfFirstRecord(bytes, place.segment) !== null).toBe(place.offset === 0)
      }),
    )
  })

  test('of a kill says which put is gone', () => {
    fc.assert(
      fc.property(places, stamps, stamps, (place, stamp, { sequence, syncedThrough: segment }) => {
        const bytes = Buffer.from(encodeKill(SALT, place, stamp, { sequence, segment }))
        const target = { sequence, segment }
        expect(decodeRecord(bytes, 0, SALT, place)).toEqual({ kind: 'kill', ...place, ...stamp, target })
      }),
    )
  })

  test('is none elsewhere, with another salt, or with any bit changed', () => {
    const place = { segment: 5, offset: 1000 }
    const put = {
      key: Buffer.from('k'),
      head: bytesOf(9),
      contentHash: sha256Of(bytesOf(1)),
      expiresAtMs: 7,
      payloadBytes: 1,
      isOwn: false,
    }
    const bytes = Buffer.from(encodePut(SALT, place, { sequence: 3, syncedThrough: 2 }, put))
    expect(decodeRecord(bytes, 0, SALT, { ...place, offset: 1001 }).kind).toBe('none')
    expect(decodeRecord(bytes, 0, SALT, { ...place, segment: 6 }).kind).toBe('none')
    expect(decodeRecord(bytes, 0, bytesOf(8), place).kind).toBe('none')
    for (let bit = 0; bit < 8 * bytes.length; bit++) {
      const changed = Buffer.from(bytes)
      changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      const { kind } = decodeRecord(changed, 0, SALT, place)
      expect(kind === 'none' || kind === 'short', `bit ${bit}`).toBe(true)
    }
    for (let length = 0; length < bytes.length; length++) {
      expect(decodeRecord(bytes.subarray(0, length), 0, SALT, place).kind).toBe('short')
    }
  })

  test('is read from any bytes without an error', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), places, fc.boolean(), (bytes, place, isLikely) => {
        const buffer = Buffer.from(bytes)
        if (isLikely && buffer.length >= RECORD_HEADER_BYTES) {
          buffer.set(SALT)
          buffer.writeUIntLE(place.segment, 20, 6)
          buffer.writeUInt32LE(place.offset, 26)
        }
        expect(['none', 'short']).toContain(decodeRecord(buffer, 0, SALT, place).kind)
      }),
      { numRuns: runs(1000, 200_000) },
    )
  })
})
