/**
 * A manifest on the wire:
 *
 *   'M' 'C' 1 | algorithm: 0 b3, 1 s256 | content hash, 32 bytes | payload bytes, varint | chunk bytes, varint | 32 bytes a chunk
 */
import { bytesToHex, writeHex } from '../core/hex.ts'
import { CONTENT_HASH_ALGORITHMS, type ContentHash, contentHashAlgorithm } from '../core/ids.ts'
import { LIMITS } from '../core/limits.ts'
import { CHUNK_HASH_BYTES, type ChunkManifest, chunkCount } from './chunks.ts'
import { WireReader } from './wire-reader.ts'
import { WireWriter } from './wire-writer.ts'

const MAGIC = Uint8Array.of(0x4d, 0x43, 1)
const CONTENT_HASH_BYTES = 32

/** 54 bytes at most, and 32 for each chunk. */
export function encodeManifest(manifest: ChunkManifest): Uint8Array {
  const writer = new WireWriter(64 + manifest.chunkHashes.length)
  writer.raw(MAGIC)
  writeContentHash(writer, manifest.contentHash)
  writer.varint(manifest.payloadBytes)
  writer.varint(manifest.chunkBytes)
  writer.raw(manifest.chunkHashes)
  return writer.written()
}

/** Throws INVALID_REQUEST for anything that `encodeManifest` does not write. The hashes are a copy. */
export function decodeManifest(bytes: Uint8Array): ChunkManifest {
  const reader = new WireReader(bytes, 'A manifest')
  reader.magic(MAGIC)
  const contentHash = readContentHash(reader)
  const payloadBytes = reader.varint('the size of the payload', LIMITS.payloadBytesMax)
  const chunkBytes = readChunkBytes(reader)
  const chunkHashes = reader.raw('the hashes', CHUNK_HASH_BYTES * chunkCount({ payloadBytes, chunkBytes })).slice()
  reader.end()
  return { contentHash, payloadBytes, chunkBytes, chunkHashes }
}

export function writeContentHash(writer: WireWriter, hash: ContentHash): void {
  const algorithm = contentHashAlgorithm(hash)
  const digest = new Uint8Array(CONTENT_HASH_BYTES)
  writeHex(hash.slice(algorithm.length + 1), digest, 0)
  writer.byte(CONTENT_HASH_ALGORITHMS.indexOf(algorithm))
  writer.raw(digest)
}

export function readContentHash(reader: WireReader): ContentHash {
  const algorithm = CONTENT_HASH_ALGORITHMS[reader.byte('the hash algorithm')]
  if (algorithm === undefined) throw reader.invalid('its hash algorithm is unknown')
  return `${algorithm}:${bytesToHex(reader.raw('the content hash', CONTENT_HASH_BYTES))}` as ContentHash
}

export function readChunkBytes(reader: WireReader): number {
  return reader.varint('the size of a chunk', LIMITS.transferChunkBytesMax, LIMITS.transferChunkBytesMin)
}
