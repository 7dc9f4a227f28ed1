/**
 * Reads records that the index names. What lies there must be that very put: the header names its place and sequence,
 * and its checksum covers key and head. The payload is checked by its content hash, by whoever wraps the store.
 *
 * Up to a megabyte is read at once, blocking: from the page cache that takes a quarter of a millisecond, half of what
 * the way through the thread pool takes. More is read on the thread pool.
 */
import { MembraneError } from '../core/errors.ts'
import type { ByteSpan, GetOptions, StoredEntry, StoredFragment } from '../core/ports.ts'
import { storeClosed } from './arguments.ts'
import { type DiskEntry, type DiskIndex, isSamePut } from './disk-index.ts'
import { errorCodeOf, type StoreFile } from './files.ts'
import { decodeRecord, type PutRecord } from './record.ts'
import type { SegmentFiles } from './segment-files.ts'

const BLOCKING_READ_BYTES_MAX = 1024 * 1024
const CHUNK_BYTES = 1024 * 1024
/** Given to whoever follows a read at a time, while the next ones are read: less, and the round trips are what costs. */
const FOLLOWED_BYTES = 512 * 1024
/** Of them under way at once: one is read while another waits for this thread. */
const FOLLOWED_AHEAD = 2

export interface DiskReaderOptions {
  readonly segmentFiles: SegmentFiles
  readonly index: DiskIndex
  readonly salt: Uint8Array
  /** What the index names is not there. */
  readonly onDamaged: (key: string, entry: DiskEntry) => void
  /** Asked when a stream is first read, which may be long after it was asked for. */
  readonly isClosed: () => boolean
}

export class DiskReader {
  readonly #options: DiskReaderOptions

  constructor(options: DiskReaderOptions) {
    this.#options = options
  }

  /** Null when the record is damaged: then it has been told. */
  head(key: string, entry: DiskEntry): StoredEntry | null {
    const meta = Buffer.alloc(entry.metaBytes)
    return this.#whole(key, entry, (file) => (file.read([meta], entry.offset) < meta.length ? null : meta))
  }

  /** Of the payload, `span`; to `into`, or to memory of its own. */
  async get(
    key: string,
    entry: DiskEntry,
    { start, end }: ByteSpan,
    { into, follow }: Pick<GetOptions, 'into' | 'follow'>,
  ): Promise<StoredFragment | null> {
    const payload = into?.subarray(0, end - start) ?? plainMemory(end - start)
    const found =
      payload.length <= BLOCKING_READ_BYTES_MAX
        ? this.#readNow(key, entry, start, payload)
        : follow !== undefined && start === 0
          ? await this.#readFollowed(key, entry, payload, follow)
          : await this.#readLater(key, entry, start, payload)
    return found === null ? null : { ...found, payload }
  }

