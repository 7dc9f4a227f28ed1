/** Part of the contract of engines that export KV: texts into tokens and back, and what the model says of itself. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Tokenizer } from '../../src/core/compute.ts'
import { runs } from '../effort.ts'
import { fullLogits, type SuiteBackend } from './kv-backend-fixtures.ts'

const TEXTS = [
  '',
  ' ',
  'Once upon a time',
  '  two spaces\n\n\ttab ',
  'naïve café',
  '漢字かな',
  '👩‍👩‍👧 flag 🇩🇪',
  'a\u0000b',
]

export function describeKvTokenizer({ backend, subject }: SuiteBackend): void {
  const compared = (text: string): string => (subject.losesSpaces === true ? text.replaceAll(' ', '') : text)

  describe('the tokenizer', () => {
    test.each(TEXTS)('gives back %j', (text) => {
      const { tokenizer } = backend().model
      const tokenIds = tokenizer.encode(text)
      expect(tokenizer.decode(tokenIds)).toBe(text)
      expect(tokenIds.every((tokenId) => tokenId < tokenizer.vocabularyTokens)).toBe(true)
    })

    test('gives back any text, at once and token by token', () => {
      const { tokenizer } = backend().model
      fc.assert(
        fc.property(fc.string({ unit: 'grapheme', maxLength: 40 }), (any) => {
          // Which stands for a space in some vocabularies.
          const text = any.replaceAll('\u2581', '_')
          const tokenIds = tokenizer.encode(text)
          expect(compared(tokenizer.decode(tokenIds))).toBe(compared(text))
          const whole = text === '' ? '' : spaceBefore(tokenizer) + text
          expect(compared(spoken(tokenizer, tokenIds))).toBe(compared(whole))
        }),
        { numRuns: runs(100) },
      )
    })

    test('decodes any tokens, and refuses those that there are not', () => {
      const { tokenizer } = backend().model
      const { vocabularyTokens, startTokens, endTokens } = tokenizer
      for (const tokenId of [...startTokens, ...endTokens]) {
        expect(tokenId).toBeLessThan(vocabularyTokens)
        expect(tokenizer.decode([tokenId])).toBe('')
      }
      const tokenIds = fc.array(fc.nat(vocabularyTokens - 1), { maxLength: 30 })
      fc.assert(
        fc.property(tokenIds, (ids) => {
          const text = tokenizer.decode(ids)
          expect(text.isWellFormed()).toBe(true)
          expect([text, spaceBefore(tokenizer) + text].map(compared)).toContain(compared(spoken(tokenizer, ids)))
        }),
        { numRuns: runs(100) },
      )
      for (const tokenId of [vocabularyTokens, -1, 0.5])
        expect(() => tokenizer.decode([tokenId])).toThrow(expect.objectContaining({ code: 'INVALID_REQUEST' }))
    })

    test('takes tokens that are spelled out for text', () => {
      const { tokenizer } = backend().model
      for (const text of ['<s>', '</s>', '<|endoftext|>', ' simulated-1']) {
        const tokenIds = tokenizer.encode(text)
        expect([...tokenIds].some((tokenId) => tokenizer.endTokens.includes(tokenId))).toBe(false)
        expect(tokenizer.decode(tokenIds)).toBe(text)
      }
    })
  })

  test('the model fits what the suite asks of it, and scores its whole vocabulary', async () => {
    const { model, description, kind } = backend()
    const { promptTokens } = subject
    expect(kind).toBe('kv')
    expect(description).not.toBe('')
    expect(promptTokens.length).toBeGreaterThanOrEqual(40)
    expect(model.contextTokensMax).toBeGreaterThanOrEqual(promptTokens.length + 16)
    const logits = await fullLogits(backend(), promptTokens)
    expect(logits.length).toBe(model.tokenizer.vocabularyTokens)
    expect(logits.every((logit) => !Number.isNaN(logit))).toBe(true)
    expect(new Set(logits).size).toBeGreaterThan(1)
  })
}

/** What a decoder says, token by token. */
function spoken(tokenizer: Tokenizer, tokenIds: Iterable<number>): string {
  const decoder = tokenizer.decoder()
  const pieces = Array.from(tokenIds, (tokenId) => decoder.push(tokenId))
  expect(pieces.every((piece) => piece.isWellFormed())).toBe(true)
  return pieces.join('') + decoder.end()
}

/** A space in vocabularies that put one before a text: `decode` takes it away, and a decoder, which goes on with a text, does not. */
function spaceBefore(tokenizer: Tokenizer): string {
  const said = spoken(tokenizer, tokenizer.encode('a'))
  expect(['a', ' a']).toContain(said)
  return said.slice(0, -1)
}
