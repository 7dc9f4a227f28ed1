/**
 * Reads messages of others. Each value has exactly one spelling and stated bounds, so that what is accepted is what
 * `WireWriter` would have written. Everything else throws INVALID_REQUEST, before anything is allocated for it.
 */
import { MembraneError } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'

/** 2^53 - 1 takes eight groups of seven bits; more bytes than that spell no number that is exact. */
const VARINT_BYTES_MAX = 8

export class WireReader {
  readonly #bytes: Uint8Array
  readonly #what: string
  #at = 0

  /** `what` names the message in errors: `A manifest`. Of more than `bytesMax` bytes nothing is read. */
  constructor(bytes: Uint8Array, what: string, bytesMax: number = LIMITS.transferMessageBytesMax) {
    this.#bytes = bytes
    this.#what = what
    if (bytes.length > bytesMax) throw this.invalid(`it takes ${bytes.length} bytes, more than ${bytesMax}`)
  }

  /** Bytes that were not read yet. */
  get left(): number {
    return this.#bytes.length - this.#at
  }

  byte(name: string): number {
    const value = this.#bytes[this.#at]
    if (value === undefined) throw this.#short(name, 1)
    this.#at += 1
    return value
  }

  /** A whole number from `min` to `max`. */
  varint(name: string, max: number, min = 0): number {
    let value = 0
    let scale = 1
    for (let count = 0; count < VARINT_BYTES_MAX; count++) {
      const byte = this.byte(name)
      value += (byte & 0x7f) * scale
      scale *= 0x80
      if (byte >= 0x80) continue
      if (byte === 0 && count > 0) throw this.invalid(`${name} is not spelled in the shortest way`)
      if (value < min || value > max) throw this.invalid(`${name} is ${min} to ${max}, found ${value}`)
      return value
    }
    throw this.invalid(`${name} takes more than ${VARINT_BYTES_MAX} bytes`)
  }

  /** A view of the next bytes. */
  raw(name: string, length: number): Uint8Array {
    if (length > this.left) throw this.#short(name, length)
    this.#at += length
    return this.#bytes.subarray(this.#at - length, this.#at)
  }

  /** These bytes and no others: what the message begins with. */
  magic(expected: Uint8Array): void {
    const found = this.#bytes.subarray(this.#at, this.#at + expected.length)
    if (found.length !== expected.length || !expected.every((byte, index) => byte === found[index]))
      throw this.invalid(`it begins with other bytes than [${expected.join(', ')}]`)
    this.#at += expected.length
  }

  /** Nothing follows. */
  end(): void {
    if (this.left > 0) throw this.invalid(`it ends ${this.left} bytes before its last byte`)
  }

  /** To be thrown: says what is wrong with this message. */
  invalid(reason: string): MembraneError {
    return new MembraneError('INVALID_REQUEST', `${this.#what} is malformed near byte ${this.#at}: ${reason}.`)
  }

  #short(name: string, bytes: number): MembraneError {
    return this.invalid(`${name} takes ${bytes} bytes, of which ${this.left} are there`)
  }
}
