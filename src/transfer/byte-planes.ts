/**
 * HOT: takes 16-bit numbers apart into their lower and their upper bytes. Of floating-point numbers the upper ones hold
 * sign and exponent, which are alike and shrink; the lower ones are noise. Budget: 1 ns for a number.
 */
import { assert } from '../core/errors.ts'

const IS_LITTLE_ENDIAN = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1

/** Bytes of the lower plane: of an odd number of bytes, the last one too. */
export function lowerBytes(bytes: number): number {
  return Math.ceil(bytes / 2)
}

/** Even bytes go to `lower`, odd ones to `upper`, which have room for exactly those. */
export function splitPlanes(bytes: Uint8Array, lower: Uint8Array, upper: Uint8Array): void {
  checkPlanes(bytes, lower, upper)
  const words = wordsOf(bytes, lower, upper)
  if (words !== null) {
    const { whole, low, high } = words
    for (let at = 0; at < low.length; at++) {
      const first = whole[2 * at] ?? 0
      const second = whole[2 * at + 1] ?? 0
      low[at] = (first & 0xff) | ((first >>> 8) & 0xff00) | ((second & 0xff) << 16) | ((second << 8) & 0xff000000)
      high[at] = ((first >>> 8) & 0xff) | ((first >>> 16) & 0xff00) | ((second << 8) & 0xff0000) | (second & 0xff000000)
    }
  }
  for (let at = words === null ? 0 : 8 * words.low.length; at < bytes.length; at++) {
    const plane = at % 2 === 0 ? lower : upper
    plane[at >>> 1] = bytes[at] ?? 0
  }
}

/** The reverse of `splitPlanes`. */
export function joinPlanes(lower: Uint8Array, upper: Uint8Array, bytes: Uint8Array): void {
  checkPlanes(bytes, lower, upper)
  const words = wordsOf(bytes, lower, upper)
  if (words !== null) {
    const { whole, low, high } = words
    for (let at = 0; at < low.length; at++) {
      const lows = low[at] ?? 0
      const highs = high[at] ?? 0
      whole[2 * at] = (lows & 0xff) | ((highs & 0xff) << 8) | ((lows & 0xff00) << 8) | ((highs & 0xff00) << 16)
      whole[2 * at + 1] =
        ((lows >>> 16) & 0xff) | ((highs >>> 8) & 0xff00) | ((lows >>> 8) & 0xff0000) | (highs & 0xff000000)
    }
  }
  for (let at = words === null ? 0 : 8 * words.low.length; at < bytes.length; at++)
    bytes[at] = (at % 2 === 0 ? lower : upper)[at >>> 1] ?? 0
}

interface Words {
  readonly whole: Uint32Array
  readonly low: Uint32Array
  readonly high: Uint32Array
}

/** Four bytes at a time, where all three lie so that this is possible: views of as many whole words as there are. */
function wordsOf(bytes: Uint8Array, lower: Uint8Array, upper: Uint8Array): Words | null {
  if (!IS_LITTLE_ENDIAN || [bytes, lower, upper].some(({ byteOffset }) => byteOffset % 4 !== 0)) return null
  const count = bytes.length >>> 3
  return {
    whole: new Uint32Array(bytes.buffer, bytes.byteOffset, 2 * count),
    low: new Uint32Array(lower.buffer, lower.byteOffset, count),
    high: new Uint32Array(upper.buffer, upper.byteOffset, count),
  }
}

function checkPlanes(bytes: Uint8Array, lower: Uint8Array, upper: Uint8Array): void {
  const isFitting = lower.length === lowerBytes(bytes.length) && lower.length + upper.length === bytes.length
  assert(isFitting, 'planes have half of the bytes each, the lower one what is over')
}
