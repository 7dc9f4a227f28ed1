/**
 * zstd as Node has it, told that it gets exponents: these are drawn anew for each number, so short matches are chance and
 * cost more than they save. Level 1 with only long matches, looked for in a table that stays in the first cache, is three
 * times as fast and gives up a thousandth of the ratio.
 */
import { constants, zstdCompressSync, zstdDecompressSync } from 'node:zlib'
import { MembraneError } from '../core/errors.ts'
import type { ByteCodec } from '../transfer/compression.ts'

/** Node hands over what comes out in pieces of so many bytes: 16 KiB, its default, are many calls. */
const PIECE_BYTES = 256 * 1024
const OPTIONS = {
  chunkSize: PIECE_BYTES,
  params: {
    [constants.ZSTD_c_compressionLevel]: 1,
    [constants.ZSTD_c_minMatch]: 7,
    [constants.ZSTD_c_hashLog]: 8,
  },
} as const

/** For `encodeFrame` and `decodeFrame`. Answers at once, in the caller's thread: about a millisecond for a chunk of 1 MiB. */
export const zstdCodec: ByteCodec = {
  compress: (bytes) => zstdCompressSync(bytes, OPTIONS),
  decompress: (compressed, into) => {
    const bytes = unpack(compressed, into.length)
    if (bytes.length !== into.length) throw damaged(`${bytes.length} bytes came out, ${into.length} were expected`)
    into.set(bytes)
  },
}

/** Stops at `bytesMax`, however much more there is. */
function unpack(compressed: Uint8Array, bytesMax: number): Uint8Array {
  try {
    return zstdDecompressSync(compressed, { chunkSize: PIECE_BYTES, maxOutputLength: Math.max(1, bytesMax) })
  } catch (cause) {
    throw damaged('it does not unpack', cause)
  }
}

function damaged(reason: string, cause?: unknown): MembraneError {
  return new MembraneError('INVALID_REQUEST', `A compressed chunk is malformed: ${reason}.`, { cause })
}
