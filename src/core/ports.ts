/**
 * How the inside reaches the world: what it needs is handed in as one of these, so that a whole fabric runs in one
 * test on a virtual clock, and so that nothing that the browser imports reaches a native package.
 */
import type { BlockHashes } from './block-hashes.ts'
import type { CallOptions } from './compute.ts'
import type { Fragment, FragmentDescription, TokenSpan } from './fragment.ts'
import type { ContentHash, ContentHashAlgorithm, ModelFingerprint, TenantId } from './ids.ts'

/** Milliseconds since 1970. */
export interface Clock {
  nowMs(): number
}

/** Measures how long things take: seconds since some moment, never going back. */
export interface Stopwatch {
  readonly seconds: () => number
}

/** Waits. */
export interface Alarm {
  /** Calls back once, `seconds` from now, unless what it gives is called before. */
  after(seconds: number, callback: () => void): () => void
}

/** One algorithm. Digests are as its makers print them: those that are numbers are big-endian. */
export interface HashFunction {
  readonly digestBytes: number
  /** HOT: writes the digest of `message` to `target` from `offset` on, which may be where the message is. */
  digestInto(message: Uint8Array, target: Uint8Array, offset: number): void
}

/** What hash chains are made of. Each answers alike on every machine, whichever implementation stands behind it. */
export interface ChainHashes {
  /** 32 bytes. Fast for messages of some hundred bytes. */
  readonly blake3: HashFunction
  /** 32 bytes. */
  readonly sha256: HashFunction
  /** 16 bytes, with seed 0. */
  readonly xxh3x128: HashFunction
  /** 8 bytes. `seed` is an unsigned 64-bit number; made once for each seed, because some of the work depends on it alone. */
  xxh3x64(seed: bigint): HashFunction
  /** FNV-1a, 8 bytes. */
  readonly fnv1a64: HashFunction
}

/** Names the bytes of payloads. Fast for messages of some megabytes. */
export interface ContentHasher {
  readonly algorithm: ContentHashAlgorithm
  hash(payload: Uint8Array): ContentHash
  start(): { update(piece: Uint8Array): void; contentHash(): ContentHash }
}

/** The hasher that made a hash: a store may hold payloads named by either algorithm. */
export type ContentHashers = Readonly<Record<ContentHashAlgorithm, ContentHasher>>

/** Half-open: bytes `start` to `end - 1`. */
export interface ByteSpan {
  readonly start: number
  readonly end: number
}

/** What a store holds under a key, without the payload. */
export interface StoredEntry {
  /** 1 to LIMITS.storeKeyBytesMax bytes of UTF-8. */
  readonly key: string
  /** What the payload is, for whoever put it: 0 to LIMITS.storeHeadBytesMax bytes. To be left unchanged. */
  readonly head: Uint8Array
  readonly payloadBytes: number
  readonly contentHash: ContentHash
  /** Whole milliseconds since 1970 from when on the entry is gone, or null. One that has passed: gone at once. */
  readonly expiresAtMs: number | null
}

/** An entry with its payload. */
export interface StoredFragment extends StoredEntry {
  /** The payload, or the part that was asked for. To be left unchanged: it may be the store's own memory. */
  readonly payload: Uint8Array
  /**
   * To be called once, by a reader that has no further use of the payload: its memory may then be used again. A reader
   * need not: the memory is then left to the garbage collector.
   */
  readonly done?: (() => void) | undefined
}

/**
 * A payload that is read as it is consumed. Iterate once; leaving the loop early frees what it holds. A chunk is the
 * reader's until it asks for the next one. When the entry is replaced or removed meanwhile, the chunks go on with the
 * old bytes or throw STORE_UNAVAILABLE.
 */
export interface StoredStream extends StoredEntry {
  readonly chunks: AsyncIterable<Uint8Array>
}

/** What is put: an entry and its payload, whole or in pieces. */
export interface FragmentPut extends Omit<StoredEntry, 'expiresAtMs'> {
  readonly expiresAtMs?: number | null
  /**
   * All bytes, or pieces of them in order. A store takes a piece before it asks for the next one, so the caller may
   * use its buffer again then; it does not keep a whole payload's buffer either, unless it is given away. When the
   * pieces throw, nothing was put.
   */
  readonly payload: Uint8Array | AsyncIterable<Uint8Array>
  /**
   * The memory of a whole payload is the store's from now on, however the put ends: it may keep it instead of a copy, so
   * nobody changes or uses it again. Default false. Says nothing about pieces.
   */
  readonly isGivenAway?: boolean
  /**
   * `contentHash` was computed a moment ago from this very whole payload, in this process, and not told by anybody:
   * computing it once more could find nothing. Default false. Says nothing about pieces.
   */
  readonly isHashComputed?: boolean
}

