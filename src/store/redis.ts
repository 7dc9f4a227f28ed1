/** Fragments in a Redis or Valkey that other processes may share. */
import { MembraneError } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import type {
  ByteSpan,
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
import { checkKey, checkPut, collectPieces, isSameEntry, lengthMismatch, spanWithin, storeClosed } from './arguments.ts'
import { type KeyCommand, RedisClient, type RedisTls } from './redis-client.ts'
import { RedisKeys } from './redis-keys.ts'
import { type Beginning, beginningOf, entryChanged, RedisReader } from './redis-reader.ts'
import { parseRedisUrl } from './redis-url.ts'
import { FIXED_BYTES, startValue, type ValueStart } from './redis-value.ts'

/** Which server, under which name, with which deadlines. */
export interface RedisStoreOptions {
  /**
   * `redis://[user:password@]host[:port][/db]`, `unix:///path[?db=n]`, `redis-cluster://host:port,…` or
   * `redis-sentinel://host:port,…/master[?db=n]`; `rediss…` for TLS; `valkey` for `redis`. User and password are
   * percent-encoded.
   */
  readonly url: string
  /** 1 to 64 letters, digits, `.`, `_` and `-`. Stores of one name share their entries; others do not see them. */
  readonly name: string
  readonly clock: Clock
  /** Within which a server answers; a payload adds 100 ms for each MB of it. Default 10,000 ms. */
  readonly timeoutMs?: number
  readonly tls?: RedisTls
}

const DEFAULT_TIMEOUT_MS = 10_000
const CHUNK_BYTES = 1024 * 1024
/** Keys that one round trip asks for. */
const BATCH_KEYS = 1000

interface Clients {
  /** All that changes something: what is counted is in the order it happened. */
  readonly write: RedisClient
  readonly bulk: RedisClient
  readonly quick: RedisClient
}

/**
 * Fragments in Redis: one key an entry, `membrane:<name>:<key>`, so that a put is one SET. Payloads are as Redis
 * returns them: wrap it with `VerifiedStore`, which finds those that were damaged. Three connections, so that look-ups
 * need not wait behind payloads.
 *
 * A lost connection makes calls throw STORE_UNAVAILABLE until it is back, for which none of them waits. An entry has to
 * fit a Redis value: above LIMITS.redisValueBytesMax a put throws LIMIT_REACHED. STORE_FULL means `maxmemory`.
 */
export class RedisStore implements FragmentStore {
  readonly #clock: Clock
  readonly #keys: RedisKeys
  readonly #clients: Clients
  readonly #reader: RedisReader
  readonly #underWay = new Set<Promise<unknown>>()
  #isClosed = false
  #entries = 0
  #payloadBytes = 0
  #corruptEntries = 0

  private constructor(keys: RedisKeys, clients: Clients, clock: Clock) {
    this.#clock = clock
    this.#keys = keys
    this.#clients = clients
    const onDamaged = (): void => {
      this.#corruptEntries += 1
    }
    this.#reader = new RedisReader({ keys, clock, bulk: clients.bulk, quick: clients.quick, onDamaged })
  }

  /** Connects, and counts what is there, for which it looks at every entry. Throws INVALID_CONFIG, STORE_UNAVAILABLE, MISSING_PACKAGE. */
  static async open(options: RedisStoreOptions): Promise<RedisStore> {
    const keys = new RedisKeys(options.name)
    const clients = await connectAll(options)
    try {
      const store = new RedisStore(keys, clients, options.clock)
      await store.recount()
      return store
    } catch (error) {
      closeAll(clients)
      throw error
    }
  }

  put(fragment: FragmentPut): Promise<PutOutcome> {
    return this.#run(async () => {
      checkPut(fragment)
      checkValueSize(fragment)
      const { key, payload } = fragment
      const before = await this.#reader.begin(key)
      if (before !== null && isSameEntry(before.entry, fragment)) {
        // One that was cut off reads as missing: it must not be taken for a good one here.
        if (await this.#reader.isWhole(key, before.start)) return 'present'
      }
      const { value, payloadStart } = startValue(fragment)
      const target = value.subarray(payloadStart)
      if (payload instanceof Uint8Array) target.set(payload)
      else await collectPieces(key, payload, target)
      return this.#set(fragment, value)
    })
  }

  /** `into` is never used: what comes from the connection is a memory of its own. */
  get(key: string, options: GetOptions = {}): Promise<StoredFragment | null> {
    return this.#run(async () => {
      checkKey(key)
      return options.span === undefined ? this.#reader.whole(key, options.into) : this.#reader.part(key, options)
    })
  }

  /** In chunks of 1 MiB, of which two are held. */
  stream(key: string, { span }: Pick<GetOptions, 'span'> = {}): Promise<StoredStream | null> {
    return this.#run(async () => {
      checkKey(key)
      const begun = await this.#reader.begin(key)
      if (begun === null) return null
      return { ...begun.entry, chunks: this.#chunks(key, begun.start, spanWithin(span, begun.entry)) }
    })
  }

  head(key: string): Promise<StoredEntry | null> {
    return this.#run(async () => {
      checkKey(key)
      return (await this.#reader.begin(key))?.entry ?? null
    })
  }

  /** One round trip for every thousand keys. */
  has(keys: readonly string[]): Promise<readonly boolean[]> {
    return this.#run(async () => {
      keys.forEach(checkKey)
      const answers: boolean[] = []
      for (const batch of batches(keys)) answers.push(...(await this.#reader.has(batch)))
      return answers
    })
  }

  /** One round trip for every thousand keys. */
  remove(keys: readonly string[]): Promise<number> {
    return this.#run(async () => {
      keys.forEach(checkKey)
      let removed = 0
      for (const batch of batches(keys)) {
        const commands = batch.flatMap((key): KeyCommand[] => [
          this.#keys.startCommand(key, 0),
          ['unlink', this.#keys.of(key)],
        ])
        const replies = await this.#clients.write.each('remove entries', 0, commands)
        for (const [index, key] of batch.entries()) {
          if (replies[2 * index + 1] !== 1) continue
          const before = beginningOf(key, replies[2 * index] ?? null)
          this.#count(before, -1)
          if (this.#reader.isLive(before)) removed += 1
        }
      }
      return removed
    })
  }

  async *list(prefix = ''): AsyncIterable<StoredEntry> {
    const scan = this.#clients.quick.scan(this.#keys.pattern(prefix), BATCH_KEYS)
    try {
      for (;;) {
        const entries = await this.#run(async () => {
          const batch = await scan.next()
          if (batch.done === true) return null
          return this.#reader.entries(batch.value.map((key) => this.#keys.keyIn(key)).filter((key) => key !== null))
        })
        if (entries === null) return
        yield* entries
      }
    } finally {
      await scan.return(undefined)
    }
  }

  /**
   * What was there when the store was opened or last recounted, and what this process put and removed since. It does
   * not know what others did meanwhile, nor what expired: `recount` does. `corruptEntries` counts every time that one
   * was found.
   */
  stats(): StoreStats {
    return { entries: this.#entries, payloadBytes: this.#payloadBytes, corruptEntries: this.#corruptEntries }
  }

  /** Looks at every entry. What is put and removed meanwhile may be missed. */
  async recount(): Promise<StoreStats> {
    let entries = 0
    let payloadBytes = 0
    for await (const entry of this.list()) {
      entries += 1
      payloadBytes += entry.payloadBytes
    }
    this.#entries = entries
    this.#payloadBytes = payloadBytes
    return this.stats()
  }

  /** When an entry that was acknowledged reaches a disk is the server's to say (`appendfsync`); this asks for no more. */
  async sync(): Promise<void> {
    if (this.#isClosed) throw storeClosed()
  }

  /** What the server's own files (AOF, RDB) still hold goes when the server writes them anew. */
  async purge(): Promise<void> {
    if (this.#isClosed) throw storeClosed()
  }

  async close(): Promise<void> {
    this.#isClosed = true
    while (this.#underWay.size > 0) await Promise.allSettled(this.#underWay)
    closeAll(this.#clients)
  }

  /** Closing waits for it. */
  async #run<T>(call: () => Promise<T>): Promise<T> {
    if (this.#isClosed) throw storeClosed()
    const running = call()
    this.#underWay.add(running)
    try {
      return await running
    } finally {
      this.#underWay.delete(running)
    }
  }

  async #set({ key, expiresAtMs }: FragmentPut, value: Buffer): Promise<PutOutcome> {
    // The server's clock may differ from ours, so it is told how long; ours decides what is found.
    const leftMs = expiresAtMs === null || expiresAtMs === undefined ? null : expiresAtMs - this.#clock.nowMs()
    const [before = null] = await this.#clients.write.each('write a value', value.length, [
      this.#keys.startCommand(key, 0),
      ['set', this.#keys.of(key), value, leftMs === null ? null : Math.max(1, leftMs)],
    ])
    const replaced = beginningOf(key, before)
    this.#count(replaced, -1)
    this.#count(beginningOf(key, value), 1)
    return this.#reader.isLive(replaced) ? 'replaced' : 'stored'
  }

  /** Reads one chunk ahead. */
  async *#chunks(key: string, start: ValueStart, span: ByteSpan): AsyncGenerator<Uint8Array> {
    const read = (from: number): Promise<Buffer | null> => {
      const end = Math.min(from + CHUNK_BYTES, span.end)
      const chunk = this.#run(() => this.#reader.payloadPart(key, start, { start: from, end }))
      // It may fail before anybody waits for it, and nobody ever may.
      chunk.catch(() => undefined)
      return chunk
    }
    let next = span.start < span.end ? read(span.start) : null
    for (let from = span.start; next !== null; from += CHUNK_BYTES) {
      const chunk = await next
      if (chunk === null) throw entryChanged(key)
      const bytes = Math.min(CHUNK_BYTES, span.end - from)
      if (chunk.length !== bytes) {
        this.#corruptEntries += 1
        throw lengthMismatch(key, start.payloadBytes, from + chunk.length)
      }
      next = from + bytes < span.end ? read(from + bytes) : null
      yield chunk
    }
  }

  #count(beginning: Beginning, sign: 1 | -1): void {
    if (beginning.kind !== 'found') return
    // What others put is not counted here, and may be removed here: never below none.
    this.#entries = Math.max(0, this.#entries + sign)
    this.#payloadBytes = Math.max(0, this.#payloadBytes + sign * beginning.start.payloadBytes)
  }
}

