/** Whole numbers as RESP writes them. */

/**
 * The number that all of the bytes from `start` to `end` are, or null: no sign but a minus, no leading zero, no space,
 * and nothing beyond 2^53 - 1, where a number of JavaScript is no longer every integer.
 */
export function parseRespInteger(bytes: Uint8Array, start = 0, end: number = bytes.length): number | null {
  const isNegative = bytes[start] === MINUS
  const first = isNegative ? start + 1 : start
  const digits = end - first
  if (digits < 1 || digits > SAFE_DIGITS_MAX) return null
  if (bytes[first] === ZERO && (digits > 1 || isNegative)) return null
  let value = 0
  for (let at = first; at < end; at++) {
    const digit = (bytes[at] ?? 0) - ZERO
    if (digit < 0 || digit > 9) return null
    value = value * 10 + digit
  }
  if (value > Number.MAX_SAFE_INTEGER) return null
  return isNegative ? -value : value
}

const MINUS = 0x2d
const ZERO = 0x30
const SAFE_DIGITS_MAX = 16
