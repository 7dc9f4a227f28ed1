import { type FileHandle, open } from 'node:fs/promises'
import { Readable } from 'node:stream'
import type { Command } from 'commander'
import { MembraneError } from '../core/errors.ts'
import { readArchive } from './archive-read.ts'
import { addBoundFlags } from './data-dir.ts'
import { addPlaceFlags, type PlaceFlags, withNewPlace } from './place.ts'
import { printJson, printText } from './print.ts'
import { counted, showBytes } from './progress.ts'
import { onRun } from './run-command.ts'
import { bytesText, fragmentsText } from './units.ts'

export function defineImport(command: Command): void {
  addPlaceFlags(
    command
      .description('read fragments from a tar file that export wrote, each verified')
      .argument('<file>', 'the archive; - for standard input'),
  )
  addBoundFlags(command)
  onRun<PlaceFlags>(command, async (flags, [path]) => {
    if (path === undefined) throw new MembraneError('INVALID_REQUEST', 'An archive is needed, or - for standard input.')
    const file = path === '-' ? null : await openArchive(path)
    const counts = await withNewPlace(flags, async ({ own }) => {
      const progress = showBytes('reading', file === null ? null : (await file.stat()).size)
      const pieces = counted(file?.createReadStream() ?? process.stdin, progress)
      return readArchive(Readable.from(pieces, { objectMode: false }), own, Date.now())
    }).finally(() => file?.close())
    if (flags.json === true) {
      printJson(counts)
      return
    }
    const { fragments, payloadBytes, stored, present, refused, expired } = counts
    const parts = [`${stored} stored`, `${present} there before`, `${refused} refused`, `${expired} expired`]
    printText(
      `${fragmentsText(fragments)}, ${bytesText(payloadBytes)}: ${parts.filter((part) => !part.startsWith('0 ')).join(', ')}`,
    )
  })
}

/** Before a data directory is made for it. Throws FILE_UNREADABLE. */
async function openArchive(path: string): Promise<FileHandle> {
  try {
    const file = await open(path)
    if (!(await file.stat()).isDirectory()) return file
    await file.close()
  } catch (error) {
    throw unreadable(path, error instanceof Error && 'code' in error ? String(error.code) : String(error), error)
  }
  throw unreadable(path, 'a directory', null)
}

function unreadable(path: string, reason: string, cause: unknown): MembraneError {
  return new MembraneError('FILE_UNREADABLE', `${path} cannot be read (${reason}).`, { cause, details: { path } })
}
