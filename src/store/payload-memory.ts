/**
 * Memory of payloads, used again. Touching fresh memory costs several times what is then written to it, and every
 * allocation of megabytes brings the garbage collector nearer; so what a store drops is kept for the next payload of
 * that length, if nobody can still be reading it.
 */

/** Smaller payloads are allocated faster than they are found here. */
const PAYLOAD_BYTES_MIN = 64 * 1024

/** Free memory by its length: payloads of one model are of one length, or a few. */
export class PayloadMemory {
  readonly #bytesMax: number
  readonly #free = new Map<number, Uint8Array[]>()
  #freeBytes = 0

  /** `bytesMax`: of free memory that is kept; what comes beyond is left to the garbage collector. */
  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  /** Kept for use. */
  get freeBytes(): number {
    return this.#freeBytes
  }

  /** Not zeroed: all of it must be written before it is read. */
  take(bytes: number): Uint8Array {
    const free = this.#free.get(bytes)?.pop()
    if (free === undefined) return Buffer.allocUnsafeSlow(bytes)
    this.#freeBytes -= bytes
    return free
  }

  /** Nobody has it any more. */
  give(payload: Uint8Array): void {
    const { length, buffer } = payload
    const isWhole = buffer instanceof ArrayBuffer && buffer.byteLength === length && !buffer.resizable
    if (length < PAYLOAD_BYTES_MIN || !isWhole || this.#freeBytes + length > this.#bytesMax) return
    const others = this.#free.get(length)
    if (others !== undefined) others.push(payload)
    else {
      this.#dropOtherLengths()
      this.#free.set(length, [payload])
    }
    this.#freeBytes += length
  }

  clear(): void {
    this.#free.clear()
    this.#freeBytes = 0
  }

  /** Lengths that nobody asks for any more must not keep out those that are in use. */
  #dropOtherLengths(): void {
    if (this.#free.size < LENGTHS_MAX) return
    for (const [length, payloads] of this.#free) {
      this.#freeBytes -= length * payloads.length
      this.#free.delete(length)
      return
    }
  }
}

const LENGTHS_MAX = 64

/** Who reads a payload that a store holds, so that its memory is not used again under them. */
export class LentPayload {
  readonly payload: Uint8Array
  readonly #memory: PayloadMemory | null
  #readers = 0
  #isDropped = false

  constructor(payload: Uint8Array, memory: PayloadMemory | null) {
    this.payload = payload
    this.#memory = memory
  }

  /** To be called once, when the reader has no further use of the bytes. A reader that never does keeps them for good. */
  lend(): () => void {
    this.#readers += 1
    let isDone = false
    return () => {
      if (isDone) return
      isDone = true
      this.#readers -= 1
      this.#giveBack()
    }
  }

  /** Readers that do not say when they are done. */
  lendForGood(): void {
    this.#readers = Number.POSITIVE_INFINITY
  }

  /** The store has it no more. */
  drop(): void {
    this.#isDropped = true
    this.#giveBack()
  }

  #giveBack(): void {
    if (this.#isDropped && this.#readers === 0) this.#memory?.give(this.payload)
  }
}
