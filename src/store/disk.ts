/**
 * The disk store: a log of segments in a data directory, an index of it in memory.
 *
 *   FORMAT     version and salt                     LOCK, HOLDER   one process at a time
 *   segments/  <id>.seg: records (record.ts)        snapshot       the index at the last close; saves time, no more
 *   reserve    kept back for a full device          quarantine/    damaged payloads, kept by others
 *
 * What holds at every moment, so that a crash or a power cut at any moment loses nothing that was promised:
 *
 *  1. A put is one record, and a record is valid whole or not at all: header, key and head by their checksum, the
 *     payload by its content hash, which recovery computes for all that may not have been on the device.
 *  2. Of two puts under a key the higher sequence counts. Sequences are given out in the order of visibility.
 *  3. A kill names a sequence. It is written at once for what is removed; for what is replaced only when the new put is
 *     on the device, since a power cut may keep the later of two writes.
 *  4. A kill is kept while a segment is there, or may come back, in which its put lies.
 *  5. A file is deleted only after a sync that began when nothing in it was needed any more, and counts as gone only
 *     after another sync of the directory. Files are deleted in the order in which they were given up.
 *  6. A copy made by compaction has its own name only when it is whole and on the device; it keeps its sequence.
 *  7. Each header says up to which sequence all was on the device when it was written, and never more.
 *  8. Opening acts on what it found only after a sync.
 *
 * `power` waits for a sync before it acknowledges; all who wait share one. `process` does not wait. Space: shared
 * segments take at most twice what is live in them, and two segments more; a payload in a file of its own, its size and
 * a block; what was given up within the last two seconds comes on top.
 */
import type {
  FragmentPut,
  FragmentStore,
  GetOptions,
  PutOutcome,
  StoredEntry,
  StoredFragment,
  StoredStream,
  StoreStats,
} from '../core/ports.ts'
import { checkInto, checkKey, checkPut, isSameEntry, spanWithin, storeClosed } from './arguments.ts'
import { diskError } from './disk-errors.ts'
import type { DiskEntry } from './disk-index.ts'
import { type DiskParts, joinDisk, openDirectory, type OpenDirectory, systemPorts } from './disk-open.ts'
import { type DiskPorts, type DiskSettings, diskSettings, type DiskStoreOptions } from './disk-options.ts'
import { Pace } from './disk-pace.ts'
import type { RecoveryReport } from './disk-recovery.ts'
import { type ScrubOptions, type ScrubReport, scrubEntries } from './disk-scrub.ts'
import { writeSnapshot } from './disk-snapshot.ts'
import { orphanBytesOf } from './disk-usage.ts'
import { RECORD_HEADER_BYTES } from './record.ts'
import { deadBytesOf } from './segment.ts'

/** What a data directory holds, and what opening it found. */
export interface DiskStats {
  readonly entries: number
  readonly segments: number
  /** Of records that are needed: entries with header, key, head and payload, and kills. */
  readonly liveBytes: number
  /** Of records that are not, and of damage: compaction takes them away. */
  readonly deadBytes: number
  /** Compactions that the store began by itself and that the device did not let it finish. */
  readonly failedCompactions: number
  /** What this process found when it opened the directory. */
  readonly recovery: RecoveryReport
}

/**
 * Opens a data directory, or makes one. What was acknowledged before is there, in at most a second for each 100,000
 * entries. Throws FILE_UNREADABLE when the directory cannot be read and written, or holds something else; STORE_LOCKED
 * when another process has it open; STORE_FORMAT when another version wrote it; STORE_FULL; INVALID_CONFIG.
 */
export async function openDiskStore(options: DiskStoreOptions): Promise<DiskStore> {
  return openDiskStoreOn(systemPorts(options.directory), options)
}

/** For tests: with another file system below. */
export async function openDiskStoreOn(ports: DiskPorts, options: DiskStoreOptions): Promise<DiskStore> {
  const settings = diskSettings(options)
  const directory = await openDirectory(ports, settings)
  const store = new DiskStore(directory, settings)
  await store.begin()
  return store
}

