import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { bytesOf, expectEntry, fragmentOf } from '../../test/contracts/store-fixtures.ts'
import { runs } from '../../test/effort.ts'
import { parseContentHash } from '../core/ids.ts'
import { entryOf, FIXED_BYTES, readStart, startValue } from './redis-value.ts'

const read = (key: string, value: Buffer) => {
  const start = readStart(key, value)
  return start === null ? null : entryOf(key, start, value.subarray(FIXED_BYTES, FIXED_BYTES + start.headBytes))
}

describe('a Redis value', () => {
  test('says what was put', () => {
    for (const expiresAtMs of [null, 0, 1, 2 ** 53 - 1]) {
      for (const headBytes of [0, 1, 65_536]) {
        const put = fragmentOf('k/ü', bytesOf(10), { head: bytesOf(headBytes), expiresAtMs })
        const b3 = { ...put, contentHash: parseContentHash(put.contentHash.replace('s256:', 'b3:')) }
        const { value, payloadStart } = startValue(put)
        expect(value.length - payloadStart).toBe(10)
        expectEntry(read('k/ü', value), put)
        expectEntry(read('k/ü', startValue(b3).value), b3)
      }
    }
  })

  test('differs from put to put, so that its parts can be told from those of another', () => {
    const put = fragmentOf('k', bytesOf(10))
    const [a, b] = [startValue(put).value, startValue(put).value]
    expect(readStart('k', a)?.bytes.equals(readStart('k', b)?.bytes ?? a)).toBe(false)
  })

  test('is none under another key, nor when any bit before the payload is another', () => {
    const { value, payloadStart } = startValue(fragmentOf('k', bytesOf(10), { head: bytesOf(40) }))
    expect(read('l', value)).toBeNull()
    for (let length = 0; length < payloadStart; length++) expect(read('k', value.subarray(0, length))).toBeNull()
    const bit = fc.integer({ min: 0, max: payloadStart * 8 - 1 })
    fc.assert(
      fc.property(bit, (bit) => {
        const damaged = Buffer.from(value)
        damaged[bit >> 3] = (damaged[bit >> 3] ?? 0) ^ (1 << (bit & 7))
        expect(read('k', damaged)).toBeNull()
      }),
      { numRuns: runs(500) },
    )
  })
})
