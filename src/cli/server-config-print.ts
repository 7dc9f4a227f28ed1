/** Every setting of a server, with where it came from; secrets only as being there. */
import { DEFAULT_ORIGIN, type EffectiveServerConfig } from '../api/merge-server-config.ts'
import { SERVER_CONFIG_KEYS } from '../api/server-schema.ts'
import { Secret, SECRET_MARK } from '../core/secret.ts'
import { dim, printJson, printNotes, printText } from './print.ts'
import { printable } from './printable.ts'
import type { GlobalFlags } from './run-command.ts'

/** As YAML that `--config` takes, with the origins as comments; or as JSON. Notes go to standard error. */
export function printServerConfig({ config, origins, notes }: EffectiveServerConfig, { json }: GlobalFlags): void {
  if (json === true) {
    const settings = SERVER_CONFIG_KEYS.map((key) => [key, { value: config[key], from: origins[key] }])
    printJson({ settings: Object.fromEntries(settings), notes })
    return
  }
  const lines = SERVER_CONFIG_KEYS.map((key) => {
    const value = config[key]
    const from = printable(origins[key])
    // Not a line that could be read again: the secret is where it was, and nowhere else.
    if (value instanceof Secret) return { text: `# ${key}:`, comment: `${SECRET_MARK.slice(0, -1)}, from ${from})` }
    return { text: `${key}: ${yamlText(value)}`, comment: `# ${from}` }
  })
  const width = Math.max(...lines.filter(({ text }) => text.length < 60).map(({ text }) => text.length))
  for (const { text, comment } of lines)
    printText(
      comment === `# ${DEFAULT_ORIGIN}`
        ? dim(`${text.padEnd(width)}  ${comment}`)
        : `${text.padEnd(width)}  ${comment}`,
    )
  printNotes(notes.map(printable))
}

/** One line that YAML reads as the same value: JSON, or the plain word where that is the same. */
function yamlText(value: unknown): string {
  return typeof value === 'string' && /^[A-Za-z/][A-Za-z0-9._/-]*$/.test(value) && !RESERVED.test(value)
    ? value
    : JSON.stringify(value)
}

/** Words that YAML, of one version or another, does not read as text. */
const RESERVED = /^(?:null|true|false|yes|no|on|off|y|n)$/i
