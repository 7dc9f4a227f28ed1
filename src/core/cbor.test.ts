import fc from 'fast-check'
import { expect, test } from 'vitest'
import { cbor } from '../../test/naive-hash-chains.ts'
import { writeCborInteger, writeCborNull, writeCborText, writeCborUint64 } from './cbor.ts'
import { bytesToHex } from './hex.ts'

const written = (write: (target: Uint8Array, at: number) => number): string => {
  const target = new Uint8Array(64)
  return bytesToHex(target, 3, write(target, 3))
}

// RFC 8949, appendix A.
test.each([
  [0, '00'],
  [23, '17'],
  [24, '1818'],
  [100, '1864'],
  [1000, '1903e8'],
  [1_000_000, '1a000f4240'],
  [-1, '20'],
  [-10, '29'],
  [-100, '3863'],
  [-1000, '3903e7'],
])('the integer %i is %s', (value, hex) => {
  expect(written((target, at) => writeCborInteger(target, at, value))).toBe(hex)
})

test.each([
  ['', '60'],
  ['a', '6161'],
  ['IETF', '6449455446'],
  ['ü', '62c3bc'],
  ['水', '63e6b0b4'],
])('the text "%s" is %s', (text, hex) => {
  expect(written((target, at) => writeCborText(target, at, new TextEncoder().encode(text)))).toBe(hex)
})

test.each([
  [1_000_000_000_000n, '1b000000e8d4a51000'],
  [18446744073709551615n, '1bffffffffffffffff'],
  [4294967296n, '1b0000000100000000'],
  [4294967295n, '1affffffff'],
  [2147483648n, '1a80000000'],
  [10n, '0a'],
])('the 64-bit number %s is %s', (value, hex) => {
  const bytes = new Uint8Array(10)
  new DataView(bytes.buffer).setBigUint64(2, value)
  expect(written((target, at) => writeCborUint64(target, at, bytes, 2))).toBe(hex)
})

test('null is f6', () => {
  expect(written(writeCborNull)).toBe('f6')
})

test('every integer is as a general encoder writes it', () => {
  fc.assert(
    fc.property(fc.integer({ min: -(2 ** 32), max: 2 ** 32 - 1 }), (value) => {
      expect(written((target, at) => writeCborInteger(target, at, value))).toBe(bytesToHex(cbor(value)))
    }),
  )
})
