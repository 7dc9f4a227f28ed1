/**
 * Keeps a store within bytes and entries, and every owner within its quota. When room is needed, the owner that holds
 * most for its share gives it (`bounded-room.ts`), so that one tenant's flood evicts that tenant's entries first; within
 * an owner the eviction policy ranks. What is leased, pinned or being written never leaves; if nothing else is left, a
 * put fails.
 *
 * Room is taken before a put is passed on, so the bound holds at every moment, also with many puts at once.
 */
import { MembraneError } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
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
import type { EvictionPolicyName } from '../policy/evict-policies.ts'
import { checkKey, checkPut } from './arguments.ts'
import { EntryEnds } from './bounded-ends.ts'
import { type FoundEntry, parentsFirst } from './bounded-load.ts'
import type { BoundedEntry, EntryTraits, Quota } from './bounded-owner.ts'
import { Room } from './bounded-room.ts'
import { ownerOf } from './canonical-contents.ts'
import { SerialTasks } from './serial.ts'
import { UnreadPieces } from './unread-pieces.ts'

/** The bound, the quotas, and what the store has to be told. */
export interface BoundedOptions extends Quota {
  readonly policy: EvictionPolicyName
  readonly clock: Clock
  /** What the store cannot know of an entry from its key and length. */
  readonly traitsOf: (entry: Pick<StoredEntry, 'key' | 'head' | 'payloadBytes'>) => EntryTraits
  /** Null for an owner without a quota of its own. */
  readonly quotaOf: (owner: string) => Quota | null
  /** Milliseconds after which an entry that names no time of its own is gone; null keeps it. */
  readonly ttlMs: number | null
  /** The store below loses nothing by itself, as this process's memory does not; default false. */
  readonly isInnerCertain?: boolean
  /** Bytes that the store below takes for payloads: less than their sum where it keeps equal bytes once. */
  readonly heldBytes: () => number
  /** Told of every entry that is there from now on, also in place of another one, and when the store is opened. */
  readonly joined: (entry: StoredEntry) => void
  /** Told of every entry that is gone from now on. Between the two calls, and only then, a key is known. */
  readonly left: (key: string, reason: LeaveReason) => void
}

/** What is to be different about an entry that is there. */
export interface Revision {
  readonly head: Uint8Array
  readonly expiresAtMs: number | null
}

/** `lost`: found damaged, or gone from the store below. */
export type LeaveReason = 'evicted' | 'expired' | 'removed' | 'lost'

export interface BoundedStats {
  readonly evictions: number
  readonly expirations: number
  readonly refusals: number
  readonly owners: Readonly<Record<string, { readonly entries: number; readonly payloadBytes: number }>>
}

/** Learns what the store holds, from `entries` if somebody has just read them, and evicts what is beyond the bound. */
export async function openBoundedStore(
  inner: FragmentStore,
  options: BoundedOptions,
  entries: AsyncIterable<StoredEntry> | Iterable<StoredEntry> = inner.list(),
): Promise<BoundedStore> {
  const store = new BoundedStore(inner, options)
  await store.load(entries)
  return store
}

/** A store within bounds: see `openBoundedStore`. Throws STORE_FULL and QUOTA_EXCEEDED when nothing may leave. */
export class BoundedStore implements FragmentStore {
  readonly #inner: FragmentStore
  readonly #options: BoundedOptions
  readonly #entries = new Map<string, BoundedEntry>()
  readonly #room: Room
  readonly #byKey = new SerialTasks()
  readonly #ends = new EntryEnds((entry) => this.#entries.get(entry.key) === entry)
  /** Keys that left and could not be removed below: tried again with later puts. */
  readonly #unremoved = new Set<string>()
  #evictions = 0
  #expirations = 0
  #refusals = 0

