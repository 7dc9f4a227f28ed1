/**
 * What segments are made of. A record is a header of 88 bytes, then key, head and payload:
 *
 *   0 salt 8 | 8 sequence 6 | 14 synced through 6 | 20 segment 6 | 26 offset 4 | 30 key bytes 2 | 32 head bytes 4
 *   36 payload bytes 4 | 40 expiry 8 | 48 kind 1 | 49 algorithm 1 | 50 zero 2 | 52 content hash 32 | 84 CRC-32 4
 *
 * Numbers are little-endian. The checksum covers the header, key and head; the payload has its content hash. A record
 * names the place it was written to, so one that was moved or swapped is no record. The salt is drawn once for each
 * data directory: after damage, records are looked for by it, and nobody who puts payloads can forge one.
 */
import { crc32 } from 'node:zlib'
import { type ContentHash, parseContentHash } from '../core/ids.ts'
import { LIMITS } from '../core/limits.ts'

export const RECORD_HEADER_BYTES = 88
export const SALT_BYTES = 8
const CHECKSUM_AT = 84
const HASH_AT = 52
const KIND_PUT = 1
const KIND_KILL = 2
/** A put that has a segment of its own. */
const KIND_OWN_PUT = 3
const ALGORITHMS = ['', 'b3', 's256'] as const

/** Where a record lies. */
export interface Place {
  readonly segment: number
  readonly offset: number
}

/** Numbers the puts of a data directory: of two under one key the higher one counts. */
export interface Stamp {
  readonly sequence: number
  /** Every record with a sequence up to here was on the device when this one was written. */
  readonly syncedThrough: number
}

export interface PutRecord extends Place, Stamp {
  readonly kind: 'put'
  /** Has the segment to itself. */
  readonly isOwn: boolean
  readonly key: string
  readonly head: Uint8Array
  readonly contentHash: ContentHash
  readonly expiresAtMs: number | null
  readonly payloadBytes: number
  /** Header, key and head: the payload begins after them. */
  readonly metaBytes: number
}

/** Says that a put is gone: a header and nothing else. Needed only while a segment holds that put. */
export interface KillRecord extends Place, Stamp {
  readonly kind: 'kill'
  readonly target: Target
}

export interface Target {
  readonly sequence: number
  readonly segment: number
}

export type Decoded =
  | PutRecord
  | KillRecord
  /** The record goes on behind what was given: so many bytes hold its header, key and head. */
  | { readonly kind: 'short'; readonly metaBytes: number }
  | { readonly kind: 'none' }

const NONE: Decoded = { kind: 'none' }

export interface PutFields {
  readonly key: Uint8Array
  readonly head: Uint8Array
  readonly contentHash: ContentHash
  readonly expiresAtMs: number | null
  readonly payloadBytes: number
  readonly isOwn: boolean
}

/** Header, key and head. */
export function encodePut(salt: Uint8Array, place: Place, stamp: Stamp, put: PutFields): Uint8Array {
  const record = newRecord(salt, place, stamp, put.isOwn ? KIND_OWN_PUT : KIND_PUT, put.key.length + put.head.length)
  record.writeUInt16LE(put.key.length, 30)
  record.writeUInt32LE(put.head.length, 32)
  record.writeUInt32LE(put.payloadBytes, 36)
  record.writeDoubleLE(put.expiresAtMs ?? Number.POSITIVE_INFINITY, 40)
  record[49] = put.contentHash.startsWith('b3:') ? 1 : 2
  record.write(put.contentHash.slice(put.contentHash.indexOf(':') + 1), HASH_AT, 'hex')
  record.set(put.key, RECORD_HEADER_BYTES)
  record.set(put.head, RECORD_HEADER_BYTES + put.key.length)
  return sealed(record)
}

export function encodeKill(salt: Uint8Array, place: Place, stamp: Stamp, target: Target): Uint8Array {
  const record = newRecord(salt, place, stamp, KIND_KILL, 0)
  record.writeUIntLE(target.sequence, HASH_AT, 6)
  record.writeUIntLE(target.segment, HASH_AT + 6, 6)
  return sealed(record)
}

