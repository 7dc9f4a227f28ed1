/** A body on its way out. */
import { MembraneError } from '../core/errors.ts'
import { type ContentHash, contentHashAlgorithm } from '../core/ids.ts'

/** In one piece, or a function that gives the pieces anew for each try. */
export type BlobPayload = Uint8Array | (() => AsyncIterable<Uint8Array>)

type RunningHash = { update(piece: Uint8Array): void; contentHash(): ContentHash }

/** What comes before the payload, the payload, and a check that all of it was sent. */
export class SentBody {
  readonly body: Uint8Array | AsyncIterable<Uint8Array>
  readonly #running: RunningHash | null

  constructor(payload: BlobPayload, frame: Uint8Array | null, payloadBytes: number, running: RunningHash | null) {
    if (payload instanceof Uint8Array) {
      this.#running = null
      this.body = frame === null ? payload : inOrder([frame, payload])
    } else {
      this.#running = running
      this.body = this.#pieces(payload(), frame, payloadBytes)
    }
  }

  /** Throws CONTENT_MISMATCH when the server has other bytes than were sent. */
  check(stored: ContentHash): void {
    const sent = this.#running?.contentHash() ?? null
    if (sent !== null && contentHashAlgorithm(stored) === 'b3' && sent !== stored)
      throw new MembraneError('CONTENT_MISMATCH', `The server stored bytes with the hash ${stored}; sent was ${sent}.`)
  }

  async *#pieces(pieces: AsyncIterable<Uint8Array>, frame: Uint8Array | null, payloadBytes: number) {
    if (frame !== null) yield frame
    let bytes = 0
    for await (const piece of pieces) {
      bytes += piece.length
      if (bytes > payloadBytes) break
      this.#running?.update(piece)
      yield piece
    }
    if (bytes !== payloadBytes)
      throw new MembraneError(
        'INVALID_REQUEST',
        `The pieces have ${bytes} bytes or more, ${payloadBytes} were announced.`,
      )
  }
}

async function* inOrder(pieces: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* pieces
}