  /** Use `openBoundedStore`, which also reads what is there. */
  constructor(inner: FragmentStore, options: BoundedOptions) {
    this.#inner = inner
    this.#options = options
    const { payloadBytesMax, entriesMax } = options
    this.#room = new Room({
      ...options,
      bound: { payloadBytesMax, entriesMax },
      heldEntries: () => this.#entries.size,
      endLeases: () => {
        this.#ends.endLeases(options.clock.nowMs())
      },
      evict: (victim) => this.#evict(victim),
    })
  }

  /** For `openBoundedStore`. */
  async load(entries: AsyncIterable<StoredEntry> | Iterable<StoredEntry>): Promise<void> {
    const found: FoundEntry[] = []
    for await (const entry of entries) found.push({ entry, traits: this.#options.traitsOf(entry) })
    for (const { entry, traits } of parentsFirst(found)) this.#register(entry, traits)
    await this.#room.makeForAll()
  }

  async put(fragment: FragmentPut): Promise<PutOutcome> {
    checkPut(fragment)
    await this.#removeExpired()
    await this.#retryRemovals()
    return this.#byKey.run(fragment.key, () => this.#put(fragment, fragment.expiresAtMs ?? this.#defaultExpiry()))
  }

  /**
   * Changes head and expiry of an entry that is there; its bytes are only named, and read where the store below asks for
   * them. In turn with other changes of the key, so what is gone does not come back: false then. Null is no expiry here.
   * Throws what a put throws.
   */
  revise(key: string, revised: (entry: StoredEntry) => Revision): Promise<boolean> {
    checkKey(key)
    return this.#byKey.run(key, async () => {
      const entry = await this.#inner.head(key)
      // What is evicted may be there for a moment yet: it is gone already.
      if (entry === null || !this.#entries.has(key)) return false
      const put = { ...entry, ...revised(entry) }
      const unread = new UnreadPieces(key)
      try {
        await this.#put({ ...put, payload: unread }, put.expiresAtMs)
        return true
      } catch (error) {
        if (!unread.wereAsked) throw error
      }
      const found = await this.#inner.get(key)
      if (found?.contentHash !== entry.contentHash || !this.#entries.has(key)) return false
      await this.#put({ ...put, payload: found.payload }, put.expiresAtMs)
      return true
    })
  }

  async #put(fragment: FragmentPut, expiresAtMs: number | null): Promise<PutOutcome> {
    const { key, payloadBytes } = fragment
    const traits = this.#options.traitsOf(fragment)
    const owner = this.#room.ownerNamed(ownerOf(key))
    const before = this.#entries.get(key)
    // The old bytes stay until the new ones are in: both need room for a moment, unless they are the same.
    const newBytes = before?.contentHash === fragment.contentHash ? 0 : payloadBytes
    const newEntries = before === undefined ? 1 : 0
    if (before !== undefined) this.#hold(before, 1)
    const reservation = this.#room.reserve(owner, newBytes, newEntries)
    try {
      if (!(await this.#room.makeFor({ owner, fragment, newEntries, traits }))) {
        this.#refusals += 1
        return 'refused'
      }
      const outcome = await this.#room.startWriting(reservation, this.#inner.put({ ...fragment, expiresAtMs }))
      const { head, contentHash } = fragment
      this.#register({ key, head, contentHash, payloadBytes, expiresAtMs }, traits)
      return outcome
    } finally {
      this.#room.release(reservation)
      if (before !== undefined) this.#hold(before, -1)
    }
  }

  async get(key: string, options?: GetOptions): Promise<StoredFragment | null> {
    return this.#touched(key, await this.#inner.get(key, options))
  }

  async stream(key: string, options?: StreamOptions): Promise<StoredStream | null> {
    return this.#touched(key, await this.#inner.stream(key, options))
  }

  async head(key: string): Promise<StoredEntry | null> {
    return this.#inner.head(key)
  }

  has(keys: readonly string[]): Promise<readonly boolean[]> {
    return this.#inner.has(keys)
  }

  async remove(keys: readonly string[]): Promise<number> {
    keys.forEach(checkKey)
    let removed = 0
    // Some at a time: a tenant's removal of all it has must not be in flight all at once.
    for (let start = 0; start < keys.length; start += LIMITS.backgroundRemovalsMax) {
      const some = keys.slice(start, start + LIMITS.backgroundRemovalsMax)
      const counts = await Promise.all(some.map((key) => this.#removeOne(key)))
      for (const count of counts) removed += count
    }
    return removed
  }

  #removeOne(key: string): Promise<number> {
    return this.#byKey.run(key, async () => {
      const count = await this.#inner.remove([key])
      this.#unremoved.delete(key)
      this.#forget(key, 'removed')
      return count
    })
  }

  list(prefix?: string): AsyncIterable<StoredEntry> {
    return this.#inner.list(prefix)
  }

  stats(): StoreStats {
    return this.#inner.stats()
  }

  boundedStats(): BoundedStats {
    const owners = [...this.#room.owners].map(([name, { entries, payloadBytes }]) => [name, { entries, payloadBytes }])
    return {
      evictions: this.#evictions,
      expirations: this.#expirations,
      refusals: this.#refusals,
      owners: Object.fromEntries(owners),
    }
  }

  /** What one owner holds, each entry in full. */
  usageOf(owner: string): { readonly entries: number; readonly payloadBytes: number } {
    const { entries, payloadBytes } = this.#room.owners.get(owner) ?? { entries: 0, payloadBytes: 0 }
    return { entries, payloadBytes }
  }

  sync(): Promise<void> {
    return this.#inner.sync()
  }

  /** What could not be removed before is tried once more, and throws when it still cannot. */
  async purge(): Promise<void> {
    await this.#removeExpired()
    // Those of now: what others evict meanwhile is theirs to remove.
    const unremoved = Array.from(this.#unremoved)
    for (const key of unremoved) await this.#removeBelow(key)
    await this.#inner.purge()
  }

  close(): Promise<void> {
    return this.#inner.close()
  }

  /**
   * Promises that what is there of `keys` is not evicted for `durationMs`, or until it expires; a longer lease of an
   * entry stays. Counts as a use. One answer a key: whether it is there. Throws INVALID_REQUEST beyond
   * LIMITS.leaseMsMax.
   */
  async lease(keys: readonly string[], durationMs: number): Promise<readonly boolean[]> {
    if (!(durationMs > 0 && durationMs <= LIMITS.leaseMsMax))
      throw new MembraneError(
        'INVALID_REQUEST',
        `A lease lasts above 0 and at most ${LIMITS.leaseMsMax} ms, found ${durationMs}.`,
      )
    const nowMs = this.#options.clock.nowMs()
    const untilMs = nowMs + durationMs
    // Held before asking: between the answer and the lease, an eviction could fall.
    for (const key of keys) {
      const entry = this.#entries.get(key)
      if (entry === undefined) continue
      entry.owner.touch(entry)
      this.#ends.lease(entry, untilMs, nowMs)
    }
    // What rests in this process's memory is there until it leaves or expires: nothing below loses it.
    if (this.#options.isInnerCertain === true) return keys.map((key) => this.#isThere(key, nowMs))
    const isThere = await this.#inner.has(keys)
    const gone = keys.filter((key, index) => isThere[index] !== true && this.#entries.has(key))
    await Promise.all(gone.map((key) => this.#forgetIfGone(key)))
    return keys.map((key, index) => isThere[index] === true && this.#entries.has(key))
  }

  #isThere(key: string, nowMs: number): boolean {
    const entry = this.#entries.get(key)
    return entry !== undefined && (entry.expiresAtMs === null || entry.expiresAtMs > nowMs)
  }

  /** A pinned entry is never evicted; it still expires. False when it is not there. */
  pin(key: string, isPinned: boolean): boolean {
    const entry = this.#entries.get(key)
    if (entry === undefined) return false
    entry.isPinned = isPinned
    entry.owner.updatePin(entry, this.#options.clock.nowMs())
    return true
  }

  /** The chain that ends here will not go on: what nothing else builds upon leaves first. False when it is not there. */
  closeChain(key: string): boolean {
    const entry = this.#entries.get(key)
    entry?.owner.close(entry)
    return entry !== undefined
  }

  #touched<T>(key: string, found: T | null): T | null {
    const entry = this.#entries.get(key)
    if (entry === undefined) return found
    if (found === null) void this.#forgetIfGone(key)
    else entry.owner.touch(entry)
    return found
  }

  /** Some entries may be gone from the store below: those that are take no room any more, and `left` is told. */
  async noticeLost(keys: readonly string[]): Promise<void> {
    await Promise.all(keys.map((key) => this.#forgetIfGone(key)))
  }

  /** What was found damaged or expired below takes no room any more. It may have been put again since. */
  #forgetIfGone(key: string): Promise<void> {
    return this.#byKey.run(key, async () => {
      const [isThere] = await this.#inner.has([key])
      const entry = this.#entries.get(key)
      if (isThere === true || entry === undefined) return
      const isExpired = entry.expiresAtMs !== null && entry.expiresAtMs <= this.#options.clock.nowMs()
      this.#forget(key, isExpired ? 'expired' : 'lost')
      if (!isExpired) return
      this.#expirations += 1
      // Missing is not freed yet: it goes before the next put takes room.
      this.#unremoved.add(key)
    })
  }

  #register(entry: StoredEntry, traits: EntryTraits): void {
    const { key, payloadBytes, expiresAtMs } = entry
    const known = this.#entries.get(key)
    const registered =
      known ??
      this.#room
        .ownerNamed(ownerOf(key))
        .add({ key, payloadBytes, contentHash: entry.contentHash, expiresAtMs }, traits)
    if (known === undefined) this.#entries.set(key, registered)
    else {
      known.owner.resize(known, payloadBytes)
      known.contentHash = entry.contentHash
      known.owner.touch(known)
      known.owner.rank(known, traits)
      known.expiresAtMs = expiresAtMs
    }
    this.#unremoved.delete(key)
    if (expiresAtMs !== null) this.#ends.awaitExpiry(registered, expiresAtMs)
    this.#options.joined(entry)
  }

  #forget(key: string, reason: LeaveReason): void {
    const entry = this.#entries.get(key)
    if (entry === undefined) return
    this.#entries.delete(key)
    entry.owner.drop(entry)
    this.#options.left(key, reason)
  }

  #hold(entry: BoundedEntry, by: 1 | -1): void {
    entry.putsUnderWay += by
    if (this.#entries.get(entry.key) === entry) entry.owner.updatePin(entry, this.#options.clock.nowMs())
  }

  #defaultExpiry(): number | null {
    const { ttlMs, clock } = this.#options
    return ttlMs === null ? null : clock.nowMs() + ttlMs
  }

  async #evict({ key }: BoundedEntry): Promise<void> {
    this.#forget(key, 'evicted')
    this.#evictions += 1
    await this.#removeBelow(key)
  }

  /** In turn with puts of this key, and none of them is undone by it. */
  #removeBelow(key: string): Promise<void> {
    this.#unremoved.add(key)
    return this.#byKey.run(key, async () => {
      if (!this.#unremoved.has(key)) return
      await this.#inner.remove([key])
      this.#unremoved.delete(key)
    })
  }

  /** What fails here is tried again with the next put: this one need not fail for it. */
  async #retryRemovals(): Promise<void> {
    for (const key of this.#unremoved) {
      if (
        !(await this.#removeBelow(key).then(
          () => true,
          () => false,
        ))
      )
        return
    }
  }

  /** Expired entries are missing by themselves; this frees the room that they take. */
  async #removeExpired(): Promise<void> {
    const expired = this.#ends.takeExpired(this.#options.clock.nowMs())
    if (expired.length === 0) return
    for (const { key } of expired) this.#forget(key, 'expired')
    this.#expirations += expired.length
    await Promise.all(expired.map(({ key }) => this.#removeBelow(key)))
  }
}
