import { createHash, randomBytes } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { runs } from '../../test/effort.ts'
import { parseContentHash } from '../core/ids.ts'
import { type ContentHashAlgorithm, CONTENT_HASH_ALGORITHMS } from '../core/ids.ts'
import type { ContentHasher, ContentHashers } from '../core/ports.ts'
import { loadContentHashers, loadPureContentHashers, type NativeBlake3 } from './content-hashers.ts'

const native = await loadContentHashers()
const pure = await loadPureContentHashers()
const noise = randomBytes(1024 * 1024)

function inPieces(hasher: ContentHasher, payload: Uint8Array, ends: readonly number[]): string {
  const running = hasher.start()
  let from = 0
  for (const end of [...ends.toSorted((a, b) => a - b), payload.length]) {
    running.update(payload.subarray(from, end))
    from = end
  }
  return running.contentHash()
}

describe.each([
  ['native', native.hashers],
  ['pure', pure],
] as const)('%s content hashes', (_, hashers: ContentHashers) => {
  test('are those that are published', () => {
    const counting = Uint8Array.from({ length: 102_400 }, (_, index) => index % 251)
    expect(hashers.b3.hash(counting)).toBe('b3:bc3e3d41a1146b069abffad3c0d44860cf664390afce4d9661f7902e7943e085')
    expect(hashers.b3.hash(new Uint8Array(0))).toBe(
      'b3:af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262',
    )
    expect(hashers.s256.hash(new TextEncoder().encode('abc'))).toBe(
      's256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad',
    )
  })

  test.each(CONTENT_HASH_ALGORITHMS)('of %s are the same in pieces of any size', (algorithm: ContentHashAlgorithm) => {
    const hasher = hashers[algorithm]
    expect(hasher.algorithm).toBe(algorithm)
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 200_000 }),
        fc.array(fc.integer({ min: 0, max: 200_000 }), { maxLength: 12 }),
        (bytes, cuts) => {
          const payload = noise.subarray(0, bytes)
          const whole = hasher.hash(payload)
          expect(parseContentHash(whole)).toBe(whole)
          expect(
            inPieces(
              hasher,
              payload,
              cuts.filter((cut) => cut <= bytes),
            ),
          ).toBe(whole)
        },
      ),
      { numRuns: runs(40) },
    )
  })
})

test('native and pure BLAKE3 agree at sizes from 0 to 1 MiB', () => {
  const powers = Array.from({ length: 21 }, (_, exponent) => 2 ** exponent)
  for (const bytes of [0, ...powers.flatMap((power) => [power - 1, power, power + 1])]) {
    const payload = noise.subarray(0, bytes)
    expect(native.hashers.b3.hash(payload), `${bytes} bytes`).toBe(pure.b3.hash(payload))
    expect(native.hashers.s256.hash(payload)).toBe(`s256:${createHash('sha256').update(payload).digest('hex')}`)
  }
})

describe('which implementation is in use is said', () => {
  test('native, where there is a binary', () => {
    expect(native).toMatchObject({ implementation: 'native', reason: null })
  })

  test('pure, where there is none', async () => {
    const loaded = await loadContentHashers(() => Promise.reject(new Error('Cannot find native binding.')))
    expect(loaded).toMatchObject({ implementation: 'pure', reason: 'Cannot find native binding.' })
    expect(loaded.hashers.b3.hash(noise)).toBe(native.hashers.b3.hash(noise))
  })

  test('pure, where the binary gives other digests', async () => {
    const { Blake3Hasher } = await import('@napi-rs/blake-hash')
    const wrong: NativeBlake3 = { blake3: () => new Uint8Array(32), Blake3Hasher }
    const loaded = await loadContentHashers(() => Promise.resolve(wrong))
    expect(loaded.implementation).toBe('pure')
    expect(loaded.reason).toContain('b3:0000')
  })
})
