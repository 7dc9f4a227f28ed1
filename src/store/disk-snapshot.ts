/**
 * The index as it was when the store was last closed, so that opening need not read every segment. It only saves time:
 * it is checked as a whole, ignored when anything is wrong with it, and what was written after it is read from the
 * segments. Layout: the content hash of all that follows and a line feed, then numbers and keys in the order below.
 */
import type { ContentHasher } from '../core/ports.ts'
import type { DiskEntry, DiskIndex } from './disk-index.ts'
import { type Files, readWhole, removeIfThere, replaceWhole } from './files.ts'
import { SALT_BYTES } from './record.ts'
import type { Segment } from './segment.ts'

const PATH = 'snapshot'
const VERSION = 1
const HASH_BYTES = 'b3:'.length + 64 + 1
const FIXED_BYTES = SALT_BYTES + 6 * 8
const ENTRY_BYTES = 3 * 8 + 3 * 4 + 4

export interface SnapshotSegment {
  readonly id: number
  readonly isOwn: boolean
  readonly bytes: number
  /** See Segment. */
  readonly killers: ReadonlyMap<number, number>
}

export interface Snapshot {
  readonly nextSegment: number
  /** All up to here was on the device. */
  readonly lastSequence: number
  readonly segments: ReadonlyMap<number, SnapshotSegment>
  readonly entries: number
  forEach(visit: (key: string, entry: DiskEntry) => void): void
}

export interface SnapshotSource {
  readonly salt: Uint8Array
  readonly nextSegment: number
  readonly lastSequence: number
  readonly segments: readonly Segment[]
  readonly index: DiskIndex
}

/** When all that it speaks of is on the device. */
export async function writeSnapshot(files: Files, hasher: ContentHasher, source: SnapshotSource): Promise<void> {
  const head = Buffer.from(source.salt)
  const pieces = [head, ...encodeSegments(source), ...encodeEntries(source.index)]
  const hash = hasher.start()
  for (const piece of pieces) hash.update(piece)
  await replaceWhole(files, PATH, [Buffer.from(`${hash.contentHash()}\n`), ...pieces])
}

/** Says whether there was one. */
export function removeSnapshot(files: Files): boolean {
  return removeIfThere(files, PATH)
}

/** `damaged` when there is one that is not whole. */
export function readSnapshot(files: Files, hasher: ContentHasher, salt: Uint8Array): Snapshot | 'none' | 'damaged' {
  const whole = readWhole(files, PATH)
  if (whole === null) return 'none'
  const bytes = Buffer.from(whole.buffer, whole.byteOffset, whole.byteLength)
  const body = bytes.subarray(HASH_BYTES)
  if (body.length < FIXED_BYTES || `${hasher.hash(body)}\n` !== bytes.toString('latin1', 0, HASH_BYTES))
    return 'damaged'
  if (!body.subarray(0, SALT_BYTES).equals(salt) || body.readDoubleLE(SALT_BYTES) !== VERSION) return 'damaged'
  return decode(body)
}

function encodeSegments({ nextSegment, lastSequence, segments, index }: SnapshotSource): Buffer[] {
  const numbers = [VERSION, nextSegment, lastSequence, segments.length, index.entries, 0]
  for (const { id, isOwn, bytes, killers } of segments) {
    numbers.push(id, isOwn ? 1 : 0, bytes, killers.size)
    for (const [killer, killBytes] of killers) numbers.push(killer, killBytes)
  }
  const column = Buffer.alloc(8 * numbers.length)
  for (const [at, number] of numbers.entries()) column.writeDoubleLE(number, 8 * at)
  return [column]
}

/** In pieces, since one buffer for millions of entries would have to be found at once. */
function* encodeEntries(index: DiskIndex): Generator<Buffer> {
  const pieceBytes = 1024 * 1024
  let piece = Buffer.allocUnsafe(pieceBytes)
  let at = 0
  for (let slot = 0; slot < index.slots; slot++) {
    const key = index.keyAt(slot)
    const entry = key === undefined ? null : index.get(key)
    if (key === undefined || entry === null) continue
    const keyBytes = Buffer.byteLength(key)
    if (at + ENTRY_BYTES + keyBytes > pieceBytes) {
      yield piece.subarray(0, at)
      piece = Buffer.allocUnsafe(pieceBytes)
      at = 0
    }
    at = piece.writeDoubleLE(entry.sequence, at)
    at = piece.writeDoubleLE(entry.segment, at)
    at = piece.writeDoubleLE(entry.expiresAtMs ?? Number.POSITIVE_INFINITY, at)
    at = piece.writeUInt32LE(entry.offset, at)
    at = piece.writeUInt32LE(entry.metaBytes, at)
    at = piece.writeUInt32LE(entry.payloadBytes, at)
    at = piece.writeUInt32LE(keyBytes, at)
    at += piece.write(key, at)
  }
  yield piece.subarray(0, at)
}

/** What has the right hash was written by us, so its lengths are right. */
function decode(body: Buffer): Snapshot {
  let at = SALT_BYTES + 8
  const number = (): number => {
    at += 8
    return body.readDoubleLE(at - 8)
  }
  const [nextSegment, lastSequence, segmentCount, entries] = [number(), number(), number(), number()]
  number()
  const segments = new Map<number, SnapshotSegment>()
  for (let count = 0; count < segmentCount; count++) {
    const [id, isOwn, bytes, killerCount] = [number(), number() === 1, number(), number()]
    const killers = new Map<number, number>()
    for (let killer = 0; killer < killerCount; killer++) killers.set(number(), number())
    segments.set(id, { id, isOwn, bytes, killers })
  }
  const start = at
  const forEach = (visit: (key: string, entry: DiskEntry) => void): void => {
    let entryAt = start
    while (entryAt < body.length) {
      const expiry = body.readDoubleLE(entryAt + 16)
      const keyAt = entryAt + ENTRY_BYTES
      const keyEnd = keyAt + body.readUInt32LE(entryAt + 36)
      visit(body.toString('utf8', keyAt, keyEnd), {
        sequence: body.readDoubleLE(entryAt),
        segment: body.readDoubleLE(entryAt + 8),
        offset: body.readUInt32LE(entryAt + 24),
        metaBytes: body.readUInt32LE(entryAt + 28),
        payloadBytes: body.readUInt32LE(entryAt + 32),
        expiresAtMs: expiry === Number.POSITIVE_INFINITY ? null : expiry,
      })
      entryAt = keyEnd
    }
  }
  return { nextSegment, lastSequence, segments, entries, forEach }
}
