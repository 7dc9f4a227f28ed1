/**
 * Builds the index of a data directory from its snapshot, if that is whole, and from the segments written since.
 *
 * - Of all puts under a key the one with the highest sequence counts, even when it has been killed since.
 * - A kill names a sequence, so it kills every copy of that put. Copies come from compaction; the later one is used.
 * - A record up to which something was synced is believed; of a later one the payload is hashed first, since power may
 *   have gone before all of it was on the device.
 * - What is no record is passed over. At the end of a segment it is cut off; a segment without any record is removed.
 *
 * Nothing that is found here is acted on before it is on the device: the store begins with a sync.
 */
import type { ContentHashers } from '../core/ports.ts'
import { type DiskEntry, DiskIndex, recordBytesOf } from './disk-index.ts'
import { Pace } from './disk-pace.ts'
import { PayloadCheck } from './disk-payload-check.ts'
import { readSnapshot, type Snapshot } from './disk-snapshot.ts'
import type { Files, StoreFile } from './files.ts'
import { type PutRecord, RECORD_HEADER_BYTES, type Target } from './record.ts'
import type { SegmentFiles } from './segment-files.ts'
import { type Gap, recordBytes, scanSegment } from './segment-scan.ts'
import { parseSegmentName, type Segment, SEGMENTS_DIRECTORY, SegmentTable, stagedSegmentPath } from './segment.ts'

const SEGMENTS_BETWEEN_PAUSES = 64

/** What opening found. Bytes and counts; none of it is about entries that are there. */
export interface RecoveryReport {
  readonly entries: number
  readonly segments: number
  /** `used`, or why not. */
  readonly snapshot: 'used' | 'none' | 'damaged'
  /** Records that were not complete, or whose payload was not that of their hash: writes that a crash cut short. */
  readonly droppedRecords: number
  /** Stretches of segments that had been on the device and hold no record any more. */
  readonly damagedRegions: number
  /** Segments that were begun and never finished: removed. */
  readonly removedLeftovers: number
  /** Records whose payload was hashed, since nothing said that they were on the device. */
  readonly hashedRecords: number
  readonly ms: number
}

export interface Recovered {
  readonly index: DiskIndex
  readonly table: SegmentTable
  readonly report: Omit<RecoveryReport, 'ms'>
  /** Puts that were replaced without a kill. */
  readonly graves: readonly Target[]
  /** A segment that takes further records. */
  readonly resumed: Segment | null
  readonly nextSegment: number
  readonly lastSequence: number
  readonly syncedThrough: number
  /** Segments that hold what may not be on the device yet. */
  readonly unsynced: readonly Segment[]
  readonly hasChangedNames: boolean
}

export interface RecoveryOptions {
  readonly files: Files
  readonly segmentFiles: SegmentFiles
  readonly hashers: ContentHashers
  readonly salt: Uint8Array
  readonly segmentBytesMax: number
}

export async function recover(options: RecoveryOptions): Promise<Recovered> {
  const recovery = new Recovery(options)
  await recovery.readSegments()
  await recovery.judgeDoubtful()
  return recovery.finish()
}

class Recovery {
  readonly #options: RecoveryOptions
  readonly #snapshot: Snapshot | null
  readonly #snapshotState: RecoveryReport['snapshot']
  readonly #index = new DiskIndex()
  readonly #table = new SegmentTable()
  readonly #kills: { readonly segment: number; readonly target: Target }[] = []
  readonly #replaced: Target[] = []
  #doubtful: PutRecord[] = []
  readonly #gaps: { readonly segment: number; readonly sequenceAfter: number }[] = []
  readonly #unsynced = new Set<number>()
  /** By segment, the highest sequence read from it. */
  readonly #highest = new Map<number, number>()
  #nextSegment: number
  #lastSequence: number
  #syncedThrough: number
  #droppedRecords = 0
  #removedLeftovers = 0
  #hashedRecords = 0

