/** Manifests of what is being sent: each costs reading a payload once, and is asked for again after every cut. */
import type { TenantId } from '../core/ids.ts'
import { LIMITS } from '../core/limits.ts'
import type { ContentHasher, StoredStream } from '../core/ports.ts'
import { checkChunkBytes, type ChunkManifest, ManifestBuilder } from '../transfer/chunks.ts'

/** See the top of this file. */
export class TransferManifests {
  readonly #b3: ContentHasher
  /** Whoever used it last comes last. Of one tenant each: how soon one is there would tell what others hold. */
  readonly #kept = new Map<string, ChunkManifest>()
  readonly #making = new Map<string, Promise<ChunkManifest | null>>()
  #bytes = 0

  constructor(b3: ContentHasher) {
    this.#b3 = b3
  }

  /**
   * Null when `open` finds nothing, or other bytes than `contentHash` names. Throws INVALID_REQUEST for a chunk size out
   * of bounds, CONTENT_MISMATCH for damaged bytes.
   */
  async of(
    tenant: TenantId,
    payload: Pick<ChunkManifest, 'contentHash' | 'payloadBytes' | 'chunkBytes'>,
    open: () => Promise<Pick<StoredStream, 'contentHash' | 'chunks'> | null>,
  ): Promise<ChunkManifest | null> {
    checkChunkBytes(payload.chunkBytes)
    const name = `${tenant}/${payload.contentHash}/${payload.chunkBytes}`
    const kept = this.#kept.get(name)
    if (kept !== undefined) {
      this.#kept.delete(name)
      this.#kept.set(name, kept)
      return kept
    }
    const known = this.#making.get(name)
    if (known !== undefined) return known
    const made = this.#make(payload, open).finally(() => this.#making.delete(name))
    this.#making.set(name, made)
    const manifest = await made
    if (manifest !== null) this.#keep(name, manifest)
    return manifest
  }

  async #make(
    payload: Pick<ChunkManifest, 'contentHash' | 'payloadBytes' | 'chunkBytes'>,
    open: () => Promise<Pick<StoredStream, 'contentHash' | 'chunks'> | null>,
  ): Promise<ChunkManifest | null> {
    const found = await open()
    if (found === null || found.contentHash !== payload.contentHash) return null
    const builder = new ManifestBuilder(payload, this.#b3)
    for await (const piece of found.chunks) builder.update(piece)
    return builder.manifest()
  }

  #keep(name: string, manifest: ChunkManifest): void {
    this.#kept.set(name, manifest)
    this.#bytes += manifest.chunkHashes.length
    for (const [oldest, { chunkHashes }] of this.#kept) {
      if (this.#bytes <= LIMITS.transferManifestBytesMax) return
      this.#kept.delete(oldest)
      this.#bytes -= chunkHashes.length
    }
  }
}
