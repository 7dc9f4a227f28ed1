import type { Command } from 'commander'
import { keyOfArgument } from './data-dir.ts'
import { addPlaceFlags, type PlaceFlags, withPlace } from './place.ts'
import { bad, good, printJson, printText } from './print.ts'
import { onRun } from './run-command.ts'

export function defineHas(command: Command): void {
  addPlaceFlags(
    command
      .description('whether fragments are there; exit code 1 when one is missing')
      .argument('<keys...>', 'names that were given, or keys that ls prints'),
  )
  onRun<PlaceFlags>(command, async (flags, names) => {
    const answers = await withPlace(flags, ({ own }) => own.has(names.map(keyOfArgument)))
    const found = names.map((name, index) => ({ key: name, isThere: answers[index] === true }))
    if (flags.json === true) printJson(found)
    else for (const { key, isThere } of found) printText(`${isThere ? good('yes') : bad('no ')}  ${key}`)
    if (found.some(({ isThere }) => !isThere)) process.exitCode = 1
  })
}
