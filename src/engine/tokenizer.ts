/** Text into the tokens of a model and back, by the vocabulary that its file holds. */
import type { TokenDecoder, Tokenizer } from '../core/compute.ts'
import { MembraneError } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import { invalidModel } from './gguf-cursor.ts'
import { bpeCoding } from './tokenizer-bpe.ts'
import type { Coding } from './tokenizer-coding.ts'
import { TokenCuts } from './tokenizer-cuts.ts'
import { spmCoding } from './tokenizer-spm.ts'
import { type Metadata, TOKEN_KINDS } from './tokenizer-vocabulary.ts'

/**
 * The tokenizer of a model file: `gpt2` (byte-level BPE) and `llama` (SentencePiece). User-defined tokens are found in a
 * text; control tokens are not. Of `llama`, `encode` puts a space before a text and `decode` takes it away; `decoder`
 * keeps it, because what arrives one by one continues a prompt. `encode` throws INVALID_REQUEST above
 * `encodedTextCharactersMax`. Throws INVALID_MODEL for another kind, or one whose rules are not known exactly.
 */
export function tokenizerOf({ metadata }: { readonly metadata: Metadata }): Tokenizer {
  const model = metadata.get('tokenizer.ggml.model')
  if (model === 'gpt2') return new VocabularyTokenizer(bpeCoding(metadata))
  if (model === 'llama') return new VocabularyTokenizer(spmCoding(metadata))
  throw invalidModel(
    model === undefined
      ? 'The file has no tokenizer (tokenizer.ggml.model).'
      : `The tokenizer is of the kind ${JSON.stringify(String(model))}; gpt2 and llama are read.`,
  )
}

class VocabularyTokenizer implements Tokenizer {
  readonly vocabularyTokens: number
  readonly startTokens: readonly number[]
  readonly endTokens: readonly number[]
  readonly #coding: Coding
  readonly #cuts: TokenCuts
  readonly #words = new Map<string, readonly number[]>()
  readonly #bytes: (Uint8Array | undefined)[]

  constructor(coding: Coding) {
    const { tokens, startTokens, endTokens } = coding.vocabulary
    this.vocabularyTokens = tokens.length
    this.startTokens = startTokens
    this.endTokens = endTokens
    this.#coding = coding
    this.#bytes = Array.from({ length: tokens.length }, () => undefined)
    const decoder = new TextDecoder()
    this.#cuts = new TokenCuts(coding.vocabulary, (token) =>
      decoder.decode(coding.bytesOf(token, TOKEN_KINDS.userDefined)),
    )
  }

  encode(text: string): Uint32Array {
    if (text.length > LIMITS.encodedTextCharactersMax)
      throw new MembraneError(
        'INVALID_REQUEST',
        `The text has ${text.length} characters, at most ${LIMITS.encodedTextCharactersMax} are encoded at once.`,
      )
    const ids: number[] = []
    const space = this.#coding.hasSpaceBefore ? ' ' : ''
    let before = space
    for (const cut of this.#cuts.cut(text.toWellFormed())) {
      if ('id' in cut) ids.push(cut.id)
      else for (const word of this.#coding.words(before + cut.text)) this.#encodeWord(word, ids)
      before = 'id' in cut ? space : ''
    }
    return Uint32Array.from(ids)
  }

  #encodeWord(word: string, ids: number[]): void {
    const known = this.#words.get(word)
    const tokens = known ?? this.#coding.encodeWord(word)
    for (const id of tokens) ids.push(id)
    if (known !== undefined || word.length > LIMITS.cachedWordCharactersMax) return
    if (this.#words.size >= LIMITS.cachedWordsMax) this.#words.clear()
    // A copy: a piece of a long text would keep all of it in memory.
    this.#words.set(Buffer.from(word).toString(), tokens)
  }

  decode(tokenIds: Iterable<number>): string {
    const pieces: Uint8Array[] = []
    for (const id of tokenIds) pieces.push(this.#bytesOf(id))
    const text = new TextDecoder('utf-8', { ignoreBOM: true }).decode(Buffer.concat(pieces))
    return this.#coding.hasSpaceBefore && text.startsWith(' ') ? text.slice(1) : text
  }

  decoder(): TokenDecoder {
    const decoder = new TextDecoder('utf-8', { ignoreBOM: true })
    return {
      push: (tokenId) => decoder.decode(this.#bytesOf(tokenId), { stream: true }),
      end: () => decoder.decode(),
    }
  }

  #bytesOf(id: number): Uint8Array {
    const token = this.#coding.vocabulary.tokens[id]
    if (token === undefined)
      throw new MembraneError('INVALID_REQUEST', `A token is 0 to ${this.vocabularyTokens - 1}, and this one is ${id}.`)
    return (this.#bytes[id] ??= this.#coding.bytesOf(token, this.#coding.vocabulary.kinds[id] ?? TOKEN_KINDS.normal))
  }
}
