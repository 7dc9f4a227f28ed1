/** The flags of `membrane serve`, made from the one table of its settings. */
import { type Command, Option } from 'commander'
import { z } from 'zod'
import { type ConfigLayer, type GivenValue } from '../api/server-layers.ts'
import { SERVER_OPTION_NAMES, valueOfText } from '../api/server-names.ts'
import {
  DEFAULT_SERVER_CONFIG,
  SERVER_CONFIG_KEYS,
  type ServerConfigKey,
  serverConfigSchema,
} from '../api/server-schema.ts'
import { MembraneError } from '../core/errors.ts'
import type { GlobalFlags } from './run-command.ts'

/** What commander makes of the flags: those of the table under the names that commander gives them. */
export interface ServeFlags extends GlobalFlags {
  /** A configuration file, YAML or JSON; MEMBRANE_CONFIG otherwise. */
  readonly config?: string
  readonly printConfig?: boolean
  readonly interactive?: boolean
  /** Without a dashboard, which is what `serve` is anyway. */
  readonly daemon?: boolean
  readonly apiKey?: string | true
  readonly [flag: string]: unknown
}

/** Headings of the help, each before the settings from its first one on. */
const HEADINGS: Partial<Record<ServerConfigKey, string>> = {
  nodeId: 'Doors:',
  store: 'Memory:',
  compute: 'Model:',
  leaseSeconds: 'Limits:',
  tlsCertFile: 'Security:',
  drainSeconds: 'Running:',
  cluster: 'Cluster:',
}

/** Adds the flags; `layerOfFlags` reads them. */
export function addServeFlags(command: Command): Command {
  command
    .option('--config <file>', 'settings from a file, YAML or JSON (or MEMBRANE_CONFIG)')
    .option('--print-config', 'print every setting, where it came from, and stop')
    .option('-i, --interactive', 'ask for the settings first')
    .option('-d, --daemon', 'stay in the foreground without a dashboard, as always')
    // Known only to be refused with a sentence that does not repeat it.
    .addOption(new Option('--api-key [key]').hideHelp())
  for (const key of SERVER_CONFIG_KEYS) {
    const heading = HEADINGS[key]
    if (heading !== undefined) command.optionsGroup(heading)
    for (const option of optionsOf(key)) command.addOption(option)
  }
  return command
    .optionsGroup('Other:')
    .addHelpText(
      'after',
      '\nEach flag is a variable too: --max-memory is MEMBRANE_MAX_MEMORY. In a file, settings are called as' +
        '\n`membrane config --show` prints them. Flags win over variables, those over the file.',
    )
}

function optionsOf(key: ServerConfigKey): readonly Option[] {
  const { flag, letter, placeholder, kind } = SERVER_OPTION_NAMES[key]
  if (flag === null) return []
  const names = letter === undefined ? flag : `${letter}, ${flag}`
  const help = `${serverConfigSchema.shape[key].description?.replace(/\.$/, '')}${defaultText(key)}`
  if (kind === 'boolean') return [new Option(names, help), new Option(flag.replace('--', '--no-'), 'not so')]
  const option = new Option(`${names} <${placeholder}>`, help)
  if (kind !== 'list') return [option]
  return [option.argParser((text: string, before: readonly string[] | undefined) => [...(before ?? []), text])]
}

/** What may be chosen, and what holds unless something is. */
function defaultText(key: ServerConfigKey): string {
  const value = DEFAULT_SERVER_CONFIG[key]
  const choices = choicesOf(key)
  const unless = value === null || typeof value === 'object' ? [] : [`default ${valueText(key, value)}`]
  const parts = choices.length === 0 ? unless : [choices.join(', '), ...unless]
  return parts.length === 0 ? '' : ` (${parts.join('; ')})`
}

function choicesOf(key: ServerConfigKey): readonly string[] {
  const field = serverConfigSchema.shape[key]
  return 'unwrap' in field && field.unwrap() instanceof z.ZodEnum
    ? (field.unwrap() as z.ZodEnum).options.map(String)
    : []
}

function valueText(key: ServerConfigKey, value: string | number | boolean): string {
  if (typeof value === 'number' && key.endsWith('BytesMax')) return `${value / 1024 ** 2} MiB`
  return `${value}${key.endsWith('Seconds') ? ' s' : ''}`
}

/** What the flags give. Throws INVALID_REQUEST for a key on the command line, and does not repeat it. */
export function layerOfFlags(flags: ServeFlags): ConfigLayer {
  if (flags.apiKey !== undefined)
    throw new MembraneError('INVALID_REQUEST', '--api-key: a key here is seen by everybody on this machine.', {
      remedy: 'Give it in MEMBRANE_LLM_API_KEY, or name its file with --llm-key-file.',
      details: { flag: '--api-key' },
    })
  const values = new Map<string, GivenValue>()
  for (const key of SERVER_CONFIG_KEYS) {
    const [option] = optionsOf(key)
    const given = option === undefined ? undefined : flags[option.attributeName()]
    if (given === undefined) continue
    values.set(key, { value: valueOfFlag(key, given), origin: `flag ${SERVER_OPTION_NAMES[key].flag}` })
  }
  return { kind: 'flags', values }
}

function valueOfFlag(key: ServerConfigKey, given: unknown): unknown {
  if (typeof given === 'string') return valueOfText(key, given)
  return Array.isArray(given) ? given.flatMap((text) => valueOfText(key, String(text))) : given
}