/**
 * `present`: the same bytes with the same head and expiry were there already, and nothing was written. Same bytes are
 * those of the same content hash and length; pieces of them may be left unread, also when only the head or the expiry is
 * another. `refused`: a bounded store rather keeps what would have to leave, and nothing was put.
 */
export type PutOutcome = 'stored' | 'replaced' | 'present' | 'refused'

/** Which part of a payload to read, and to where. */
export interface GetOptions {
  /** The part of the payload to read; default all of it. Throws OUT_OF_DOMAIN when it does not lie within the payload. */
  readonly span?: ByteSpan
  /** Where to put the bytes, if the store has to copy them: the payload is then its beginning. Must be large enough. */
  readonly into?: Uint8Array
  /**
   * Whoever reads compares what comes with a hash of its own, as a transfer does with each chunk: no store needs to read
   * all of a payload to vouch for a part of it. Default false.
   */
  readonly isVerifiedByReader?: boolean
  /**
   * Told what is read before any of its bytes are there; what it gives is called with them, in order, as they come, so
   * that a hash is computed while the rest is read. A store need not call it, or may tell of a part: whoever counts
   * fewer bytes than the payload has looks at the answer instead.
   */
  readonly follow?: (entry: StoredEntry) => (bytes: Uint8Array) => void
}

/** Which part of a payload to read as it is consumed, and from where. */
export interface StreamOptions extends Pick<GetOptions, 'span'> {
  /**
   * Not out of a memory tier, nor into it: a reader who takes long then holds a chunk, where a view of a payload in memory
   * would keep all of it alive after it has left the tier. Default false.
   */
  readonly isFromBelow?: boolean
}

/** What a store holds and what it found damaged. */
export interface StoreStats {
  readonly entries: number
  /** Bytes of all payloads. */
  readonly payloadBytes: number
  /** Entries that were found damaged since the store was opened: each was answered as missing. */
  readonly corruptEntries: number
}

/**
 * Fragments by key; memory, disk and Redis are stores, and so is each wrapper around one. All promise: a put is
 * visible whole or not at all, and once acknowledged it is found until it is removed, replaced or expired; an answer
 * holds the bytes of one put; a missing, expired or damaged entry is null, never an error and never other bytes.
 * Any call may throw STORE_CLOSED, STORE_UNAVAILABLE (retryable) and FILE_UNREADABLE; wrong arguments INVALID_REQUEST.
 */
export interface FragmentStore {
  /**
   * True when all that the store holds lies in this process's memory, where only its own code writes: what it gives back
   * is what it was given, and need not be hashed again (see `VerifiedStore`). Left out where bytes lie on a device, in
   * another process, or may be changed by anybody else.
   */
  readonly isProcessMemory?: boolean
  /**
   * Throws CONTENT_MISMATCH when the pieces are not `payloadBytes` bytes; STORE_FULL when it does not fit. Of two puts
   * at once under one key, either is the one that stays.
   */
  put(fragment: FragmentPut): Promise<PutOutcome>
  get(key: string, options?: GetOptions): Promise<StoredFragment | null>
  stream(key: string, options?: StreamOptions): Promise<StoredStream | null>
  head(key: string): Promise<StoredEntry | null>
  /** One answer a key, in order. */
  has(keys: readonly string[]): Promise<readonly boolean[]>
  /** How many were there. */
  remove(keys: readonly string[]): Promise<number>
  /**
   * Every entry whose key begins with `prefix`, in no order. What is put or removed meanwhile may be in it or not.
   * A store that others share may say an entry twice.
   */
  list(prefix?: string): AsyncIterable<StoredEntry>
  stats(): StoreStats
  /** Ends when all that was acknowledged before is on the device, as far as the store has one. */
  sync(): Promise<void>
  /**
   * Ends when no byte of anything that was removed, replaced or expired before is left in the store's own files.
   * Slow: what lies beside such bytes may have to be copied. Stores without files of their own have nothing to do.
   */
  purge(): Promise<void>
  /** Ends what is under way, syncs, and frees everything. A second call changes nothing. */
  close(): Promise<void>
}

