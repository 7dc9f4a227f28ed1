/** Whole fragments in memory, within so many bytes: which are there, and which one leaves for another. */
import { LIMITS } from '../core/limits.ts'
import type { StoredFragment } from '../core/ports.ts'
import { EVICTION_POLICIES } from '../policy/evict-policies.ts'
import type { EvictionPolicy } from '../policy/evict.ts'
import { isExpired } from './arguments.ts'
import { hashOfKey } from './bounded-owner.ts'

/** What an entry takes beside its payload, head and key: objects, and its places in the map and in the policy. */
const ENTRY_OVERHEAD_BYTES = 512

/** One entry may take at most this part of all: a single huge one must not push out everything else. */
const ENTRY_RATIO_MAX = 1 / 8

interface HotEntry {
  readonly fragment: StoredFragment
  readonly slot: number
  readonly bytes: number
}

/**
 * S3-FIFO decides what leaves: what is read once, as by a scan, passes through a tenth of the entries and leaves the rest
 * alone. It costs a counter on a hit, and no lists are reordered.
 */
export class HotEntries {
  readonly #bytesMax: number
  readonly #slotsMax: number
  readonly #policy: EvictionPolicy
  readonly #entries = new Map<string, HotEntry>()
  readonly #keyOfSlot: string[] = []
  readonly #freeSlots: number[] = []
  #bytes = 0
  #evictions = 0

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
    this.#slotsMax = Math.max(1, Math.min(LIMITS.hotEntriesMax, Math.floor(bytesMax / ENTRY_OVERHEAD_BYTES)))
    this.#policy = EVICTION_POLICIES['s3-fifo'](this.#slotsMax)
  }

  get count(): number {
    return this.#entries.size
  }

  /** With what entries take beside their payloads. */
  get bytes(): number {
    return this.#bytes
  }

  get evictions(): number {
    return this.#evictions
  }

  fits(payloadBytes: number): boolean {
    return payloadBytes + ENTRY_OVERHEAD_BYTES <= this.#bytesMax * ENTRY_RATIO_MAX
  }

  /** A use, unless it has expired. */
  use(key: string, nowMs: number): StoredFragment | null {
    const entry = this.#entries.get(key)
    if (entry === undefined) return null
    if (isExpired(entry.fragment, nowMs)) {
      this.drop(key)
      return null
    }
    this.#policy.touched(entry.slot)
    return entry.fragment
  }

  /** No use. */
  peek(key: string): StoredFragment | null {
    return this.#entries.get(key)?.fragment ?? null
  }

  /** Others leave until it has room. It stays out when it does not fit. */
  add(fragment: StoredFragment): void {
    const { key, head, payload } = fragment
    this.drop(key)
    if (!this.fits(payload.length)) return
    const bytes = payload.length + head.length + 2 * key.length + ENTRY_OVERHEAD_BYTES
    while (this.#bytes + bytes > this.#bytesMax || this.#entries.size >= this.#slotsMax) if (!this.#evict()) return
    const slot = this.#freeSlots.pop() ?? this.#keyOfSlot.length
    this.#keyOfSlot[slot] = key
    this.#entries.set(key, { fragment, slot, bytes })
    this.#bytes += bytes
    this.#policy.inserted(slot, hashOfKey(key), -1, 1)
  }

  drop(key: string): void {
    const entry = this.#entries.get(key)
    if (entry === undefined) return
    this.#entries.delete(key)
    this.#bytes -= entry.bytes
    this.#freeSlots.push(entry.slot)
    this.#policy.removed(entry.slot)
  }

  dropExpired(nowMs: number): void {
    for (const [key, { fragment }] of this.#entries) if (isExpired(fragment, nowMs)) this.drop(key)
  }

  clear(): void {
    for (const key of this.#entries.keys()) this.drop(key)
  }

  /** False when nothing is left that could leave. */
  #evict(): boolean {
    const victim = this.#keyOfSlot[this.#policy.victim()]
    if (victim === undefined) return false
    this.drop(victim)
    this.#evictions += 1
    return true
  }
}
