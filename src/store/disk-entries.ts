/** The entries of a disk store: index, kills and the accounts of the segments change together here. */
import { MembraneError } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import type { Clock } from '../core/ports.ts'
import { isExpired } from './arguments.ts'
import { type DiskEntry, type DiskIndex, isSamePut, recordBytesOf } from './disk-index.ts'
import { type PutFields, RECORD_HEADER_BYTES } from './record.ts'
import type { SegmentLog, Written } from './segment-log.ts'
import type { SegmentTable } from './segment.ts'

export interface DiskEntriesOptions {
  readonly index: DiskIndex
  readonly table: SegmentTable
  readonly log: SegmentLog
  readonly clock: Clock
  /** Found when the directory was opened. */
  readonly corruptEntries: number
}

export class DiskEntries {
  readonly #options: DiskEntriesOptions
  #corruptEntries: number

  constructor(options: DiskEntriesOptions) {
    this.#options = options
    this.#corruptEntries = options.corruptEntries
  }

  get corruptEntries(): number {
    return this.#corruptEntries
  }

  find(key: string): DiskEntry | null {
    const entry = this.#options.index.get(key)
    return entry === null || isExpired(entry, this.#options.clock.nowMs()) ? null : entry
  }

  /** Throws STORE_FULL when there is no room for one more key. */
  checkRoom(key: string): void {
    const { index } = this.#options
    if (index.entries < LIMITS.diskEntriesMax || index.get(key) !== null) return
    throw new MembraneError('STORE_FULL', `The store holds ${index.entries} entries, which is the most it can.`, {
      details: { entries: index.entries, diskEntriesMax: LIMITS.diskEntriesMax },
    })
  }

  /** A record has been written: it counts from now on. Says whether it took the place of another. */
  takeIn(key: string, put: PutFields, { sequence, segment, offset }: Written): 'stored' | 'replaced' {
    const { index, table, log, clock } = this.#options
    const before = index.get(key)
    const metaBytes = RECORD_HEADER_BYTES + put.key.length + put.head.length
    const { payloadBytes, expiresAtMs } = put
    index.set(key, { sequence, segment, offset, metaBytes, payloadBytes, expiresAtMs })
    if (before === null) return 'stored'
    log.killAfter(sequence, { sequence: before.sequence, segment: before.segment })
    table.addDead(before.segment, recordBytesOf(before))
    return isExpired(before, clock.nowMs()) ? 'stored' : 'replaced'
  }

  /** Says whether it was there to be found. */
  remove(key: string): boolean {
    const { index, table, log, clock } = this.#options
    const entry = index.get(key)
    if (entry === null) return false
    log.kill({ sequence: entry.sequence, segment: entry.segment })
    index.delete(key)
    table.addDead(entry.segment, recordBytesOf(entry))
    return !isExpired(entry, clock.nowMs())
  }

  /** What `entry` names is not there. Counted once, and missing from now on. */
  dropDamaged(key: string, entry: DiskEntry): void {
    const current = this.#options.index.get(key)
    if (current === null || !isSamePut(current, entry)) return
    this.#corruptEntries += 1
    try {
      this.remove(key)
    } catch {
      // Where nothing can be written it is found damaged again by the next process.
      this.#options.index.delete(key)
      this.#options.table.addDead(entry.segment, recordBytesOf(entry))
    }
  }

  /** Removes what has expired from these slots. */
  sweep(startSlot: number, endSlot: number): void {
    const { index, clock } = this.#options
    const nowMs = clock.nowMs()
    for (let slot = startSlot; slot < endSlot; slot++) {
      const key = index.expiredKeyAt(slot, nowMs)
      if (key !== null) this.remove(key)
    }
  }
}
