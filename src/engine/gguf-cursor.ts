/** Reads the fields of a GGUF header one after the other, and believes no length before it has compared it with the file. */
import { MembraneError } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'

/** The field lies in the file, but beyond what has been read of it. Told to the reader of the file, never to its caller. */
export class NeedsMoreBytes extends Error {
  readonly bytes: number

  constructor(bytes: number) {
    super(`The first ${bytes} bytes are needed.`)
    this.bytes = bytes
  }
}

export function invalidModel(message: string, details: Readonly<Record<string, unknown>> = {}): MembraneError {
  return new MembraneError('INVALID_MODEL', message, { details })
}

/** The first bytes of a file of `fileBytes`, and a place in them. */
export class GgufCursor {
  readonly #bytes: Uint8Array
  readonly #view: DataView
  readonly #fileBytes: number
  readonly #decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
  #offset = 0

  constructor(bytes: Uint8Array, fileBytes: number) {
    this.#bytes = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.#fileBytes = fileBytes
  }

  get offset(): number {
    return this.#offset
  }

  /** Says that at least `bytes` follow. Throws INVALID_MODEL when the file ends before they do. */
  expect(bytes: number, what: string): void {
    const start = this.#offset
    const end = start + bytes
    if (end > this.#fileBytes)
      throw invalidModel(
        `The file ends too early. ${what} needs ${bytes} bytes from byte ${start} on, and the file has ${this.#fileBytes} in all.`,
        { fileBytes: this.#fileBytes, neededBytes: end },
      )
    if (end > LIMITS.ggufHeaderBytesMax)
      throw invalidModel(
        `${what} ends beyond byte ${LIMITS.ggufHeaderBytesMax}; what stands before the tensors must end there.`,
      )
  }

  /** Moves over `bytes` and says where they begin. */
  #take(bytes: number, what: string): number {
    this.expect(bytes, what)
    const start = this.#offset
    const end = start + bytes
    if (end > this.#bytes.byteLength) throw new NeedsMoreBytes(end)
    this.#offset = end
    return start
  }

  u8(what: string): number {
    return this.#view.getUint8(this.#take(1, what))
  }

  u32(what: string): number {
    return this.#view.getUint32(this.#take(4, what), true)
  }

  /** A count or an offset: at most 2^53 - 1, above which INVALID_MODEL is thrown. */
  size(what: string): number {
    const value = this.#view.getBigUint64(this.#take(8, what), true)
    if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw invalidModel(`${what} is ${value}, more than any file holds.`)
    return Number(value)
  }

  /** `items` numbers of `itemBytes` each: a view at an offset that may be odd. */
  block(items: number, itemBytes: number, what: string): DataView {
    const start = this.#take(items * itemBytes, what)
    return new DataView(this.#view.buffer, this.#view.byteOffset + start, items * itemBytes)
  }

  /** A length, and as many bytes of UTF-8. */
  text(what: string, bytesMax: number = LIMITS.ggufHeaderBytesMax): string {
    const bytes = this.size(`The length of ${what}`)
    if (bytes > bytesMax) throw invalidModel(`${what} has ${bytes} bytes, at most ${bytesMax} are allowed.`)
    const start = this.#take(bytes, what)
    try {
      return this.#decoder.decode(this.#bytes.subarray(start, start + bytes))
    } catch {
      throw invalidModel(`${what} is not UTF-8.`)
    }
  }
}
