/**
 * Writes records to segments, and remembers what has to reach the device.
 *
 * Small puts and kills are appended to the active segment; a large payload has a segment of its own, whose header is
 * written last. Every sequence is given out and its header written without a wait between, so the order of sequences is
 * the order in which puts became visible, and whatever has a sequence has been handed to the kernel.
 *
 * What is replaced is not killed at once: if power went, the kill might stay and the new put be lost. It is killed
 * after the sync that covers the new put; until then the higher sequence says which one counts.
 */
import { assert } from '../core/errors.ts'
import { isFull } from './disk-errors.ts'
import { errorCodeOf } from './files.ts'
import { encodeKill, encodePut, type Place, type PutFields, RECORD_HEADER_BYTES, type Target } from './record.ts'
import type { Recovered } from './disk-recovery.ts'
import type { DiskReserve } from './disk-reserve.ts'
import type { SegmentFiles } from './segment-files.ts'
import type { Segment, SegmentTable } from './segment.ts'

export interface SegmentLogOptions {
  readonly segmentFiles: SegmentFiles
  readonly table: SegmentTable
  readonly reserve: DiskReserve
  readonly salt: Uint8Array
  readonly segmentBytesMax: number
  readonly nextSegment: number
  readonly lastSequence: number
  readonly syncedThrough: number
  /** Called when something waits for a sync. */
  readonly onDirty: () => void
}

/** What a sync has to carry out, as things stood when it began. */
export interface SyncWork {
  readonly dirty: readonly Segment[]
  readonly isDirectoryDirty: boolean
  readonly lastSequence: number
  /** Puts to be killed. */
  readonly graves: readonly Target[]
  readonly condemned: readonly Segment[]
  readonly unlinked: readonly Segment[]
}

export interface Written extends Place {
  readonly sequence: number
}

export class SegmentLog {
  readonly #options: SegmentLogOptions
  #active: Segment | null = null
  #nextSegment: number
  #lastSequence: number
  #syncedThrough: number
  #dirty = new Set<Segment>()
  #isDirectoryDirty = false
  readonly #unfinished = new Set<number>()
  /** Replaced puts that are still to be killed, by the sequence of the put that replaced them. */
  #replaced = new Map<number, Target>()
  /** Copies of puts that had died before the copy was complete: to be killed too. */
  #deadCopies: Target[] = []

  constructor(options: SegmentLogOptions) {
    this.#options = options
    this.#nextSegment = options.nextSegment
    this.#lastSequence = options.lastSequence
    this.#syncedThrough = options.syncedThrough
  }

  get nextSegment(): number {
    return this.#nextSegment
  }

  get lastSequence(): number {
    return this.#lastSequence
  }

  get syncedThrough(): number {
    return this.#syncedThrough
  }

  get hasWork(): boolean {
    const isWritten = this.#dirty.size > 0 || this.#isDirectoryDirty
    return isWritten || this.#replaced.size > 0 || this.#deadCopies.length > 0 || this.#options.table.hasCondemned
  }

  /** What recovery found is to be brought to the device, and a segment that has room takes further records. */
  takeOver({ resumed, unsynced, graves, hasChangedNames }: Recovered): void {
    this.#active = resumed
    for (const segment of unsynced) this.#markDirty(segment)
    for (const grave of graves) this.killCopy(grave)
    if (hasChangedNames || unsynced.length > 0) this.#markDirectory()
  }

  append(put: PutFields, payload: Uint8Array): Written {
    const metaBytes = RECORD_HEADER_BYTES + put.key.length + put.head.length
    const segment = this.#roomFor(metaBytes + payload.length)
    const sequence = this.#lastSequence + 1
    const place = { segment: segment.id, offset: segment.bytes }
    const meta = encodePut(this.#options.salt, place, { sequence, syncedThrough: this.#syncedThrough }, put)
    this.#write(segment, [meta, payload], metaBytes + payload.length)
    this.#lastSequence = sequence
    this.#options.table.addLive(segment.id, metaBytes + payload.length)
    return { ...place, sequence }
  }

  /** Begins a segment for one put. To be finished or abandoned. */
  startOwn(): number {
    const id = this.takeSegmentId()
    try {
      this.#options.segmentFiles.create(id)
    } catch (error) {
      this.endSegment(id)
      throw error
    }
    this.#markDirectory()
    return id
  }

  /** The payload has been written behind the room for header, key and head: makes it a put. */
  finishOwn(id: number, put: PutFields): Written {
    const place = { segment: id, offset: 0 }
    const sequence = this.#lastSequence + 1
    const meta = encodePut(this.#options.salt, place, { sequence, syncedThrough: this.#syncedThrough }, put)
    this.#options.segmentFiles.use(id, (file) => {
      file.write([meta], 0)
    })
    this.#lastSequence = sequence
    const bytes = meta.length + put.payloadBytes
    const segment = this.#options.table.add(id, true, bytes)
    this.#options.table.addLive(id, bytes)
    this.endSegment(id)
    this.#markDirty(segment)
    return { ...place, sequence }
  }

  abandonOwn(id: number): void {
    this.endSegment(id)
    this.#options.segmentFiles.unlink(id)
    this.#markDirectory()
  }

