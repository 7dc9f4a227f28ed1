/** What ends by itself in a bounded store: leases and the lives of entries. */
import { type BoundedEntry, NEVER_LEASED } from './bounded-owner.ts'
import { Deadlines } from './deadlines.ts'

const DEADLINE_BUCKET_MS = 100

export class EntryEnds {
  readonly #isHeld: (entry: BoundedEntry) => boolean
  readonly #leases = new Deadlines<BoundedEntry>(DEADLINE_BUCKET_MS)
  readonly #expiries = new Deadlines<BoundedEntry>(DEADLINE_BUCKET_MS)

  /** `isHeld`: whether the store holds this very entry, and not another one under its key. */
  constructor(isHeld: (entry: BoundedEntry) => boolean) {
    this.#isHeld = isHeld
  }

  /** A longer lease of the entry stays. */
  lease(entry: BoundedEntry, untilMs: number, nowMs: number): void {
    if (entry.leasedUntilMs >= untilMs) return
    // One deadline an entry, however often its lease is renewed.
    const isAwaited = entry.leasedUntilMs !== NEVER_LEASED
    entry.leasedUntilMs = untilMs
    entry.owner.updatePin(entry, nowMs)
    if (!isAwaited) this.#leases.add(entry, untilMs)
  }

  /** Lets go what was leased until now. */
  endLeases(nowMs: number): void {
    for (const entry of this.#leases.take(nowMs)) {
      if (!this.#isHeld(entry)) continue
      if (entry.leasedUntilMs > nowMs) {
        this.#leases.add(entry, entry.leasedUntilMs)
        continue
      }
      entry.leasedUntilMs = NEVER_LEASED
      entry.owner.updatePin(entry, nowMs)
    }
  }

  /** The entry has just been put, and expires then. */
  awaitExpiry(entry: BoundedEntry, atMs: number): void {
    if (atMs >= entry.expiryAwaitedAtMs) return
    entry.expiryAwaitedAtMs = atMs
    this.#expiries.add(entry, atMs)
  }

  /** Entries that have expired, once each; a bucket late at most. */
  takeExpired(nowMs: number): readonly BoundedEntry[] {
    const expired: BoundedEntry[] = []
    for (const entry of this.#expiries.take(nowMs)) {
      // An entry that was put again since has a later time, or is another one.
      const { expiresAtMs } = entry
      if (!this.#isHeld(entry) || entry.expiryAwaitedAtMs > nowMs) continue
      entry.expiryAwaitedAtMs = Infinity
      if (expiresAtMs === null) continue
      // While it is being put, it is that put's; others do not wait for it.
      const isBusy = entry.putsUnderWay > 0
      if (expiresAtMs > nowMs || isBusy) this.awaitExpiry(entry, Math.max(expiresAtMs, nowMs + 1))
      else expired.push(entry)
    }
    return expired
  }
}
