/** A payload that is on its way, in memory: gone with the process, unless it is suspended to a file. */
import type { ByteSpan } from '../core/ports.ts'

/** Where the bytes of one payload are until all of them are there. */
export interface StagingRoom {
  write(offset: number, bytes: Uint8Array): Promise<void>
  read(span: ByteSpan, into: Uint8Array): Promise<void>
  /** All of it: in one piece that may be given away, or piece by piece. */
  payload(): Uint8Array | AsyncIterable<Uint8Array>
  /** Keeps the bytes with what is known of them. */
  suspend(state: Uint8Array): Promise<void>
  /** Frees the room. */
  remove(): Promise<void>
}

/** See the top of this file. */
export class StagedMemory implements StagingRoom {
  readonly #bytes: Uint8Array
  readonly #suspend: (bytes: Uint8Array, state: Uint8Array) => Promise<void>
  readonly #free: () => void

  constructor(
    payloadBytes: number,
    {
      suspend,
      free,
    }: { readonly suspend: (bytes: Uint8Array, state: Uint8Array) => Promise<void>; readonly free: () => void },
  ) {
    // Every byte is written before any is published.
    this.#bytes = Buffer.allocUnsafeSlow(payloadBytes)
    this.#suspend = suspend
    this.#free = free
  }

  async write(offset: number, bytes: Uint8Array): Promise<void> {
    this.#bytes.set(bytes, offset)
  }

  async read({ start, end }: ByteSpan, into: Uint8Array): Promise<void> {
    into.set(this.#bytes.subarray(start, end))
  }

  payload(): Uint8Array {
    return this.#bytes
  }

  async suspend(state: Uint8Array): Promise<void> {
    try {
      await this.#suspend(this.#bytes, state)
    } finally {
      this.#free()
    }
  }

  async remove(): Promise<void> {
    this.#free()
  }
}
