/** Byte-level vocabularies write each byte as one character that can be seen: itself, or one from U+0100 on. */

function isShown(byte: number): boolean {
  return (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae
}

const HIDDEN = Array.from({ length: 256 }, (_, byte) => byte).filter((byte) => !isShown(byte))

/** The character of each byte. */
export const BYTE_CHARACTERS: readonly string[] = Array.from({ length: 256 }, (_, byte) =>
  String.fromCharCode(isShown(byte) ? byte : 256 + HIDDEN.indexOf(byte)),
)

const BYTES = new Map(BYTE_CHARACTERS.map((character, byte) => [character, byte]))

/** The bytes that a token's characters stand for; null when one of them stands for none. */
export function bytesOfCharacters(token: string): Uint8Array | null {
  const bytes = new Uint8Array(token.length)
  for (let index = 0; index < token.length; index++) {
    const byte = BYTES.get(token.charAt(index))
    if (byte === undefined) return null
    bytes[index] = byte
  }
  return bytes
}

export function charactersOfBytes(bytes: Uint8Array): string {
  let text = ''
  for (const byte of bytes) text += BYTE_CHARACTERS[byte] ?? ''
  return text
}
