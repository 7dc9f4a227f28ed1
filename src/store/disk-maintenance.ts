/** What a disk store does beside answering: compaction, purging, and the removal of what has expired. */
import type { Alarm, Clock } from '../core/ports.ts'
import { type CompactionOptions, compactSegments, segmentsToCompact } from './disk-compaction.ts'
import type { DiskEntries } from './disk-entries.ts'
import { removeSnapshot } from './disk-snapshot.ts'
import type { DiskSync } from './disk-sync.ts'
import { errorCodeOf } from './files.ts'
import { deadBytesOf, type Segment } from './segment.ts'

const SWEEP_INTERVAL_MS = 10_000
/** After a compaction that failed: it would fail again soon. */
const RETRY_MS = 60_000
const SLOTS_BETWEEN_PAUSES = 100_000
/** Others may write meanwhile, so there may always be something more. */
const PASSES_MAX = 3
const SYNCS_MAX = 6

export interface DiskMaintenanceOptions extends Omit<CompactionOptions, 'onDamaged' | 'shouldStop'> {
  readonly entries: DiskEntries
  readonly sync: DiskSync
  readonly alarm: Alarm
  readonly clock: Clock
}

export class DiskMaintenance {
  readonly #options: DiskMaintenanceOptions
  readonly #compaction: CompactionOptions
  /** One compaction at a time. */
  #last: Promise<void> = Promise.resolve()
  #isCompacting = false
  #isStopped = false
  #failedCompactions = 0
  #notBeforeMs = Number.NEGATIVE_INFINITY
  #cancelSweep: (() => void) | null = null

  constructor(options: DiskMaintenanceOptions) {
    this.#options = options
    this.#compaction = {
      ...options,
      onDamaged: (key) => {
        const entry = options.index.get(key)
        if (entry !== null) options.entries.dropDamaged(key, entry)
      },
      shouldStop: () => this.#isStopped,
    }
  }

  /** Of those that nobody asked for. */
  get failedCompactions(): number {
    return this.#failedCompactions
  }

  /** Starts a compaction if one is worth it and none runs. */
  compactIfWorthIt(): void {
    if (this.#isCompacting || this.#isStopped || this.#options.clock.nowMs() < this.#notBeforeMs) return
    if (segmentsToCompact(this.#options.table).length === 0) return
    this.#oneAfterTheOther(() => this.#compactWorthwhile()).catch((error: unknown) => {
      // What the system did not say is a bug of ours.
      if (errorCodeOf(error) === '') throw error
      // No room for the copy, or the device refuses. The sources are still there.
      this.#failedCompactions += 1
      this.#notBeforeMs = this.#options.clock.nowMs() + RETRY_MS
    })
  }

  /** Takes away every dead byte. A second pass takes kills that spoke of what the first one took away. */
  async compactAll(): Promise<void> {
    const { log, table } = this.#options
    await this.#oneAfterTheOther(async () => {
      log.roll()
      for (let pass = 0; pass < PASSES_MAX; pass++) {
        await this.#syncUntilClean()
        const sources = [...table.kept()].filter((segment) => isShared(segment) && deadBytesOf(segment) > 0)
        if (sources.length === 0) return
        await compactSegments(sources, this.#compaction)
      }
      await this.#syncUntilClean()
    })
  }

  /** Takes away every dead byte, expired entries and the snapshot, which may name what is gone, included. */
  async purge(): Promise<void> {
    const { files } = this.#options
    this.sweepNow()
    if (removeSnapshot(files)) await files.syncDirectory('.')
    await this.compactAll()
  }

  sweepNow(): void {
    this.#options.entries.sweep(0, this.#options.index.slots)
  }

  /** Removes what has expired now and then, as long as there is something that will. */
  scheduleSweep(): void {
    if (this.#isStopped || this.#options.index.expiring === 0) return
    this.#cancelSweep ??= this.#options.alarm.after(SWEEP_INTERVAL_MS / 1000, () => {
      void this.#sweepSlowly().finally(() => {
        this.#cancelSweep = null
        this.scheduleSweep()
      })
    })
  }

  /** Ends when nothing runs any more. */
  async stop(): Promise<void> {
    this.#isStopped = true
    this.#cancelSweep?.()
    await this.#last.catch(() => undefined)
  }

  async #compactWorthwhile(): Promise<void> {
    this.#isCompacting = true
    try {
      await compactSegments(segmentsToCompact(this.#options.table), this.#compaction)
    } finally {
      this.#isCompacting = false
    }
  }

  #oneAfterTheOther(work: () => Promise<void>): Promise<void> {
    const next = this.#last.catch(() => undefined).then(work)
    this.#last = next.catch(() => undefined)
    return next
  }

  /**
   * The first sync deletes what nobody needs, the second makes that certain and lets kills go that spoke of it, which may
   * leave a file that nobody needs.
   */
  async #syncUntilClean(): Promise<void> {
    await this.#options.sync.commit()
    for (let count = 0; count < SYNCS_MAX && this.#options.log.hasWork; count++) await this.#options.sync.commit()
  }

  async #sweepSlowly(): Promise<void> {
    const { index, entries } = this.#options
    try {
      for (let slot = 0; slot < index.slots && !this.#isStopped; slot += SLOTS_BETWEEN_PAUSES) {
        entries.sweep(slot, Math.min(index.slots, slot + SLOTS_BETWEEN_PAUSES))
        await new Promise(setImmediate)
      }
    } catch {
      // A kill could not be written. What has expired stays missing; the next sweep tries again.
    }
  }
}

/** Takes no further records either. */
function isShared({ isOwn, isSealed }: Segment): boolean {
  return !isOwn && isSealed
}
