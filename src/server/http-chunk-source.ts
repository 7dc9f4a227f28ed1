/** Chunks of another node's fragments, over one HTTP connection at a time, read to where they belong. */
import type { Answer } from '../api/blob-answers.ts'
import type { BlobHead } from '../api/blob-head.ts'
import { orNull, pathOf } from '../api/client-control.ts'
import type { CallOptions } from '../core/compute.ts'
import { MembraneError } from '../core/errors.ts'
import { dtypeOfKey } from '../core/fragment-key.ts'
import type { ChunkManifest } from '../transfer/chunks.ts'
import { FrameReader, FRAMES_ENCODING, FRAMES_HEADERS, framesBytesMax } from '../transfer/frames.ts'
import type { LinkCompression, ObservedFetch } from '../transfer/link-compression.ts'
import { decodeManifest } from '../transfer/manifest-codec.ts'
import type { ChunkRequest, ChunkSource, FetchOptions, WantedFragment } from '../transfer/receive-ports.ts'
import { type HttpPeer, SmallAnswer } from './http-peer.ts'
import { zstdCodec } from './zstd.ts'

/** See the top of this file. A broken connection is opened anew by the next call. */
export class HttpChunkSource implements ChunkSource {
  readonly place: string
  readonly #peer: HttpPeer
  readonly #chunkBytes: number
  readonly #link: LinkCompression | null

  /** `link` is shared by all connections to the peer; null never asks for frames. */
  constructor(peer: HttpPeer, chunkBytes: number, link: LinkCompression | null = null) {
    this.place = peer.url
    this.#peer = peer
    this.#chunkBytes = chunkBytes
    this.#link = link
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
    const isCompressed = this.#link?.begin(dtypeOfKey(key)) === true
    const query = new URLSearchParams({
      contentHash,
      start: String(span.start),
      end: String(span.end),
      ...(isCompressed ? { encoding: FRAMES_ENCODING } : {}),
    })
    const path = `/v1/transfer/chunks/${pathOf(key)}?${query.toString()}`
    const answer = new ChunkAnswer(into, progress)
    let observed: ObservedFetch | null = null
    try {
      const head = await orNull(this.#peer.exchange({ method: 'GET', path }, answer, signal))
      if (head === null) return null
      observed = answer.observed(head)
      return into.length
    } finally {
      this.#link?.end(observed)
    }
  }
}

const NEVER = new AbortController().signal

/** Exactly the bytes that were asked for, as they are or in frames. */
class ChunkAnswer implements Answer {
  readonly #into: Uint8Array
  readonly #progress: (bytes: number) => void
  #frames: FrameReader | null = null
  #unpackMs = 0

  constructor(into: Uint8Array, progress: (bytes: number) => void) {
    this.#into = into
    this.#progress = progress
  }

  begin({ bodyBytes, headers }: BlobHead): Uint8Array {
    // A sender that does not know frames sends the bytes as they are.
    if (headers.get(FRAMES_HEADERS.encoding) === FRAMES_ENCODING) {
      // No more than what was asked for takes, however long it says that it is.
      const packed = new Uint8Array(Math.min(bodyBytes, framesBytesMax(this.#into.length) + 1))
      this.#frames = new FrameReader(packed, this.#into, zstdCodec)
      return packed
    }
    if (bodyBytes === this.#into.length) return this.#into
    throw new MembraneError('PEER_UNAVAILABLE', `${this.#into.length} bytes were asked for, ${bodyBytes} came.`)
  }

  piece(): null {
    return null
  }

  landed(bytes: number): void {
    if (this.#frames === null) {
      this.#progress(bytes)
      return
    }
    const start = performance.now()
    const ready = this.#frames.arrived(bytes)
    this.#unpackMs += performance.now() - start
    if (ready > 0) this.#progress(ready)
  }

  /** Throws PEER_UNAVAILABLE when frames ended early. */
  observed({ bodyBytes, headers }: BlobHead): ObservedFetch {
    const plainBytes = this.#into.length
    if (this.#frames === null) return { plainBytes, wireBytes: plainBytes, compressed: null }
    if (!this.#frames.isDone)
      throw new MembraneError('PEER_UNAVAILABLE', 'Compressed chunks ended before all their bytes were there.')
    const compressSeconds = Number(headers.get(FRAMES_HEADERS.seconds))
    const decompressSeconds = this.#unpackMs / 1000
    const compressed = Number.isFinite(compressSeconds) ? { compressSeconds, decompressSeconds } : null
    return { plainBytes, wireBytes: bodyBytes, compressed }
  }
}
