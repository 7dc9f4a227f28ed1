import type { Config } from '../api/config-schema.ts'
import { printJson, printText } from './print.ts'
import type { GlobalFlags } from './run-command.ts'
import type { ScenarioFlags } from './scenario-flags.ts'

/** Prints what a command would use, in a form that `--config` takes; true when that was all that was asked. */
export async function printConfigIfAsked(config: Config, flags: ScenarioFlags & GlobalFlags): Promise<boolean> {
  if (flags.printConfig !== true) return false
  if (flags.json === true) {
    printJson(config)
  } else {
    const { stringify } = await import('./yaml.ts')
    printText(stringify(JSON.parse(JSON.stringify(config))).trimEnd())
  }
  return true
}
