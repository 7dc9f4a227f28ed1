/** The tokenizer of a GGUF file as llama.cpp runs it: of every kind of vocabulary that it knows. */
import type { Tokenizer } from '../core/compute.ts'
import { MembraneError } from '../core/errors.ts'
import { HeldDecoder } from './held-decoder.ts'
import type { LlamaModel } from './llama-package.ts'

type LlamaVocabulary = Pick<LlamaModel, 'tokens' | 'iterateAllTokens' | 'isEogToken' | 'tokenize' | 'detokenize'>

export function llamaTokenizer(model: LlamaVocabulary): Tokenizer {
  const all = [...model.iterateAllTokens()]
  const vocabularyTokens = all.length
  // Some vocabularies begin a text with a space that is none. A decoder continues a text, and so keeps its first space.
  const before = model.tokenize('a', false)
  const textOf = (ids: readonly number[], after: readonly number[]): string => {
    for (const id of ids) {
      if (!Number.isInteger(id) || id < 0 || id >= vocabularyTokens)
        throw new MembraneError('INVALID_REQUEST', `A token id is below ${vocabularyTokens}; found ${id}.`)
    }
    return ids.length === 0 ? '' : model.detokenize(ids, false, after)
  }
  const { bos, shouldPrependBosToken } = model.tokens
  return {
    vocabularyTokens,
    startTokens: bos === null || !shouldPrependBosToken ? [] : [bos],
    endTokens: all.filter((id) => model.isEogToken(id)),
    encode: (text) => Uint32Array.from(model.tokenize(text, false)),
    decode: (tokenIds) => textOf([...tokenIds], []),
    decoder: () => new HeldDecoder((ids) => textOf(ids, before)),
  }
}
