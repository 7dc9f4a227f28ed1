import type { Command } from 'commander'
import { MembraneError } from '../core/errors.ts'
import { writeArchive } from './archive-write.ts'
import { addDataDirFlags, type DataDirFlags, keyOfArgument, withDataDir } from './data-dir.ts'
import { checkOutputs } from './output-file.ts'
import { printJson, printNotes } from './print.ts'
import { onRun } from './run-command.ts'
import { bytesText, fragmentsText } from './units.ts'
import { writeWhole } from './whole-file.ts'

interface ExportFlags extends DataDirFlags {
  readonly out?: string
}

export function defineExport(command: Command): void {
  addDataDirFlags(
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
    const counts = await withDataDir(flags, async ({ own }) => {
      const keys = names.length === 0 ? null : names.map(keyOfArgument)
      const isThere = keys === null ? [] : await own.has(keys)
      const missing = names.filter((_, index) => isThere[index] !== true)
      if (keys !== null && missing.length > 0)
        throw new MembraneError(
          'NOT_FOUND',
          `Nothing is stored under ${missing.map((name) => JSON.stringify(name)).join(', ')}.`,
        )
      if (out === '-') return writeArchive(own, keys, process.stdout)
      return writeWhole({ flag: '--out', path: out }, (target) => writeArchive(own, keys, target))
    })
    const said = `${fragmentsText(counts.fragments)}, ${bytesText(counts.payloadBytes)}`
    if (flags.json === true && out !== '-') printJson({ ...counts, out })
    else printNotes([out === '-' ? said : `wrote ${out}: ${said}`])
  })
}
