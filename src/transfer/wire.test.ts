import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { runs } from '../../test/effort.ts'
import { WireReader } from './wire-reader.ts'
import { WireWriter } from './wire-writer.ts'

describe('a varint', () => {
  test('is read as it was written, and takes a byte for each seven bits', () => {
    fc.assert(
      fc.property(fc.array(fc.maxSafeNat()), (values) => {
        const writer = new WireWriter(1)
        for (const value of values) writer.varint(value)
        const bytes = values.reduce((sum, value) => sum + Math.ceil(Math.max(1, value.toString(2).length) / 7), 0)
        expect(writer.length).toBe(bytes)
        const reader = new WireReader(writer.written(), 'A test')
        for (const value of values) expect(reader.varint('a value', Number.MAX_SAFE_INTEGER)).toBe(value)
        reader.end()
      }),
      { numRuns: runs(100) },
    )
  })

  test.each([
    ['a longer spelling', [0x80, 0x00], 'shortest'],
    ['more than eight bytes', [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01], 'more than 8'],
    ['more than its bound', [0x0b], '0 to 10'],
    ['no end', [0x80], 'of which 0'],
  ])('is refused with %s', (_, bytes, message) => {
    const reader = new WireReader(Uint8Array.from(bytes), 'A test')
    expect(() => reader.varint('a value', 10)).toThrow(message)
  })

  test('is not looked for in a message that is too long', () => {
    expect(() => new WireReader(new Uint8Array(11), 'A test', 10)).toThrow('more than 10')
  })

  test('that is refused says INVALID_REQUEST', () => {
    const reader = new WireReader(Uint8Array.of(1), 'A test')
    expect(reader.invalid('so').code).toBe('INVALID_REQUEST')
    expect(() => reader.end()).toThrow('1 bytes before')
    expect(() => reader.raw('bytes', 2)).toThrow('takes 2 bytes, of which 1')
  })
})
