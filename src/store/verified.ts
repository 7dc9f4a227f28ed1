/** A store whose every payload is what its content hash says, when it goes in and each time it comes out. */
import { assert, MembraneError } from '../core/errors.ts'
import { type ContentHash, contentHashAlgorithm } from '../core/ids.ts'
import type {
  ByteSpan,
  ContentHasher,
  ContentHashers,
  FragmentPut,
  FragmentStore,
  GetOptions,
  PutOutcome,
  Quarantine,
  StoredEntry,
  StoredFragment,
  StoredStream,
  StoreStats,
} from '../core/ports.ts'
import { checkInto, checkPut, spanWithin } from './arguments.ts'

/** What to verify, with which hashes, and where evidence goes. */
export interface VerifiedStoreOptions {
  readonly store: FragmentStore
  readonly hashers: ContentHashers
  /** Where damaged payloads are kept, or null to keep none. */
  readonly quarantine: Quarantine | null
  /**
   * False: bytes are verified on their way in and taken as they come out. Only for a store whose `isProcessMemory` is
   * true, and where this process's memory is trusted; asserted. Default true: verified each time they come out, too.
   */
  readonly areReadsVerified?: boolean
}

/** What verification has found so far. */
export interface Damage {
  /** Payloads that were not what their hash says. */
  readonly mismatches: number
  /** Of these, the ones that the quarantine did not take because it failed. */
  readonly evidenceLost: number
}

/**
 * A put whose bytes do not have its hash throws CONTENT_MISMATCH and leaves nothing. A get of damaged bytes is a miss:
 * they go to quarantine, are counted, and the entry is removed, so that a good copy can be put. A part is verified by
 * reading and hashing the whole. A stream that is read to its end was verified: its last bytes are held back until the
 * hash is known, and it throws CONTENT_MISMATCH instead of them. `has`, `head` and `list` read no payload and verify none.
 * Over a store in this process's memory, reads may be left unverified: see `areReadsVerified`.
 */
export class VerifiedStore implements FragmentStore {
  readonly #store: FragmentStore
  readonly #hashers: ContentHashers
  readonly #quarantine: Quarantine | null
  readonly #areReadsVerified: boolean
  #mismatches = 0
  #evidenceLost = 0

  constructor({ store, hashers, quarantine, areReadsVerified = true }: VerifiedStoreOptions) {
    assert(areReadsVerified || store.isProcessMemory === true, 'reads of a store outside of this process are verified')
    this.#store = store
    this.#areReadsVerified = areReadsVerified
    this.#hashers = hashers
    this.#quarantine = quarantine
  }

  get isProcessMemory(): boolean {
    return this.#store.isProcessMemory === true
  }

  async put(fragment: FragmentPut): Promise<PutOutcome> {
    checkPut(fragment)
    const { key, payload, contentHash, isHashComputed = false } = fragment
    const hasher = this.#hasherOf(contentHash)
    if (!(payload instanceof Uint8Array)) {
      return this.#store.put({ ...fragment, payload: verifiedPieces(fragment, payload, hasher) })
    }
    if (isHashComputed) return this.#store.put(fragment)
    const found = hasher.hash(payload)
    if (found !== contentHash) throw mismatch(key, contentHash, found)
    return this.#store.put(fragment)
  }

  get(key: string, options: GetOptions = {}): Promise<StoredFragment | null> {
    const isVerified = this.#areReadsVerified && options.isVerifiedByReader !== true
    return isVerified ? this.#verifiedGet(key, options) : this.#store.get(key, options)
  }

  async #verifiedGet(key: string, { span, into }: GetOptions): Promise<StoredFragment | null> {
    // A place for a part is too small for the whole, which has to be read.
    const arriving = new ArrivingHash(this.#hashers)
    const { follow } = arriving
    const found = await this.#store.get(key, into === undefined || span !== undefined ? { follow } : { into, follow })
    if (found === null) return null
    const { start, end } = spanWithin(span, found)
    checkInto(into, end - start)
    const hash = arriving.hashOf(found)
    if (hash !== found.contentHash) {
      this.#mismatches += 1
      await this.#condemn(found, hash)
      return null
    }
    return span === undefined ? found : { ...found, payload: found.payload.subarray(start, end) }
  }

  stream(key: string, options: Pick<GetOptions, 'span'> = {}): Promise<StoredStream | null> {
    return this.#areReadsVerified ? this.#verifiedStream(key, options) : this.#store.stream(key, options)
  }

  async #verifiedStream(key: string, { span }: Pick<GetOptions, 'span'>): Promise<StoredStream | null> {
    const found = await this.#store.stream(key)
    if (found === null) return null
    return { ...found, chunks: this.#verifiedChunks(found, spanWithin(span, found)) }
  }

