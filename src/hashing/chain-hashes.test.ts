import { createHash, randomBytes } from 'node:crypto'
import { blake3 as nativeBlake3 } from '@napi-rs/blake-hash'
import fc from 'fast-check'
import { beforeAll, describe, expect, test } from 'vitest'
import { runs } from '../../test/effort.ts'
import { fnv, loadXxh3x128, loadXxh3x64 } from '../../test/naive-hash-chains.ts'
import { bytesToHex } from '../core/hex.ts'
import type { ChainHashes, HashFunction } from '../core/ports.ts'
import { loadChainHashes } from './chain-hashes.ts'

let hashes: ChainHashes
beforeAll(async () => {
  hashes = await loadChainHashes()
})

function digestOf(hash: HashFunction, message: Uint8Array): string {
  const target = new Uint8Array(hash.digestBytes + 7).fill(0xee)
  hash.digestInto(message, target, 3)
  expect([...target.subarray(0, 3), ...target.subarray(3 + hash.digestBytes)]).toEqual(Array(7).fill(0xee))
  return bytesToHex(target, 3, 3 + hash.digestBytes)
}

const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text)
/** The message of BLAKE3's own test vectors. */
const counting = (bytes: number): Uint8Array => Uint8Array.from({ length: bytes }, (_, index) => index % 251)

describe('published vectors', () => {
  test.each([
    [0, 'af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262'],
    [1, '2d3adedff11b61f14c886e35afa036736dcd87a74d27b5c1510225d0f592e213'],
    [1023, '10108970eeda3eb932baac1428c7a2163b0e924c9a9e25b35bba72b28f70bd11'],
    [1024, '42214739f095a406f3fc83deb889744ac00df831c10daa55189b5d121c855af7'],
    [1025, 'd00278ae47eb27b34faecf67b4fe263f82d5412916c1ffd97c8cb7fb814b8444'],
    [2048, 'e776b6028c7cd22a4d0ba182a8bf62205d2ef576467e838ed6f2529b85fba24a'],
  ])('BLAKE3 of %i bytes', (bytes, expected) => {
    expect(digestOf(hashes.blake3, counting(bytes))).toBe(expected)
  })

  test('SHA-256', () => {
    expect(digestOf(hashes.sha256, utf8(''))).toBe('e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855')
    expect(digestOf(hashes.sha256, utf8('abc'))).toBe(
      'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad',
    )
  })

  test('XXH3', () => {
    expect(digestOf(hashes.xxh3x64(0n), utf8(''))).toBe('2d06800538d394c2')
    expect(digestOf(hashes.xxh3x128, utf8(''))).toBe('99aa06d3014798d86001c324468d497f')
  })

  test.each([
    ['', 'cbf29ce484222325'],
    ['a', 'af63dc4c8601ec8c'],
    ['foobar', '85944171f73967e8'],
  ])('FNV-1a of "%s"', (text, expected) => {
    expect(digestOf(hashes.fnv1a64, utf8(text))).toBe(expected)
  })
})

describe('every length gives the digest of another implementation', () => {
  /** Long enough for several blocks of the long form of XXH3, and for a tree of BLAKE3 chunks. */
  const lengths = Array.from({ length: 3300 }, (_, length) => length)
  const noise = randomBytes(lengths.length)

  test('BLAKE3', () => {
    for (const length of lengths) {
      const message = noise.subarray(0, length)
      expect(digestOf(hashes.blake3, message)).toBe(nativeBlake3(message).toString('hex'))
    }
  })

  test.each([0n, 1n, 1337n, 2n ** 32n, 2n ** 63n, 2n ** 64n - 1n])('XXH3-64 with seed %s', async (seed) => {
    const reference = await loadXxh3x64(seed)
    const hash = hashes.xxh3x64(seed)
    for (const length of lengths) {
      const message = noise.subarray(0, length)
      expect(BigInt(`0x${digestOf(hash, message)}`)).toBe(reference(message))
    }
  })

  test('XXH3-64 with any seed of any bytes', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
        // Bytes of all ones and zeros reach the carries that random ones do not.
        fc.array(fc.constantFrom(0, 1, 127, 128, 255), { maxLength: 400, size: 'max' }),
        async (seed, bytes) => {
          const message = Uint8Array.from(bytes)
          const reference = await loadXxh3x64(seed)
          expect(BigInt(`0x${digestOf(hashes.xxh3x64(seed), message)}`)).toBe(reference(message))
        },
      ),
      { numRuns: runs(60) },
    )
  })

  test('the others', async () => {
    const xxh3x128 = await loadXxh3x128()
    for (const length of lengths.filter((one) => one < 300 || one % 97 === 0)) {
      const message = noise.subarray(0, length)
      expect(digestOf(hashes.sha256, message)).toBe(createHash('sha256').update(message).digest('hex'))
      expect(digestOf(hashes.xxh3x128, message)).toBe(bytesToHex(xxh3x128(message)))
      expect(BigInt(`0x${digestOf(hashes.fnv1a64, message)}`)).toBe(fnv(message))
    }
  })
})

test('a digest may be written over its message', () => {
  const over = (hash: HashFunction): string => {
    const message = counting(96)
    hash.digestInto(message, message, 5)
    return bytesToHex(message, 5, 5 + hash.digestBytes)
  }
  for (const hash of [hashes.blake3, hashes.sha256, hashes.xxh3x128, hashes.xxh3x64(7n), hashes.fnv1a64]) {
    expect(over(hash)).toBe(digestOf(hash, counting(96)))
  }
})
