/** Text of tokens one by one, from an engine that can only say the text of several: bytes that it cannot show are U+FFFD. */
import type { TokenDecoder } from '../core/compute.ts'

/** Tokens that are held back at most: those of two characters of four bytes, one of which begins in the other's last. */
const HELD_TOKENS_MAX = 8

const REPLACEMENT = '\uFFFD'

/** Holds back tokens while their text ends in a character that may become complete. */
export class HeldDecoder implements TokenDecoder {
  readonly #textOf: (ids: readonly number[]) => string
  #held: number[] = []

  constructor(textOf: (ids: readonly number[]) => string) {
    this.#textOf = textOf
  }

  push(tokenId: number): string {
    const ids = [...this.#held, tokenId]
    const text = this.#textOf(ids)
    const isComplete = !text.endsWith(REPLACEMENT) || ids.length >= HELD_TOKENS_MAX
    this.#held = isComplete ? [] : ids
    return isComplete ? text : ''
  }

  end(): string {
    const text = this.#textOf(this.#held)
    this.#held = []
    return text
  }
}
