import type { Command } from 'commander'
import { MembraneError } from '../core/errors.ts'
import { printJson, printText } from './print.ts'
import { printConfigIfAsked } from './print-config.ts'
import { type GlobalFlags, onRun } from './run-command.ts'
import { addScenarioFlags, type ScenarioFlags } from './scenario-flags.ts'
import { loadScenario } from './scenario-load.ts'

interface ConfigFlags extends ScenarioFlags, GlobalFlags {
  readonly schema?: string
}

export function defineConfig(command: Command): void {
  addScenarioFlags(
    command.description('the effective configuration, or the JSON Schema of what can be configured'),
  ).option('--schema <name>', 'print the JSON Schema of config, profile, simulation or trace-line')
  onRun<ConfigFlags>(command, async (flags) => {
    if (flags.schema === undefined) {
      await printConfigIfAsked((await loadScenario(flags)).config, { ...flags, printConfig: true })
      return
    }
    const { jsonSchema, SCHEMA_NAMES } = await import('../api/json-schemas.ts')
    const name = SCHEMA_NAMES.find((known) => known === flags.schema)
    if (name === undefined) {
      throw new MembraneError('INVALID_REQUEST', `There is no schema "${flags.schema}".`, {
        remedy: `Choose one of ${SCHEMA_NAMES.join(', ')}.`,
      })
    }
    if (flags.json === true) printJson(jsonSchema(name))
    else printText(JSON.stringify(jsonSchema(name), null, 2))
  })
}
