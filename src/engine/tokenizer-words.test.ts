import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { wordSplitOf } from './tokenizer-words.ts'

const split = (name: string, text: string): string => [...wordSplitOf(name).words(text)].join('|')

describe('words', () => {
  test.each([
    ['gpt-2', "I'm  fine,'LL 1234 x", "I|'m| | fine|,'|LL| 1234| x"],
    ['gpt-2', 'a  \n\n b\u0085c', 'a|  \n\n| b|\u0085|c'],
    ['gpt-2', 'x 1  ', 'x| 1|  '],
    ['smollm', 'a  12 b!!3', 'a|  |1|2| b|!!|3'],
    ['smollm', '²Ⅷ x', '²|Ⅷ| x'],
    ['llama-bpe', "I'M 12345, ok!!\n\n  (x)", "I|'M| |123|45|,| ok|!!\n\n| | (|x|)"],
    ['llama-bpe', 'a \r\n \n  b', 'a| \r\n \n| | b'],
    ['qwen2', 'a 12\tb_c', 'a| |1|2|\tb|_c'],
    // Composed: one character instead of two.
    ['qwen2', 'cafe\u0301', 'caf\u00e9'],
  ])('of %s: %j', (name, text, words) => {
    expect(split(name, text)).toBe(words)
  })

  test.each(['gpt-2', 'smollm', 'llama-bpe'])('of %s hold every character, in order', (name) => {
    const text = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc
        .array(fc.constantFrom('a', 'É', "'s", ' ', '\n', '\r', '\u0085', '\ufeff', '1', '.', '👍'))
        .map((all) => all.join('')),
    )
    fc.assert(
      fc.property(text, (characters) => {
        expect([...wordSplitOf(name).words(characters)].join('')).toBe(characters)
      }),
    )
  })

  test('go by other names too', () => {
    expect(wordSplitOf('llama3')).toBe(wordSplitOf('llama-bpe'))
    expect(wordSplitOf('gpt2')).toBe(wordSplitOf('gpt-2'))
  })
})
