import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { findJsonError } from './trace-json-error.ts'

describe('findJsonError', () => {
  it.each([
    ['', 0, 'the end of the line', 'a JSON value'],
    ['{"a": 1', 7, 'the end of the line', '"," or "}"'],
    ['{"a": NaN}', 6, '"NaN"', 'a JSON value'],
    ['{"a": 1,}', 8, '"}"', 'a name in double quotes'],
    ['{a: 1}', 1, '"a"', 'a name in double quotes or "}"'],
    ['{"a" 1}', 5, '"1"', '":"'],
    ['{"a": 01}', 7, '"1"', '"," or "}"'],
    ['[1 2]', 3, '"2"', '"," or "]"'],
    ['[1,]', 3, '"]"', 'a JSON value'],
    ['[', 1, 'the end of the line', 'a JSON value or "]"'],
    ['{} {}', 3, '"{"', 'the end of the line'],
    ['{"a": "b', 8, 'the end of the line', 'a closing double quote'],
    ['"\\x"', 1, '"\\\\"', 'an escape such as \\n or \\u0041'],
    ['"a\tb"', 2, '"\\t"', 'no control character inside a string'],
  ])('finds in %s the error at index %i', (text, index, found, expected) => {
    expect(findJsonError(text)).toEqual({ index, found, expected })
  })

  it('accepts what JSON.parse accepts', () => {
    fc.assert(
      fc.property(fc.json(), (text) => {
        expect(findJsonError(text)).toBeNull()
      }),
    )
  })

  it('agrees with JSON.parse on damaged JSON', () => {
    const damage = fc.record({ text: fc.json(), at: fc.nat(), length: fc.nat(3), put: fc.string({ maxLength: 2 }) })
    fc.assert(
      fc.property(damage, ({ text, at, length, put }) => {
        const start = at % (text.length + 1)
        const damaged = text.slice(0, start) + put + text.slice(start + length)
        expect(findJsonError(damaged) === null).toBe(isJson(damaged))
      }),
      { numRuns: 2000 },
    )
  })

  it('survives a million nested lists', () => {
    expect(findJsonError('['.repeat(1_000_000))?.index).toBe(1_000_000)
  })
})

function isJson(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}
