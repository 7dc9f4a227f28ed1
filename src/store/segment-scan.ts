/**
 * Walks the records of one segment in the order in which they lie. Where none is, the next one is looked for by the
 * salt, and what was passed over is told as a gap. Payloads are not read.
 */
import type { StoreFile } from './files.ts'
import { decodeRecord, type KillRecord, type PutRecord, RECORD_HEADER_BYTES, SALT_BYTES } from './record.ts'

export interface Gap {
  readonly kind: 'gap'
  readonly offset: number
  readonly bytes: number
}

export type Scanned = PutRecord | KillRecord | Gap

/** Small records follow each other closely: many are read at once. */
const WINDOW_BYTES = 256 * 1024
/** After a record longer than this, only a header and a little more is read at its end. */
const LONG_RECORD_BYTES = 32 * 1024
const SHORT_WINDOW_BYTES = 4 * 1024

export interface ScanOptions {
  readonly segment: number
  readonly salt: Uint8Array
  readonly start: number
  /** Where the walk ends, or null: where the file does. */
  readonly end: number | null
}

export function recordBytes(record: PutRecord | KillRecord): number {
  return record.kind === 'put' ? record.metaBytes + record.payloadBytes : RECORD_HEADER_BYTES
}

/** A put whose payload goes beyond the end of the file is told: whoever walks compares. */
export function* scanSegment(file: StoreFile, options: ScanOptions): Generator<Scanned> {
  const window = new Window(file, options.end ?? Number.POSITIVE_INFINITY)
  const salt = Buffer.from(options.salt)
  let at = options.start
  let isAfterLong = true
  let neededBytes = RECORD_HEADER_BYTES
  for (;;) {
    const bytes = window.at(at, neededBytes, isAfterLong ? SHORT_WINDOW_BYTES : WINDOW_BYTES)
    if (bytes.length === 0) return
    const decoded = decodeRecord(bytes, 0, options.salt, { segment: options.segment, offset: at })
    if (decoded.kind === 'short' && bytes.length >= neededBytes) {
      neededBytes = decoded.metaBytes
      continue
    }
    neededBytes = RECORD_HEADER_BYTES
    if (decoded.kind === 'put' || decoded.kind === 'kill') {
      yield decoded
      at += recordBytes(decoded)
      isAfterLong = recordBytes(decoded) > LONG_RECORD_BYTES
      continue
    }
    const next = nextSalt(window, salt, at + 1)
    yield { kind: 'gap', offset: at, bytes: next - at }
    at = next
    isAfterLong = false
  }
}

/** Where the salt comes next, or where the file ends. */
function nextSalt(window: Window, salt: Buffer, start: number): number {
  let at = start
  for (;;) {
    const bytes = window.at(at, SALT_BYTES, WINDOW_BYTES)
    const found = bytes.indexOf(salt)
    if (found >= 0) return at + found
    if (bytes.length < SALT_BYTES) return at + bytes.length
    at += bytes.length - SALT_BYTES + 1
  }
}

/** A part of a file in memory. */
class Window {
  readonly #file: StoreFile
  readonly #end: number
  #bytes = Buffer.alloc(0)
  #start = 0

  constructor(file: StoreFile, end: number) {
    this.#file = file
    this.#end = end
  }

  /** From `position` on, `neededBytes` or more, or as many as there are. Reads `readBytes` at once when it has to. */
  at(position: number, neededBytes: number, readBytes: number): Buffer {
    const skip = position - this.#start
    if (skip >= 0 && this.#bytes.length - skip >= neededBytes) return this.#bytes.subarray(skip)
    // Not reused: heads of records are parts of it.
    const bytes = Buffer.allocUnsafeSlow(Math.max(0, Math.min(Math.max(neededBytes, readBytes), this.#end - position)))
    this.#bytes = bytes.subarray(0, this.#file.read([bytes], position))
    this.#start = position
    return this.#bytes
  }
}