/** Reads the record that lies at `at` in `bytes` and, by its own word, at `place`. Anything else is `none`. */
export function decodeRecord(bytes: Buffer, at: number, salt: Uint8Array, place: Place): Decoded {
  const available = bytes.length - at
  if (available < RECORD_HEADER_BYTES) return { kind: 'short', metaBytes: RECORD_HEADER_BYTES }
  for (let index = 0; index < SALT_BYTES; index++) if (bytes[at + index] !== salt[index]) return NONE
  if (bytes.readUIntLE(at + 20, 6) !== place.segment || bytes.readUInt32LE(at + 26) !== place.offset) return NONE
  const keyBytes = bytes.readUInt16LE(at + 30)
  const headBytes = bytes.readUInt32LE(at + 32)
  if (keyBytes > LIMITS.storeKeyBytesMax || headBytes > LIMITS.storeHeadBytesMax) return NONE
  const metaBytes = RECORD_HEADER_BYTES + keyBytes + headBytes
  if (available < metaBytes) return { kind: 'short', metaBytes }
  const record = bytes.subarray(at, at + metaBytes)
  if (checksumOf(record) !== record.readUInt32LE(CHECKSUM_AT)) return NONE
  return bodyOf(record, place, keyBytes)
}

function bodyOf(record: Buffer, place: Place, keyBytes: number): Decoded {
  const headBytes = record.length - RECORD_HEADER_BYTES - keyBytes
  const stamp = { sequence: record.readUIntLE(8, 6), syncedThrough: record.readUIntLE(14, 6) }
  if (record[48] === KIND_KILL) {
    const target = { sequence: record.readUIntLE(HASH_AT, 6), segment: record.readUIntLE(HASH_AT + 6, 6) }
    return { kind: 'kill', ...place, ...stamp, target }
  }
  const algorithm = ALGORITHMS[record[49] ?? 0]
  const isOwn = record[48] === KIND_OWN_PUT
  if ((record[48] !== KIND_PUT && !isOwn) || algorithm === undefined || algorithm === '') return NONE
  const expiry = record.readDoubleLE(40)
  return {
    kind: 'put',
    isOwn,
    ...place,
    ...stamp,
    key: record.toString('utf8', RECORD_HEADER_BYTES, RECORD_HEADER_BYTES + keyBytes),
    // No Buffer: its `slice` would not copy.
    head: new Uint8Array(record.buffer, record.byteOffset + RECORD_HEADER_BYTES + keyBytes, headBytes),
    contentHash: parseContentHash(`${algorithm}:${record.toString('hex', HASH_AT, HASH_AT + 32)}`),
    expiresAtMs: expiry === Number.POSITIVE_INFINITY ? null : expiry,
    payloadBytes: record.readUInt32LE(36),
    metaBytes: record.length,
  }
}

/** The salt of whatever record seems to begin a segment, for a directory that has lost its own. */
export function saltOfFirstRecord(start: Buffer, segment: number): Uint8Array | null {
  const salt = start.subarray(0, SALT_BYTES)
  const { kind } = decodeRecord(start, 0, salt, { segment, offset: 0 })
  return kind === 'put' || kind === 'kill' ? Uint8Array.from(salt) : null
}

function newRecord(salt: Uint8Array, place: Place, stamp: Stamp, kind: number, extraBytes: number): Buffer {
  const record = Buffer.alloc(RECORD_HEADER_BYTES + extraBytes)
  record.set(salt, 0)
  record.writeUIntLE(stamp.sequence, 8, 6)
  record.writeUIntLE(stamp.syncedThrough, 14, 6)
  record.writeUIntLE(place.segment, 20, 6)
  record.writeUInt32LE(place.offset, 26)
  record[48] = kind
  return record
}

function sealed(record: Buffer): Buffer {
  record.writeUInt32LE(checksumOf(record), CHECKSUM_AT)
  return record
}

function checksumOf(record: Buffer): number {
  const header = crc32(record.subarray(0, CHECKSUM_AT))
  return record.length === RECORD_HEADER_BYTES ? header : crc32(record.subarray(RECORD_HEADER_BYTES), header)
}
