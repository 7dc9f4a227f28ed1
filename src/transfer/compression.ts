/**
 * Chunks on the wire, compressed where that pays (`policy/compress.ts`). A frame is a property of the copy that travels:
 * chunk hashes and content hashes stay those of the uncompressed bytes, and verify what came out of it.
 *
 *   'M' 'Z' 1 | 0 stored | bytes | the bytes
 *   'M' 'Z' 1 | 1 planes | bytes | the lower plane | the upper plane, compressed
 */
import { MembraneError } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import { joinPlanes, lowerBytes, splitPlanes } from './byte-planes.ts'
import { WireReader } from './wire-reader.ts'
import { WireWriter } from './wire-writer.ts'

const MAGIC = Uint8Array.of(0x4d, 0x5a, 1)
const STORED = 0
const PLANES = 1

/** A general compressor, such as zstd at level 1. */
export interface ByteCodec {
  /** May be larger than what goes in. */
  compress(bytes: Uint8Array): Uint8Array
  /** Fills `into`, never more. Throws INVALID_REQUEST when what comes out is no such bytes, or not as many. */
  decompress(compressed: Uint8Array, into: Uint8Array): void
}

/**
 * A frame of up to LIMITS.transferChunkBytesMax bytes: of 16-bit floats, with their upper bytes compressed; as they are
 * where that is no shorter. Null for a codec: as they are. At most 8 bytes more than it holds.
 */
export function encodeFrame(bytes: Uint8Array, codec: ByteCodec | null): Uint8Array {
  checkFrameBytes(bytes.length)
  const frame = new Uint8Array(HEAD_BYTES_MAX + bytes.length)
  const body = frame.subarray(HEAD_BYTES_MAX)
  if (codec !== null) {
    const lower = body.subarray(0, lowerBytes(bytes.length))
    const upper = new Uint8Array(bytes.length - lower.length)
    splitPlanes(bytes, lower, upper)
    const compressed = codec.compress(upper)
    if (compressed.length < upper.length) {
      body.set(compressed, lower.length)
      return framed(frame, { form: PLANES, bytes: bytes.length, bodyBytes: lower.length + compressed.length })
    }
  }
  body.set(bytes)
  return framed(frame, { form: STORED, bytes: bytes.length, bodyBytes: bytes.length })
}

/**
 * Fills `into`, whose length is what the frame must hold. Throws INVALID_REQUEST for anything that `encodeFrame` does not
 * write, and for a frame of another length; `into` may hold anything then.
 */
export function decodeFrame(frame: Uint8Array, into: Uint8Array, codec: ByteCodec): void {
  const reader = new WireReader(frame, 'A compressed chunk', HEAD_BYTES_MAX + LIMITS.transferChunkBytesMax)
  reader.magic(MAGIC)
  const form = reader.byte('the form')
  const bytes = reader.varint('the size of the chunk', LIMITS.transferChunkBytesMax)
  if (bytes !== into.length) throw reader.invalid(`a chunk of ${into.length} bytes was expected, found ${bytes}`)
  if (form === STORED) {
    into.set(reader.raw('the bytes', bytes))
    reader.end()
    return
  }
  if (form !== PLANES) throw reader.invalid(`a form ${form} is unknown`)
  const upper = new Uint8Array(bytes - lowerBytes(bytes))
  const lower = reader.raw('the lower plane', lowerBytes(bytes))
  // No encoder sends more than it has, so a decoder need not unpack it.
  if (reader.left >= upper.length) throw reader.invalid('its upper plane is no shorter than before')
  const compressed = reader.raw('the upper plane', reader.left)
  codec.decompress(compressed, upper)
  joinPlanes(aligned(lower), upper, into)
}

/** Bytes before over bytes after, of a few pieces across a payload: what the choice is made by. 1 for nothing. */
export function sampledRatio(payload: Uint8Array, codec: ByteCodec): number {
  let before = 0
  let after = 0
  const step = Math.max(SAMPLE_BYTES, Math.floor((payload.length - SAMPLE_BYTES) / (SAMPLES - 1) / 2) * 2)
  for (let sample = 0; sample < SAMPLES; sample++) {
    const bytes = payload.subarray(sample * step, sample * step + SAMPLE_BYTES)
    if (bytes.length === 0) break
    before += bytes.length
    after += encodeFrame(bytes, codec).length
  }
  return before === 0 ? 1 : before / after
}

const SAMPLES = 4
const SAMPLE_BYTES = 64 * 1024

/** The magic, the form, and a size of up to 16 MiB. */
const HEAD_BYTES_MAX = 8

/** Writes the head right before the body, which lies on whole words so that planes are split by words. */
function framed(
  frame: Uint8Array,
  { form, bytes, bodyBytes }: { readonly form: number; readonly bytes: number; readonly bodyBytes: number },
): Uint8Array {
  const head = new WireWriter(HEAD_BYTES_MAX)
  head.raw(MAGIC)
  head.byte(form)
  head.varint(bytes)
  const start = HEAD_BYTES_MAX - head.length
  frame.set(head.written(), start)
  return frame.subarray(start, HEAD_BYTES_MAX + bodyBytes)
}

/** Joining takes words of four bytes; a copy costs less than going byte by byte. */
function aligned(bytes: Uint8Array): Uint8Array {
  return bytes.byteOffset % 4 === 0 ? bytes : bytes.slice()
}

function checkFrameBytes(bytes: number): void {
  if (bytes <= LIMITS.transferChunkBytesMax) return
  const message = `A compressed chunk holds at most ${LIMITS.transferChunkBytesMax} bytes, found ${bytes}.`
  throw new MembraneError('INVALID_REQUEST', message)
}
