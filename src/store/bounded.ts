/**
 * Keeps a store within bytes and entries, and every owner within its quota. When room is needed, the owner that holds
 * most for its share gives it, so that one tenant's flood evicts that tenant's entries first; within an owner the
 * eviction policy ranks. What is leased, pinned or being written never leaves; if nothing else is left, a put fails.
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
  StoreStats,
} from '../core/ports.ts'
import { EVICTION_POLICIES, type EvictionPolicyName } from '../policy/evict-policies.ts'
import { checkKey, checkPut } from './arguments.ts'
import { type BoundedEntry, type EntryTraits, NEVER_LEASED, OwnerEntries, type Quota } from './bounded-owner.ts'
import { ownerOf } from './canonical.ts'
import { Deadlines } from './deadlines.ts'
import { SerialTasks } from './serial.ts'

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
  /** Bytes that the store below takes for payloads: less than their sum where it keeps equal bytes once. */
  readonly heldBytes: () => number
  /** Told of every entry that is there from now on, also in place of another one, and when the store is opened. */
  readonly joined: (entry: StoredEntry) => void
  /** Told of every entry that is gone from now on. Between the two calls, and only then, a key is known. */
  readonly left: (key: string, reason: LeaveReason) => void
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

const DEADLINE_BUCKET_MS = 100

/** An entry that was there when the store was opened. */
interface Found {
  readonly entry: StoredEntry
  readonly traits: EntryTraits
}

/** A store within bounds: see `openBoundedStore`. Throws STORE_FULL and QUOTA_EXCEEDED when nothing may leave. */
export class BoundedStore implements FragmentStore {
  readonly #inner: FragmentStore
  readonly #options: BoundedOptions
  readonly #entries = new Map<string, BoundedEntry>()
  readonly #owners = new Map<string, OwnerEntries>()
  readonly #byKey = new SerialTasks()
  readonly #leaseEnds = new Deadlines<BoundedEntry>(DEADLINE_BUCKET_MS)
  readonly #expiries = new Deadlines<BoundedEntry>(DEADLINE_BUCKET_MS)
  /** Keys that left and could not be removed below: tried again with later puts. */
  readonly #unremoved = new Set<string>()
  /** Puts that have their room and are on their way to the store below. */
  readonly #writing = new Set<Promise<PutOutcome>>()
  #reservedBytes = 0
  #reservedEntries = 0
  #evictions = 0
  #expirations = 0
  #refusals = 0

  /** Use `openBoundedStore`, which also reads what is there. */
  constructor(inner: FragmentStore, options: BoundedOptions) {
    this.#inner = inner
    this.#options = options
  }

