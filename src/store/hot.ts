/**
 * A memory tier over a slower store: what was put or read lately is answered with the memory's own bytes, without a copy
 * and without a hash, because they were verified when they came in.
 *
 * It stands above the store that keeps equal bytes once, and knows entries by the keys of their owners: so what one
 * tenant has read is hot for that tenant alone, and how long a read takes tells nothing of who else has the same bytes.
 * The price is that equal bytes of two tenants are in memory twice.
 *
 * Everything that changes the store below passes through here. From the moment in which a put or a removal begins, and
 * until it has ended, its key is answered from below; and no read that began before its end is kept.
 */
import type {
  Clock,
  FragmentPut,
  FragmentStore,
  GetOptions,
  PutOutcome,
  StoredEntry,
  StoredFragment,
  StoredStream,
  StreamOptions,
  StoreStats,
} from '../core/ports.ts'
import { checkInto, checkPut, isExpired, ownPayload, partOf, spanWithin } from './arguments.ts'
import { HotEntries } from './hot-entries.ts'
import { chunksOf } from './memory.ts'

/** How much memory, and what time it is. */
export interface HotStoreOptions {
  /** Bytes of all entries in memory, what they take beside their payloads included. One takes an eighth at most. */
  readonly bytesMax: number
  readonly clock: Clock
}

/** What the memory tier holds and has answered. */
export interface HotStats {
  readonly entries: number
  /** With what entries take beside their payloads; never above `bytesMax`. */
  readonly bytes: number
  readonly bytesMax: number
  /** Gets and streams that were answered from memory, and those that went on to the store below. */
  readonly hits: number
  readonly misses: number
  /** Entries that left memory for others; the store below has them still. */
  readonly evictions: number
}

/** Puts and removals of one key that are under way. */
interface Change {
  underWay: number
  /** More than one at once: which of them is the last is for the store below to say. */
  isContested: boolean
}

/** A memory tier: see the top of this file. The store below must verify what it reads. */
export class HotStore implements FragmentStore {
  readonly #inner: FragmentStore
  readonly #clock: Clock
  readonly #bytesMax: number
  readonly #hot: HotEntries
  readonly #changes = new Map<string, Change>()
  /** Reads below whose bytes are to be kept: several readers of one key share one. */
  readonly #reads = new Map<string, Promise<StoredFragment | null>>()
  #hits = 0
  #misses = 0
  #isClosed = false

  constructor(inner: FragmentStore, { bytesMax, clock }: HotStoreOptions) {
    this.#inner = inner
    this.#clock = clock
    this.#bytesMax = bytesMax
    this.#hot = new HotEntries(bytesMax)
  }

  async put(fragment: FragmentPut): Promise<PutOutcome> {
    checkPut(fragment)
    const { key, head, payloadBytes, contentHash, expiresAtMs = null } = fragment
    const before = this.#hot.peek(key)
    const change = this.#begin(key)
    try {
      const payload = await this.#payloadToKeep(fragment, before)
      const own = { ...fragment, payload: payload ?? fragment.payload, isGivenAway: payload !== null }
      const outcome = await this.#inner.put(payload === null ? fragment : own)
      const kept = payload ?? (isSameContent(before, fragment) ? before.payload : null)
      if (kept !== null && outcome !== 'refused' && !change.isContested)
        this.#keep({ key, head: head.slice(), payloadBytes, contentHash, expiresAtMs, payload: kept })
      return outcome
    } finally {
      this.#end(key, change)
    }
  }

