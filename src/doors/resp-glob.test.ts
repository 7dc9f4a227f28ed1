import { expect, test } from 'vitest'
import { matchesGlob } from './resp-glob.ts'

const matches = (pattern: string, text: string): boolean => matchesGlob(Buffer.from(pattern), Buffer.from(text))

test('keys match patterns as in Redis', () => {
  const cases: readonly (readonly [string, string, boolean])[] = [
    ['*', '', true],
    ['', '', true],
    ['', 'a', false],
    ['a*c', 'abbbc', true],
    ['a*c', 'abbbd', false],
    ['a?c', 'abc', true],
    ['a?c', 'ac', false],
    ['[a-c]x', 'bx', true],
    ['[c-a]x', 'bx', true],
    ['[^a]x', 'ax', false],
    ['[^a]x', 'bx', true],
    ['[ab', 'a', true],
    ['[]', 'a', false],
    ['\\*', '*', true],
    ['\\*', 'a', false],
    ['a\\', 'a\\', true],
    ['[\\]]', ']', true],
    ['**a**', 'xay', true],
    ['*.*.*', 'a.b', false],
  ]
  for (const [pattern, text, expected] of cases) expect(matches(pattern, text), `${pattern} ${text}`).toBe(expected)
})

test('a pattern made to be slow is not', () => {
  expect(matches(`${'a*'.repeat(500)}b`, 'a'.repeat(2000))).toBe(false)
})
