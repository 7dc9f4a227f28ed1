/**
 * Canonical CBOR (RFC 8949, 4.2), as much of it as block hashes of engines are made of: every number in its shortest
 * form. Each function writes to `target` from `at` on and returns where the next item goes; the caller sees to room.
 */

/** Major types, in place. */
export const CBOR_UINT = 0x00
const CBOR_NEGATIVE = 0x20
export const CBOR_BYTES = 0x40
const CBOR_TEXT = 0x60
export const CBOR_ARRAY = 0x80
export const CBOR_MAP = 0xa0

/** Most bytes that `writeCborHead` writes. */
export const CBOR_HEAD_BYTES_MAX = 5

const NULL = 0xf6
/** Followed by eight bytes. */
const EIGHT = 0x1b

/** The beginning of an item: its type, with its value or its length, 0 to 2^32 - 1. */
export function writeCborHead(target: Uint8Array, at: number, major: number, value: number): number {
  if (value < 24) {
    target[at] = major | value
    return at + 1
  }
  if (value < 0x1_00) {
    target[at] = major | 24
    target[at + 1] = value
    return at + 2
  }
  if (value < 0x1_00_00) {
    target[at] = major | 25
    target[at + 1] = value >>> 8
    target[at + 2] = value
    return at + 3
  }
  target[at] = major | 26
  target[at + 1] = value >>> 24
  target[at + 2] = value >>> 16
  target[at + 3] = value >>> 8
  target[at + 4] = value
  return at + 5
}

/** -(2^32) to 2^32 - 1. */
export function writeCborInteger(target: Uint8Array, at: number, value: number): number {
  if (value >= 0) return writeCborHead(target, at, CBOR_UINT, value)
  return writeCborHead(target, at, CBOR_NEGATIVE, -1 - value)
}

/** An unsigned 64-bit number that stands in `bytes` from `offset` on, big-endian. */
export function writeCborUint64(target: Uint8Array, at: number, bytes: Uint8Array, offset: number): number {
  const byte = (index: number): number => bytes[offset + index] ?? 0
  if ((byte(0) | byte(1) | byte(2) | byte(3)) === 0) {
    return writeCborHead(target, at, CBOR_UINT, byte(4) * 0x1_00_00_00 + ((byte(5) << 16) | (byte(6) << 8) | byte(7)))
  }
  target[at] = EIGHT
  for (let index = 0; index < 8; index++) target[at + 1 + index] = byte(index)
  return at + 9
}

/** `utf8` is the text, encoded. */
export function writeCborText(target: Uint8Array, at: number, utf8: Uint8Array): number {
  const start = writeCborHead(target, at, CBOR_TEXT, utf8.length)
  target.set(utf8, start)
  return start + utf8.length
}

export function writeCborNull(target: Uint8Array, at: number): number {
  target[at] = NULL
  return at + 1
}
