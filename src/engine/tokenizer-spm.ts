/** SentencePiece: characters are joined to the piece of the highest score; what is no piece becomes tokens of its bytes. */
import { invalidModel } from './gguf-cursor.ts'
import type { Coding } from './tokenizer-coding.ts'
import { type MergeRule, SymbolMerger } from './tokenizer-merge.ts'
import { booleanOf, type Metadata, readVocabulary, TOKEN_KINDS, type Vocabulary } from './tokenizer-vocabulary.ts'

/** Stands for a space in a piece. */
const SPACE = '\u2581'
const BYTE_TOKEN = /^<0x([0-9A-F]{2})>$/

/** Reads `tokenizer.ggml.scores`. Throws INVALID_MODEL when a byte or the space has no token, for then some texts have none. */
export function spmCoding(metadata: Metadata): Coding {
  const charsmap = metadata.get('tokenizer.ggml.precompiled_charsmap')
  if (charsmap !== undefined)
    throw invalidModel(
      'The model changes characters before it splits them (precompiled_charsmap), which is not known here.',
    )
  const vocabulary = readVocabulary(metadata, { addsStart: true })
  const byteIds = readByteIds(vocabulary)
  if (!vocabulary.normalIds.has(SPACE)) throw invalidModel('The vocabulary has no token for a space.')
  const hasSpaceBefore = booleanOf(metadata, 'tokenizer.ggml.add_space_prefix') ?? true
  const rule = new PieceRule(vocabulary, readRanks(metadata, vocabulary))
  const areWordsApart = ![...vocabulary.normalIds.keys()].some((piece) => /[^\u2581]\u2581/u.test(piece))
  const merger = new SymbolMerger()
  const encoder = new TextEncoder()
  return {
    vocabulary,
    hasSpaceBefore,
    // No piece has a space after another character, so nothing is ever joined across such a place.
    words: (text) => (areWordsApart ? spaced(text) : [text]),
    encodeWord(word) {
      const ids: number[] = []
      const text = word.replaceAll(' ', SPACE)
      merger.merge(rule.open(text), rule, (id, start, end) => {
        if (id >= 0) ids.push(id)
        else for (const byte of encoder.encode(rule.textOf(start, end))) ids.push(byteIds[byte] ?? 0)
      })
      return ids
    },
    bytesOf(token, kind) {
      if (kind === TOKEN_KINDS.control) return new Uint8Array(0)
      if (kind === TOKEN_KINDS.unknown) return encoder.encode('\ufffd')
      const byte = kind === TOKEN_KINDS.byte ? BYTE_TOKEN.exec(token)?.[1] : undefined
      return byte === undefined
        ? encoder.encode(token.replaceAll(SPACE, ' '))
        : Uint8Array.of(Number.parseInt(byte, 16))
    },
  }
}

/** Words with the spaces before them. */
function* spaced(text: string): Iterable<string> {
  // A space that is written as its stand-in is the same to the vocabulary.
  for (const match of text.matchAll(/[ \u2581]+[^ \u2581]*|[^ \u2581]+/gu)) yield match[0]
}

function readByteIds({ tokens, kinds }: Vocabulary): Int32Array {
  const ids = new Int32Array(256).fill(-1)
  for (const [id, token] of tokens.entries()) {
    const hex = kinds[id] === TOKEN_KINDS.byte ? BYTE_TOKEN.exec(token)?.[1] : undefined
    if (hex !== undefined) ids[Number.parseInt(hex, 16)] = id
  }
  const missing = ids.indexOf(-1)
  if (missing >= 0)
    throw invalidModel(`The vocabulary has no token for the byte ${missing}; models with all 256 are read.`)
  return ids
}

/** The place of each token's score among all that there are, the highest first; equal scores have equal ranks. */
function readRanks(metadata: Metadata, { tokens }: Vocabulary): Int32Array {
  const scores = metadata.get('tokenizer.ggml.scores')
  if (!(scores instanceof Float32Array) || scores.length !== tokens.length || scores.some(Number.isNaN))
    throw invalidModel(`tokenizer.ggml.scores must have one number for each of ${tokens.length} tokens.`)
  const sorted = Float32Array.from(new Set(scores)).sort().reverse()
  const places = new Map([...sorted].map((score, place) => [score, place]))
  return Int32Array.from(scores, (score) => places.get(score) ?? 0)
}

class PieceRule implements MergeRule {
  readonly #ids: ReadonlyMap<string, number>
  readonly #ranks: Int32Array
  readonly #charactersMax: number
  #text = ''
  /** Where each character begins, and the end. */
  #offsets = new Int32Array(0)
  merged = -1

  constructor({ normalIds }: Vocabulary, ranks: Int32Array) {
    this.#ids = normalIds
    this.#ranks = ranks
    this.#charactersMax = [...normalIds.keys()].reduce((most, piece) => Math.max(most, piece.length), 0)
  }

  /** Begins a word, and gives the tokens of its characters. */
  open(text: string): Int32Array {
    const characters = Array.from(text)
    const offsets = new Int32Array(characters.length + 1)
    const units = new Int32Array(characters.length)
    for (const [index, character] of characters.entries()) {
      units[index] = this.#ids.get(character) ?? -1
      offsets[index + 1] = (offsets[index] ?? 0) + character.length
    }
    this.#text = text
    this.#offsets = offsets
    return units
  }

  textOf(start: number, end: number): string {
    return this.#text.slice(this.#offsets[start], this.#offsets[end])
  }

  rank(left: number, _middle: number, end: number): number {
    if ((this.#offsets[end] ?? 0) - (this.#offsets[left] ?? 0) > this.#charactersMax) return -1
    const id = this.#ids.get(this.textOf(left, end))
    if (id === undefined) return -1
    this.merged = id
    return this.#ranks[id] ?? -1
  }
}
