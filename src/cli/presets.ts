import type { Command } from 'commander'
import { listPresets, presetProfiles } from '../planner/presets.ts'
import { printJson, printText, table } from './print.ts'
import { section } from './print-optimization.ts'
import { type GlobalFlags, onRun } from './run-command.ts'

export function definePresets(command: Command): void {
  command.description('the ready-made scenarios (--preset) and profiles (--remote-profile, --local-profile)')
  onRun<GlobalFlags>(command, async (flags) => {
    const [presets, profiles] = [listPresets(), presetProfiles()]
    if (flags.json === true) {
      printJson({ presets, profiles })
      return
    }
    printText(
      [
        section(
          'Scenarios',
          '--preset NAME',
          table(
            ['name', 'what it is'],
            presets.map(({ name, summary }) => [name, summary]),
          ),
        ),
        section(
          'Profiles',
          '--remote-profile, --local-profile',
          table(
            ['name', 'model', 'instance', 'origin', 'source'],
            profiles.map((p) => [p.name, p.model, p.hardware, p.origin, p.source]),
          ),
        ),
      ].join('\n\n'),
    )
  })
}
