import type { Command } from 'commander'
import { MembraneError } from '../core/errors.ts'
import { addDataDirFlags, type DataDirFlags, keyOfArgument, withDataDir } from './data-dir.ts'
import { printJson, printText } from './print.ts'
import { onRun } from './run-command.ts'

interface RmFlags extends DataDirFlags {
  readonly all?: boolean
  readonly erase?: boolean
}

export function defineRm(command: Command): void {
  addDataDirFlags(
    command
      .description('remove fragments; exit code 1 when one was not there')
      .argument('[keys...]', 'names that were given, or keys that ls prints')
      .optionsGroup('How:')
      .option('--all', 'everything of the tenant')
      .option('--erase', 'leave no byte of it in any file: slower, what lies beside it is copied'),
  )
  onRun<RmFlags>(command, async (flags, names) => {
    if ((names.length === 0) === (flags.all !== true))
      throw new MembraneError('INVALID_REQUEST', 'Give the keys to remove, or --all.')
    const removed = await withDataDir(flags, async ({ fabric, own, tenant }) => {
      if (flags.all === true && flags.erase === true) return fabric.erase(tenant)
      const keys = flags.all === true ? await allKeys(own.keys()) : names.map(keyOfArgument)
      const count = await own.remove(keys)
      if (flags.erase === true) await fabric.purge()
      return count
    })
    if (flags.json === true) printJson({ removed })
    else printText(`${removed} removed`)
    if (flags.all !== true && removed < new Set(names).size) process.exitCode = 1
  })
}

async function allKeys(all: AsyncIterable<string>): Promise<string[]> {
  const keys: string[] = []
  for await (const key of all) keys.push(key)
  return keys
}
