import type { Command } from 'commander'
import { MembraneError } from '../core/errors.ts'
import { printJson, printText } from './print.ts'
import { printConfigIfAsked } from './print-config.ts'
import { refuseGiven } from './refused-flags.ts'
import { type GlobalFlags, onRun } from './run-command.ts'
import { addScenarioFlags, type ScenarioFlags } from './scenario-flags.ts'
import { loadScenario } from './scenario-load.ts'

interface ConfigFlags extends ScenarioFlags, GlobalFlags {
  readonly schema?: string
  readonly show?: boolean
  readonly check?: boolean
}

export function defineConfig(command: Command): void {
  addScenarioFlags(
    command.description('the effective configuration of a scenario or of a server, or the JSON Schemas of both'),
  )
    .optionsGroup('Server:')
    .option('--show', 'print every setting of `membrane serve` and where it came from: environment, --config, default')
    .option('--check', 'check the settings of `membrane serve` and the files that they name, and print what stands out')
    .optionsGroup('Schemas:')
    .option(
      '--schema <name>',
      'print the JSON Schema of config, credentials, profile, server, simulation or trace-line',
    )
  onRun<ConfigFlags>(command, async (flags) => {
    if (flags.show === true || flags.check === true) {
      await showServerConfig(command, flags)
      return
    }
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

/** A scenario and a server share no setting but the name of the flag for their file. */
async function showServerConfig(command: Command, flags: ConfigFlags): Promise<void> {
  const { config, json, check } = flags
  const scenarioFlags = command.options.map((option) => option.attributeName() as keyof ConfigFlags)
  const others = scenarioFlags.filter((name) => !['config', 'show', 'check'].includes(name))
  refuseGiven(flags, others, 'is of scenarios, and does not go with --show or --check')
  const [{ loadServerConfig }, { printServerConfig }] = await Promise.all([
    import('./server-config-load.ts'),
    import('./server-config-print.ts'),
  ])
  const effective = await loadServerConfig(config === undefined ? {} : { config }, process.env)
  if (check !== true) {
    printServerConfig(effective, { json: json === true })
    return
  }
  const { checkServerConfig } = await import('./server-config-check.ts')
  await checkServerConfig(effective, { json: json === true })
}
