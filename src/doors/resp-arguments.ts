/** Arguments of RESP commands as words, numbers and keys. */
import { parseRespInteger } from '../api/resp-codec-numbers.ts'
import { MembraneError } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import { opaqueKey } from '../server/fragment-operations.ts'
import { NOT_INTEGER, refuse } from './resp-refusal.ts'

/** An option or a name, in small letters. */
export function wordOf(bytes: Uint8Array): string {
  let word = ''
  for (let at = 0; at < bytes.length; at++) {
    const code = bytes[at] ?? 0
    word += String.fromCharCode(code >= 0x41 && code <= 0x5a ? code + 0x20 : code)
  }
  return word
}

const decoder = new TextDecoder()

export function textOf(bytes: Uint8Array): string {
  return decoder.decode(bytes)
}

/** Throws Redis's answer to what is no whole number of 64 bits. Those beyond 2^53 are near, which is far beyond any use. */
export function integerOf(bytes: Uint8Array): number {
  const value = parseRespInteger(bytes) ?? longInteger(bytes)
  if (value === null) throw refuse(NOT_INTEGER)
  return value
}

function longInteger(bytes: Uint8Array): number | null {
  if (bytes.length > 20) return null
  const text = textOf(bytes)
  if (!/^-?[1-9]\d{15,18}$/.test(text)) return null
  const value = BigInt(text)
  return value === BigInt.asIntN(64, value) ? Number(value) : null
}

/** The key of the store. Throws INVALID_REQUEST for one that is empty or too long. */
export function keyOf(bytes: Uint8Array): string {
  if (bytes.length > LIMITS.storeKeyBytesMax)
    throw new MembraneError(
      'INVALID_REQUEST',
      `A key takes at most ${LIMITS.storeKeyBytesMax} bytes; found ${bytes.length}.`,
    )
  return opaqueKey(bytes)
}

/** For an error: in one line, of bounded length, with spaces for ends of line, and everything else that is not printable ASCII escaped. */
export function shown(bytes: Uint8Array, charactersMax = 128): string {
  let text = ''
  for (const byte of bytes) {
    if (text.length >= charactersMax) break
    // An end of line would end the error: Redis writes a space for it.
    if (byte === 0x0d || byte === 0x0a) text += ' '
    else text += byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : `\\x${byte.toString(16).padStart(2, '0')}`
  }
  return text.slice(0, charactersMax)
}
