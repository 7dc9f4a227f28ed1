import type { Command } from 'commander'
import { MembraneError } from '../core/errors.ts'
import { keyOfArgument } from './data-dir.ts'
import { addPlaceFlags, type Place, type PlaceFlags, withPlace } from './place.ts'
import { printJson, printText } from './print.ts'
import { onRun } from './run-command.ts'

interface RmFlags extends PlaceFlags {
  readonly all?: boolean
  readonly erase?: boolean
}

export function defineRm(command: Command): void {
  addPlaceFlags(
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
    const removed = await withPlace(flags, async (place) => {
      if (flags.all === true && flags.erase === true) return eraseAll(place)
      const keys = flags.all === true ? await allKeys(place.own.keys()) : names.map(keyOfArgument)
      const count = await place.own.remove(keys)
      if (flags.erase === true) await purge(place)
      return count
    })
    if (flags.json === true) printJson({ removed })
    else printText(`${removed} removed`)
    if (flags.all !== true && removed < new Set(names).size) process.exitCode = 1
  })
}

async function eraseAll(place: Place): Promise<number> {
  if (place.kind === 'directory') return place.opened.fabric.erase(place.opened.tenant)
  const { admin } = place.client
  return admin.erase((await admin.usage()).tenant)
}

async function purge(place: Place): Promise<void> {
  await (place.kind === 'directory' ? place.opened.fabric.purge() : place.client.admin.purge())
}

async function allKeys(all: AsyncIterable<string>): Promise<string[]> {
  const keys: string[] = []
  for await (const key of all) keys.push(key)
  return keys
}
