import { MembraneError } from '../core/errors.ts'

/** Pieces of a payload that the store has already: a put of them succeeds only if the store does not ask for any. */
export class UnreadPieces implements AsyncIterable<Uint8Array> {
  readonly #key: string
  #wereAsked = false

  constructor(key: string) {
    this.#key = key
  }

  /** Then the put failed, and has to be repeated with the bytes. */
  get wereAsked(): boolean {
    return this.#wereAsked
  }

  [Symbol.asyncIterator](): AsyncIterator<Uint8Array> {
    this.#wereAsked = true
    const details = { key: this.#key }
    const next = (): Promise<never> =>
      Promise.reject(new MembraneError('STORE_UNAVAILABLE', `The bytes of ${this.#key} are not here.`, { details }))
    return { next }
  }
}