  /** One buffer is used for all chunks. Throws STORE_UNAVAILABLE, and CONTENT_MISMATCH when the file is cut off. */
  async *chunks(key: string, entry: DiskEntry, { start, end }: ByteSpan): AsyncGenerator<Uint8Array> {
    if (start === end) return
    if (this.#options.isClosed()) throw storeClosed()
    const current = this.#options.index.get(key)
    // It may have been moved.
    if (current?.sequence !== entry.sequence) {
      const message = 'The entry was removed or replaced before it was read.'
      throw new MembraneError('STORE_UNAVAILABLE', message, { details: { key } })
    }
    const { segmentFiles } = this.#options
    const file = segmentFiles.acquire(current.segment)
    try {
      const buffer = plainMemory(Math.min(CHUNK_BYTES, end - start))
      for (let at = start; at < end; ) {
        const chunk = buffer.subarray(0, Math.min(buffer.length, end - at))
        const bytes = await file.readLater([chunk], current.offset + current.metaBytes + at)
        if (bytes < chunk.length) {
          this.#options.onDamaged(key, current)
          const message = 'The payload ends before its last byte: its file was cut off.'
          throw new MembraneError('CONTENT_MISMATCH', message, { details: { key } })
        }
        yield chunk
        at += bytes
      }
    } finally {
      segmentFiles.release(current.segment)
    }
  }

  #readNow(key: string, entry: DiskEntry, start: number, payload: Uint8Array): StoredEntry | null {
    const meta = Buffer.alloc(entry.metaBytes)
    return this.#whole(key, entry, (file) => {
      if (start === 0) {
        return file.read([meta, payload], entry.offset) < meta.length + payload.length ? null : meta
      }
      const isRead = file.read([meta], entry.offset) === meta.length
      return isRead && file.read([payload], payloadAt(entry) + start) === payload.length ? meta : null
    })
  }

  async #readLater(key: string, entry: DiskEntry, start: number, payload: Uint8Array): Promise<StoredEntry | null> {
    const { segmentFiles } = this.#options
    const meta = Buffer.alloc(entry.metaBytes)
    let isRead: boolean
    try {
      isRead = await segmentFiles.useLater(entry.segment, async (file) => {
        if (start === 0) {
          return (await file.readLater([meta, payload], entry.offset)) === meta.length + payload.length
        }
        const bytes = await file.readLater([payload], payloadAt(entry) + start)
        return bytes === payload.length && file.read([meta], entry.offset) === meta.length
      })
    } catch (error) {
      if (!isDamage(error)) throw error
      isRead = false
    }
    return this.#judge(key, entry, isRead ? meta : null)
  }

  /** Piece by piece, each followed while those behind it are read. */
  async #readFollowed(
    key: string,
    entry: DiskEntry,
    payload: Uint8Array,
    follow: NonNullable<GetOptions['follow']>,
  ): Promise<StoredEntry | null> {
    const { segmentFiles } = this.#options
    const meta = Buffer.alloc(entry.metaBytes)
    try {
      const isWhole = await segmentFiles.useLater(entry.segment, (file) => {
        const followed = (): ((bytes: Uint8Array) => void) | null => {
          const found = this.#entryIn(key, entry, meta)
          return found === null ? null : follow(found)
        }
        return readPieces(file, entry.offset, { meta, payload }, followed)
      })
      return this.#judge(key, entry, isWhole ? meta : null)
    } catch (error) {
      if (!isDamage(error)) throw error
      return this.#judge(key, entry, null)
    }
  }

  #whole(key: string, entry: DiskEntry, read: (file: StoreFile) => Buffer | null): StoredEntry | null {
    let meta: Buffer | null
    try {
      meta = this.#options.segmentFiles.use(entry.segment, read)
    } catch (error) {
      if (!isDamage(error)) throw error
      meta = null
    }
    return this.#judge(key, entry, meta)
  }

  #judge(key: string, entry: DiskEntry, meta: Buffer | null): StoredEntry | null {
    const found = meta === null ? null : this.#entryIn(key, entry, meta)
    if (found === null) this.#options.onDamaged(key, entry)
    return found
  }

  #entryIn(key: string, entry: DiskEntry, meta: Buffer): StoredEntry | null {
    const record = decodeRecord(meta, 0, this.#options.salt, entry)
    return record?.kind === 'put' && record.key === key && isSamePut(entry, record) ? entryOf(record) : null
  }
}

interface RecordTarget {
  /** Read with the first piece. */
  readonly meta: Uint8Array
  readonly payload: Uint8Array
}

/**
 * False when the file ends before, or `begin`, which is called when the meta is there, gives nobody to follow. Ends when
 * nothing is written to the target any more, however it ends.
 */
async function readPieces(
  file: StoreFile,
  position: number,
  { meta, payload }: RecordTarget,
  begin: () => ((bytes: Uint8Array) => void) | null,
): Promise<boolean> {
  const reading: Promise<{ readonly isRead: boolean; readonly error?: unknown }>[] = []
  let asked = 0
  const ask = (): void => {
    if (asked >= payload.length) return
    const piece = payload.subarray(asked, asked + FOLLOWED_BYTES)
    const [targets, at] = asked === 0 ? [[meta, piece], position] : [[piece], position + meta.length + asked]
    const bytes = targets.reduce((sum, { length }) => sum + length, 0)
    asked += piece.length
    // A later one may fail while an earlier one is waited for.
    const failed = (error: unknown) => ({ isRead: false, error })
    reading.push(file.readLater(targets, at).then((read) => ({ isRead: read === bytes }), failed))
  }
  try {
    for (let ahead = 0; ahead < FOLLOWED_AHEAD; ahead++) ask()
    let follow: ((bytes: Uint8Array) => void) | null = null
    for (let done = 0; done < payload.length; done += FOLLOWED_BYTES) {
      const read = await reading.shift()
      if (read?.error !== undefined) throw read.error
      if (read?.isRead !== true) return false
      ask()
      follow ??= begin()
      if (follow === null) return false
      follow(payload.subarray(done, done + FOLLOWED_BYTES))
    }
    return true
  } finally {
    await Promise.all(reading)
  }
}

function payloadAt(entry: DiskEntry): number {
  return entry.offset + entry.metaBytes
}

function entryOf({ key, head, payloadBytes, contentHash, expiresAtMs }: PutRecord): StoredEntry {
  return { key, head, payloadBytes, contentHash, expiresAtMs }
}

/** The file is gone, or the device cannot read it: a miss, as with any other damage. */
function isDamage(error: unknown): boolean {
  return ['ENOENT', 'EIO', 'EISDIR', 'EUCLEAN'].includes(errorCodeOf(error))
}

/** Not zeroed, not a part of a pool, and no Buffer, whose `slice` would not copy. */
function plainMemory(bytes: number): Uint8Array {
  return new Uint8Array(Buffer.allocUnsafeSlow(bytes).buffer)
}