  /**
   * Null for what does not fit, and for pieces of what the key has already: the store below need not read those.
   * Collected before anything is written, pieces cost the store below one write instead of two.
   */
  async #payloadToKeep(fragment: FragmentPut, before: StoredFragment | null): Promise<Uint8Array | null> {
    if (!this.#hot.fits(fragment.payloadBytes)) return null
    if (fragment.payload instanceof Uint8Array) return ownPayload(fragment)
    const known = before ?? (await this.#inner.head(fragment.key))
    return isSameContent(known, fragment) ? null : ownPayload(fragment)
  }

  async get(key: string, options: GetOptions = {}): Promise<StoredFragment | null> {
    const found = this.#find(key)
    if (found !== null) return answerOf(found, options)
    const read = await this.#readIfItFits(key, options.into !== undefined || options.span !== undefined)
    return read === 'too large' ? this.#inner.get(key, options) : read === null ? null : answerOf(read, options)
  }

  async stream(key: string, { span, isFromBelow = false }: StreamOptions = {}): Promise<StoredStream | null> {
    const found = isFromBelow ? 'too large' : (this.#find(key) ?? (await this.#readIfItFits(key, true)))
    if (found === 'too large') return this.#inner.stream(key, span === undefined ? {} : { span })
    if (found === null) return null
    const { payload, ...entry } = found
    return { ...entry, chunks: chunksOf(partOf(payload, spanWithin(span, found))) }
  }

  /** No use, and no hit: who asks reads next. */
  async head(key: string): Promise<StoredEntry | null> {
    const hot = this.#hot.peek(key)
    if (hot === null || isExpired(hot, this.#clock.nowMs())) return this.#inner.head(key)
    const { payload: _, done: __, ...entry } = hot
    return entry
  }

  async has(keys: readonly string[]): Promise<readonly boolean[]> {
    const isThere = await this.#inner.has(keys)
    for (const [index, key] of keys.entries()) if (isThere[index] !== true) this.#hot.drop(key)
    return isThere
  }

  async remove(keys: readonly string[]): Promise<number> {
    const changes = keys.map((key) => this.#begin(key))
    try {
      return await this.#inner.remove(keys)
    } finally {
      for (const [index, key] of keys.entries()) this.#end(key, changes[index])
    }
  }

  list(prefix?: string): AsyncIterable<StoredEntry> {
    return this.#inner.list(prefix)
  }

  stats(): StoreStats {
    return this.#inner.stats()
  }

  hotStats(): HotStats {
    const { count: entries, bytes, evictions } = this.#hot
    return { entries, bytes, bytesMax: this.#bytesMax, hits: this.#hits, misses: this.#misses, evictions }
  }

  sync(): Promise<void> {
    return this.#inner.sync()
  }

  async purge(): Promise<void> {
    this.#hot.dropExpired(this.#clock.nowMs())
    await this.#inner.purge()
  }

  async close(): Promise<void> {
    this.#isClosed = true
    this.#hot.clear()
    await this.#inner.close()
  }

  /** For a get or a stream, which it counts. */
  #find(key: string): StoredFragment | null {
    const found = this.#hot.use(key, this.#clock.nowMs())
    if (found === null) this.#misses += 1
    else this.#hits += 1
    return found
  }

  /** Asks for the size first where all of a large entry would be more than was asked for. */
  async #readIfItFits(key: string, isSizeAsked: boolean): Promise<StoredFragment | null | 'too large'> {
    if (isSizeAsked) {
      const entry = await this.#inner.head(key)
      if (entry === null) return null
      if (!this.#hot.fits(entry.payloadBytes)) return 'too large'
    }
    return this.#readThrough(key)
  }

  #readThrough(key: string): Promise<StoredFragment | null> {
    const known = this.#reads.get(key)
    if (known !== undefined) return known
    const read = this.#inner.get(key).then(
      (found) => {
        if (this.#reads.get(key) !== read) return found
        this.#reads.delete(key)
        if (found !== null && !this.#changes.has(key)) this.#keep(found)
        return found
      },
      (error: unknown) => {
        if (this.#reads.get(key) === read) this.#reads.delete(key)
        throw error
      },
    )
    this.#reads.set(key, read)
    return read
  }

  /** Unless the store has been closed meanwhile: then everything is for the store below to refuse. */
  #keep(fragment: StoredFragment): void {
    if (!this.#isClosed) this.#hot.add(fragment)
  }

  #begin(key: string): Change {
    this.#hot.drop(key)
    const known = this.#changes.get(key)
    if (known === undefined) {
      const change = { underWay: 1, isContested: false }
      this.#changes.set(key, change)
      return change
    }
    known.underWay += 1
    known.isContested = true
    return known
  }

  /** A read that began while the change was under way may have found the old bytes: whoever comes now does not join it. */
  #end(key: string, change: Change | undefined): void {
    if (change === undefined) return
    this.#reads.delete(key)
    change.underWay -= 1
    if (change.underWay === 0) this.#changes.delete(key)
  }
}

function answerOf(found: StoredFragment, { span, into }: GetOptions): StoredFragment {
  const part = spanWithin(span, found)
  checkInto(into, part.end - part.start)
  return { ...found, payload: partOf(found.payload, part) }
}

function isSameContent<T extends StoredEntry>(known: T | null, put: FragmentPut): known is T {
  return known !== null && known.contentHash === put.contentHash && known.payloadBytes === put.payloadBytes
}