  /** Parents before what builds upon them, because a policy learns a chain from its head on. */
  async load(entries: AsyncIterable<StoredEntry> | Iterable<StoredEntry>): Promise<void> {
    const found: Found[] = []
    const byName = new Map<string, Found>()
    for await (const entry of entries) {
      const traits = this.#options.traitsOf(entry)
      const one = { entry, traits }
      found.push(one)
      if (traits.chainName !== null) byName.set(nameWithin(entry, traits.chainName), one)
    }
    for (const last of found) {
      const chain = new Set<Found>()
      // A chain that bites its own tail comes from wrong descriptions, and ends where it began.
      for (let one: Found | undefined = last; one !== undefined && !chain.has(one); ) {
        if (this.#entries.has(one.entry.key)) break
        chain.add(one)
        const parentName: string | null = one.traits.parentName
        one = parentName === null ? undefined : byName.get(nameWithin(one.entry, parentName))
      }
      for (const { entry, traits } of [...chain].toReversed()) this.#register(entry, traits)
    }
    await this.#makeRoom(null, 0, 0)
  }

  async put(fragment: FragmentPut): Promise<PutOutcome> {
    checkPut(fragment)
    await this.#removeExpired()
    await this.#retryRemovals()
    return this.#byKey.run(fragment.key, () => this.#put(fragment))
  }

  async #put(fragment: FragmentPut): Promise<PutOutcome> {
    const { key, payloadBytes } = fragment
    const expiresAtMs = fragment.expiresAtMs ?? this.#defaultExpiry()
    const traits = this.#options.traitsOf(fragment)
    const owner = this.#ownerNamed(ownerOf(key))
    const before = this.#entries.get(key)
    // The old bytes stay until the new ones are in: both need room for a moment, unless they are the same.
    const newBytes = before?.contentHash === fragment.contentHash ? 0 : payloadBytes
    const newEntries = before === undefined ? 1 : 0
    if (before !== undefined) this.#hold(before, 1)
    this.#reserve(owner, newBytes, newEntries)
    let writing: Promise<PutOutcome> | null = null
    try {
      if (!(await this.#makeRoomFor(owner, fragment, newEntries, traits))) return 'refused'
      writing = this.#inner.put({ ...fragment, expiresAtMs })
      this.#writing.add(writing)
      const outcome = await writing
      const { head, contentHash } = fragment
      this.#register({ key, head, contentHash, payloadBytes, expiresAtMs }, traits)
      return outcome
    } finally {
      if (writing !== null) this.#writing.delete(writing)
      this.#reserve(owner, -newBytes, -newEntries)
      if (before !== undefined) this.#hold(before, -1)
    }
  }

  async get(key: string, options?: GetOptions): Promise<StoredFragment | null> {
    return this.#touched(key, await this.#inner.get(key, options))
  }

  async stream(key: string, options?: Pick<GetOptions, 'span'>): Promise<StoredStream | null> {
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
    const owners = [...this.#owners].map(([name, { entries, payloadBytes }]) => [name, { entries, payloadBytes }])
    return {
      evictions: this.#evictions,
      expirations: this.#expirations,
      refusals: this.#refusals,
      owners: Object.fromEntries(owners),
    }
  }

  /** What one owner holds, each entry in full. */
  usageOf(owner: string): { readonly entries: number; readonly payloadBytes: number } {
    const { entries, payloadBytes } = this.#owners.get(owner) ?? { entries: 0, payloadBytes: 0 }
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
      if (entry.leasedUntilMs >= untilMs) continue
      // One deadline an entry, however often its lease is renewed.
      const isAwaited = entry.leasedUntilMs !== NEVER_LEASED
      entry.leasedUntilMs = untilMs
      entry.owner.updatePin(entry, nowMs)
      if (!isAwaited) this.#leaseEnds.add(entry, untilMs)
    }
    const isThere = await this.#inner.has(keys)
    const gone = keys.filter((key, index) => isThere[index] !== true && this.#entries.has(key))
    await Promise.all(gone.map((key) => this.#forgetIfGone(key)))
    return keys.map((key, index) => isThere[index] === true && this.#entries.has(key))
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
      this.#ownerNamed(ownerOf(key)).add({ key, payloadBytes, contentHash: entry.contentHash, expiresAtMs }, traits)
    if (known === undefined) this.#entries.set(key, registered)
    else {
      known.owner.resize(known, payloadBytes)
      known.contentHash = entry.contentHash
      known.owner.touch(known)
      known.owner.rank(known, traits)
      known.expiresAtMs = expiresAtMs
    }
    this.#unremoved.delete(key)
    if (expiresAtMs !== null && expiresAtMs < registered.expiryAwaitedAtMs) this.#awaitExpiry(registered, expiresAtMs)
    this.#options.joined(entry)
  }

  #awaitExpiry(entry: BoundedEntry, atMs: number): void {
    entry.expiryAwaitedAtMs = atMs
    this.#expiries.add(entry, atMs)
  }

  #forget(key: string, reason: LeaveReason): void {
    const entry = this.#entries.get(key)
    if (entry === undefined) return
    this.#entries.delete(key)
    entry.owner.drop(entry)
    this.#options.left(key, reason)
  }

  #reserve(owner: OwnerEntries, payloadBytes: number, entries: number): void {
    this.#reservedBytes += payloadBytes
    this.#reservedEntries += entries
    owner.reserve(payloadBytes, entries)
  }

  #hold(entry: BoundedEntry, by: 1 | -1): void {
    entry.putsUnderWay += by
    if (this.#entries.get(entry.key) === entry) entry.owner.updatePin(entry, this.#options.clock.nowMs())
  }

  #ownerNamed(name: string): OwnerEntries {
    const known = this.#owners.get(name)
    if (known !== undefined) return known
    const { policy: policyName, entriesMax, quotaOf } = this.#options
    const policy = EVICTION_POLICIES[policyName](Math.min(entriesMax, quotaOf(name)?.entriesMax ?? entriesMax))
    const owner = new OwnerEntries(name, policy)
    this.#owners.set(name, owner)
    return owner
  }

  #defaultExpiry(): number | null {
    const { ttlMs, clock } = this.#options
    return ttlMs === null ? null : clock.nowMs() + ttlMs
  }

  /** Makes the room that was reserved; false when the policy would rather keep what would have to leave. */
  async #makeRoomFor(
    owner: OwnerEntries,
    { key, payloadBytes }: FragmentPut,
    newEntries: number,
    traits: EntryTraits,
  ): Promise<boolean> {
    const quota = this.#options.quotaOf(owner.name)
    this.#checkFits(owner, payloadBytes, quota)
    if (quota !== null && !(await this.#makeRoomInQuota(owner, quota))) {
      throw new MembraneError(
        'QUOTA_EXCEEDED',
        `${owner.name} holds ${owner.payloadBytes} bytes in ${owner.entries} entries that are pinned or leased, and its quota is ${quota.payloadBytesMax} bytes in ${quota.entriesMax}.`,
        { remedy: 'Unpin some, wait for leases to end, or raise the quota.', details: { owner: owner.name, quota } },
      )
    }
    if (this.#isWithinBound()) return true
    // Only an owner's own entries are weighed against its new ones: what others hold beyond their share is no argument.
    this.#endLeases()
    if (newEntries > 0 && this.#victim()?.owner === owner) {
      const victim = owner.victimFor(key, traits)
      if (victim === null) {
        this.#refusals += 1
        return false
      }
      await this.#evict(victim)
    }
    await this.#makeRoom(owner, payloadBytes, newEntries)
    return true
  }

  #checkFits(owner: OwnerEntries, payloadBytes: number, quota: Quota | null): void {
    const payloadBytesMax = Math.min(this.#options.payloadBytesMax, quota?.payloadBytesMax ?? Infinity)
    if (payloadBytes <= payloadBytesMax) return
    throw new MembraneError(
      payloadBytes > this.#options.payloadBytesMax ? 'STORE_FULL' : 'QUOTA_EXCEEDED',
      `A fragment of ${payloadBytes} bytes does not fit into ${payloadBytesMax} bytes.`,
      { details: { owner: owner.name, payloadBytes, payloadBytesMax } },
    )
  }

  async #makeRoomInQuota(owner: OwnerEntries, quota: Quota): Promise<boolean> {
    while (!owner.isWithin(quota)) {
      this.#endLeases()
      const victim = owner.victim()
      if (victim === null) return false
      await this.#evict(victim)
    }
    return true
  }

  /** Evicts until everything reserved fits. Throws STORE_FULL when nothing is left that may leave. */
  async #makeRoom(owner: OwnerEntries | null, payloadBytes: number, newEntries: number): Promise<void> {
    while (!this.#isWithinBound()) {
      this.#endLeases()
      const victim = this.#victim()
      if (victim === null && this.#writing.size > 0) {
        // Until it ends, a put counts twice: as what it has reserved and as what it has written.
        await Promise.race(Array.from(this.#writing, (writing) => writing.catch(() => undefined)))
        continue
      }
      if (victim === null) {
        const { payloadBytesMax, entriesMax } = this.#options
        throw new MembraneError(
          'STORE_FULL',
          `What is here is pinned, leased or being written, and leaves no room for ${payloadBytes} bytes in ${newEntries} new entries within ${payloadBytesMax} bytes and ${entriesMax} entries.`,
          { remedy: 'Unpin some, wait for leases to end, or raise the bound.', details: { owner: owner?.name } },
        )
      }
      await this.#evict(victim)
    }
  }

  #isWithinBound(): boolean {
    const { payloadBytesMax, entriesMax } = this.#options
    return (
      this.#options.heldBytes() + this.#reservedBytes <= payloadBytesMax &&
      this.#entries.size + this.#reservedEntries <= entriesMax
    )
  }

  /** The next to leave of the owner that holds most, if it has one; else of the next. */
  #victim(): BoundedEntry | null {
    let best: BoundedEntry | null = null
    for (const owner of this.#owners.values()) {
      if (best !== null && !holdsMore(owner, best.owner)) continue
      best = owner.victim() ?? best
    }
    return best
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

  #endLeases(): void {
    const nowMs = this.#options.clock.nowMs()
    for (const entry of this.#leaseEnds.take(nowMs)) {
      if (this.#entries.get(entry.key) !== entry) continue
      if (entry.leasedUntilMs > nowMs) {
        this.#leaseEnds.add(entry, entry.leasedUntilMs)
        continue
      }
      entry.leasedUntilMs = NEVER_LEASED
      entry.owner.updatePin(entry, nowMs)
    }
  }

  /** Expired entries are missing by themselves; this frees the room that they take. */
  async #removeExpired(): Promise<void> {
    const nowMs = this.#options.clock.nowMs()
    const keys: string[] = []
    for (const entry of this.#expiries.take(nowMs)) {
      // An entry that was put again since has a later time, or is another one.
      const { key, expiresAtMs } = entry
      if (this.#entries.get(key) !== entry || entry.expiryAwaitedAtMs > nowMs) continue
      entry.expiryAwaitedAtMs = Infinity
      if (expiresAtMs === null) continue
      // While it is being put, it is that put's; others do not wait for it.
      const isBusy = entry.putsUnderWay > 0
      if (expiresAtMs > nowMs || isBusy) {
        this.#awaitExpiry(entry, Math.max(expiresAtMs, nowMs + 1))
        continue
      }
      this.#forget(key, 'expired')
      keys.push(key)
    }
    if (keys.length === 0) return
    this.#expirations += keys.length
    await Promise.all(keys.map((key) => this.#removeBelow(key)))
  }
}

/** Two owners may use one chain name. */
function nameWithin({ key }: StoredEntry, chainName: string): string {
  return `${ownerOf(key)}/${chainName}`
}

function holdsMore(a: OwnerEntries, b: OwnerEntries): boolean {
  return a.payloadBytes === b.payloadBytes ? a.entries > b.entries : a.payloadBytes > b.payloadBytes
}
