/** Bytes as lower-case hexadecimal digits. Engines' own `toHex` is younger than the oldest Node that runs us. */

const PAIRS: readonly string[] = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'))

/** Of bytes `[start, end)`, by default all. */
export function bytesToHex(bytes: Uint8Array, start = 0, end = bytes.length): string {
  let text = ''
  for (let at = start; at < end; at++) text += PAIRS[bytes[at] ?? 0] ?? ''
  return text
}

/** Values of the digits, by their character codes. */
const DIGITS = Uint8Array.from({ length: 128 }, (_, code) =>
  Math.max(0, '0123456789abcdef'.indexOf(String.fromCharCode(code))),
)

/**
 * Writes the bytes that `hex` spells, an even number of lower-case digits that were checked before, to `target` from
 * `offset` on. Opening a node's memory reads millions of them.
 */
export function writeHex(hex: string, target: Uint8Array, offset: number): void {
  for (let at = 0; 2 * at < hex.length; at++) {
    const upper = DIGITS[hex.charCodeAt(2 * at)] ?? 0
    target[offset + at] = (upper << 4) | (DIGITS[hex.charCodeAt(2 * at + 1)] ?? 0)
  }
}
