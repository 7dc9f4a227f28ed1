import { createReadStream } from 'node:fs'
import type { Command } from 'commander'
import { MembraneError } from '../core/errors.ts'
import { readArchive } from './archive-read.ts'
import { addBoundFlags, addDataDirFlags, type DataDirFlags, withNewDataDir } from './data-dir.ts'
import { printJson, printText } from './print.ts'
import { onRun } from './run-command.ts'
import { bytesText } from './units.ts'

export function defineImport(command: Command): void {
  addDataDirFlags(
    command
      .description('read fragments from a tar file that export wrote, each verified')
      .argument('<file>', 'the archive; - for standard input'),
  )
  addBoundFlags(command)
  onRun<DataDirFlags>(command, async (flags, [path]) => {
    if (path === undefined) throw new MembraneError('INVALID_REQUEST', 'An archive is needed, or - for standard input.')
    const source = path === '-' ? process.stdin : createReadStream(path)
    const counts = await withNewDataDir(flags, ({ own }) => readArchive(source, own, Date.now()))
    if (flags.json === true) {
      printJson(counts)
      return
    }
    const { fragments, payloadBytes, stored, present, refused, expired } = counts
    const parts = [`${stored} stored`, `${present} there before`, `${refused} refused`, `${expired} expired`]
    printText(
      `${fragments} fragments, ${bytesText(payloadBytes)}: ${parts.filter((part) => !part.startsWith('0 ')).join(', ')}`,
    )
  })
}
