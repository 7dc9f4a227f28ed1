/**
 * Copies what is still needed of some segments to a new one, so that they can be removed.
 *
 * The new segment is written under another name, synced, and then renamed: under its own name it is complete and on the
 * device. A crash before that leaves a file that the next open removes; a crash after it leaves two copies of a put,
 * which have one sequence and are one put. The old segments go after the next sync, which covers the new name.
 *
 * Copies keep their sequence. Entries may be removed or replaced while they are copied: their copies are killed.
 */
import { type DiskIndex, isSamePut } from './disk-index.ts'
import type { Files, StoreFile } from './files.ts'
import { encodeKill, encodePut, type KillRecord, type PutRecord, RECORD_HEADER_BYTES, type Target } from './record.ts'
import type { SegmentFiles } from './segment-files.ts'
import type { SegmentLog } from './segment-log.ts'
import { recordBytes, scanSegment } from './segment-scan.ts'
import { deadBytesOf, type Segment, segmentPath, type SegmentTable, stagedSegmentPath } from './segment.ts'

/** Half dead: so shared segments take at most twice what they hold, and each byte is copied about once. */
const DEAD_RATIO_MIN = 0.5
const COPIED_BETWEEN_PAUSES_BYTES = 1024 * 1024

export interface CompactionOptions {
  readonly files: Files
  readonly segmentFiles: SegmentFiles
  readonly table: SegmentTable
  readonly index: DiskIndex
  readonly log: SegmentLog
  readonly salt: Uint8Array
  readonly segmentBytesMax: number
  /** A record that the index names is not there. */
  readonly onDamaged: (key: string) => void
  /** Asked between two records: a store that closes does not wait for the rest. */
  readonly shouldStop: () => boolean
}

/** Those that are worth it. */
export function segmentsToCompact(table: SegmentTable): Segment[] {
  return [...table.kept()].filter((segment) => {
    return !segment.isOwn && segment.isSealed && deadBytesOf(segment) >= DEAD_RATIO_MIN * segment.bytes
  })
}

/** Ends when the segments are condemned, or early when it is told to stop. Throws what the file system throws. */
export async function compactSegments(sources: readonly Segment[], options: CompactionOptions): Promise<void> {
  let output: Output | null = null
  try {
    for (const source of sources) {
      if (source.isCondemned) continue
      for (const record of neededRecords(source, options)) {
        if (options.shouldStop()) return
        if (output !== null && !output.hasRoomFor(recordBytes(record))) {
          await output.publish()
          output = null
        }
        output ??= new Output(options)
        output.take(record, source)
        if (output.pauseIsDue()) await new Promise(setImmediate)
      }
    }
    if (output !== null) await output.publish()
    output = null
    for (const source of sources) {
      dropWhatIsLeft(source, options)
      // What is needed of its kills is in the new segments now.
      if (options.table.get(source.id) === source) options.table.dropKillsOf(source.id)
    }
  } finally {
    output?.abandon()
  }
}

type Needed = PutRecord | KillRecord

function* neededRecords(source: Segment, options: CompactionOptions): Generator<Needed> {
  const { segmentFiles, index, table, salt } = options
  const file = segmentFiles.acquire(source.id)
  try {
    for (const record of scanSegment(file, { segment: source.id, salt, start: 0, end: source.bytes })) {
      if (record.kind === 'put' && isSamePut(index.get(record.key), record)) yield record
      if (record.kind === 'kill' && table.get(record.target.segment) !== undefined) yield record
    }
  } finally {
    segmentFiles.release(source.id)
  }
}

/** Entries whose records the walk did not find: the header is damaged. */
function dropWhatIsLeft(source: Segment, { index, onDamaged }: CompactionOptions): void {
  if (source.liveBytes === 0) return
  for (let slot = 0; slot < index.slots; slot++) {
    const key = index.keyAt(slot)
    if (key !== undefined && index.get(key)?.segment === source.id) onDamaged(key)
  }
}

interface Move {
  readonly record: PutRecord
  readonly offset: number
}

class Output {
  readonly #options: CompactionOptions
  readonly #id: number
  readonly #file: StoreFile
  #bytes = 0
  #copiedSincePause = 0
  #moves: Move[] = []
  readonly #kills: Target[] = []
  #isClosed = false

  constructor(options: CompactionOptions) {
    this.#options = options
    this.#id = options.log.takeSegmentId()
    this.#file = options.files.open(stagedSegmentPath(this.#id), 'create')
  }

  hasRoomFor(bytes: number): boolean {
    return this.#bytes + bytes <= this.#options.segmentBytesMax
  }

  pauseIsDue(): boolean {
    if (this.#copiedSincePause < COPIED_BETWEEN_PAUSES_BYTES) return false
    this.#copiedSincePause = 0
    return true
  }

  take(record: Needed, source: Segment): void {
    const place = { segment: this.#id, offset: this.#bytes }
    const stamp = { sequence: record.sequence, syncedThrough: this.#options.log.syncedThrough }
    if (record.kind === 'kill') {
      this.#file.write([encodeKill(this.#options.salt, place, stamp, record.target)], this.#bytes)
      this.#kills.push(record.target)
    } else {
      const fields = { ...record, key: Buffer.from(record.key), isOwn: false }
      const meta = encodePut(this.#options.salt, place, stamp, fields)
      // The payload's hash goes with it, so damage stays damage.
      const payload = new Uint8Array(record.payloadBytes)
      this.#options.segmentFiles.use(source.id, (file) => file.read([payload], record.offset + record.metaBytes))
      this.#file.write([meta, payload], this.#bytes)
      this.#moves.push({ record: { ...record, head: NO_HEAD }, offset: place.offset })
    }
    this.#bytes += recordBytes(record)
    this.#copiedSincePause += recordBytes(record)
  }

  async publish(): Promise<void> {
    const { files, table, log } = this.#options
    await this.#file.sync()
    this.#file.close()
    this.#isClosed = true
    files.rename(stagedSegmentPath(this.#id), segmentPath(this.#id))
    log.markDirectory()
    const segment = table.add(this.#id, false, this.#bytes)
    log.endSegment(this.#id)
    for (const target of this.#kills) table.addKill(this.#id, target.segment, RECORD_HEADER_BYTES)
    for (const move of this.#moves) this.#redirect(move)
    this.#moves = []
    table.seal(segment)
  }

  abandon(): void {
    this.#options.log.endSegment(this.#id)
    if (this.#isClosed) return
    this.#file.close()
    this.#options.files.unlink(stagedSegmentPath(this.#id))
  }

  #redirect({ record, offset }: Move): void {
    const { index, table, log } = this.#options
    const current = index.get(record.key)
    if (current === null || !isSamePut(current, record)) {
      log.killCopy({ sequence: record.sequence, segment: this.#id })
      return
    }
    index.set(record.key, { ...current, segment: this.#id, offset })
    table.addLive(this.#id, recordBytes(record))
    table.addDead(record.segment, recordBytes(record))
  }
}

const NO_HEAD = new Uint8Array(0)
