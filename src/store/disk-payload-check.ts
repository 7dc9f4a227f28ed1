/** Says whether a payload is on the device as it was put. Small ones are read many at a time, for they lie side by side. */
import { contentHashAlgorithm } from '../core/ids.ts'
import type { ContentHashers } from '../core/ports.ts'
import type { PutRecord } from './record.ts'
import type { SegmentFiles } from './segment-files.ts'

const HASHED_AT_ONCE_BYTES = 1024 * 1024

export class PayloadCheck {
  readonly #segmentFiles: SegmentFiles
  readonly #hashers: ContentHashers
  readonly #buffer = new Uint8Array(HASHED_AT_ONCE_BYTES)
  /** What the buffer holds. */
  #held = { segment: 0, position: 0, bytes: this.#buffer.subarray(0, 0) }

  constructor(segmentFiles: SegmentFiles, hashers: ContentHashers) {
    this.#segmentFiles = segmentFiles
    this.#hashers = hashers
  }

  isWhole(record: PutRecord): boolean {
    const hasher = this.#hashers[contentHashAlgorithm(record.contentHash)]
    const start = record.offset + record.metaBytes
    if (record.payloadBytes <= HASHED_AT_ONCE_BYTES) {
      const payload = this.#readAhead(record.segment, start, record.payloadBytes)
      return payload.length === record.payloadBytes && hasher.hash(payload) === record.contentHash
    }
    const hash = hasher.start()
    for (let done = 0; done < record.payloadBytes; ) {
      const wanted = Math.min(HASHED_AT_ONCE_BYTES, record.payloadBytes - done)
      const piece = this.#readAhead(record.segment, start + done, wanted)
      if (piece.length < wanted) return false
      hash.update(piece)
      done += wanted
    }
    return hash.contentHash() === record.contentHash
  }

  /** Small payloads lie one behind the other, in the order in which they are asked for. */
  #readAhead(segment: number, position: number, bytes: number): Uint8Array {
    const skip = position - this.#held.position
    if (segment !== this.#held.segment || skip < 0 || skip + bytes > this.#held.bytes.length) {
      const read = this.#segmentFiles.use(segment, (file) => file.read([this.#buffer], position))
      this.#held = { segment, position, bytes: this.#buffer.subarray(0, read) }
      return this.#held.bytes.subarray(0, bytes)
    }
    return this.#held.bytes.subarray(skip, skip + bytes)
  }
}
