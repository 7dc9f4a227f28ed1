import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { runs } from '../../test/effort.ts'
import { ggufBytes, type MetadataValue } from '../../test/gguf-writer.ts'
import type { Tokenizer } from '../core/compute.ts'
import { parseHeader } from './gguf-header.ts'
import { tokenizerOf } from './tokenizer.ts'

function tokenizerWith(metadata: Readonly<Record<string, MetadataValue>>): Tokenizer {
  const bytes = ggufBytes({ metadata, tensors: [] })
  return tokenizerOf(parseHeader(bytes, bytes.byteLength))
}

/** Joins the best pair, the leftmost of equals, and begins anew, until none can be joined. */
function joinNaively(
  symbols: readonly string[],
  rankOf: (left: string, right: string) => number | undefined,
): readonly string[] {
  const ranks = symbols.slice(1).map((right, index) => rankOf(symbols[index] ?? '', right) ?? Number.POSITIVE_INFINITY)
  const best = Math.min(...ranks)
  if (best === Number.POSITIVE_INFINITY) return symbols
  const at = ranks.indexOf(best)
  return joinNaively(
    [...symbols.slice(0, at), (symbols[at] ?? '') + (symbols[at + 1] ?? ''), ...symbols.slice(at + 2)],
    rankOf,
  )
}

const LETTERS = ['a', 'b', 'c']
const word = fc.array(fc.constantFrom(...LETTERS), { minLength: 1, maxLength: 40 }).map((letters) => letters.join(''))

describe('joining in the order of a heap', () => {
  test('gives what joining the best pair of all, again and again, gives: byte-level BPE', () => {
    // Each merge joins two of the tokens before it.
    const vocabulary = fc.array(fc.tuple(fc.nat(), fc.nat()), { maxLength: 12 }).map((picks) => {
      const tokens = [...LETTERS]
      const merges: string[] = []
      for (const [first, second] of picks) {
        const left = tokens[first % tokens.length] ?? ''
        const right = tokens[second % tokens.length] ?? ''
        if (merges.includes(`${left} ${right}`) || left.length + right.length > 12) continue
        merges.push(`${left} ${right}`)
        if (!tokens.includes(left + right)) tokens.push(left + right)
      }
      return { tokens, merges }
    })
    fc.assert(
      fc.property(vocabulary, word, ({ tokens, merges }, text) => {
        const tokenizer = tokenizerWith({
          'tokenizer.ggml.model': { type: 'text', value: 'gpt2' },
          'tokenizer.ggml.pre': { type: 'text', value: 'gpt-2' },
          'tokenizer.ggml.tokens': { type: 'texts', value: tokens },
          'tokenizer.ggml.merges': { type: 'texts', value: merges },
        })
        const ranks = new Map(merges.map((merge, rank) => [merge, rank]))
        const expected = joinNaively(text.split(''), (left, right) => ranks.get(`${left} ${right}`))
        expect([...tokenizer.encode(text)].map((id) => tokens[id])).toEqual(expected)
        // A byte that the vocabulary does not have is left out, and nothing is joined across it.
        expect([...tokenizer.encode(`${text}x${text}`)]).toEqual([...tokenizer.encode(text), ...tokenizer.encode(text)])
      }),
      { numRuns: runs(300, 2000) },
    )
  })

  test('gives what joining the best pair of all, again and again, gives: SentencePiece', () => {
    const alphabet = ['a', 'b', '\u2581', 'é']
    const piece = fc.array(fc.constantFrom(...alphabet), { minLength: 1, maxLength: 5 }).map((all) => all.join(''))
    const vocabulary = fc.uniqueArray(piece, { maxLength: 14 }).map((pieces) => [...new Set([...pieces, '\u2581'])])
    // Few different scores, so that many are equal.
    const scores = fc.infiniteStream(fc.integer({ min: -4, max: 0 }))
    const texts = fc.array(fc.constantFrom('a', 'b', ' ', 'é', '日'), { maxLength: 30 }).map((all) => all.join(''))
    fc.assert(
      fc.property(vocabulary, scores, texts, fc.boolean(), (pieces, stream, text, isPrefixed) => {
        const bytes = Array.from(
          { length: 256 },
          (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`,
        )
        const tokens = ['<unk>', ...bytes, ...pieces]
        const scoreOf = tokens.map((_, id) => (id <= 256 ? 0 : (stream.next().value ?? 0)))
        const tokenizer = tokenizerWith({
          'tokenizer.ggml.model': { type: 'text', value: 'llama' },
          'tokenizer.ggml.tokens': { type: 'texts', value: tokens },
          'tokenizer.ggml.scores': { type: 'f32s', value: scoreOf },
          'tokenizer.ggml.token_type': {
            type: 'i32s',
            value: tokens.map((_, id) => (id === 0 ? 2 : id <= 256 ? 6 : 1)),
          },
          'tokenizer.ggml.add_space_prefix': { type: 'bool', value: isPrefixed },
        })
        const written = (isPrefixed && text !== '' ? ` ${text}` : text).replaceAll(' ', '\u2581')
        const symbols = joinNaively(Array.from(written), (left, right) => {
          const id = pieces.indexOf(left + right)
          return id < 0 ? undefined : -(scoreOf[257 + id] ?? 0)
        })
        const expected = symbols.flatMap((symbol) =>
          pieces.includes(symbol)
            ? [257 + pieces.indexOf(symbol)]
            : Array.from(new TextEncoder().encode(symbol), (byte) => byte + 1),
        )
        expect([...tokenizer.encode(text)]).toEqual(expected)
        expect(tokenizer.decode(expected)).toBe(text)
        const decoder = tokenizer.decoder()
        const told = expected.map((id) => decoder.push(id)).join('') + decoder.end()
        expect(told).toBe(isPrefixed && text !== '' ? ` ${text}` : text)
      }),
      { numRuns: runs(300, 2000) },
    )
  })
})
