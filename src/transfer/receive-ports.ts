/** What a receiver needs of the world: connections to senders, a place for the bytes, and leases that are renewed. */
import type { CallOptions } from '../core/compute.ts'
import type { ErrorCode } from '../core/errors.ts'
import type { ContentHash } from '../core/ids.ts'
import type { Alarm, ByteSpan, ContentHashers, PutOutcome, Stopwatch } from '../core/ports.ts'
import type { Random } from '../core/random.ts'
import type { BackoffOptions } from '../policy/backoff.ts'
import type { TokenBucket } from '../policy/token-bucket.ts'
import type { ChunkManifest } from './chunks.ts'

/** A fragment to fetch, as the sender announced it. */
export interface WantedFragment {
  /** The sender's key, 1 to LIMITS.storeKeyBytesMax bytes. */
  readonly key: string
  readonly contentHash: ContentHash
  readonly payloadBytes: number
}

/** Bytes `[start, end)` of the payload under a key, if it is still the payload with this content hash. */
export interface ChunkRequest {
  readonly key: string
  readonly contentHash: ContentHash
  readonly span: ByteSpan
}

/** How a fetch is watched. */
export interface FetchOptions extends CallOptions {
  /** To be called as bytes land in the buffer, with how many have since the last call: it keeps the lease and the wait alive. */
  readonly progress: (bytes: number) => void
}

/**
 * One connection to somebody who has fragments. It carries one call at a time. Calls throw a retryable MembraneError
 * (STORE_UNAVAILABLE) when the connection breaks, which the next call opens anew; one that is not retryable, such as a
 * refused credential, ends the use of this connection. Anything else that is thrown is a bug, and ends the transfer.
 */
export interface ChunkSource {
  /** Who is at the other end. What is gone at one place may be there at another. */
  readonly place: string
  /** By whichever chunk size the sender has one; null when the fragment is gone. Decoded by `decodeManifest`. */
  manifest(wanted: WantedFragment, options: CallOptions): Promise<ChunkManifest | null>
  /**
   * Fills `into`, which is as long as the span, from its start. Resolves to how many bytes are there: fewer than
   * asked count as a cut; null when the fragment is gone. Nothing may be written once the promise has settled; when the
   * signal is given it must settle soon, and is not waited for.
   */
  fetch(request: ChunkRequest, into: Uint8Array, options: FetchOptions): Promise<number | null>
}

/** Room for one payload, filled in any order. Calls do not overlap, except `stage` and `stage` of other bytes. */
export interface StagedPayload {
  /** What `suspend` was given by an earlier transfer whose bytes are still here; null when there are none. */
  readonly resumed: Uint8Array | null
  /** Takes the bytes; they belong to the caller again when the promise ends. It may take its time: that is the back-pressure. */
  stage(offset: number, bytes: Uint8Array): Promise<void>
  /**
   * Staged bytes: the sink's own memory, or `into`, which is as long as the span. What is to be committed is verified as
   * it lies there.
   */
  read(span: ByteSpan, into: Uint8Array): Promise<Uint8Array>
  /** All bytes are here and have the content hash. Publishes them and frees the room, also where it answers `refused`. */
  commit(): Promise<PutOutcome>
  /** Keeps the bytes and this state for a later transfer, as long as the sink likes. */
  suspend(state: Uint8Array): Promise<void>
  /** Frees the room. Called after a commit that failed, too. */
  abandon(): Promise<void>
}

/** Where payloads go. Any MembraneError that it or a `StagedPayload` throws ends that fragment, not the transfer. */
export interface TransferSink {
  /** Null when the fragment is here already. Throws STORE_FULL and QUOTA_EXCEEDED when there is no room for so many bytes. */
  open(wanted: WantedFragment): Promise<StagedPayload | null>
}

/** Keeps what is being fetched from being evicted at its sender. */
export interface SenderLease {
  /** What each renewal gives, from when it was asked for. */
  readonly leaseSeconds: number
  /** Keys at any place; one that is gone there is passed over. */
  renew(keys: readonly string[], options: CallOptions): Promise<void>
}

/** What a transfer works with. */
export interface ReceiveParts {
  /** 1 to LIMITS.transferConnectionsMax connections, to one place or several. */
  readonly sources: readonly ChunkSource[]
  readonly sink: TransferSink
  /** Null where senders give no leases. */
  readonly lease: SenderLease | null
  readonly hashers: ContentHashers
  readonly stopwatch: Stopwatch
  readonly alarm: Alarm
  readonly random: Random
  /** Bytes per second, shared with whoever has the same bucket. Null: as fast as it goes. */
  readonly bucket: TokenBucket | null
}

/** How a transfer goes about it. */
export interface ReceiveOptions {
  /** Payloads up to this are one chunk and need no manifest. */
  readonly chunkBytes: number
  /** Bytes of one request, at least one chunk: several chunks save round trips. */
  readonly requestBytes: number
  /** Bytes asked for and not staged yet, of all connections; one chunk is always allowed. */
  readonly bytesInFlightMax: number
  /** Fragments that are open in the sink at a time, 1 or more. */
  readonly openFragmentsMax: number
  /** A call without progress for so long is given up, and counts as a cut. */
  readonly stallSeconds: number
  /** Failures in a row, without a chunk between, after which a connection is not used any more. */
  readonly failuresMax: number
  readonly backoff: BackoffOptions
  /** From the call; then everything unfinished is suspended. Infinity: none. */
  readonly deadlineSeconds: number
  /** Told after every change of the counters: for a progress bar. */
  readonly progress: (counters: TransferCounters) => void
}

/** What was counted. Received bytes are accepted or discarded. */
export interface TransferCounters {
  readonly bytesReceived: number
  /** Of chunks that were verified and staged. */
  readonly bytesAccepted: number
  /** Thrown away and fetched again: parts of chunks when a connection was cut, damaged chunks, chunks that came twice. */
  readonly bytesDiscarded: number
  /** Of chunks that an earlier transfer had staged: not asked for. */
  readonly bytesResumed: number
  readonly chunksDamaged: number
  /** Staged, and other bytes when they were read back. */
  readonly chunksLost: number
  /** Calls that ended before all their bytes had come: broken, stalled, short. */
  readonly cuts: number
  /** Calls made after a cut or a damaged chunk. */
  readonly retries: number
  readonly leasesRenewed: number
  readonly leasesFailed: number
}

/** What became of a fragment. */
export type FragmentOutcome =
  /** In the sink, whole and verified. */
  | { readonly kind: 'stored'; readonly put: Exclude<PutOutcome, 'refused'> }
  /** The sink did not want or could not keep it. `code` is null when it rather keeps what it has. */
  | { readonly kind: 'refused'; readonly code: ErrorCode | null; readonly reason: string }
  /** No place has these bytes under this key any more. */
  | { readonly kind: 'gone' }
  /** What was sent is not what the hashes say, however often it was asked for. Nothing is kept. */
  | { readonly kind: 'damaged'; readonly reason: string }
  /** The deadline passed, or no connection was left. What was accepted is kept for the next transfer. */
  | { readonly kind: 'unfinished'; readonly reason: string; readonly acceptedBytes: number }

/** What a transfer did. */
export interface TransferReport {
  /** One for each fragment, in the order in which they were wanted. */
  readonly outcomes: readonly FragmentOutcome[]
  readonly counters: TransferCounters
  readonly seconds: number
}