  constructor(options: RecoveryOptions) {
    this.#options = options
    const snapshot = readSnapshot(options.files, options.hashers.b3, options.salt)
    this.#snapshotState = typeof snapshot === 'string' ? snapshot : 'used'
    this.#snapshot = typeof snapshot === 'string' ? null : snapshot
    this.#nextSegment = this.#snapshot?.nextSegment ?? 1
    this.#lastSequence = this.#snapshot?.lastSequence ?? 0
    this.#syncedThrough = this.#lastSequence
  }

  async readSegments(): Promise<void> {
    const { files } = this.#options
    const ids: number[] = []
    for (const name of files.list(SEGMENTS_DIRECTORY)) {
      const parsed = parseSegmentName(name)
      if (parsed === null) continue
      this.#nextSegment = Math.max(this.#nextSegment, parsed.id + 1)
      if (!parsed.isStaged) ids.push(parsed.id)
      else {
        files.unlink(stagedSegmentPath(parsed.id))
        this.#removedLeftovers += 1
      }
    }
    // Later segments say up to where earlier ones are on the device.
    ids.sort((left, right) => right - left)
    const there = new Set(ids)
    this.#snapshot?.forEach((key, entry) => {
      if (there.has(entry.segment)) this.#index.set(key, entry)
    })
    for (const [count, id] of ids.entries()) {
      this.#readSegment(id)
      if (count % SEGMENTS_BETWEEN_PAUSES === SEGMENTS_BETWEEN_PAUSES - 1) await new Promise(setImmediate)
    }
  }

  /** Hashes what nothing vouches for. */
  async judgeDoubtful(): Promise<void> {
    const pace = new Pace()
    const check = new PayloadCheck(this.#options.segmentFiles, this.#options.hashers)
    for (const record of this.#doubtful) {
      if (record.sequence > this.#syncedThrough) {
        this.#hashedRecords += 1
        this.#unsynced.add(record.segment)
        if (!check.isWhole(record)) {
          this.#droppedRecords += 1
          continue
        }
        await pace.pause(record.payloadBytes)
      }
      this.#apply(record)
    }
    this.#doubtful = []
  }

  finish(): Recovered {
    const killed = new Set(this.#kills.map(({ target }) => target.sequence))
    this.#dropKilled(killed)
    this.#countLive()
    const segments = [...this.#table.kept()]
    for (const [id, sequence] of this.#highest) if (sequence > this.#syncedThrough) this.#unsynced.add(id)
    const resumed = this.#segmentToResume(segments)
    for (const segment of segments) if (segment !== resumed) this.#table.seal(segment)
    const damaged = this.#gaps.filter((gap) => this.#isDamage(gap.segment, gap.sequenceAfter)).length
    return {
      index: this.#index,
      table: this.#table,
      report: {
        entries: this.#index.entries,
        segments: segments.length,
        snapshot: this.#snapshotState,
        droppedRecords: this.#droppedRecords + this.#gaps.length - damaged,
        damagedRegions: damaged,
        removedLeftovers: this.#removedLeftovers,
        hashedRecords: this.#hashedRecords,
      },
      graves: this.#replaced.filter(({ sequence }) => !killed.has(sequence)),
      resumed,
      nextSegment: this.#nextSegment,
      lastSequence: this.#lastSequence,
      syncedThrough: this.#syncedThrough,
      unsynced: segments.filter(({ id }) => this.#unsynced.has(id)),
      hasChangedNames: this.#removedLeftovers > 0,
    }
  }

  #readSegment(id: number): void {
    const known = this.#snapshot?.segments.get(id)
    // Nothing is ever added to it, and what it holds is checked when it is read.
    if (known?.isOwn === true) {
      this.#table.add(id, true, known.bytes)
      return
    }
    const isEmpty = this.#options.segmentFiles.use(id, (file) => this.#scan(file, id, known?.bytes ?? 0))
    if (!isEmpty) return
    this.#options.segmentFiles.unlink(id)
    this.#removedLeftovers += 1
  }

  /** Says whether there is no record in it. */
  #scan(file: StoreFile, id: number, start: number): boolean {
    const puts: PutRecord[] = []
    let gap: Gap | null = null
    let bytes = start
    for (const scanned of scanSegment(file, { segment: id, salt: this.#options.salt, start, end: null })) {
      if (scanned.kind === 'gap') {
        gap = scanned
        continue
      }
      if (gap !== null) this.#gaps.push({ segment: id, sequenceAfter: scanned.sequence })
      gap = null
      bytes = scanned.offset + recordBytes(scanned)
      this.#lastSequence = Math.max(this.#lastSequence, scanned.sequence)
      this.#syncedThrough = Math.max(this.#syncedThrough, scanned.syncedThrough)
      this.#highest.set(id, Math.max(this.#highest.get(id) ?? 0, scanned.sequence))
      if (scanned.kind === 'kill') this.#kills.push({ segment: id, target: scanned.target })
      else puts.push({ ...scanned, head: NO_HEAD })
      if (scanned.kind === 'put' && scanned.isOwn) break
    }
    const isOwn = puts[0]?.isOwn ?? false
    if (gap !== null) this.#droppedRecords += 1
    if (!isOwn) bytes = this.#cutTail(file, id, bytes, puts)
    if (bytes === 0) return true
    for (const put of puts) {
      if (put.sequence <= this.#syncedThrough) this.#apply(put)
      else this.#doubtful.push(put)
    }
    this.#table.add(id, isOwn, bytes)
    return false
  }

  /** Takes away what follows the last whole record. Gives the length that is left. */
  #cutTail(file: StoreFile, id: number, recordsEnd: number, puts: PutRecord[]): number {
    const size = file.size()
    let end = recordsEnd
    const last = puts.at(-1)
    if (last !== undefined && recordsEnd > size && last.offset + recordBytes(last) === recordsEnd) {
      puts.pop()
      this.#droppedRecords += 1
      end = last.offset
    }
    if (end < size) {
      file.truncate(end)
      this.#unsynced.add(id)
    }
    return end
  }

  #apply(record: PutRecord): void {
    const current = this.#index.get(record.key)
    if (current !== null && current.sequence === record.sequence) {
      if (record.segment > current.segment) this.#index.set(record.key, record)
    } else if (current === null || record.sequence > current.sequence) {
      if (current !== null) this.#replaced.push({ sequence: current.sequence, segment: current.segment })
      this.#index.set(record.key, record)
    } else {
      this.#replaced.push({ sequence: record.sequence, segment: record.segment })
    }
  }

  #dropKilled(killed: ReadonlySet<number>): void {
    if (killed.size === 0) return
    this.#forEachEntry((key, { sequence }) => {
      if (killed.has(sequence)) this.#index.delete(key)
    })
  }

  #countLive(): void {
    this.#forEachEntry((_, entry) => {
      this.#table.addLive(entry.segment, recordBytesOf(entry))
    })
    for (const { segment, target } of this.#kills) {
      if (this.#table.get(segment) !== undefined) this.#table.addKill(segment, target.segment, RECORD_HEADER_BYTES)
    }
    for (const known of this.#snapshot?.segments.values() ?? []) {
      for (const [killer, bytes] of known.killers) {
        if (this.#table.get(killer) !== undefined) this.#table.addKill(killer, known.id, bytes)
      }
    }
  }

  #forEachEntry(visit: (key: string, entry: DiskEntry) => void): void {
    for (let slot = 0; slot < this.#index.slots; slot++) {
      const key = this.#index.keyAt(slot)
      const entry = key === undefined ? null : this.#index.get(key)
      if (key !== undefined && entry !== null) visit(key, entry)
    }
  }

  /** Something that was on the device is not there any more. What is given up is not brought to the device first. */
  #isDamage(segment: number, sequenceAfter: number): boolean {
    return sequenceAfter <= this.#syncedThrough && this.#table.get(segment)?.isCondemned === false
  }

  #segmentToResume(segments: readonly Segment[]): Segment | null {
    const open = segments.filter(({ isOwn, bytes }) => !isOwn && bytes < this.#options.segmentBytesMax)
    return open.reduce<Segment | null>(
      (last, segment) => (last === null || segment.id > last.id ? segment : last),
      null,
    )
  }
}

const NO_HEAD = new Uint8Array(0)
