/**
 * What is hashed under a domain: a name for what it is, then its fields, each an unsigned 32-bit little-endian length
 * and so many bytes. Two lists of equally many fields read alike only if they are alike.
 */

export function lengthPrefixed(domain: string, fields: readonly Uint8Array[]): Uint8Array {
  const all = [encoder.encode(domain), ...fields]
  const message = new Uint8Array(all.reduce((sum, bytes) => sum + 4 + bytes.length, 0))
  const view = new DataView(message.buffer)
  let at = 0
  for (const bytes of all) {
    view.setUint32(at, bytes.length, true)
    message.set(bytes, at + 4)
    at += 4 + bytes.length
  }
  return message
}

/** Numbers 0 to 2^32 - 1, little-endian. */
export function uint32Field(...values: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(4 * values.length)
  const view = new DataView(bytes.buffer)
  for (const [index, value] of values.entries()) view.setUint32(4 * index, value, true)
  return bytes
}

const encoder = new TextEncoder()
