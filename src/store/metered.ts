/** A store that counts what is asked of it, what it answers and how long that takes. */
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

/** Upper bounds of the buckets that latencies are counted in, milliseconds; one more bucket holds all above. */
export const LATENCY_BUCKETS_MS: readonly number[] = [
  0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000,
]

/** Since the store was wrapped. */
export interface CallMeters {
  /** Ended, well or not. */
  readonly calls: number
  /** Of these, ended by an error. */
  readonly failures: number
  /** Of all calls together. */
  readonly ms: number
  /** Calls that took up to the bound of LATENCY_BUCKETS_MS at this place and more than that before; the last, more than all. */
  readonly latencies: readonly number[]
}

/** Calls that find something or nothing. */
export interface LookUpMeters extends CallMeters {
  readonly hits: number
  readonly misses: number
}

/** Counters of every call, since the store was wrapped. */
export interface StoreMeters {
  /** `bytes`: of payloads that were written, so not of those that were present. */
  readonly put: CallMeters & Readonly<Record<PutOutcome, number>> & { readonly bytes: number }
  readonly get: LookUpMeters & { readonly bytes: number }
  /** Until the stream is there; `bytes` are those that were read from it, `broken` the streams that ended in an error. */
  readonly stream: LookUpMeters & { readonly bytes: number; readonly broken: number }
  readonly head: LookUpMeters
  /** Hits and misses are of keys. */
  readonly has: LookUpMeters
  readonly remove: CallMeters & { readonly removed: number }
  /** From the first entry asked for until the end, or until the reader leaves. */
  readonly list: CallMeters & { readonly entries: number }
  readonly sync: CallMeters
}

/** Passes every call on and counts it. */
export class MeteredStore implements FragmentStore {
  readonly #store: FragmentStore
  readonly #clock: Clock
  readonly #put = { ...newCalls(), stored: 0, replaced: 0, present: 0, refused: 0, bytes: 0 }
  readonly #get = { ...newLookUps(), bytes: 0 }
  readonly #stream = { ...newLookUps(), bytes: 0, broken: 0 }
  readonly #head = newLookUps()
  readonly #has = newLookUps()
  readonly #remove = { ...newCalls(), removed: 0 }
  readonly #list = { ...newCalls(), entries: 0 }
  readonly #sync = newCalls()

  /** Latencies are as fine as the clock: one that knows parts of milliseconds gives them. */
  constructor(store: FragmentStore, clock: Clock) {
    this.#store = store
    this.#clock = clock
  }

  get isProcessMemory(): boolean {
    return this.#store.isProcessMemory ?? false
  }

  async put(fragment: FragmentPut): Promise<PutOutcome> {
    const outcome = await this.#time(this.#put, () => this.#store.put(fragment))
    this.#put[outcome] += 1
    if (outcome === 'stored' || outcome === 'replaced') this.#put.bytes += fragment.payloadBytes
    return outcome
  }

  async get(key: string, options?: GetOptions): Promise<StoredFragment | null> {
    const found = await this.#time(this.#get, () => this.#store.get(key, options))
    countLookUp(this.#get, found !== null)
    this.#get.bytes += found?.payload.length ?? 0
    return found
  }

  async stream(key: string, options?: Pick<GetOptions, 'span'>): Promise<StoredStream | null> {
    const found = await this.#time(this.#stream, () => this.#store.stream(key, options))
    countLookUp(this.#stream, found !== null)
    return found === null ? null : { ...found, chunks: this.#countedChunks(found.chunks) }
  }

  async head(key: string): Promise<StoredEntry | null> {
    const found = await this.#time(this.#head, () => this.#store.head(key))
    countLookUp(this.#head, found !== null)
    return found
  }

  async has(keys: readonly string[]): Promise<readonly boolean[]> {
    const answers = await this.#time(this.#has, () => this.#store.has(keys))
    for (const isThere of answers) countLookUp(this.#has, isThere)
    return answers
  }

  async remove(keys: readonly string[]): Promise<number> {
    const removed = await this.#time(this.#remove, () => this.#store.remove(keys))
    this.#remove.removed += removed
    return removed
  }

  async *list(prefix?: string): AsyncIterable<StoredEntry> {
    const startMs = this.#clock.nowMs()
    let isFailed = true
    try {
      for await (const entry of this.#store.list(prefix)) {
        this.#list.entries += 1
        // The reader may leave here for good, which is no failure.
        isFailed = false
        yield entry
        isFailed = true
      }
      isFailed = false
    } finally {
      this.#end(this.#list, startMs, isFailed)
    }
  }

  stats(): StoreStats {
    return this.#store.stats()
  }

  /** A copy of the counters of now. */
  meters(): StoreMeters {
    return {
      put: copyOf(this.#put),
      get: copyOf(this.#get),
      stream: copyOf(this.#stream),
      head: copyOf(this.#head),
      has: copyOf(this.#has),
      remove: copyOf(this.#remove),
      list: copyOf(this.#list),
      sync: copyOf(this.#sync),
    }
  }

  sync(): Promise<void> {
    return this.#time(this.#sync, () => this.#store.sync())
  }

  /** Not counted: it is somebody's decision and no part of a load. */
  purge(): Promise<void> {
    return this.#store.purge()
  }

  close(): Promise<void> {
    return this.#store.close()
  }

  async *#countedChunks(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    try {
      for await (const chunk of chunks) {
        this.#stream.bytes += chunk.length
        yield chunk
      }
    } catch (error) {
      this.#stream.broken += 1
      throw error
    }
  }

  async #time<T>(meters: Counting<CallMeters>, call: () => Promise<T>): Promise<T> {
    const startMs = this.#clock.nowMs()
    let isFailed = true
    try {
      const answer = await call()
      isFailed = false
      return answer
    } finally {
      this.#end(meters, startMs, isFailed)
    }
  }

  #end(meters: Counting<CallMeters>, startMs: number, isFailed: boolean): void {
    const ms = this.#clock.nowMs() - startMs
    meters.calls += 1
    if (isFailed) meters.failures += 1
    meters.ms += ms
    const bucket = LATENCY_BUCKETS_MS.findIndex((bound) => ms <= bound)
    const place = bucket === -1 ? LATENCY_BUCKETS_MS.length : bucket
    meters.latencies[place] = (meters.latencies[place] ?? 0) + 1
  }
}

type Counting<T> = { -readonly [Name in keyof T]: T[Name] extends readonly number[] ? number[] : T[Name] }

function newCalls(): Counting<CallMeters> {
  return { calls: 0, failures: 0, ms: 0, latencies: Array.from({ length: LATENCY_BUCKETS_MS.length + 1 }, () => 0) }
}

function newLookUps(): Counting<LookUpMeters> {
  return { ...newCalls(), hits: 0, misses: 0 }
}

function countLookUp(meters: Counting<LookUpMeters>, isHit: boolean): void {
  if (isHit) meters.hits += 1
  else meters.misses += 1
}

function copyOf<T extends CallMeters>(meters: T): T {
  return { ...meters, latencies: meters.latencies.slice() }
}