/** Keeps the bytes that were found damaged, for somebody to look at. */
export interface Quarantine {
  keep(evidence: QuarantinedBytes): Promise<void>
  /** Throws away all that was kept: bytes of somebody who wants theirs gone may be among it. */
  clear(): Promise<void>
}

/** Evidence: bytes that were found under a key, and what was expected. */
export interface QuarantinedBytes {
  readonly key: string
  readonly expected: ContentHash
  readonly reason: string
  readonly payload: Uint8Array
}

/** A vector that was found. `similarity` is the cosine of the angle to what was asked, -1 to 1. */
export interface NearVector {
  readonly id: number
  readonly similarity: number
}

/**
 * Nearest neighbours by angle among vectors of one length; an implementation may miss some, and says how many.
 * Ids are whole numbers, 0 to LIMITS.vectorIdsMax - 1, given by the caller: keep them small, memory follows the
 * greatest. Vectors are scaled to length 1 on the way in; one that has another length, or no direction (zero, or not
 * finite), throws INVALID_REQUEST. Similarities are exact, to single precision, for whatever is found.
 */
export interface VectorIndex {
  readonly dimensions: number
  /** Vectors held. */
  readonly count: number
  /** The id must not be in use. The vector is copied. */
  add(id: number, vector: Float32Array): void
  /** Whether it was there. The id may be used again. */
  remove(id: number): boolean
  /** Scaled to length 1; a view, to be left unchanged, valid until the next call. */
  vector(id: number): Float32Array | null
  /** At most `k`, nearest first, of equals the smaller id first. */
  search(vector: Float32Array, k: number): readonly NearVector[]
}

/** Makes an empty index for vectors of so many numbers. */
export type VectorIndexFactory = (dimensions: number) => VectorIndex

/** Turns a text into a vector, such that texts that say similar things have vectors of similar direction. */
export interface Embedder {
  /** Names the model and its version: vectors of different embedders are not comparable. */
  readonly id: string
  readonly dimensions: number
  /** Of length 1; null when nothing in the text is known to it. */
  embed(text: string): Float32Array | null
}

/** Bytes that save work at the next start and are never needed. */
export interface SnapshotStorage {
  /** Null when there are none. */
  read(): Promise<Uint8Array | null>
  write(pieces: Iterable<Uint8Array>): Promise<void>
  remove(): Promise<void>
}

/** A prompt, as look-ups take it: whose, for which model, and the names of its blocks. */
export interface PromptName {
  readonly tenant: TenantId
  readonly model: ModelFingerprint
  readonly hashes: BlockHashes
}

/** A fragment that another node says it holds. */
export interface RemoteFragment {
  readonly node: string
  /** Under this key the node has it. */
  readonly key: string
  readonly description: FragmentDescription
  readonly contentHash: ContentHash
  readonly payloadBytes: number
}

/** Who else holds what. Its answers are proposals: an entry may be out of date. */
export interface FragmentDirectory {
  /** Fragments of other nodes that cover blocks of the prompt, in any order. */
  locate(prompt: PromptName, options?: CallOptions): Promise<readonly RemoteFragment[]>
}

/** Fetches what other nodes hold. */
export interface PeerFetch {
  /** The bytes, not verified, or null when the node has them no more. Throws STORE_UNAVAILABLE. */
  fetch(tenant: TenantId, fragment: RemoteFragment, options?: CallOptions): Promise<Uint8Array | null>
}

/** What computing a span elsewhere would take, seconds; measured. */
export interface RemotePrefillEstimate {
  readonly node: string
  readonly waitSeconds: number
  readonly prefillSeconds: number
  readonly transferSeconds: number
}

/** Lets another node compute. */
export interface RemotePrefill {
  /** Null when nobody offers. */
  estimate(prompt: PromptName, span: TokenSpan): RemotePrefillEstimate | null
  /** Fragments of whole blocks of the span, in order, as they become ready. Throws STORE_UNAVAILABLE. */
  prefill(
    prompt: PromptName & { readonly tokenIds: Uint32Array },
    span: TokenSpan,
    options?: CallOptions,
  ): AsyncIterable<Fragment>
}