  head(key: string): Promise<StoredEntry | null> {
    return this.#store.head(key)
  }

  has(keys: readonly string[]): Promise<readonly boolean[]> {
    return this.#store.has(keys)
  }

  remove(keys: readonly string[]): Promise<number> {
    return this.#store.remove(keys)
  }

  list(prefix?: string): AsyncIterable<StoredEntry> {
    return this.#store.list(prefix)
  }

  /** Its mismatches are among the `corruptEntries`. */
  stats(): StoreStats {
    const stats = this.#store.stats()
    return { ...stats, corruptEntries: stats.corruptEntries + this.#mismatches }
  }

  damage(): Damage {
    return { mismatches: this.#mismatches, evidenceLost: this.#evidenceLost }
  }

  sync(): Promise<void> {
    return this.#store.sync()
  }

  purge(): Promise<void> {
    return this.#store.purge()
  }

  close(): Promise<void> {
    return this.#store.close()
  }

  async *#verifiedChunks(stream: StoredStream, span: ByteSpan): AsyncGenerator<Uint8Array> {
    const { key, contentHash, payloadBytes } = stream
    const running = this.#hasherOf(contentHash).start()
    let last: Uint8Array | null = null
    let readBytes = 0
    for await (const chunk of stream.chunks) {
      running.update(chunk)
      const part = chunk.subarray(Math.max(0, span.start - readBytes), Math.max(0, span.end - readBytes))
      readBytes += chunk.length
      if (part.length === 0) continue
      if (readBytes < span.end) yield part
      // Its memory is the store's until the next chunk is asked for, and there may be more to read before it is passed on.
      else last = part.slice()
    }
    const found = running.contentHash()
    if (found !== contentHash || readBytes !== payloadBytes) {
      this.#mismatches += 1
      // What was read is gone; it is read again for the evidence, and to see whether it is the store that is damaged.
      const again = await this.#store.get(key)
      const hash = again === null ? null : this.#hasherOf(again.contentHash).hash(again.payload)
      if (again !== null && hash !== null && hash !== again.contentHash) await this.#condemn(again, hash)
      throw mismatch(key, contentHash, found)
    }
    if (last !== null) yield last
  }

  /** Keeps the evidence, then removes the entry unless it is a good one by now. */
  async #condemn({ key, contentHash, payload }: StoredFragment, found: ContentHash): Promise<void> {
    try {
      await this.#quarantine?.keep({
        key,
        expected: contentHash,
        reason: `The hash of the bytes is ${found}.`,
        payload,
      })
    } catch {
      // A full disk must not turn a miss into an error; it shows in `damage`.
      this.#evidenceLost += 1
    }
    const now = await this.#store.get(key)
    if (now === null || this.#hasherOf(now.contentHash).hash(now.payload) === now.contentHash) return
    await this.#store.remove([key])
  }

  #hasherOf(hash: ContentHash): ContentHasher {
    return this.#hashers[contentHashAlgorithm(hash)]
  }
}

/** The hash of a payload that is read, computed while it comes where the store tells of it. */
class ArrivingHash {
  readonly #hashers: ContentHashers
  #running: ReturnType<ContentHasher['start']> | null = null
  #bytes = 0

  constructor(hashers: ContentHashers) {
    this.#hashers = hashers
  }

  readonly follow = ({ contentHash }: StoredEntry): ((bytes: Uint8Array) => void) => {
    const running = this.#hashers[contentHashAlgorithm(contentHash)].start()
    this.#running = running
    this.#bytes = 0
    return (bytes) => {
      running.update(bytes)
      this.#bytes += bytes.length
    }
  }

  /** Only for the answer to the get that was followed. */
  hashOf({ contentHash, payload }: StoredFragment): ContentHash {
    if (this.#running !== null && this.#bytes === payload.length) return this.#running.contentHash()
    return this.#hashers[contentHashAlgorithm(contentHash)].hash(payload)
  }
}

/** The same pieces; throws after the last one when they are not what the hash says, so that nothing is put. */
async function* verifiedPieces(
  { key, contentHash }: FragmentPut,
  pieces: AsyncIterable<Uint8Array>,
  hasher: ContentHasher,
): AsyncGenerator<Uint8Array> {
  const running = hasher.start()
  for await (const piece of pieces) {
    running.update(piece)
    yield piece
  }
  const found = running.contentHash()
  if (found !== contentHash) throw mismatch(key, contentHash, found)
}

function mismatch(key: string, expected: ContentHash, found: ContentHash): MembraneError {
  const message = `The payload should have the hash ${expected}, found ${found}.`
  return new MembraneError('CONTENT_MISMATCH', message, { details: { key, expected, found } })
}
