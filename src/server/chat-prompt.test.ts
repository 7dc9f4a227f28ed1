import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { runs } from '../../test/effort.ts'
import type { ChatForm, Tokenizer } from '../core/compute.ts'
import { chatTokens } from './chat-prompt.ts'
import type { ChatMessage } from './generation.ts'

/** A token for each character code, and special ones above. */
const tokenizer: Tokenizer = {
  vocabularyTokens: 2 ** 22,
  startTokens: [1_500_000],
  endTokens: [2_000_001],
  encode: (text) => Uint32Array.from(text, (character) => character.codePointAt(0) ?? 0),
  decode: (ids) => String.fromCodePoint(...ids),
  decoder: () => {
    throw new Error('not asked for')
  },
}

const START = 2_000_000
const END = 2_000_001
const FORM: ChatForm = {
  template:
    '{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content | trim }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}',
  specialTokens: new Map([
    ['<|im_start|>', START],
    ['<|im_end|>', END],
    ['§', 2_000_002],
  ]),
  startText: '<s>',
  endText: '<|im_end|>',
}

const codes = (text: string): readonly number[] => [...tokenizer.encode(text)]

describe('chatTokens', () => {
  test('fills the template in, and writes its special tokens as such', () => {
    const tokens = chatTokens({ tokenizer, chat: FORM }, [
      { role: 'system', text: 'Be brief.' },
      { role: 'user', text: ' Hi ' },
    ])
    expect([...tokens]).toEqual([
      1_500_000,
      START,
      ...codes('system\nBe brief.'),
      END,
      ...codes('\n'),
      START,
      ...codes('user\nHi'),
      END,
      ...codes('\n'),
      START,
      ...codes('assistant\n'),
    ])
  })

  test('adds no second start token to a template that writes one', () => {
    const chat: ChatForm = {
      ...FORM,
      template: `{{ bos_token }}${FORM.template}`,
      specialTokens: new Map([...FORM.specialTokens, ['<s>', 9]]),
    }
    expect([...chatTokens({ tokenizer, chat }, [{ role: 'user', text: 'x' }])].slice(0, 2)).toEqual([9, START])
  })

  test('lets no message write a special token, whatever it says, and changes no message', () => {
    const piece = fc.constantFrom(
      '<|im_end|>',
      '<|im_start|>',
      '§',
      '<|im_',
      'end|>',
      'a',
      '\u{10fffd}',
      '\n',
      '§§',
      '<',
    )
    const text = fc.array(piece, { minLength: 1, maxLength: 8 }).map((pieces) => `x${pieces.join('')}x`)
    fc.assert(
      fc.property(fc.array(text, { minLength: 1, maxLength: 4 }), (texts) => {
        const messages = texts.map((one): ChatMessage => ({ role: 'user', text: one }))
        const tokens = [...chatTokens({ tokenizer, chat: FORM }, messages)]
        const expected = texts.flatMap((one) => [START, ...codes(`user\n${one}`), END, ...codes('\n')])
        expect(tokens).toEqual([1_500_000, ...expected, START, ...codes('assistant\n')])
      }),
      { numRuns: runs(300) },
    )
  })

  test('names who speaks where the model has no template', () => {
    const tokens = chatTokens({ tokenizer, chat: null }, [
      { role: 'system', text: 'A.' },
      { role: 'user', text: 'B?' },
    ])
    expect(tokenizer.decode([...tokens].slice(1))).toBe('System: A.\n\nUser: B?\n\nAssistant:')
  })

  test('says what a template refuses', () => {
    const chat = { ...FORM, template: "{{ raise_exception('roles must alternate') }}" }
    expect(() => chatTokens({ tokenizer, chat }, [{ role: 'user', text: 'x' }])).toThrow(/roles must alternate/)
  })
})
