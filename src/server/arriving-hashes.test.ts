import fc from 'fast-check'
import { expect, test } from 'vitest'
import { runs } from '../../test/effort.ts'
import { loadContentHashers } from '../hashing/content-hashers.ts'
import { ArrivingHashes } from './arriving-hashes.ts'

const { hashers } = await loadContentHashers()
const BYTES = 200_000

test('the hash of what arrived in pieces is that of the whole, however it was cut', () => {
  fc.assert(
    fc.property(fc.array(fc.nat({ max: BYTES }), { maxLength: 10 }), fc.nat({ max: 255 }), (cuts, value) => {
      const hashes = new ArrivingHashes(hashers.b3)
      const payload = Buffer.alloc(BYTES, value)
      const places = [...new Set([0, ...cuts, BYTES])].toSorted((a, b) => a - b)
      for (const [index, start] of places.entries()) {
        const end = places[index + 1]
        if (end !== undefined) hashes.wrote(payload, start, end)
      }
      expect(hashes.hashOf(payload)).toBe(hashers.b3.hash(payload))
    }),
    { numRuns: runs(50) },
  )
})

test('is not known for what is not all there, came out of order, or is short', () => {
  const hashes = new ArrivingHashes(hashers.b3)
  const [half, gap, short] = [Buffer.alloc(BYTES), Buffer.alloc(BYTES), Buffer.alloc(1000)]
  hashes.wrote(half, 0, 1000)
  hashes.wrote(gap, 0, 1000)
  hashes.wrote(gap, 2000, BYTES)
  hashes.wrote(short, 0, 1000)
  expect([half, gap, short].map((payload) => hashes.hashOf(payload))).toEqual([undefined, undefined, undefined])
})
