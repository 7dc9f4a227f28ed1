import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { MembraneError } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import { seededRandom } from '../core/random.ts'
import { loadContentHashers } from '../hashing/content-hashers.ts'
import { runs } from '../../test/effort.ts'
import { chunkCount, chunkSpan, impliedManifest, ManifestBuilder, manifestOf } from './chunks.ts'
import { decodeManifest, encodeManifest } from './manifest-codec.ts'
import { ReceiveState } from './receive-state.ts'

const { hashers } = await loadContentHashers()
const CHUNK = LIMITS.transferChunkBytesMin

function payloadOf(bytes: number): Uint8Array {
  const random = seededRandom(bytes)
  const payload = new Uint8Array(bytes)
  for (let at = 0; at < bytes; at += 61) payload[at] = random() * 256
  return payload
}

/** Every outcome but the right one is INVALID_REQUEST, and what is accepted says what its bytes say. */
function expectStrict<T>(bytes: Uint8Array, decode: (bytes: Uint8Array) => T, encode: (value: T) => Uint8Array): void {
  const flips = fc.array(fc.tuple(fc.oneof(fc.nat(60), fc.nat()), fc.nat(255)), { maxLength: 3 })
  fc.assert(
    fc.property(flips, fc.option(fc.nat()), fc.uint8Array({ maxLength: 2 }), (flips, end, more) => {
      const damaged = Uint8Array.from([...bytes.subarray(0, end === null ? bytes.length : end % bytes.length), ...more])
      for (const [at, value] of flips) if (at < damaged.length) damaged[at] = value
      try {
        expect(encode(decode(damaged))).toEqual(damaged)
      } catch (error) {
        expect(error).toBeInstanceOf(MembraneError)
        expect(error).toMatchObject({ code: 'INVALID_REQUEST' })
      }
    }),
    { numRuns: runs(300) },
  )
}

describe('a manifest', () => {
  test('cuts a payload into chunks without gaps, whatever the pieces it was made from', () => {
    fc.assert(
      fc.property(fc.nat(5 * CHUNK), fc.array(fc.nat(2 * CHUNK), { maxLength: 8 }), (bytes, cuts) => {
        const payload = payloadOf(bytes)
        const manifest = manifestOf(payload, hashers.b3, CHUNK)
        const builder = new ManifestBuilder({ ...manifest }, hashers.b3)
        let at = 0
        for (const cut of [...cuts, bytes]) {
          builder.update(payload.subarray(at, at + cut))
          at = Math.min(bytes, at + cut)
        }
        expect(builder.manifest()).toEqual(manifest)
        const spans = Array.from({ length: chunkCount(manifest) }, (_, index) => chunkSpan(manifest, index))
        expect(spans.reduce((end, span) => (span.start === end && span.end > end ? span.end : -1), 0)).toBe(bytes)
        const state = new ReceiveState(manifest, hashers.b3)
        for (const [index, { start, end }] of spans.entries()) {
          expect(state.accept(index, payload.subarray(start, end))).toBe('accepted')
          expect(state.accept(index, payload.subarray(start, end))).toBe('already')
        }
        expect(state.isComplete).toBe(true)
        expect(state.acceptedBytes).toBe(bytes)
        expect(decodeManifest(encodeManifest(manifest))).toEqual(manifest)
        const implied = impliedManifest(manifest, CHUNK)
        if (bytes <= CHUNK) expect(implied).toEqual(manifest)
        else expect(implied).toBeNull()
      }),
      { numRuns: runs(30) },
    )
  })

  test('is decoded from nothing but what it is encoded to', () => {
    expectStrict(
      encodeManifest(manifestOf(payloadOf(3 * CHUNK + 5), hashers.b3, CHUNK)),
      decodeManifest,
      encodeManifest,
    )
  })

  test('is refused with chunks out of bounds and bytes that are missing or too many', () => {
    for (const chunkBytes of [CHUNK - 1, LIMITS.transferChunkBytesMax + 1, CHUNK + 0.5])
      expect(() => manifestOf(payloadOf(10), hashers.b3, chunkBytes)).toThrow('A chunk takes')
    const builder = new ManifestBuilder({ ...manifestOf(payloadOf(10), hashers.b3, CHUNK) }, hashers.b3)
    expect(() => builder.manifest()).toThrow('found 0')
    expect(() => builder.update(payloadOf(11))).toThrow('found 11')
  })
})

describe('the state of a transfer', () => {
  const payload = payloadOf(70 * CHUNK - 3)
  const manifest = manifestOf(payload, hashers.b3, CHUNK)
  const chunkOf = (index: number): Uint8Array => payload.subarray(index * CHUNK, (index + 1) * CHUNK)

  test('knows what is missing, and goes on from its encoded form', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(69)), fc.array(fc.nat(69)), (indices, forgotten) => {
        const state = new ReceiveState(manifest, hashers.b3)
        for (const index of indices) state.accept(index, chunkOf(index))
        for (const index of forgotten) state.forget(index)
        const held = new Set(indices.filter((index) => !forgotten.includes(index)))
        const missing = [...state.missing()].flatMap(({ start, end }) =>
          Array.from({ length: end - start }, (_, at) => start + at),
        )
        expect(missing).toEqual(Array.from({ length: 70 }, (_, index) => index).filter((index) => !held.has(index)))
        const resumed = new ReceiveState(manifest, hashers.b3)
        expect(resumed.resume(state.encode())).toBe(true)
        expect([...resumed.missing()]).toEqual([...state.missing()])
        expect(resumed.acceptedBytes).toBe([...held].reduce((sum, index) => sum + chunkOf(index).length, 0))
        expect(resumed.acceptedChunks).toBe(held.size)
      }),
      { numRuns: runs(30) },
    )
  })

  test('takes no other bytes for a chunk, nor the state of another payload', () => {
    const state = new ReceiveState(manifest, hashers.b3)
    expect(state.accept(0, chunkOf(1))).toBe('damaged')
    expect(state.accept(0, chunkOf(0).subarray(1))).toBe('damaged')
    expect(state.damagedChunks).toBe(2)
    const other = new ReceiveState(manifestOf(payload.subarray(1), hashers.b3, CHUNK), hashers.b3)
    expect(other.resume(state.encode())).toBe(false)
    const coarser = new ReceiveState(manifestOf(payload, hashers.b3, 2 * CHUNK), hashers.b3)
    expect(coarser.resume(state.encode())).toBe(false)
  })

  test('is decoded from nothing but what it is encoded to', () => {
    const state = new ReceiveState(manifest, hashers.b3)
    for (const index of [0, 1, 2, 7, 9, 10, 69]) state.accept(index, chunkOf(index))
    const decode = (bytes: Uint8Array): ReceiveState | null => {
      const fresh = new ReceiveState(manifest, hashers.b3)
      return fresh.resume(bytes) ? fresh : null
    }
    // Of another payload nothing is known but that it is another one.
    expectStrict(state.encode().slice(), decode, (fresh) => fresh?.encode() ?? expect.any(Uint8Array))
  })

  test('is not decoded from runs that touch', () => {
    const state = new ReceiveState(manifest, hashers.b3)
    for (const index of [0, 1]) state.accept(index, chunkOf(index))
    const encoded = state.encode().slice()
    // One run: 0 before it, 2 in it. Two that say the same: 0, 1 and 0, 1.
    const touching = Uint8Array.from([...encoded.subarray(0, -3), 2, 0, 1, 0, 1])
    expect(() => new ReceiveState(manifest, hashers.b3).resume(touching)).toThrow('before a run')
  })
})
