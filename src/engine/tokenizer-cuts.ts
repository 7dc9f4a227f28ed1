/** User-defined tokens are cut out of a text before anything else: at each place the longest. */
import { LIMITS } from '../core/limits.ts'
import { invalidModel } from './gguf-cursor.ts'
import { TOKEN_KINDS, type Vocabulary } from './tokenizer-vocabulary.ts'

export type Cut = { readonly text: string } | { readonly id: number }

export class TokenCuts {
  readonly #ids = new Map<string, number>()
  /** Lengths of the tokens that begin with a UTF-16 unit, the longest first. */
  readonly #lengths = new Map<number, readonly number[]>()

  /** `textOf` is how a token is written in a text. Throws INVALID_MODEL beyond `userDefinedTokensMax`. */
  constructor({ tokens, kinds }: Vocabulary, textOf: (token: string) => string) {
    const lengths = new Map<number, Set<number>>()
    for (const [id, token] of tokens.entries()) {
      const text = kinds[id] === TOKEN_KINDS.userDefined ? textOf(token) : ''
      if (text === '') continue
      if (this.#ids.size >= LIMITS.userDefinedTokensMax)
        throw invalidModel(`The model has more than ${LIMITS.userDefinedTokensMax} user-defined tokens.`)
      if (!this.#ids.has(text)) this.#ids.set(text, id)
      const first = text.charCodeAt(0)
      lengths.set(first, (lengths.get(first) ?? new Set()).add(text.length))
    }
    for (const [first, set] of lengths)
      this.#lengths.set(
        first,
        [...set].sort((a, b) => b - a),
      )
  }

  *cut(text: string): Iterable<Cut> {
    if (this.#ids.size === 0) {
      if (text !== '') yield { text }
      return
    }
    let start = 0
    for (let at = 0; at < text.length; ) {
      const found = this.#tokenAt(text, at)
      if (found === null) {
        at += 1
        continue
      }
      if (start < at) yield { text: text.slice(start, at) }
      yield { id: found.id }
      at += found.length
      start = at
    }
    if (start < text.length) yield { text: text.slice(start) }
  }

  #tokenAt(text: string, at: number): { readonly id: number; readonly length: number } | null {
    for (const length of this.#lengths.get(text.charCodeAt(at)) ?? []) {
      const id = this.#ids.get(text.slice(at, at + length))
      if (id !== undefined) return { id, length }
    }
    return null
  }
}