/** A `FragmentStore` in a directory: see `openDiskStore`. */
export class DiskStore implements FragmentStore {
  readonly #directory: OpenDirectory
  readonly #settings: DiskSettings
  readonly #parts: DiskParts
  readonly #pace = new Pace()
  #isClosed = false
  #closing: Promise<void> | null = null

  /** For `openDiskStore`. */
  constructor(directory: OpenDirectory, settings: DiskSettings) {
    this.#directory = directory
    this.#settings = settings
    this.#parts = joinDisk(directory, settings, () => this.#isClosed)
  }

  /** For `openDiskStore`: all that was found is on the device before anything is built on it. */
  async begin(): Promise<void> {
    const { maintenance, log, sync } = this.#parts
    try {
      maintenance.sweepNow()
      if (log.hasWork) await sync.commit()
    } catch (error) {
      await this.close().catch(() => undefined)
      throw this.#explained(error, 'open')
    }
    maintenance.scheduleSweep()
    maintenance.compactIfWorthIt()
  }

  async put(fragment: FragmentPut): Promise<PutOutcome> {
    this.#checkWritable()
    checkPut(fragment)
    const { entries, writer, sync, maintenance, log } = this.#parts
    const { key } = fragment
    const before = entries.find(key)
    if (before !== null && this.#isPresent(fragment, before)) {
      if (this.#isPower && before.sequence > log.syncedThrough) await sync.commit()
      return 'present'
    }
    entries.checkRoom(key)
    let outcome: PutOutcome = 'stored'
    try {
      await writer.write(fragment, (put, written) => {
        outcome = entries.takeIn(key, put, written)
      })
    } catch (error) {
      throw this.#explained(error, 'write to')
    }
    maintenance.scheduleSweep()
    if (this.#isPower) await sync.commit()
    else await this.#pace.pause(fragment.payloadBytes)
    return outcome
  }

  async get(key: string, options: GetOptions = {}): Promise<StoredFragment | null> {
    const entry = this.#lookUp(key)
    if (entry === null) return null
    const span = spanWithin(options.span, { ...entry, key })
    checkInto(options.into, span.end - span.start)
    try {
      const found = await this.#parts.reader.get(key, entry, span, options)
      await this.#pace.pause(span.end - span.start)
      return found
    } catch (error) {
      throw this.#explained(error, 'read')
    }
  }

  /** Its chunks are parts of one buffer. */
  async stream(key: string, options: Pick<GetOptions, 'span'> = {}): Promise<StoredStream | null> {
    const entry = this.#lookUp(key)
    if (entry === null) return null
    const span = spanWithin(options.span, { ...entry, key })
    const head = this.#headOf(key, entry)
    return head === null ? null : { ...head, chunks: this.#parts.reader.chunks(key, entry, span) }
  }

  async head(key: string): Promise<StoredEntry | null> {
    const entry = this.#lookUp(key)
    return entry === null ? null : this.#headOf(key, entry)
  }

  async has(keys: readonly string[]): Promise<readonly boolean[]> {
    return keys.map((key) => this.#lookUp(key) !== null)
  }

  async remove(keys: readonly string[]): Promise<number> {
    this.#checkWritable()
    keys.forEach(checkKey)
    const { entries, sync } = this.#parts
    let removed = 0
    try {
      for (const key of keys) if (entries.remove(key)) removed += 1
    } catch (error) {
      throw this.#explained(error, 'write to')
    }
    if (this.#isPower) await sync.commit()
    return removed
  }

  async *list(prefix = ''): AsyncIterable<StoredEntry> {
    this.#checkOpen()
    const { index, entries } = this.#parts
    // The slots of now: otherwise it would not end while the reader puts as fast as it reads.
    const slots = index.slots
    for (let slot = 0; slot < slots; slot++) {
      const key = index.keyAt(slot)
      if (key?.startsWith(prefix) !== true) continue
      this.#checkOpen()
      const entry = entries.find(key)
      const head = entry === null ? null : this.#headOf(key, entry)
      if (head !== null) yield head
      await this.#pace.pause(0)
    }
  }

  stats(): StoreStats {
    const { index, entries } = this.#parts
    return { entries: index.entries, payloadBytes: index.payloadBytes, corruptEntries: entries.corruptEntries }
  }

  diskStats(): DiskStats {
    const { index, table, maintenance } = this.#parts
    const { failedCompactions } = maintenance
    const segments = [...table.kept()]
    const deadBytes = segments.reduce((sum, segment) => sum + deadBytesOf(segment), 0)
    const liveBytes = segments.reduce((sum, segment) => sum + segment.bytes, 0) - deadBytes
    const { report } = this.#directory
    return {
      entries: index.entries,
      segments: segments.length,
      liveBytes,
      deadBytes,
      failedCompactions,
      recovery: report,
    }
  }

  async sync(): Promise<void> {
    this.#checkWritable()
    await this.#parts.sync.commit()
  }

  /** Takes away every dead byte of shared segments at once. It is done by itself when half of one is dead. */
  async compact(): Promise<void> {
    this.#checkWritable()
    await this.#doing('write to', () => this.#parts.maintenance.compactAll())
  }

  /** Rewrites every shared segment that holds a dead byte. What was put in quarantine is not the store's, and stays. */
  async purge(): Promise<void> {
    this.#checkWritable()
    await this.#doing('write to', () => this.#parts.maintenance.purge())
  }

  /** Reads every entry. What is damaged is missing from then on, and counted. Serves others between two chunks. */
  async scrub(options: ScrubOptions = {}): Promise<ScrubReport> {
    this.#checkOpen()
    const { index, reader, entries, table, log } = this.#parts
    return scrubEntries(
      {
        index,
        reader,
        hashers: this.#settings.hashers,
        onDamaged: (key, entry) => {
          entries.dropDamaged(key, entry)
        },
        orphanBytes: () => orphanBytesOf(this.#directory.files, table, log),
        isClosed: () => this.#isClosed,
      },
      options,
    )
  }

  close(): Promise<void> {
    this.#isClosed = true
    this.#closing ??= this.#close()
    return this.#closing
  }

  get #isPower(): boolean {
    return this.#settings.durability === 'power'
  }

  async #close(): Promise<void> {
    const { writer, maintenance, sync, log, segmentFiles } = this.#parts
    try {
      writer.close()
      await maintenance.stop()
      // What a sync finds to do afterwards is done by the next one: three leave nothing.
      for (let count = 0; count < 3 && log.hasWork; count++) await sync.commit()
      await sync.commit()
      // What is replaced and not killed yet would be missing in it.
      if (!log.hasWork) await this.#writeSnapshot()
    } finally {
      sync.stop()
      segmentFiles.closeAll()
      this.#directory.unlock()
    }
  }

  /** Best effort: without it the next open takes longer. */
  async #writeSnapshot(): Promise<void> {
    const { index, table, log } = this.#parts
    const { files, salt } = this.#directory
    const { nextSegment, lastSequence } = log
    const source = { salt, nextSegment, lastSequence, segments: [...table.kept()], index }
    await writeSnapshot(files, this.#settings.hashers.b3, source).catch(() => undefined)
  }

  #checkOpen(): void {
    if (this.#isClosed) throw storeClosed()
  }

  #checkWritable(): void {
    this.#checkOpen()
    const { failure } = this.#parts.sync
    if (failure !== null) throw failure
  }

  #lookUp(key: string): DiskEntry | null {
    this.#checkOpen()
    checkKey(key)
    return this.#parts.entries.find(key)
  }

  #headOf(key: string, entry: DiskEntry): StoredEntry | null {
    try {
      return this.#parts.reader.head(key, entry)
    } catch (error) {
      throw this.#explained(error, 'read')
    }
  }

  #isPresent(fragment: FragmentPut, entry: DiskEntry): boolean {
    const metaBytes = RECORD_HEADER_BYTES + Buffer.byteLength(fragment.key) + fragment.head.length
    if (entry.payloadBytes !== fragment.payloadBytes || entry.metaBytes !== metaBytes) return false
    const head = this.#headOf(fragment.key, entry)
    return head !== null && isSameEntry(head, fragment)
  }

  async #doing<Result>(doing: string, work: () => Promise<Result>): Promise<Result> {
    try {
      return await work()
    } catch (error) {
      throw this.#explained(error, doing)
    }
  }

  #explained(error: unknown, doing: string): unknown {
    return diskError(error, this.#directory.files.root, doing)
  }
}