async function connectAll({ url, timeoutMs = DEFAULT_TIMEOUT_MS, tls = {} }: RedisStoreOptions): Promise<Clients> {
  const address = parseRedisUrl(url)
  // A large payload is on its way for longer than that without an answer.
  const whileWriting = { timeoutMs, tls, silenceMsMax: null, isPipelined: false }
  const whileReading = { timeoutMs, tls, silenceMsMax: timeoutMs, isPipelined: false }
  const settled = await Promise.allSettled([
    RedisClient.connect(address, whileWriting),
    RedisClient.connect(address, whileReading),
    RedisClient.connect(address, { ...whileReading, isPipelined: true }),
  ])
  const [write, bulk, quick] = settled
  if (write.status === 'fulfilled' && bulk.status === 'fulfilled' && quick.status === 'fulfilled') {
    return { write: write.value, bulk: bulk.value, quick: quick.value }
  }
  for (const one of settled) if (one.status === 'fulfilled') one.value.close()
  throw settled.find((one) => one.status === 'rejected')?.reason
}

function closeAll({ write, bulk, quick }: Clients): void {
  for (const client of [write, bulk, quick]) client.close()
}

function* batches(keys: readonly string[]): Generator<readonly string[]> {
  for (let from = 0; from < keys.length; from += BATCH_KEYS) yield keys.slice(from, from + BATCH_KEYS)
}

function checkValueSize({ key, head, payloadBytes }: FragmentPut): void {
  const valueBytes = FIXED_BYTES + head.length + payloadBytes
  if (valueBytes <= LIMITS.redisValueBytesMax) return
  const message = `An entry in Redis takes at most ${LIMITS.redisValueBytesMax} bytes, found ${valueBytes}.`
  throw new MembraneError('LIMIT_REACHED', message, {
    details: { key, valueBytes },
    remedy: 'Put payloads of this size into a disk store, or cut them into smaller fragments.',
  })
}
