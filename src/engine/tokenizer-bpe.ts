/** Byte-level BPE: a word's bytes are joined pair by pair, in the order in which the pairs were learned. */
import { invalidModel } from './gguf-cursor.ts'
import { BYTE_CHARACTERS, bytesOfCharacters, charactersOfBytes } from './tokenizer-bytes.ts'
import type { Coding } from './tokenizer-coding.ts'
import { type MergeRule, SymbolMerger } from './tokenizer-merge.ts'
import { type Metadata, readVocabulary, textsOf, TOKEN_KINDS, type Vocabulary } from './tokenizer-vocabulary.ts'
import { wordSplitOf } from './tokenizer-words.ts'

/** Reads `tokenizer.ggml.pre` and `.merges`. A byte that the vocabulary does not have is left out, as llama.cpp does. */
export function bpeCoding(metadata: Metadata): Coding {
  const pre = metadata.get('tokenizer.ggml.pre')
  if (typeof pre !== 'string')
    throw invalidModel('The model does not say how it splits texts into words (tokenizer.ggml.pre).')
  const { words, isWholeWordFirst, addsStart } = wordSplitOf(pre)
  const vocabulary = readVocabulary(metadata, { addsStart })
  const rule = new PairRule(vocabulary, textsOf(metadata, 'tokenizer.ggml.merges'))
  const byteIds = Int32Array.from(BYTE_CHARACTERS, (character) => vocabulary.normalIds.get(character) ?? -1)
  const merger = new SymbolMerger()
  const encoder = new TextEncoder()
  return {
    vocabulary,
    words,
    encodeWord(word) {
      const bytes = encoder.encode(word)
      const whole = isWholeWordFirst ? vocabulary.normalIds.get(charactersOfBytes(bytes)) : undefined
      if (whole !== undefined) return [whole]
      const ids: number[] = []
      merger.merge(
        Int32Array.from(bytes, (byte) => byteIds[byte] ?? -1),
        rule,
        (id) => {
          if (id >= 0) ids.push(id)
        },
      )
      return ids
    },
    bytesOf(token, kind) {
      if (kind === TOKEN_KINDS.control) return new Uint8Array(0)
      const bytes = kind === TOKEN_KINDS.normal ? bytesOfCharacters(token) : null
      return bytes ?? encoder.encode(token)
    },
    hasSpaceBefore: false,
  }
}

class PairRule implements MergeRule {
  readonly #tokens: number
  /** Rank by left times the number of tokens plus right. */
  readonly #ranks = new Map<number, number>()
  readonly #merged: Int32Array
  merged = -1

  constructor({ tokens, normalIds }: Vocabulary, merges: readonly string[]) {
    this.#tokens = tokens.length
    this.#merged = new Int32Array(merges.length)
    for (const [rank, merge] of merges.entries()) {
      const space = merge.indexOf(' ', 1)
      const left = normalIds.get(merge.slice(0, space))
      const right = normalIds.get(merge.slice(space + 1))
      const merged = normalIds.get(merge.slice(0, space) + merge.slice(space + 1))
      if (space < 1 || left === undefined || right === undefined || merged === undefined)
        throw invalidModel(`Merge ${rank}, ${JSON.stringify(merge)}, must be two tokens that make a third.`)
      const pair = left * this.#tokens + right
      if (this.#ranks.has(pair)) throw invalidModel(`Merge ${rank}, ${JSON.stringify(merge)}, is there twice.`)
      this.#ranks.set(pair, rank)
      this.#merged[rank] = merged
    }
  }

  rank(_left: number, _middle: number, _end: number, leftId: number, rightId: number): number {
    if (leftId < 0 || rightId < 0) return -1
    const rank = this.#ranks.get(leftId * this.#tokens + rightId) ?? -1
    if (rank >= 0) this.merged = this.#merged[rank] ?? -1
    return rank
  }
}
