/**
 * The indices as bytes, for a fast start: fragments without reading the store, and the edges that no description says.
 * What other nodes hold is not in it (they say it again), nor are sessions.
 *
 *     8 bytes   "membridx"
 *     4 bytes   version, little-endian, as all numbers here
 *     records   4 bytes of length, then JSON in UTF-8: the header, each fragment, each edge
 *     4 bytes   0
 *     text      the content hash of everything before it
 *
 * A snapshot that is damaged, of another version or of another state of the store is refused, and the store is read.
 */
import { assert } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import type { ContentHasher } from '../core/ports.ts'
import type { FragmentIndices } from './fragment-indices.ts'
import type { IndexedFragment, IndexEdge } from './indexed-fragment.ts'

/** Of the layout; snapshots of another version are refused. */
export const SNAPSHOT_VERSION = 1
const MAGIC = new TextEncoder().encode('membridx')
const HEAD_BYTES = MAGIC.length + 4
const DIGEST_DIGITS = 64
const PIECE_BYTES = 256 * 1024

/** How a snapshot is checked, and of which state of the store it is. */
export interface SnapshotOptions {
  readonly hasher: ContentHasher
  /** Names the state of the store: alike when and only when the store holds the same fragments. */
  readonly stamp: string
}

interface SnapshotHeader {
  readonly stamp: string
  readonly fragments: number
  readonly edges: number
}

/** Whether a snapshot was taken, and if not, why. */
export type SnapshotOutcome =
  | { readonly kind: 'restored'; readonly fragments: number; readonly edges: number }
  | { readonly kind: 'refused'; readonly reason: SnapshotRefusal }

/** `damaged`: not what was written. `version`: of another format. `stale`: of another state of the store. */
export type SnapshotRefusal = 'damaged' | 'version' | 'stale'

/** Pieces of some 256 KiB, in order, each a fresh array. The indices must not change until the last. */
export function* encodeSnapshot(
  indices: FragmentIndices,
  { hasher, stamp }: SnapshotOptions,
): Generator<Uint8Array, void> {
  const running = hasher.start()
  const edges = [...indices.recordedEdges()]
  const header: SnapshotHeader = { stamp, fragments: indices.count, edges: edges.length }
  const start = new Uint8Array(HEAD_BYTES)
  start.set(MAGIC)
  new DataView(start.buffer).setUint32(MAGIC.length, SNAPSHOT_VERSION, true)
  let piece: Uint8Array[] = [start]
  let pieceBytes = HEAD_BYTES
  const records = function* (): Generator<Uint8Array, void> {
    yield recordOf(header)
    for (const fragment of indices.fragments()) yield recordOf(fragment)
    for (const edge of edges) yield recordOf(edge)
    yield new Uint8Array(4)
  }
  for (const record of records()) {
    piece.push(record)
    pieceBytes += record.length
    if (pieceBytes < PIECE_BYTES) continue
    yield joined(piece, running)
    piece = []
    pieceBytes = 0
  }
  yield joined(piece, running)
  yield new TextEncoder().encode(running.contentHash())
}

/**
 * Fills indices that know no fragment yet. With a null stamp any state of the store is taken, and `rebuildIndices` has
 * to bring them into step. Throws LIMIT_REACHED where `insert` does; refused snapshots change nothing.
 */
export function restoreSnapshot(
  indices: FragmentIndices,
  bytes: Uint8Array,
  { hasher, stamp }: { readonly hasher: ContentHasher; readonly stamp: string | null },
): SnapshotOutcome {
  assert(indices.count === 0, 'a snapshot is for indices that know nothing yet')
  const refused = (reason: SnapshotRefusal): SnapshotOutcome => ({ kind: 'refused', reason })
  const end = bytes.length - hasher.algorithm.length - ':'.length - DIGEST_DIGITS
  if (end < HEAD_BYTES || !startsWith(bytes, MAGIC)) return refused('damaged')
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (view.getUint32(MAGIC.length, true) !== SNAPSHOT_VERSION) return refused('version')
  if (new TextDecoder().decode(bytes.subarray(end)) !== hasher.hash(bytes.subarray(0, end))) return refused('damaged')
  // What the digest vouches for was written by `encodeSnapshot`.
  const records = readRecords(bytes.subarray(0, end))
  const header = records.next().value as SnapshotHeader
  if (stamp !== null && header.stamp !== stamp) return refused('stale')
  for (let fragment = 0; fragment < header.fragments; fragment++)
    indices.insert(records.next().value as IndexedFragment)
  for (let edge = 0; edge < header.edges; edge++) indices.recordEdge(records.next().value as IndexEdge)
  return { kind: 'restored', fragments: header.fragments, edges: header.edges }
}

function* readRecords(bytes: Uint8Array): Generator<unknown, undefined> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const decoder = new TextDecoder()
  for (let at = HEAD_BYTES; ; ) {
    const length = view.getUint32(at, true)
    if (length === 0) return
    yield JSON.parse(decoder.decode(bytes.subarray(at + 4, at + 4 + length)))
    at += 4 + length
  }
}

function recordOf(value: SnapshotHeader | IndexedFragment | IndexEdge): Uint8Array {
  const text = new TextEncoder().encode(JSON.stringify(value))
  assert(text.length < LIMITS.payloadBytesMax, 'a description is far shorter than a payload')
  const record = new Uint8Array(4 + text.length)
  new DataView(record.buffer).setUint32(0, text.length, true)
  record.set(text, 4)
  return record
}

function joined(pieces: readonly Uint8Array[], running: { update(piece: Uint8Array): void }): Uint8Array {
  const all = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0))
  let at = 0
  for (const piece of pieces) {
    all.set(piece, at)
    at += piece.length
  }
  running.update(all)
  return all
}

function startsWith(bytes: Uint8Array, start: Uint8Array): boolean {
  return bytes.length >= start.length && start.every((byte, index) => bytes[index] === byte)
}
