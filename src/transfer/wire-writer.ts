/** Writes messages: bytes, and whole numbers as varints (seven bits a byte, the lowest first). */
import { assert } from '../core/errors.ts'

const START_BYTES = 256

export class WireWriter {
  #bytes: Uint8Array
  #at = 0

  constructor(startBytes = START_BYTES) {
    this.#bytes = new Uint8Array(startBytes)
  }

  get length(): number {
    return this.#at
  }

  /** 0 to 255. */
  byte(value: number): void {
    this.#reserve(1)
    this.#bytes[this.#at++] = value
  }

  /** 0 to 2^53 - 1. */
  varint(value: number): void {
    assert(Number.isSafeInteger(value) && value >= 0, `a varint is a whole number, 0 to 2^53 - 1, found ${value}`)
    this.#reserve(8)
    let left = value
    // Bits beyond 32 are cut off by the operators, so they are divided away first.
    while (left >= 0x80) {
      this.#bytes[this.#at++] = (left % 0x80) | 0x80
      left = Math.floor(left / 0x80)
    }
    this.#bytes[this.#at++] = left
  }

  raw(bytes: Uint8Array): void {
    this.#reserve(bytes.length)
    this.#bytes.set(bytes, this.#at)
    this.#at += bytes.length
  }

  /** All that was written: a view, valid until something more is. */
  written(): Uint8Array {
    return this.#bytes.subarray(0, this.#at)
  }

  #reserve(bytes: number): void {
    if (this.#at + bytes <= this.#bytes.length) return
    const larger = new Uint8Array(Math.max(2 * this.#bytes.length, this.#at + bytes))
    larger.set(this.#bytes.subarray(0, this.#at))
    this.#bytes = larger
  }
}