  /** The put is removed: says so at once, and before that of what it had replaced. */
  kill(target: Target): void {
    const chain = [target]
    for (let last = target; ; ) {
      const before = this.#replaced.get(last.sequence)
      if (before === undefined) break
      chain.push(before)
      last = before
    }
    for (const dead of chain.toReversed()) {
      this.#appendKill(dead)
      this.#replaced.delete(dead.sequence)
    }
  }

  /** The put is replaced: says so after the sync that covers its successor. */
  killAfter(successor: number, target: Target): void {
    this.#replaced.set(successor, target)
    this.#options.onDirty()
  }

  /** A copy of a put that is gone. The put itself has been killed, or will be. */
  killCopy(target: Target): void {
    this.#deadCopies.push(target)
    this.#options.onDirty()
  }

  /** The active segment takes nothing more, so that it can be compacted. */
  roll(): void {
    if (this.#active === null) return
    this.#options.table.seal(this.#active)
    this.#active = null
    this.#options.onDirty()
  }

  /** For a segment that is being written, until `endSegment`. Ids are never used again. */
  takeSegmentId(): number {
    const id = this.#nextSegment
    this.#nextSegment += 1
    this.#unfinished.add(id)
    return id
  }

  /** It is in the table now, or given up. */
  endSegment(id: number): void {
    this.#unfinished.delete(id)
  }

  /** Its file belongs to nobody yet, but will. */
  isUnfinished(id: number): boolean {
    return this.#unfinished.has(id)
  }

  /** A segment was given its name. */
  markDirectory(): void {
    this.#markDirectory()
  }

  startSync(): SyncWork {
    const { table } = this.#options
    const condemned = table.takeCondemned()
    const work = {
      dirty: [...this.#dirty].filter((segment) => !segment.isCondemned),
      isDirectoryDirty: this.#isDirectoryDirty,
      lastSequence: this.#lastSequence,
      graves: [...this.#replaced.values(), ...this.#deadCopies],
      condemned,
      unlinked: table.takeUnlinked(),
    }
    this.#dirty = new Set()
    this.#isDirectoryDirty = false
    this.#replaced = new Map()
    this.#deadCopies = []
    return work
  }

  /** All that stood in `work` is on the device: what it replaced may go now. What cannot be done waits for the next sync. */
  finishSync(work: SyncWork): void {
    const { table, reserve } = this.#options
    this.#syncedThrough = Math.max(this.#syncedThrough, work.lastSequence)
    table.markGone(work.unlinked)
    const unlinked = work.condemned.filter((segment) => this.#unlink(segment))
    if (unlinked.length > 0) {
      table.markUnlinked(unlinked)
      this.#markDirectory()
      reserve.refill()
    }
    const isUnlinked = new Set(unlinked.map(({ id }) => id))
    for (const target of work.graves) {
      try {
        if (!isUnlinked.has(target.segment)) this.#appendKill(target)
      } catch {
        this.killCopy(target)
      }
    }
  }

  #unlink(segment: Segment): boolean {
    try {
      this.#options.segmentFiles.unlink(segment.id)
    } catch (error) {
      if (errorCodeOf(error) !== 'ENOENT') {
        this.#options.table.condemnAgain(segment)
        return false
      }
    }
    this.#dirty.delete(segment)
    return true
  }

  #appendKill(target: Target): void {
    const { table, salt, reserve } = this.#options
    // The segment may be gone already, and with it all that there is to say.
    if (table.get(target.segment) === undefined) return
    const segment = this.#roomFor(RECORD_HEADER_BYTES)
    const sequence = this.#lastSequence + 1
    const place = { segment: segment.id, offset: segment.bytes }
    const record = encodeKill(salt, place, { sequence, syncedThrough: this.#syncedThrough }, target)
    try {
      this.#write(segment, [record], record.length)
    } catch (error) {
      // A full device must not keep anything from being removed.
      if (!isFull(error) || !reserve.spend()) throw error
      this.#appendKill(target)
      return
    }
    this.#lastSequence = sequence
    table.addKill(segment.id, target.segment, record.length)
  }

  #roomFor(bytes: number): Segment {
    const { table, segmentFiles, segmentBytesMax } = this.#options
    if (this.#active !== null && (this.#active.bytes === 0 || this.#active.bytes + bytes <= segmentBytesMax)) {
      return this.#active
    }
    const id = this.takeSegmentId()
    segmentFiles.create(id)
    this.roll()
    this.#markDirectory()
    this.#active = table.add(id, false, 0)
    this.endSegment(id)
    return this.#active
  }

  #write(segment: Segment, pieces: readonly Uint8Array[], bytes: number): void {
    assert(!segment.isSealed, `segment ${segment.id} is sealed`)
    try {
      this.#options.segmentFiles.use(segment.id, (file) => {
        file.write(pieces, segment.bytes)
      })
    } catch (error) {
      this.#cutBack(segment)
      throw error
    }
    segment.bytes += bytes
    this.#markDirty(segment)
  }

  /** Takes away what a failed write left behind the records. */
  #cutBack(segment: Segment): void {
    try {
      this.#options.segmentFiles.use(segment.id, (file) => {
        file.truncate(segment.bytes)
      })
    } catch {
      // The next open cuts it off. Until then nothing is written behind it.
      this.roll()
    }
    this.#markDirty(segment)
  }

  #markDirty(segment: Segment): void {
    this.#dirty.add(segment)
    this.#options.onDirty()
  }

  #markDirectory(): void {
    this.#isDirectoryDirty = true
    this.#options.onDirty()
  }
}
