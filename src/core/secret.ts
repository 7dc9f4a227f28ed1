/** A password, key or token on its way from where it was read to where it is used. */

/** What stands for a secret wherever it would be printed. */
export const SECRET_MARK = '(set)'

/** A secret that does not print: `JSON.stringify`, `String` and `util.inspect` show none of it. */
export class Secret {
  readonly #text: string

  constructor(text: string) {
    this.#text = text
  }

  /** The secret itself, for the one place that uses it. */
  reveal(): string {
    return this.#text
  }

  toString(): string {
    return SECRET_MARK
  }

  toJSON(): string {
    return SECRET_MARK
  }
}
