/** Pieces that come when they come, given to somebody who takes them one by one: what is not taken holds the sender. */

type Taker = { readonly resolve: (piece: Uint8Array | null) => void; readonly reject: (error: unknown) => void }

/** One sender, one taker. A piece's memory is the sender's again when the next one is asked for. */
export class BlobHandoff implements AsyncIterable<Uint8Array> {
  #waiting: Taker | null = null
  #offered: Uint8Array | null = null
  #onTaken: (() => void) | null = null
  #end: { readonly error: unknown } | null = null

  /** Ends when the taker is done with it. */
  give(piece: Uint8Array): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#onTaken = resolve
    if (this.#waiting === null) this.#offered = piece
    else {
      const { resolve: take } = this.#waiting
      this.#waiting = null
      take(piece)
    }
    return promise
  }

  /** Null when all has been given. */
  end(error: unknown): void {
    this.#end ??= { error }
    if (this.#waiting === null) return
    const { resolve, reject } = this.#waiting
    this.#waiting = null
    if (error === null) resolve(null)
    else reject(error)
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    for (let piece = await this.#take(); piece !== null; piece = await this.#take()) yield piece
  }

  #take(): Promise<Uint8Array | null> {
    const offered = this.#offered
    if (offered !== null) {
      this.#offered = null
      return Promise.resolve(offered)
    }
    const { promise, resolve, reject } = Promise.withResolvers<Uint8Array | null>()
    this.#onTaken?.()
    this.#onTaken = null
    if (this.#end === null) this.#waiting = { resolve, reject }
    else if (this.#end.error === null) resolve(null)
    else reject(this.#end.error)
    return promise
  }
}
