/** Chunks of another node's fragments, over one HTTP connection at a time, read to where they belong. */
import type { Answer } from '../api/blob-answers.ts'
import type { BlobHead } from '../api/blob-head.ts'
import { orNull, pathOf } from '../api/client-control.ts'
import type { CallOptions } from '../core/compute.ts'
import { MembraneError } from '../core/errors.ts'
import type { ChunkManifest } from '../transfer/chunks.ts'
import { decodeManifest } from '../transfer/manifest-codec.ts'
import type { ChunkRequest, ChunkSource, FetchOptions, WantedFragment } from '../transfer/receive-ports.ts'
import { type HttpPeer, SmallAnswer } from './http-peer.ts'

/** See the top of this file. A broken connection is opened anew by the next call. */
export class HttpChunkSource implements ChunkSource {
  readonly place: string
  readonly #peer: HttpPeer
  readonly #chunkBytes: number

  constructor(peer: HttpPeer, chunkBytes: number) {
    this.place = peer.url
    this.#peer = peer
    this.#chunkBytes = chunkBytes
  }

  async manifest({ key }: Pick<WantedFragment, 'key'>, { signal = NEVER }: CallOptions): Promise<ChunkManifest | null> {
    const answer = new SmallAnswer()
    const path = `/v1/transfer/manifests/${pathOf(key)}?chunkBytes=${this.#chunkBytes}`
    const head = await orNull(this.#peer.exchange({ method: 'GET', path }, answer, signal))
    return head === null ? null : decodeManifest(answer.bytes)
  }

  async fetch(
    { key, contentHash, span }: ChunkRequest,
    into: Uint8Array,
    { signal = NEVER, progress }: FetchOptions,
  ): Promise<number | null> {
    const query = new URLSearchParams({ contentHash, start: String(span.start), end: String(span.end) })
    const path = `/v1/transfer/chunks/${pathOf(key)}?${query.toString()}`
    const head = await orNull(this.#peer.exchange({ method: 'GET', path }, new ChunkAnswer(into, progress), signal))
    return head?.bodyBytes ?? null
  }
}

const NEVER = new AbortController().signal

/** Exactly the bytes that were asked for. */
class ChunkAnswer implements Answer {
  readonly #into: Uint8Array
  readonly #progress: (bytes: number) => void

  constructor(into: Uint8Array, progress: (bytes: number) => void) {
    this.#into = into
    this.#progress = progress
  }

  begin({ bodyBytes }: BlobHead): Uint8Array {
    if (bodyBytes === this.#into.length) return this.#into
    throw new MembraneError('PEER_UNAVAILABLE', `${this.#into.length} bytes were asked for, ${bodyBytes} came.`)
  }

  piece(): null {
    return null
  }

  landed(bytes: number): void {
    this.#progress(bytes)
  }
}
