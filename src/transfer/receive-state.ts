/**
 * Which chunks of a payload have come. Small enough to be kept beside the staged bytes, so that a transfer goes on where
 * the one before was cut:
 *
 *   'M' 'R' 1 | content hash | payload bytes | chunk bytes | runs | for each run: chunks before it, chunks in it
 */
import { LIMITS } from '../core/limits.ts'
import type { ContentHasher } from '../core/ports.ts'
import { ChunkSet } from './chunk-set.ts'
import { type ChunkManifest, chunkCount, chunkHash, chunkSpan } from './chunks.ts'
import { readChunkBytes, readContentHash, writeContentHash } from './manifest-codec.ts'
import { WireReader } from './wire-reader.ts'
import { WireWriter } from './wire-writer.ts'

const MAGIC = Uint8Array.of(0x4d, 0x52, 1)

/** What became of a chunk: taken, had before, or other bytes than the manifest says. */
export type ChunkOutcome = 'accepted' | 'already' | 'damaged'

/** The chunks of one payload that were accepted, and how many were damaged. */
export class ReceiveState {
  readonly manifest: ChunkManifest
  readonly #b3: ContentHasher
  readonly #accepted: ChunkSet
  #acceptedBytes = 0
  #damagedChunks = 0

  /** `b3` hashes the chunks. */
  constructor(manifest: ChunkManifest, b3: ContentHasher) {
    this.manifest = manifest
    this.#b3 = b3
    this.#accepted = new ChunkSet(chunkCount(manifest))
  }

  get isComplete(): boolean {
    return this.#accepted.count === this.#accepted.size
  }

  /** Of the payload. */
  get chunks(): number {
    return this.#accepted.size
  }

  get acceptedChunks(): number {
    return this.#accepted.count
  }

  /** 0 to `payloadBytes` of the manifest. */
  get acceptedBytes(): number {
    return this.#acceptedBytes
  }

  /** How often a chunk came that had other bytes. */
  get damagedChunks(): number {
    return this.#damagedChunks
  }

  has(index: number): boolean {
    return this.#accepted.has(index)
  }

  /** Runs of chunks that have not come, in order. */
  missing(): Iterable<{ readonly start: number; readonly end: number }> {
    return this.#accepted.missing()
  }

  /** Says what the bytes of chunk `index` are worth; only `accepted` ones are to be staged. */
  accept(index: number, bytes: Uint8Array): ChunkOutcome {
    if (this.has(index)) return 'already'
    if (!this.isIntact(index, bytes)) {
      this.#damagedChunks += 1
      return 'damaged'
    }
    this.#add(index)
    return 'accepted'
  }

  /** Whether these are the bytes of chunk `index`, 0 to the manifest's last. */
  isIntact(index: number, bytes: Uint8Array): boolean {
    const { start, end } = chunkSpan(this.manifest, index)
    return bytes.length === end - start && this.#b3.hash(bytes) === chunkHash(this.manifest, index)
  }

  /** What was accepted turned out to be lost. */
  forget(index: number): void {
    const { start, end } = chunkSpan(this.manifest, index)
    if (this.#accepted.delete(index)) this.#acceptedBytes -= end - start
  }

  /** For `resume`: some 50 bytes, and a few for each run of chunks. */
  encode(): Uint8Array {
    const writer = new WireWriter()
    const runs = [...this.#accepted.runs()]
    writer.raw(MAGIC)
    writeContentHash(writer, this.manifest.contentHash)
    writer.varint(this.manifest.payloadBytes)
    writer.varint(this.manifest.chunkBytes)
    writer.varint(runs.length)
    let at = 0
    for (const { start, end } of runs) {
      writer.varint(start - at)
      writer.varint(end - start)
      at = end
    }
    return writer.written()
  }

  /**
   * Takes over what `encode` of an earlier state wrote. False, and nothing is changed, when that was of another payload
   * or cut another way. Throws INVALID_REQUEST for anything that `encode` does not write.
   */
  resume(encoded: Uint8Array): boolean {
    const reader = new WireReader(encoded, 'The state of a transfer')
    reader.magic(MAGIC)
    const contentHash = readContentHash(reader)
    const payloadBytes = reader.varint('the size of the payload', LIMITS.payloadBytesMax)
    const chunkBytes = readChunkBytes(reader)
    const size = chunkCount({ payloadBytes, chunkBytes })
    const runs = reader.varint('the number of runs', Math.ceil(size / 2))
    const chunks: number[] = []
    let at = 0
    for (let run = 0; run < runs; run++) {
      // Runs that touch would have been one.
      const start = at + reader.varint('the chunks before a run', size - at, run === 0 ? 0 : 1)
      at = start + reader.varint('the chunks of a run', size - start, 1)
      for (let index = start; index < at; index++) chunks.push(index)
    }
    reader.end()
    const { manifest } = this
    if (contentHash !== manifest.contentHash) return false
    if (payloadBytes !== manifest.payloadBytes || chunkBytes !== manifest.chunkBytes) return false
    for (const index of chunks) this.#add(index)
    return true
  }

  #add(index: number): void {
    const { start, end } = chunkSpan(this.manifest, index)
    if (this.#accepted.add(index)) this.#acceptedBytes += end - start
  }
}
