/** What one owner has in a bounded store: its entries, and the policy that ranks them. */
import type { ContentHash } from '../core/ids.ts'
import { assert } from '../core/errors.ts'
import { type EvictionPolicy, type EvictionPriority, NORMAL_PRIORITY } from '../policy/evict.ts'

/** What a bounded store has to know of an entry, beside its length. */
export interface EntryTraits {
  /** What entries that build upon this one call it; null when none can. */
  readonly chainName: string | null
  /** The chain name of the entry that this one builds upon, and that leaves after it. Null for the head of a chain. */
  readonly parentName: string | null
  /** What a hit saves for each byte, above 0, in any unit that all entries share; 1 where nothing is known. */
  readonly density: number
  readonly priority: EvictionPriority
  readonly isPinned: boolean
}

/** At most so much of one owner; what an owner puts beyond evicts its own. */
export interface Quota {
  readonly payloadBytesMax: number
  readonly entriesMax: number
}

export interface BoundedEntry {
  readonly key: string
  readonly owner: OwnerEntries
  readonly slot: number
  readonly chainName: string | null
  payloadBytes: number
  contentHash: ContentHash
  expiresAtMs: number | null
  isPinned: boolean
  leasedUntilMs: number
  /** When its expiry is looked at next; Infinity when it is not. */
  expiryAwaitedAtMs: number
  /** Puts that are under way to this key: it must not be evicted under them. */
  putsUnderWay: number
}

export const NEVER_LEASED = -Infinity

export class OwnerEntries {
  readonly name: string
  readonly #policy: EvictionPolicy
  readonly #entryOfSlot: (BoundedEntry | undefined)[] = []
  readonly #freeSlots: number[] = []
  readonly #slotOfName = new Map<string, number>()
  #entries = 0
  #payloadBytes = 0
  #reservedEntries = 0
  #reservedBytes = 0

  constructor(name: string, policy: EvictionPolicy) {
    this.name = name
    this.#policy = policy
  }

  get entries(): number {
    return this.#entries
  }

  /** Each entry in full, whether its bytes are shared with others or not. */
  get payloadBytes(): number {
    return this.#payloadBytes
  }

  /** With what is being put. */
  isWithin({ payloadBytesMax, entriesMax }: Quota): boolean {
    return (
      this.#payloadBytes + this.#reservedBytes <= payloadBytesMax && this.#entries + this.#reservedEntries <= entriesMax
    )
  }

  reserve(payloadBytes: number, entries: number): void {
    this.#reservedBytes += payloadBytes
    this.#reservedEntries += entries
  }

  /** What leaves for a new entry, or null when the entry is to stay out; asked once, before `add`. */
  victimFor(key: string, traits: EntryTraits): BoundedEntry | null {
    const { density, priority } = traits
    return this.#entryAt(this.#policy.victimFor(hashOfKey(key), this.#parentSlot(traits), density, priority))
  }

  add(
    entry: Pick<BoundedEntry, 'key' | 'payloadBytes' | 'contentHash' | 'expiresAtMs'>,
    traits: EntryTraits,
  ): BoundedEntry {
    const slot = this.#freeSlots.pop() ?? this.#entryOfSlot.length
    const added: BoundedEntry = {
      ...entry,
      owner: this,
      slot,
      chainName: traits.chainName,
      isPinned: traits.isPinned,
      leasedUntilMs: NEVER_LEASED,
      expiryAwaitedAtMs: Infinity,
      putsUnderWay: 0,
    }
    this.#entryOfSlot[slot] = added
    this.#entries += 1
    this.#payloadBytes += entry.payloadBytes
    this.#policy.inserted(slot, hashOfKey(entry.key), this.#parentSlot(traits), traits.density)
    if (traits.priority !== NORMAL_PRIORITY) this.#policy.prioritized(slot, traits.priority)
    if (traits.isPinned) this.#policy.pin(slot, true)
    if (traits.chainName !== null) this.#slotOfName.set(traits.chainName, slot)
    return added
  }

  resize(entry: BoundedEntry, payloadBytes: number): void {
    this.#payloadBytes += payloadBytes - entry.payloadBytes
    entry.payloadBytes = payloadBytes
  }

  touch(entry: BoundedEntry): void {
    this.#policy.touched(entry.slot)
  }

  /** What its last put says, in place of what those before said. The put itself holds it until it is done. */
  rank(entry: BoundedEntry, { priority, isPinned }: EntryTraits): void {
    entry.isPinned = isPinned
    this.#policy.prioritized(entry.slot, priority)
  }

  drop(entry: BoundedEntry): void {
    assert(this.#entryOfSlot[entry.slot] === entry, `${entry.key} is dropped twice`)
    this.#entryOfSlot[entry.slot] = undefined
    this.#freeSlots.push(entry.slot)
    this.#entries -= 1
    this.#payloadBytes -= entry.payloadBytes
    this.#policy.removed(entry.slot)
    // Another entry may go by the same name since.
    if (entry.chainName !== null && this.#slotOfName.get(entry.chainName) === entry.slot)
      this.#slotOfName.delete(entry.chainName)
  }

  close(entry: BoundedEntry): void {
    this.#policy.closed(entry.slot)
  }

  /** Tells the policy whether anything holds the entry. */
  updatePin(entry: BoundedEntry, nowMs: number): void {
    this.#policy.pin(entry.slot, entry.isPinned || entry.putsUnderWay > 0 || entry.leasedUntilMs > nowMs)
  }

  victim(): BoundedEntry | null {
    return this.#entryAt(this.#policy.victim())
  }

  #entryAt(slot: number): BoundedEntry | null {
    return slot < 0 ? null : (this.#entryOfSlot[slot] ?? null)
  }

  #parentSlot({ parentName }: EntryTraits): number {
    return parentName === null ? -1 : (this.#slotOfName.get(parentName) ?? -1)
  }
}

/** 31 bits of FNV-1a over the key's characters: policies remember by it what they have seen before. */
export function hashOfKey(key: string): number {
  let hash = 0x811c9dc5
  for (let index = 0; index < key.length; index++) hash = Math.imul(hash ^ key.charCodeAt(index), 0x01000193)
  return hash >>> 1
}
