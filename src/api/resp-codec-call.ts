/** Commands as a client of RESP sends them. */

/** Longer arguments are passed on as they are. */
const COPIED_BYTES_MAX = 8 * 1024
const encoder = new TextEncoder()

/**
 * A command in pieces, to be sent one after another: long arguments are pieces as they are and must stay so until they
 * are sent; all else is joined. A text is UTF-8.
 */
export function encodeRespCommand(args: readonly (string | Uint8Array)[]): readonly Uint8Array[] {
  const pieces: Uint8Array[] = []
  let joined: Uint8Array[] = [encoder.encode(`*${args.length}\r\n`)]
  for (const arg of args) {
    const bytes = typeof arg === 'string' ? encoder.encode(arg) : arg
    joined.push(encoder.encode(`$${bytes.length}\r\n`))
    if (bytes.length > COPIED_BYTES_MAX) {
      pieces.push(join(joined), bytes)
      joined = [END]
    } else joined.push(bytes, END)
  }
  pieces.push(join(joined))
  return pieces
}

const END = encoder.encode('\r\n')

function join(parts: readonly Uint8Array[]): Uint8Array {
  const joined = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0))
  let at = 0
  for (const part of parts) {
    joined.set(part, at)
    at += part.length
  }
  return joined
}
