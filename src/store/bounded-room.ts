/**
 * Room: what is held and what puts that are under way have reserved, within bytes and entries, and within the quota of
 * each owner. When room is needed, the owner that holds most for its share gives it, and its policy says which entry.
 */
import { MembraneError } from '../core/errors.ts'
import type { FragmentPut } from '../core/ports.ts'
import { EVICTION_POLICIES, type EvictionPolicyName } from '../policy/evict-policies.ts'
import { type BoundedEntry, type EntryTraits, OwnerEntries, type Quota } from './bounded-owner.ts'

/** The bound, the quotas, and the store whose room it is. */
export interface RoomOptions {
  readonly bound: Quota
  readonly policy: EvictionPolicyName
  /** Null for an owner without a quota of its own. */
  readonly quotaOf: (owner: string) => Quota | null
  /** Bytes that the store below takes for payloads. */
  readonly heldBytes: () => number
  readonly heldEntries: () => number
  /** Lets go what was leased until now. */
  readonly endLeases: () => void
  readonly evict: (victim: BoundedEntry) => Promise<void>
}

/** A put that needs room. */
export interface RoomRequest {
  readonly owner: OwnerEntries
  readonly fragment: Pick<FragmentPut, 'key' | 'payloadBytes'>
  /** 0 when it replaces an entry. */
  readonly newEntries: number
  readonly traits: EntryTraits
}

/** Room for a put, until it is done. */
export interface Reservation {
  readonly owner: OwnerEntries
  readonly payloadBytes: number
  readonly entries: number
  writing: Promise<unknown> | null
}

export class Room {
  readonly #options: RoomOptions
  readonly #owners = new Map<string, OwnerEntries>()
  /** Puts that have their room and are on their way to the store below. */
  readonly #writing = new Set<Promise<unknown>>()
  #reservedBytes = 0
  #reservedEntries = 0

  constructor(options: RoomOptions) {
    this.#options = options
  }

  get owners(): ReadonlyMap<string, OwnerEntries> {
    return this.#owners
  }

  ownerNamed(name: string): OwnerEntries {
    const known = this.#owners.get(name)
    if (known !== undefined) return known
    const { policy: policyName, bound, quotaOf } = this.#options
    const policy = EVICTION_POLICIES[policyName](Math.min(bound.entriesMax, quotaOf(name)?.entriesMax ?? Infinity))
    const owner = new OwnerEntries(name, policy)
    this.#owners.set(name, owner)
    return owner
  }

  reserve(owner: OwnerEntries, payloadBytes: number, entries: number): Reservation {
    this.#count(owner, payloadBytes, entries)
    return { owner, payloadBytes, entries, writing: null }
  }

  /** It has its room, and is on its way to the store below. */
  startWriting<T>(reservation: Reservation, writing: Promise<T>): Promise<T> {
    reservation.writing = writing
    this.#writing.add(writing)
    return writing
  }

  /** What was written is counted as held by now. In one step: who waits for a put to end must not find its room taken. */
  release({ owner, payloadBytes, entries, writing }: Reservation): void {
    if (writing !== null) this.#writing.delete(writing)
    this.#count(owner, -payloadBytes, -entries)
  }

  #count(owner: OwnerEntries, payloadBytes: number, entries: number): void {
    this.#reservedBytes += payloadBytes
    this.#reservedEntries += entries
    owner.reserve(payloadBytes, entries)
  }

  /**
   * Makes the room that was reserved; false when the policy would rather keep what would have to leave. Throws
   * QUOTA_EXCEEDED and STORE_FULL when nothing is left that may leave.
   */
  async makeFor({ owner, fragment, newEntries, traits }: RoomRequest): Promise<boolean> {
    const quota = this.#options.quotaOf(owner.name)
    this.#checkFits(owner, fragment.payloadBytes, quota)
    if (quota !== null && !(await this.#makeInQuota(owner, quota))) {
      throw new MembraneError(
        'QUOTA_EXCEEDED',
        `${owner.name} holds ${owner.payloadBytes} bytes in ${owner.entries} entries that are pinned or leased, and its quota is ${quota.payloadBytesMax} bytes in ${quota.entriesMax}.`,
        { remedy: 'Unpin some, wait for leases to end, or raise the quota.', details: { owner: owner.name, quota } },
      )
    }
    if (this.#isWithinBound()) return true
    // Only an owner's own entries are weighed against its new ones: what others hold beyond their share is no argument.
    this.#options.endLeases()
    if (newEntries > 0 && this.#victim()?.owner === owner) {
      const victim = owner.victimFor(fragment.key, traits)
      if (victim === null) return false
      await this.#options.evict(victim)
    }
    await this.#make(owner, fragment.payloadBytes, newEntries)
    return true
  }

  /** Evicts what is beyond the bound. Throws STORE_FULL when nothing is left that may leave. */
  async makeForAll(): Promise<void> {
    await this.#make(null, 0, 0)
  }

  #checkFits(owner: OwnerEntries, payloadBytes: number, quota: Quota | null): void {
    const { bound } = this.#options
    const payloadBytesMax = Math.min(bound.payloadBytesMax, quota?.payloadBytesMax ?? Infinity)
    if (payloadBytes <= payloadBytesMax) return
    throw new MembraneError(
      payloadBytes > bound.payloadBytesMax ? 'STORE_FULL' : 'QUOTA_EXCEEDED',
      `A fragment of ${payloadBytes} bytes does not fit into ${payloadBytesMax} bytes.`,
      { details: { owner: owner.name, payloadBytes, payloadBytesMax } },
    )
  }

  async #makeInQuota(owner: OwnerEntries, quota: Quota): Promise<boolean> {
    while (!owner.isWithin(quota)) {
      this.#options.endLeases()
      const victim = owner.victim()
      if (victim === null) return false
      await this.#options.evict(victim)
    }
    return true
  }

  /** Evicts until everything reserved fits. */
  async #make(owner: OwnerEntries | null, payloadBytes: number, newEntries: number): Promise<void> {
    while (!this.#isWithinBound()) {
      this.#options.endLeases()
      const victim = this.#victim()
      if (victim === null && this.#writing.size > 0) {
        // Until it ends, a put counts twice: as what it has reserved and as what it has written.
        await Promise.race(Array.from(this.#writing, (writing) => writing.catch(() => undefined)))
        continue
      }
      if (victim === null) {
        const { payloadBytesMax, entriesMax } = this.#options.bound
        throw new MembraneError(
          'STORE_FULL',
          `What is here is pinned, leased or being written, and leaves no room for ${payloadBytes} bytes in ${newEntries} new entries within ${payloadBytesMax} bytes and ${entriesMax} entries.`,
          { remedy: 'Unpin some, wait for leases to end, or raise the bound.', details: { owner: owner?.name } },
        )
      }
      await this.#options.evict(victim)
    }
  }

  #isWithinBound(): boolean {
    const { bound, heldBytes, heldEntries } = this.#options
    return (
      heldBytes() + this.#reservedBytes <= bound.payloadBytesMax &&
      heldEntries() + this.#reservedEntries <= bound.entriesMax
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
}

function holdsMore(a: OwnerEntries, b: OwnerEntries): boolean {
  return a.payloadBytes === b.payloadBytes ? a.entries > b.entries : a.payloadBytes > b.payloadBytes
}
