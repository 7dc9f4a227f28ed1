import type { PayloadPieces } from '../src/core/safetensors-writer.ts'

/** A payload in one array, as a store would give it back. */
export function joinPieces({ payloadBytes, pieces }: PayloadPieces): Uint8Array {
  const payload = new Uint8Array(payloadBytes)
  let offset = 0
  for (const piece of pieces) {
    payload.set(piece, offset)
    offset += piece.length
  }
  if (offset !== payloadBytes) throw new Error(`${offset} bytes of pieces, but ${payloadBytes} were promised`)
  return payload
}
