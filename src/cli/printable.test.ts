import { expect, test } from 'vitest'
import { fragmentKey } from '../core/fragment-key.ts'
import { argumentOfKey, keyOfArgument } from './data-dir.ts'
import { printable } from './printable.ts'

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
