import type { Command } from 'commander'
import { MembraneError } from '../core/errors.ts'
import { writeArchive } from './archive-write.ts'
import { keyOfArgument } from './data-dir.ts'
import { checkOutputs } from './output-file.ts'
import { addPlaceFlags, type PlaceFlags, withPlace } from './place.ts'
import { printJson, printNotes } from './print.ts'
import { showBytes } from './progress.ts'
import { onRun } from './run-command.ts'
import { bytesText, fragmentsText } from './units.ts'
import { writeWhole } from './whole-file.ts'

interface ExportFlags extends PlaceFlags {
  readonly out?: string
}

export function defineExport(command: Command): void {
  addPlaceFlags(
    command
      .description('write fragments to a tar file that import reads')
      .argument('[keys...]', 'which (default: all of the tenant)')
      .optionsGroup('Output:')
      .requiredOption('--out <file>', 'the archive; - for standard output'),
  )
  onRun<ExportFlags>(command, async (flags, names) => {
    const { out = '-' } = flags
    if (out === '-' && process.stdout.isTTY)
      throw new MembraneError('INVALID_REQUEST', 'The archive would go to the terminal.', {
        remedy: 'Give --out FILE.',
      })
    if (out !== '-') await checkOutputs([{ flag: '--out', path: out }])
    const counts = await withPlace(flags, async ({ own }) => {
      const keys = names.length === 0 ? null : names.map(keyOfArgument)
      const isThere = keys === null ? [] : await own.has(keys)
      const missing = names.filter((_, index) => isThere[index] !== true)
      if (keys !== null && missing.length > 0)
        throw new MembraneError(
          'NOT_FOUND',
          `Nothing is stored under ${missing.map((name) => JSON.stringify(name)).join(', ')}.`,
        )
      if (out === '-') return writeArchive(own, keys, process.stdout, (totalBytes) => showBytes('writing', totalBytes))
      return writeWhole({ flag: '--out', path: out }, (target) =>
        writeArchive(own, keys, target, (totalBytes) => showBytes('writing', totalBytes)),
      )
    })
    const said = `${fragmentsText(counts.fragments)}, ${bytesText(counts.payloadBytes)}`
    if (flags.json === true && out !== '-') printJson({ ...counts, out })
    else printNotes([out === '-' ? said : `wrote ${out}: ${said}`])
  })
}
