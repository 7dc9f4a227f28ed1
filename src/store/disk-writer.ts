/**
 * Takes puts. Small payloads are collected and appended. A large one is written to a file of its own piece by piece,
 * with pauses in which others are served; only its header, which comes last, makes it a put.
 */
import { assert } from '../core/errors.ts'
import type { FragmentPut } from '../core/ports.ts'
import { collectPieces, lengthMismatch, storeClosed } from './arguments.ts'
import { isFull } from './disk-errors.ts'
import type { DiskSync } from './disk-sync.ts'
import { type PutFields, RECORD_HEADER_BYTES } from './record.ts'
import type { SegmentFiles } from './segment-files.ts'
import type { SegmentLog, Written } from './segment-log.ts'

/** A quarter of a millisecond in which nobody else is served. The thread pool took twice the time for the same bytes. */
const SLICE_BYTES = 1024 * 1024

export interface DiskWriterOptions {
  readonly log: SegmentLog
  readonly segmentFiles: SegmentFiles
  readonly sync: DiskSync
  readonly ownSegmentBytesMin: number
}

/** Called when a record has been written, in the same turn. */
export type OnWritten = (put: PutFields, written: Written) => void

export class DiskWriter {
  readonly #options: DiskWriterOptions
  /** Segments that are being filled. */
  readonly #staged = new Set<number>()
  #isClosed = false

  constructor(options: DiskWriterOptions) {
    this.#options = options
  }

  /** Throws CONTENT_MISMATCH, STORE_CLOSED, what the pieces throw and what the file system throws. */
  async write(fragment: FragmentPut, onWritten: OnWritten): Promise<void> {
    const isOwn = fragment.payloadBytes >= this.#options.ownSegmentBytesMin
    const put: PutFields = {
      key: Buffer.from(fragment.key),
      // A copy: the caller may use its own again when a put in pieces has not ended yet.
      head: Uint8Array.from(fragment.head),
      contentHash: fragment.contentHash,
      expiresAtMs: fragment.expiresAtMs ?? null,
      payloadBytes: fragment.payloadBytes,
      isOwn,
    }
    if (isOwn) await this.#writeOwn(put, fragment, onWritten)
    else await this.#append(put, fragment, onWritten)
  }

  /** Gives up what is not finished: whoever is writing it finds the store closed. */
  close(): void {
    this.#isClosed = true
    for (const id of this.#staged) this.#options.log.abandonOwn(id)
    this.#staged.clear()
  }

  async #append(put: PutFields, { key, payload }: FragmentPut, onWritten: OnWritten): Promise<void> {
    let bytes: Uint8Array
    if (payload instanceof Uint8Array) bytes = payload
    else {
      bytes = new Uint8Array(put.payloadBytes)
      await collectPieces(key, payload, bytes)
    }
    await this.#withReclaim(() => {
      onWritten(put, this.#options.log.append(put, bytes))
    })
  }

  async #writeOwn(put: PutFields, { key, payload }: FragmentPut, onWritten: OnWritten): Promise<void> {
    const { log } = this.#options
    const id = await this.#withReclaim(() => log.startOwn())
    this.#staged.add(id)
    try {
      const start = RECORD_HEADER_BYTES + put.key.length + put.head.length
      let filled = 0
      for await (const piece of payload instanceof Uint8Array ? [payload] : payload) {
        if (filled + piece.length > put.payloadBytes) throw lengthMismatch(key, put.payloadBytes, 'more')
        await this.#writePiece(id, piece, start + filled)
        filled += piece.length
      }
      if (filled < put.payloadBytes) throw lengthMismatch(key, put.payloadBytes, filled)
      await this.#withReclaim(() => {
        const written = log.finishOwn(id, put)
        this.#staged.delete(id)
        onWritten(put, written)
      })
    } catch (error) {
      if (this.#staged.delete(id)) log.abandonOwn(id)
      throw error
    }
  }

  async #writePiece(id: number, piece: Uint8Array, position: number): Promise<void> {
    for (let at = 0; at < piece.length; at += SLICE_BYTES) {
      if (at > 0) await new Promise(setImmediate)
      await this.#withReclaim(() => {
        assert(this.#staged.has(id), `segment ${id} is not being filled`)
        this.#options.segmentFiles.use(id, (file) => {
          file.write([piece.subarray(at, at + SLICE_BYTES)], position + at)
        })
      })
    }
  }

  /** On a full device, tries once more when what is no longer needed has been deleted. */
  async #withReclaim<Result>(write: () => Result): Promise<Result> {
    if (this.#isClosed) throw storeClosed()
    try {
      return write()
    } catch (error) {
      if (!isFull(error) || !this.#options.log.hasWork) throw error
    }
    await this.#options.sync.commit()
    if (this.#isClosed) throw storeClosed()
    return write()
  }
}
