/** Fragments in this process's memory, for as long as it runs. It has no bound of its own: `bounded` gives it one. */
import type {
  Clock,
  FragmentPut,
  FragmentStore,
  GetOptions,
  PutOutcome,
  StoredEntry,
  StoredFragment,
  StoredStream,
  StoreStats,
} from '../core/ports.ts'
import {
  checkInto,
  checkKey,
  checkPut,
  isExpired,
  isSameEntry,
  ownPayload,
  partOf,
  spanWithin,
  storeClosed,
} from './arguments.ts'
import { LentPayload, type PayloadMemory } from './payload-memory.ts'

/** What a reader of a stream holds at a time, so that it can pass it on before all of a payload is in flight. */
const CHUNK_BYTES = 1024 * 1024

/** Expired entries are looked for at most so often: the look is at all entries, 10 ms for a million. */
const SWEEP_INTERVAL_MS = 1000

/** Keeps a payload, so it is a memory of its own. */
interface Kept extends StoredEntry {
  readonly payload: Uint8Array
  readonly lent: LentPayload
}

/**
 * Fragments in memory. A get returns the store's own bytes, without a copy; removing an entry takes nothing away from
 * who has it already. Payloads lie outside of the JavaScript heap, one allocation each; one that was given away stays
 * where it is, unless it would keep much more memory alive. Nothing is ever damaged here.
 */
export class MemoryStore implements FragmentStore {
  readonly #clock: Clock
  readonly #memory: PayloadMemory | null
  readonly #entries = new Map<string, Kept>()
  #payloadBytes = 0
  #isClosed = false
  /** No entry expires before. */
  #nextExpiryMs = Number.POSITIVE_INFINITY
  #sweptAtMs = Number.NEGATIVE_INFINITY

  /** With `memory`, what is dropped is used again. */
  constructor(clock: Clock, memory: PayloadMemory | null = null) {
    this.#clock = clock
    this.#memory = memory
  }

  get isProcessMemory(): boolean {
    return true
  }

  async put(fragment: FragmentPut): Promise<PutOutcome> {
    this.#checkOpen()
    checkPut(fragment)
    const { key, head, payloadBytes, contentHash } = fragment
    const before = this.#find(key)
    if (before !== null && isSameEntry(before, fragment)) return 'present'
    const own = ownPayload(fragment, this.#memory)
    const payload = own instanceof Uint8Array ? own : await own
    this.#checkOpen()
    const expiresAtMs = fragment.expiresAtMs ?? null
    const hadBefore = this.#drop(key)
    this.#entries.set(key, {
      key,
      head: head.slice(),
      payloadBytes,
      contentHash,
      expiresAtMs,
      payload,
      lent: new LentPayload(payload, this.#memory),
    })
    this.#payloadBytes += payloadBytes
    if (expiresAtMs !== null && expiresAtMs < this.#nextExpiryMs) this.#nextExpiryMs = expiresAtMs
    this.#sweep()
    return hadBefore ? 'replaced' : 'stored'
  }

  async get(key: string, options: GetOptions = {}): Promise<StoredFragment | null> {
    const found = this.#lookUp(key)
    if (found === null) return null
    const { start, end } = spanWithin(options.span, found)
    checkInto(options.into, end - start)
    const done = this.#memory === null ? undefined : found.lent.lend()
    return { ...entryOf(found), payload: partOf(found.payload, { start, end }), done }
  }

  async stream(key: string, options: Pick<GetOptions, 'span'> = {}): Promise<StoredStream | null> {
    const found = this.#lookUp(key)
    if (found === null) return null
    const { start, end } = spanWithin(options.span, found)
    found.lent.lendForGood()
    return { ...entryOf(found), chunks: chunksOf(found.payload.subarray(start, end)) }
  }

  async head(key: string): Promise<StoredEntry | null> {
    const found = this.#lookUp(key)
    return found === null ? null : entryOf(found)
  }

  async has(keys: readonly string[]): Promise<readonly boolean[]> {
    return keys.map((key) => this.#lookUp(key) !== null)
  }

  async remove(keys: readonly string[]): Promise<number> {
    this.#checkOpen()
    keys.forEach(checkKey)
    return keys.filter((key) => this.#drop(key)).length
  }

  async *list(prefix = ''): AsyncIterable<StoredEntry> {
    this.#checkOpen()
    // The keys of now: walking the map itself would not end while the reader puts as fast as it reads.
    const keys = Array.from(this.#entries.keys())
    for (const key of keys) {
      if (!key.startsWith(prefix)) continue
      this.#checkOpen()
      const found = this.#find(key)
      if (found !== null) yield entryOf(found)
    }
  }

  stats(): StoreStats {
    this.#sweep()
    return { entries: this.#entries.size, payloadBytes: this.#payloadBytes, corruptEntries: 0 }
  }

  async sync(): Promise<void> {
    this.#checkOpen()
  }

  async purge(): Promise<void> {
    this.#checkOpen()
    this.#sweepNow()
  }

  async close(): Promise<void> {
    this.#isClosed = true
    this.#entries.clear()
    this.#payloadBytes = 0
  }

  #checkOpen(): void {
    if (this.#isClosed) throw storeClosed()
  }

  #lookUp(key: string): Kept | null {
    this.#checkOpen()
    checkKey(key)
    return this.#find(key)
  }

  #find(key: string): Kept | null {
    const found = this.#entries.get(key)
    return found === undefined || isExpired(found, this.#clock.nowMs()) ? null : found
  }

  /** Whether there was one to be found. */
  #drop(key: string): boolean {
    const found = this.#entries.get(key)
    if (found === undefined) return false
    this.#entries.delete(key)
    found.lent.drop()
    this.#payloadBytes -= found.payloadBytes
    return !isExpired(found, this.#clock.nowMs())
  }

  /** Frees what has expired, now and then. */
  #sweep(): void {
    const nowMs = this.#clock.nowMs()
    if (nowMs >= this.#nextExpiryMs && nowMs >= this.#sweptAtMs + SWEEP_INTERVAL_MS) this.#sweepNow()
  }

  #sweepNow(): void {
    const nowMs = this.#clock.nowMs()
    this.#sweptAtMs = nowMs
    this.#nextExpiryMs = Number.POSITIVE_INFINITY
    for (const entry of this.#entries.values()) {
      if (isExpired(entry, nowMs)) this.#drop(entry.key)
      else if (entry.expiresAtMs !== null) this.#nextExpiryMs = Math.min(this.#nextExpiryMs, entry.expiresAtMs)
    }
  }
}

function entryOf({ key, head, payloadBytes, contentHash, expiresAtMs }: Kept): StoredEntry {
  return { key, head, payloadBytes, contentHash, expiresAtMs }
}

export async function* chunksOf(payload: Uint8Array): AsyncIterable<Uint8Array> {
  for (let start = 0; start < payload.length; start += CHUNK_BYTES) yield payload.subarray(start, start + CHUNK_BYTES)
}
