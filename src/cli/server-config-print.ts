/** Every setting of a server, with where it came from; secrets only as being there. */
import { DEFAULT_ORIGIN, type EffectiveServerConfig } from '../api/merge-server-config.ts'
import { SERVER_CONFIG_KEYS } from '../api/server-schema.ts'
import { Secret, SECRET_MARK } from '../core/secret.ts'
import { dim, printJson, printNotes, printText } from './print.ts'
import { printable } from './printable.ts'
import type { GlobalFlags } from './run-command.ts'

/** Notes go to standard error. */
export function printServerConfig(effective: EffectiveServerConfig, { json }: GlobalFlags): void {
  if (json === true) {
    printJson(serverConfigJson(effective))
    return
  }
  for (const line of serverConfigLines(effective)) printText(line.endsWith(`# ${DEFAULT_ORIGIN}`) ? dim(line) : line)
  printNotes(effective.notes.map(printable))
}

/** By name: the value, and where it came from. */
export function serverConfigJson({ config, origins, notes }: EffectiveServerConfig): object {
  const settings = SERVER_CONFIG_KEYS.map((key) => [key, { value: config[key], from: origins[key] }])
  return { settings: Object.fromEntries(settings), notes }
}

/** YAML that `--config` takes, with the origins as comments. */
export function serverConfigLines({ config, origins }: EffectiveServerConfig): readonly string[] {
  const lines = SERVER_CONFIG_KEYS.map((key) => {
    const value = config[key]
    const from = printable(origins[key])
    // Not a line that could be read again: the secret is where it was, and nowhere else.
    if (value instanceof Secret) return { text: `# ${key}:`, comment: `${SECRET_MARK.slice(0, -1)}, from ${from})` }
    return { text: `${key}: ${yamlText(value)}`, comment: `# ${from}` }
  })
  const width = Math.max(...lines.filter(({ text }) => text.length < 60).map(({ text }) => text.length))
  return lines.map(({ text, comment }) => `${text.padEnd(width)}  ${comment}`)
}

/** One line that YAML reads as the same value: JSON, or the plain word where that is the same. */
function yamlText(value: unknown): string {
  return typeof value === 'string' && /^[A-Za-z/][A-Za-z0-9._/-]*$/.test(value) && !RESERVED.test(value)
    ? value
    : JSON.stringify(value)
}

/** Words that YAML, of one version or another, does not read as text. */
const RESERVED = /^(?:null|true|false|yes|no|on|off|y|n)$/i
