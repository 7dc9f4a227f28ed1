/** The file FORMAT: which version of the layout a data directory has, and its salt. */
import { crc32 } from 'node:zlib'
import { MembraneError } from '../core/errors.ts'
import { type Files, readWhole, replaceWhole } from './files.ts'
import { SALT_BYTES, saltOfFirstRecord } from './record.ts'
import { parseSegmentName, segmentPath, SEGMENTS_DIRECTORY } from './segment.ts'

/** Raised when an older version could not read what this one writes. */
const VERSION = 1
const PATH = 'FORMAT'
/** What else may lie in a directory that holds no store yet: see the lock, the reserve and quarantines. */
const KNOWN_NAMES = new Set([
  'FORMAT',
  'FORMAT.new',
  'LOCK',
  'LOCK-journal',
  'HOLDER',
  'reserve',
  'quarantine',
  'segments',
])
const SEGMENTS_TRIED_MAX = 1000

export interface DiskFormat {
  readonly salt: Uint8Array
  /** The file was damaged or gone, and has been written anew from what the segments say. */
  readonly wasRepaired: boolean
}

/** Throws FILE_UNREADABLE when the directory holds something else. Before anything is written to it. */
export function refuseForeignDirectory(files: Files): void {
  const names = files.list('.')
  if (names.includes(PATH) || names.includes(SEGMENTS_DIRECTORY)) return
  const foreign = names.find((name) => !KNOWN_NAMES.has(name) && name !== 'lost+found')
  if (foreign === undefined) return
  throw new MembraneError(
    'FILE_UNREADABLE',
    `${files.root} is not a store and not empty: it holds ${JSON.stringify(foreign)}.`,
    { remedy: 'Name an empty directory, or one that does not exist yet.', details: { directory: files.root, foreign } },
  )
}

/** Throws STORE_FORMAT when another version wrote it. `newSalt` is for a directory that has none. */
export async function readFormat(files: Files, newSalt: Uint8Array): Promise<DiskFormat> {
  const text = Buffer.from(readWhole(files, PATH) ?? []).toString('latin1')
  const body = text.slice(0, -9)
  const isWhole = text.endsWith('\n') && text.slice(-9, -1) === checksumText(body)
  const version = isWhole ? /^membrane-disk ([0-9]+) /.exec(body)?.[1] : undefined
  if (version === undefined) return repair(files, newSalt, text.length > 0)
  if (Number(version) !== VERSION) {
    throw new MembraneError(
      'STORE_FORMAT',
      `${files.root} has format ${version} of the disk store, and this version of membrane reads format ${VERSION}.`,
      {
        remedy: Number(version) > VERSION ? 'Use a newer version of membrane.' : 'Use the version that wrote it.',
        details: { directory: files.root, found: Number(version), expected: VERSION },
      },
    )
  }
  const salt = Uint8Array.from(Buffer.from(body.split(' ')[2] ?? '', 'hex'))
  return salt.length === SALT_BYTES ? { salt, wasRepaired: false } : repair(files, newSalt, true)
}

async function repair(files: Files, newSalt: Uint8Array, isDamaged: boolean): Promise<DiskFormat> {
  const names = files.list(SEGMENTS_DIRECTORY)
  const salt = saltOfSegments(files, names)
  const body = `membrane-disk ${VERSION} ${Buffer.from(salt ?? newSalt).toString('hex')} `
  await replaceWhole(files, PATH, [Buffer.from(`${body}${checksumText(body)}\n`)])
  return { salt: salt ?? newSalt, wasRepaired: isDamaged || salt !== null }
}

function saltOfSegments(files: Files, names: readonly string[]): Uint8Array | null {
  for (const name of names.slice(0, SEGMENTS_TRIED_MAX)) {
    const parsed = parseSegmentName(name)
    if (parsed === null || parsed.isStaged) continue
    const file = files.open(segmentPath(parsed.id), 'write')
    try {
      const start = Buffer.alloc(128 * 1024)
      const salt = saltOfFirstRecord(start.subarray(0, file.read([start], 0)), parsed.id)
      if (salt !== null) return salt
    } finally {
      file.close()
    }
  }
  return null
}

function checksumText(body: string): string {
  return crc32(body).toString(16).padStart(8, '0')
}
