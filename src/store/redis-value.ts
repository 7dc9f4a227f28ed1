/**
 * One Redis value is one entry, so that a SET makes all of it visible at once:
 *
 *     0  4  "MFRG"                      24  8  number of this put, random
 *     4  1  version                     32 32  content hash
 *     5  1  algorithm of the hash       64  4  CRC-32 of the head
 *     6  2  0                           68  4  CRC-32 of bytes 0 to 67 and of the key
 *     8  4  bytes of the head           72     head, then payload
 *    12  4  bytes of the payload
 *    16  8  expiry, ms since 1970 as a double; -1 for none
 *
 * Numbers are little-endian. The number of the put tells a reader of several parts that all are of one put. The payload
 * has no sum here: its content hash is one, which the verified store checks.
 */
import { randomFillSync } from 'node:crypto'
import { crc32 } from 'node:zlib'
import { type ContentHash, contentHashAlgorithm, parseContentHash } from '../core/ids.ts'
import type { FragmentPut, StoredEntry } from '../core/ports.ts'

export const FIXED_BYTES = 72

const MAGIC = 0x4752_464d
const VERSION = 1
const ALGORITHM_CODES = { b3: 1, s256: 2 } as const

/** What the fixed part says. */
export interface ValueStart {
  readonly headBytes: number
  readonly payloadBytes: number
  readonly contentHash: ContentHash
  readonly expiresAtMs: number | null
  readonly headCrc: number
  /** All of it, to be compared with another reading: equal only if both are of one put. */
  readonly bytes: Buffer
}

/** A value but for its payload, which begins at the returned place. Its memory is not zeroed. */
export function startValue(put: FragmentPut): { readonly value: Buffer; readonly payloadStart: number } {
  const payloadStart = FIXED_BYTES + put.head.length
  const value = Buffer.allocUnsafeSlow(payloadStart + put.payloadBytes)
  value.writeUInt32LE(MAGIC, 0)
  value[4] = VERSION
  value[5] = ALGORITHM_CODES[contentHashAlgorithm(put.contentHash)]
  value.writeUInt16LE(0, 6)
  value.writeUInt32LE(put.head.length, 8)
  value.writeUInt32LE(put.payloadBytes, 12)
  value.writeDoubleLE(put.expiresAtMs ?? -1, 16)
  randomFillSync(value, 24, 8)
  value.write(put.contentHash.slice(put.contentHash.indexOf(':') + 1), 32, 'hex')
  value.writeUInt32LE(crc32(put.head), 64)
  value.writeUInt32LE(fixedCrc(put.key, value), 68)
  value.set(put.head, FIXED_BYTES)
  return { value, payloadStart }
}

/** Null when the bytes are not the beginning of an entry under this key. */
export function readStart(key: string, bytes: Buffer): ValueStart | null {
  if (bytes.length < FIXED_BYTES || bytes.readUInt32LE(0) !== MAGIC || bytes[4] !== VERSION) return null
  if (bytes.readUInt32LE(68) !== fixedCrc(key, bytes)) return null
  const prefix = bytes[5] === ALGORITHM_CODES.b3 ? 'b3:' : 's256:'
  const expiry = bytes.readDoubleLE(16)
  return {
    headBytes: bytes.readUInt32LE(8),
    payloadBytes: bytes.readUInt32LE(12),
    contentHash: parseContentHash(prefix + bytes.toString('hex', 32, 64)),
    expiresAtMs: expiry === -1 ? null : expiry,
    headCrc: bytes.readUInt32LE(64),
    bytes: bytes.subarray(0, FIXED_BYTES),
  }
}

/** Null when the head is not the one that was put. */
export function entryOf(key: string, start: ValueStart, head: Uint8Array): StoredEntry | null {
  if (head.length !== start.headBytes || crc32(head) !== start.headCrc) return null
  const { payloadBytes, contentHash, expiresAtMs } = start
  return { key, head, payloadBytes, contentHash, expiresAtMs }
}

function fixedCrc(key: string, value: Buffer): number {
  return crc32(key, crc32(value.subarray(0, 68)))
}
