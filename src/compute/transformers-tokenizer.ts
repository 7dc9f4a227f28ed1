/** The tokenizer.json of a model folder, as the package `@huggingface/transformers` runs it. */
import type { Tokenizer } from '../core/compute.ts'
import { MembraneError } from '../core/errors.ts'
import { HeldDecoder } from './held-decoder.ts'
import type { OnnxTokenizer } from './transformers-package.ts'

export interface TransformersTokenizerParts {
  readonly tokenizer: OnnxTokenizer
  /** Contents of tokens that the tokenizer finds in texts before anything else. */
  readonly specialTexts: readonly string[]
  readonly vocabularyTokens: number
  readonly endTokens: readonly number[]
}

export function transformersTokenizer(parts: TransformersTokenizerParts): Tokenizer {
  const { tokenizer, specialTexts, vocabularyTokens, endTokens } = parts
  const encode = (text: string): readonly number[] => tokenizer.encode(text, { add_special_tokens: false })
  // The package refuses to say the text of no tokens.
  const decode = (ids: readonly number[]): string =>
    ids.length === 0 ? '' : tokenizer.decode(ids, { skip_special_tokens: true, clean_up_tokenization_spaces: false })
  // Some vocabularies begin a text with a space that is none. A decoder continues a text, and so keeps its first space.
  const before = encode('a')
  const beforeText = decode(before)
  const check = (ids: readonly number[]): readonly number[] => {
    for (const id of ids) {
      if (!Number.isInteger(id) || id < 0 || id >= vocabularyTokens)
        throw new MembraneError('INVALID_REQUEST', `A token id is below ${vocabularyTokens}; found ${id}.`)
    }
    return ids
  }
  return {
    vocabularyTokens,
    startTokens: tokenizer.encode('', { add_special_tokens: true }).filter((id) => !endTokens.includes(id)),
    endTokens,
    encode: (text) => Uint32Array.from(plainPieces(text, specialTexts).flatMap(encode)),
    decode: (tokenIds) => decode(check([...tokenIds])),
    decoder: () => new HeldDecoder((ids) => decode([...before, ...check(ids)]).slice(beforeText.length)),
  }
}

/** Cuts a text inside every special token that it spells out, after the first character, so that none is found in it. */
export function plainPieces(text: string, specialTexts: readonly string[]): readonly string[] {
  const cuts = new Set<number>()
  for (const special of specialTexts) {
    if (special.length < 2) continue
    for (let at = text.indexOf(special); at >= 0; at = text.indexOf(special, at + 1)) cuts.add(at + 1)
  }
  const ends = [...cuts].toSorted((a, b) => a - b)
  return [...ends, text.length].map((end, index) => text.slice(ends[index - 1] ?? 0, end))
}
