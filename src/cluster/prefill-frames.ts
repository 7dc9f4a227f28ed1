/**
 * What a node sends that computes for another: frames, each with a hash of its own, so that pieces of KV are used as they
 * come. Numbers are little-endian.
 *
 *     length u32 of what follows | kind u8 | BLAKE3 of kind and body, 32 bytes | body
 *     1 piece   layers u16 u16, positions u32 u32, a safetensors file of these layers' tensors
 *     2 end     prefill seconds f64, overlap seconds f64, reused tokens u32
 *     3 error   length of the code u8, the code, a sentence
 */
import { MembraneError, unreachable } from '../core/errors.ts'
import type { Span, TokenSpan } from '../core/fragment.ts'
import { writeHex } from '../core/hex.ts'
import { LIMITS } from '../core/limits.ts'
import type { ContentHasher } from '../core/ports.ts'

/** KV of some layers at some positions. */
export interface PrefillPiece {
  readonly kind: 'piece'
  readonly layers: Span
  readonly span: TokenSpan
  /** A safetensors file. */
  readonly tensors: Uint8Array
}

export type PrefillFrame =
  | PrefillPiece
  | {
      readonly kind: 'end'
      /** Until all was computed. */
      readonly seconds: number
      /** Of them, those since the first piece was on its way. */
      readonly overlapSeconds: number
      /** Tokens of the prompt that had not to be computed. */
      readonly reusedTokens: number
    }
  | { readonly kind: 'error'; readonly code: string; readonly sentence: string }

const KINDS = { piece: 1, end: 2, error: 3 } as const
const LENGTH_BYTES = 4
const DIGEST_BYTES = 32
/** Kind and hash. */
const HEAD_BYTES = 1 + DIGEST_BYTES
const PIECE_BYTES = 12
const END_BYTES = 20
const encoder = new TextEncoder()
const decoder = new TextDecoder()

/** Two pieces: what is small, and the tensors, which are not copied. */
export function encodePrefillFrame(frame: PrefillFrame, blake3: ContentHasher): readonly Uint8Array[] {
  const fields = fieldsOf(frame)
  const bulk = frame.kind === 'piece' ? frame.tensors : new Uint8Array(0)
  const kind = KINDS[frame.kind]
  const start = new Uint8Array(LENGTH_BYTES + HEAD_BYTES + fields.length)
  new DataView(start.buffer).setUint32(0, HEAD_BYTES + fields.length + bulk.length, true)
  start[LENGTH_BYTES] = kind
  start.set(digestOf(blake3, kind, [fields, bulk]), LENGTH_BYTES + 1)
  start.set(fields, LENGTH_BYTES + HEAD_BYTES)
  return bulk.length > 0 ? [start, bulk] : [start]
}

/**
 * Frames out of a stream, up to the one that ends it; kinds that are not known are passed over. A frame's bytes are its
 * own. Throws PEER_UNAVAILABLE for a stream that breaks off or is none, CONTENT_MISMATCH for damaged frames.
 */
export async function* readPrefillFrames(
  source: AsyncIterable<Uint8Array>,
  blake3: ContentHasher,
): AsyncGenerator<PrefillFrame> {
  const length = new Uint8Array(LENGTH_BYTES)
  let target = length
  let filled = 0
  for await (const bytes of source)
    for (let at = 0; at < bytes.length; ) {
      const taken = bytes.subarray(at, at + target.length - filled)
      target.set(taken, filled)
      filled += taken.length
      at += taken.length
      if (filled < target.length) continue
      filled = 0
      if (target === length) {
        target = new Uint8Array(frameBytes(length))
        continue
      }
      const frame = decodeFrame(target, blake3)
      target = length
      if (frame === null) continue
      yield frame
      if (frame.kind !== 'piece') return
    }
  throw new MembraneError('PEER_UNAVAILABLE', 'The stream of a prefill broke off before its end.')
}

function frameBytes(length: Uint8Array): number {
  const bytes = new DataView(length.buffer).getUint32(0, true)
  if (bytes >= HEAD_BYTES && bytes <= LIMITS.prefillFrameBytesMax) return bytes
  throw malformed(`a frame of ${bytes} bytes`)
}

function decodeFrame(frame: Uint8Array, blake3: ContentHasher): PrefillFrame | null {
  const [kind = 0] = frame
  const body = frame.subarray(HEAD_BYTES)
  const digest = digestOf(blake3, kind, [body])
  if (digest.some((byte, index) => byte !== frame[1 + index]))
    throw new MembraneError('CONTENT_MISMATCH', 'A frame of a prefill was damaged on the way.')
  const view = new DataView(body.buffer, body.byteOffset, body.length)
  switch (kind) {
    case KINDS.piece:
      return decodePiece(body, view)
    case KINDS.end: {
      if (body.length < END_BYTES) throw malformed(`an end of ${body.length} bytes`)
      const seconds = view.getFloat64(0, true)
      return { kind: 'end', seconds, overlapSeconds: view.getFloat64(8, true), reusedTokens: view.getUint32(16, true) }
    }
    case KINDS.error: {
      const [codeBytes = 0] = body
      const code = decoder.decode(body.subarray(1, 1 + codeBytes))
      return { kind: 'error', code, sentence: decoder.decode(body.subarray(1 + codeBytes)) }
    }
    default:
      return null
  }
}

function decodePiece(body: Uint8Array, view: DataView): PrefillPiece {
  if (body.length <= PIECE_BYTES) throw malformed(`a piece of ${body.length} bytes`)
  const layers = { start: view.getUint16(0, true), end: view.getUint16(2, true) }
  const span = { start: view.getUint32(4, true), end: view.getUint32(8, true) }
  if (layers.start >= layers.end || span.start >= span.end) throw malformed('a piece of no layers or positions')
  return { kind: 'piece', layers, span, tensors: body.subarray(PIECE_BYTES) }
}

function fieldsOf(frame: PrefillFrame): Uint8Array {
  switch (frame.kind) {
    case 'piece': {
      const view = new DataView(new ArrayBuffer(PIECE_BYTES))
      view.setUint16(0, frame.layers.start, true)
      view.setUint16(2, frame.layers.end, true)
      view.setUint32(4, frame.span.start, true)
      view.setUint32(8, frame.span.end, true)
      return new Uint8Array(view.buffer)
    }
    case 'end': {
      const view = new DataView(new ArrayBuffer(END_BYTES))
      view.setFloat64(0, frame.seconds, true)
      view.setFloat64(8, frame.overlapSeconds, true)
      view.setUint32(16, frame.reusedTokens, true)
      return new Uint8Array(view.buffer)
    }
    case 'error': {
      const code = encoder.encode(frame.code)
      return Uint8Array.from([code.length, ...code, ...encoder.encode(frame.sentence)])
    }
    default:
      return unreachable(frame)
  }
}

function digestOf(blake3: ContentHasher, kind: number, pieces: readonly Uint8Array[]): Uint8Array {
  const hash = blake3.start()
  hash.update(Uint8Array.of(kind))
  for (const piece of pieces) hash.update(piece)
  const text = hash.contentHash()
  const digest = new Uint8Array(DIGEST_BYTES)
  writeHex(text.slice(text.indexOf(':') + 1), digest, 0)
  return digest
}

function malformed(found: string): MembraneError {
  return new MembraneError('PEER_UNAVAILABLE', `A stream of a prefill was expected; found ${found}.`)
}
