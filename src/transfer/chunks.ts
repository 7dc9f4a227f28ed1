/**
 * How a payload is cut into chunks, and the manifest that says so: the sender makes it, the receiver checks every chunk
 * against it as it arrives, and the whole payload at the end, because nothing vouches for a manifest but the content hash.
 */
import { MembraneError } from '../core/errors.ts'
import { bytesToHex, writeHex } from '../core/hex.ts'
import { type ContentHash, contentHashAlgorithm } from '../core/ids.ts'
import { LIMITS } from '../core/limits.ts'
import type { ByteSpan, ContentHasher } from '../core/ports.ts'

/**
 * Bytes of a chunk, unless somebody says otherwise: what a cut costs at most for each connection, and enough that a
 * chunk's hash and its bit are no cost (32 bytes a MiB).
 */
export const DEFAULT_CHUNK_BYTES = 1024 * 1024

/** Bytes of a chunk's BLAKE3. */
export const CHUNK_HASH_BYTES = 32

/** What a payload is cut into. All chunks have `chunkBytes` bytes but the last, which has what is left. */
export interface ChunkManifest {
  /** Of the whole payload, uncompressed. */
  readonly contentHash: ContentHash
  /** 0 to LIMITS.payloadBytesMax. */
  readonly payloadBytes: number
  /** LIMITS.transferChunkBytesMin to LIMITS.transferChunkBytesMax. */
  readonly chunkBytes: number
  /** BLAKE3 of each chunk, 32 bytes each, in order. */
  readonly chunkHashes: Uint8Array
}

/** Throws INVALID_REQUEST for a chunk size out of bounds. */
export function checkChunkBytes(chunkBytes: number): void {
  const { transferChunkBytesMin: min, transferChunkBytesMax: max } = LIMITS
  if (Number.isSafeInteger(chunkBytes) && chunkBytes >= min && chunkBytes <= max) return
  throw new MembraneError('INVALID_REQUEST', `A chunk takes ${min} to ${max} bytes, found ${chunkBytes}.`)
}

/** How many chunks a payload is cut into; an empty one into none. */
export function chunkCount({ payloadBytes, chunkBytes }: Pick<ChunkManifest, 'payloadBytes' | 'chunkBytes'>): number {
  return Math.ceil(payloadBytes / chunkBytes)
}

/** The bytes of chunk `index`, 0 to `chunkCount` - 1, in the payload. */
export function chunkSpan(manifest: Pick<ChunkManifest, 'payloadBytes' | 'chunkBytes'>, index: number): ByteSpan {
  const start = index * manifest.chunkBytes
  return { start, end: Math.min(manifest.payloadBytes, start + manifest.chunkBytes) }
}

/** The hash that chunk `index` must have. */
export function chunkHash({ chunkHashes }: Pick<ChunkManifest, 'chunkHashes'>, index: number): ContentHash {
  const start = index * CHUNK_HASH_BYTES
  return `b3:${bytesToHex(chunkHashes, start, start + CHUNK_HASH_BYTES)}` as ContentHash
}

/**
 * The manifest of a payload that is one chunk or none: its BLAKE3 is its chunk's, so that nobody needs to ask for it.
 * Null where it is more, or named by another hash.
 */
export function impliedManifest(
  { contentHash, payloadBytes }: Pick<ChunkManifest, 'contentHash' | 'payloadBytes'>,
  chunkBytes: number,
): ChunkManifest | null {
  if (payloadBytes === 0) return { contentHash, payloadBytes, chunkBytes, chunkHashes: new Uint8Array(0) }
  if (payloadBytes > chunkBytes || contentHashAlgorithm(contentHash) !== 'b3') return null
  const chunkHashes = new Uint8Array(CHUNK_HASH_BYTES)
  writeHex(contentHash.slice('b3:'.length), chunkHashes, 0)
  return { contentHash, payloadBytes, chunkBytes, chunkHashes }
}

/**
 * Makes the manifest of a payload whose content hash is known, from pieces of it in order, cut anywhere.
 * `b3` hashes the chunks. Throws INVALID_REQUEST for a chunk size out of bounds.
 */
export class ManifestBuilder {
  readonly #payload: Pick<ChunkManifest, 'contentHash' | 'payloadBytes' | 'chunkBytes'>
  readonly #b3: ContentHasher
  readonly #chunkHashes: Uint8Array
  #hasher: ReturnType<ContentHasher['start']> | null = null
  #bytes = 0

  constructor(payload: Pick<ChunkManifest, 'contentHash' | 'payloadBytes' | 'chunkBytes'>, b3: ContentHasher) {
    checkChunkBytes(payload.chunkBytes)
    this.#payload = payload
    this.#b3 = b3
    this.#chunkHashes = new Uint8Array(CHUNK_HASH_BYTES * chunkCount(payload))
  }

  /** The next bytes. Throws CONTENT_MISMATCH beyond `payloadBytes`. */
  update(piece: Uint8Array): void {
    const { payloadBytes, chunkBytes } = this.#payload
    if (this.#bytes + piece.length > payloadBytes) throw this.#mismatch(this.#bytes + piece.length)
    for (let at = 0; at < piece.length; ) {
      const index = Math.floor(this.#bytes / chunkBytes)
      const { start, end } = chunkSpan(this.#payload, index)
      const part = piece.subarray(at, at + end - this.#bytes)
      this.#bytes += part.length
      at += part.length
      if (part.length === end - start) this.#keep(index, this.#b3.hash(part))
      else {
        this.#hasher ??= this.#b3.start()
        this.#hasher.update(part)
        if (this.#bytes < end) continue
        this.#keep(index, this.#hasher.contentHash())
        this.#hasher = null
      }
    }
  }

  /** Throws CONTENT_MISMATCH when bytes are missing. Does not check the content hash: whoever stored the payload has. */
  manifest(): ChunkManifest {
    if (this.#bytes !== this.#payload.payloadBytes) throw this.#mismatch(this.#bytes)
    return { ...this.#payload, chunkHashes: this.#chunkHashes }
  }

  #keep(index: number, hash: ContentHash): void {
    writeHex(hash.slice('b3:'.length), this.#chunkHashes, CHUNK_HASH_BYTES * index)
  }

  #mismatch(bytes: number): MembraneError {
    const expected = this.#payload.payloadBytes
    return new MembraneError('CONTENT_MISMATCH', `A payload of ${expected} bytes was expected, found ${bytes}.`)
  }
}

/** The manifest of a payload in memory, its content hash included. Throws INVALID_REQUEST for a chunk size out of bounds. */
export function manifestOf(
  payload: Uint8Array,
  b3: ContentHasher,
  chunkBytes: number = DEFAULT_CHUNK_BYTES,
): ChunkManifest {
  const builder = new ManifestBuilder({ contentHash: b3.hash(payload), payloadBytes: payload.length, chunkBytes }, b3)
  builder.update(payload)
  return builder.manifest()
}
