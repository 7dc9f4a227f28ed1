/** Erasing: afterwards no file of the data directory holds a byte of what was put under some keys. */
import type { StoreFile } from './files.ts'
import type { SegmentFiles } from './segment-files.ts'
import { scanSegment } from './segment-scan.ts'
import { deadBytesOf, type Segment, type SegmentTable } from './segment.ts'

/**
 * Shared segments that hold, or may hold, a put under one of the keys that is no longer live: also from before it was
 * replaced, removed or copied. Where no record can be read, anything may lie.
 */
export function segmentsToErase(
  table: SegmentTable,
  segmentFiles: SegmentFiles,
  salt: Uint8Array,
  keys: ReadonlySet<string>,
): Segment[] {
  const shared = [...table.kept()].filter((segment) => !segment.isOwn && deadBytesOf(segment) > 0)
  return shared.filter((segment) => segmentFiles.use(segment.id, (file) => holdsAny(file, segment, salt, keys)))
}

function holdsAny(file: StoreFile, { id, bytes }: Segment, salt: Uint8Array, keys: ReadonlySet<string>): boolean {
  for (const scanned of scanSegment(file, { segment: id, salt, start: 0, end: bytes })) {
    if (scanned.kind === 'gap' || (scanned.kind === 'put' && keys.has(scanned.key))) return true
  }
  return false
}
