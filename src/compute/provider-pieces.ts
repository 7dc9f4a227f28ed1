/** The bytes of an answer, taken from Node as they come: it throws away what nobody has read when a connection is cut. */
import type { ClientRequest, IncomingMessage } from 'node:http'

/** Of an answer that nobody reads so far; then the service has to wait. */
const QUEUED_BYTES_MAX = 256 * 1024

export class AnswerPieces {
  readonly #message: IncomingMessage
  readonly #queue: Uint8Array[] = []
  #queuedBytes = 0
  #error: NodeJS.ErrnoException | null = null
  #isClosed = false
  #isWanted = true
  #wake = (): void => undefined

  /** To be called as soon as an answer begins. */
  constructor(request: ClientRequest, message: IncomingMessage) {
    this.#message = message
    message.on('data', (piece: Uint8Array) => {
      if (!this.#isWanted) return
      this.#queue.push(piece)
      this.#queuedBytes += piece.length
      if (this.#queuedBytes > QUEUED_BYTES_MAX) message.pause()
      this.#wake()
    })
    message.on('error', (error: NodeJS.ErrnoException) => {
      this.#error ??= error
      this.#wake()
    })
    // The request says what was wrong with the bytes; the answer only that it ended.
    request.on('error', (error: NodeJS.ErrnoException) => {
      this.#error = error
      this.#wake()
    })
    message.on('close', () => {
      this.#isClosed = true
      this.#wake()
    })
  }

  /** All that came, then the error if there was one, as Node gives it. To be iterated once. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    for (;;) {
      for (let piece = this.#queue.shift(); piece !== undefined; piece = this.#queue.shift()) {
        this.#queuedBytes -= piece.length
        yield piece
      }
      if (this.#error !== null) throw this.#error
      if (this.#isClosed) return
      this.#message.resume()
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
  }

  /** What comes from now on is let go. */
  drain(): void {
    this.#isWanted = false
    this.#queue.length = 0
    this.#message.resume()
  }
}
