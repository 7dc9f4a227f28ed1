/**
 * Group commit. One sync at a time; whoever asks while one runs waits for the next one, together with all others who
 * asked meanwhile. When nobody asks, what has been written is synced after the interval.
 */
import { MembraneError } from '../core/errors.ts'
import type { Alarm } from '../core/ports.ts'
import type { Files } from './files.ts'
import type { SegmentFiles } from './segment-files.ts'
import type { SegmentLog, SyncWork } from './segment-log.ts'
import { type Segment, SEGMENTS_DIRECTORY, type SegmentTable } from './segment.ts'

/** Leaves threads of Node's pool (four, as a rule) to reads. */
const SYNCS_AT_ONCE = 3
/** What has lost its last entry waits for a sync to be deleted. More than this does not wait for the interval. */
const CONDEMNED_BYTES_MAX = 256 * 1024 * 1024

export interface DiskSyncOptions {
  readonly files: Files
  readonly segmentFiles: SegmentFiles
  readonly table: SegmentTable
  readonly alarm: Alarm
  readonly intervalMs: number
  /** Called at the end of each sync. */
  readonly onSynced: () => void
}

export class DiskSync {
  readonly #options: DiskSyncOptions
  readonly #log: SegmentLog
  #next: Promise<void> | null = null
  #running: Promise<void> | null = null
  #cancelTimer: (() => void) | null = null
  #failure: MembraneError | null = null
  #isStopped = false

  constructor(log: SegmentLog, options: DiskSyncOptions) {
    this.#log = log
    this.#options = options
  }

  /** Set once the device has refused to take what it was given: nothing may be acknowledged any more. */
  get failure(): MembraneError | null {
    return this.#failure
  }

  /** Ends when all that has been written until now is on the device. */
  commit(): Promise<void> {
    this.#next ??= this.#runNext()
    return this.#next
  }

  /** Something waits for a sync. */
  wake(): void {
    if (this.#isStopped || this.#failure !== null) return
    if (this.#next === null && this.#options.table.condemnedBytes > CONDEMNED_BYTES_MAX) {
      this.commit().catch(() => undefined)
    }
    this.#cancelTimer ??= this.#options.alarm.after(this.#options.intervalMs / 1000, () => {
      this.#cancelTimer = null
      // A failure is kept, and thrown to whoever puts next.
      if (this.#log.hasWork) this.commit().catch(() => undefined)
    })
  }

  /** No further syncs of itself. */
  stop(): void {
    this.#isStopped = true
    this.#cancelTimer?.()
    this.#cancelTimer = null
  }

  async #runNext(): Promise<void> {
    // Also lets puts of this very moment join.
    await this.#running?.catch(() => undefined)
    await Promise.resolve()
    this.#running = this.#next
    this.#next = null
    if (this.#failure !== null) throw this.#failure
    const work = this.#log.startSync()
    try {
      await this.#toDevice(work)
    } catch (error) {
      this.#failure = new MembraneError(
        'FILE_UNREADABLE',
        `The device did not take what was written to ${this.#options.files.root}: ${String(error)}.`,
        {
          remedy: 'Look at the device. The store takes nothing more until it is opened anew.',
          details: { directory: this.#options.files.root },
          cause: error,
        },
      )
      throw this.#failure
    }
    this.#log.finishSync(work)
    this.#options.onSynced()
    if (this.#log.hasWork) this.wake()
  }

  async #toDevice(work: SyncWork): Promise<void> {
    const queue: Segment[] = [...work.dirty]
    const worker = async (): Promise<void> => {
      for (let segment = queue.pop(); segment !== undefined; segment = queue.pop()) {
        await this.#options.segmentFiles.useLater(segment.id, (file) => file.sync())
      }
    }
    const names = work.isDirectoryDirty ? this.#options.files.syncDirectory(SEGMENTS_DIRECTORY) : Promise.resolve()
    const all = await Promise.allSettled([names, ...Array.from({ length: SYNCS_AT_ONCE }, worker)])
    const failed = all.find((result) => result.status === 'rejected')
    if (failed !== undefined) throw failed.reason
  }
}
