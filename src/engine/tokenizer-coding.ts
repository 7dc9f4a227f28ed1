/** What the kinds of vocabularies differ in. */
import type { Vocabulary } from './tokenizer-vocabulary.ts'

export interface Coding {
  readonly vocabulary: Vocabulary
  /** Joined, they are the text (composed, where the model composes characters): no token reaches from one into the next. */
  readonly words: (text: string) => Iterable<string>
  readonly encodeWord: (word: string) => readonly number[]
  /** What a token of that kind stands for, UTF-8 or a part of it. */
  readonly bytesOf: (token: string, kind: number) => Uint8Array
  /** Whether a space is put before a text, and before what follows a token that was cut out of it. */
  readonly hasSpaceBefore: boolean
}
