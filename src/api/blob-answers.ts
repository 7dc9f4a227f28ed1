/** Where the bodies of answers go: errors to one place, what was asked for to another. */
import { MembraneError } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import { BlobHandoff } from './blob-handoff.ts'
import type { BlobHead } from './blob-head.ts'
import type { BlobReceiver } from './blob-connection.ts'
import { errorOfAnswer } from './client-errors.ts'

/** What takes the body of an answer that is no error. */
export interface Answer {
  /** Memory for all of it, or null to be given pieces. */
  begin(head: BlobHead): Uint8Array | null
  piece(bytes: Uint8Array): Promise<void> | null
  /** See `BlobReceiver.landed`. */
  landed?(bytes: number): void
}

/** Tells errors from answers: their bodies go elsewhere. */
export class AnswerReceiver implements BlobReceiver {
  readonly #answer: Answer
  #error: TextAnswer | null = null

  constructor(answer: Answer) {
    this.#answer = answer
  }

  get errorText(): string | null {
    return this.#error?.text ?? null
  }

  begin(head: BlobHead): Uint8Array | null {
    if (head.status < 300) return this.#answer.begin(head)
    this.#error = new TextAnswer()
    return this.#error.begin(head)
  }

  piece(bytes: Uint8Array): Promise<void> | null {
    return this.#answer.piece(bytes)
  }

  landed(bytes: number): void {
    if (this.#error === null) this.#answer.landed?.(bytes)
  }
}

/** A short text, such as JSON. */
export class TextAnswer implements Answer {
  #bytes: Uint8Array = new Uint8Array(0)

  get text(): string {
    return new TextDecoder().decode(this.#bytes)
  }

  begin({ status, bodyBytes }: BlobHead): Uint8Array {
    if (bodyBytes > LIMITS.responseErrorBytesMax)
      throw errorOfAnswer({ status: status < 300 ? 502 : status, body: '', retryAfter: null })
    this.#bytes = new Uint8Array(bodyBytes)
    return this.#bytes
  }

  piece(): null {
    return null
  }
}

/** Bytes in one memory, the caller's or a new one. */
export class BytesAnswer implements Answer {
  readonly #into: Uint8Array | undefined
  readonly #onLength: (bytes: number) => void
  #bytes: Uint8Array = new Uint8Array(0)

  constructor(into: Uint8Array | undefined, onLength: (bytes: number) => void) {
    this.#into = into
    this.#onLength = onLength
  }

  get bytes(): Uint8Array {
    return this.#bytes
  }

  begin({ bodyBytes }: BlobHead): Uint8Array {
    if (bodyBytes > LIMITS.payloadBytesMax + LIMITS.storeHeadBytesMax)
      throw new MembraneError('LIMIT_REACHED', `A body of ${bodyBytes} bytes is more than a fragment has.`)
    if (this.#into !== undefined && this.#into.length < bodyBytes)
      throw new MembraneError(
        'INVALID_REQUEST',
        `The memory has ${this.#into.length} bytes, the answer ${bodyBytes}.`,
        {
          details: { neededBytes: bodyBytes },
        },
      )
    this.#onLength(bodyBytes)
    // Not from the pool of small buffers: the caller may keep it.
    this.#bytes = this.#into?.subarray(0, bodyBytes) ?? Buffer.allocUnsafeSlow(bodyBytes)
    return this.#bytes
  }

  piece(): null {
    return null
  }
}

/** Pieces, taken one by one. */
export class PiecesAnswer implements Answer {
  readonly pieces = new BlobHandoff()
  readonly #onBegin: (head: BlobHead) => void

  constructor(onBegin: (head: BlobHead) => void) {
    this.#onBegin = onBegin
  }

  begin(head: BlobHead): null {
    this.#onBegin(head)
    return null
  }

  piece(bytes: Uint8Array): Promise<void> {
    return this.pieces.give(bytes)
  }
}
