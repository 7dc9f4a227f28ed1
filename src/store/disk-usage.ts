/** Bytes of a data directory that no record accounts for. */
import { errorCodeOf, type Files } from './files.ts'
import type { SegmentLog } from './segment-log.ts'
import { parseSegmentName, SEGMENTS_DIRECTORY, type SegmentTable } from './segment.ts'

/** Of files among the segments that nobody knows or is about to finish, and of what lies behind the records of those it knows. */
export function orphanBytesOf(files: Files, table: SegmentTable, log: SegmentLog): number {
  let bytes = 0
  for (const name of files.list(SEGMENTS_DIRECTORY)) {
    const parsed = parseSegmentName(name)
    if (parsed !== null && log.isUnfinished(parsed.id)) continue
    const known = parsed === null || parsed.isStaged ? undefined : table.get(parsed.id)
    bytes += Math.max(0, sizeOf(files, `${SEGMENTS_DIRECTORY}/${name}`) - (known?.bytes ?? 0))
  }
  return bytes
}

function sizeOf(files: Files, path: string): number {
  try {
    const file = files.open(path, 'write')
    try {
      return file.size()
    } finally {
      file.close()
    }
  } catch (error) {
    // Deleted meanwhile, or a directory.
    if (['ENOENT', 'EISDIR'].includes(errorCodeOf(error))) return 0
    throw error
  }
}
