import { expect, test } from 'vitest'
import { fragmentKey } from '../core/fragment-key.ts'
import { argumentOfKey, keyOfArgument } from './data-dir.ts'
import { printable, shortened } from './printable.ts'

test.each([
  ['new\nline', 'opaque/=new%0aline'],
  ['\u001b[31mred', 'opaque/=%1b%5b31mred'],
  ['txt.\u202Eexe', 'opaque/=txt.%e2%80%aeexe'],
  ['plain name', 'plain name'],
])('a listing shows the name %j as %j, and either finds it', (name, shown) => {
  const key = fragmentKey({ kind: 'opaque', name: new TextEncoder().encode(name) })
  expect(argumentOfKey(key)).toBe(shown)
  expect(keyOfArgument(shown)).toBe(key)
  expect(keyOfArgument(name)).toBe(key)
})

test('text of others is shown on one line, and commands nothing', () => {
  expect(printable('a\r\n\u001b[2Jb\u009bc\u200Fd é 語')).toBe(String.raw`a\u{d}\u{a}\u{1b}[2Jb\u{9b}c\u{200f}d é 語`)
})

test('what is shortened has its beginning and its end, and no half of a character', () => {
  expect(shortened('abcdefg', 7)).toBe('abcdefg')
  expect(shortened('abcdefgh', 7)).toBe('abc…fgh')
  expect(shortened('abcdefgh', 6)).toBe('abc…gh')
  expect(shortened('😀'.repeat(9), 5)).toBe('😀😀…😀😀')
})
