/** Every RESP command that this node knows, and how one is found. */
import { shown, wordOf } from './resp-arguments.ts'
import { CLIENT_COMMANDS } from './resp-client.ts'
import type { RespArgs, RespCommand, RespCommandTable } from './resp-command.ts'
import { CONNECTION_COMMANDS } from './resp-connections.ts'
import { EXPIRY_COMMANDS } from './resp-expiry.ts'
import { CONFIG_COMMANDS, SERVER_COMMANDS } from './resp-information.ts'
import { KEY_COMMANDS, MEMORY_COMMANDS } from './resp-keys.ts'
import { STRING_COMMANDS } from './resp-strings.ts'
import { describeCommands } from './resp-describe.ts'
import { CLUSTER_COMMANDS } from './resp-cluster.ts'

const COMMANDS = new Map<string, RespCommand>()
/** Commands that only say which of their parts is meant. */
const CONTAINERS = new Map<string, RespCommandTable>([
  ['client', CLIENT_COMMANDS],
  ['config', CONFIG_COMMANDS],
  ['memory', MEMORY_COMMANDS],
  ['cluster', CLUSTER_COMMANDS],
  ['command', describeCommands(COMMANDS)],
])

for (const table of [CONNECTION_COMMANDS, STRING_COMMANDS, KEY_COMMANDS, EXPIRY_COMMANDS, SERVER_COMMANDS])
  for (const [name, command] of Object.entries(table)) COMMANDS.set(name, command)
for (const [container, table] of CONTAINERS)
  for (const [name, command] of Object.entries(table))
    COMMANDS.set(name === '' ? container : `${container}|${name}`, command)

export type FoundCommand =
  | { readonly kind: 'found'; readonly name: string; readonly command: RespCommand }
  | { readonly kind: 'refused'; readonly text: string }
  /** Whoever sends it does not know what it speaks to: nothing that follows it may be carried out. */
  | { readonly kind: 'foreign'; readonly text: string }

/** What begins a request of HTTP, and a line of every one: a page in a browser can send both to any port. */
const WORDS_OF_HTTP = new Set(['post', 'host:'])

/** HOT: once for every command. What is refused is refused in Redis's words. */
export function findCommand(word: string, args: RespArgs): FoundCommand {
  let name = word
  let command = COMMANDS.get(name)
  if (CONTAINERS.has(word) && args.length > 1) {
    const part = args[1] as Uint8Array
    name = `${word}|${wordOf(part)}`
    command = COMMANDS.get(name)
    if (command === undefined)
      return refused(`ERR unknown subcommand '${shown(part)}'. Try ${word.toUpperCase()} HELP.`)
  }
  if (command === undefined && WORDS_OF_HTTP.has(word))
    return { kind: 'foreign', text: 'ERR this port speaks RESP, not HTTP' }
  if (command === undefined) return refused(CONTAINERS.has(word) ? wrongNumber(word) : unknown(args))
  const { arity } = command
  if (arity >= 0 ? args.length !== arity : args.length < -arity) return refused(wrongNumber(name))
  return { kind: 'found', name, command }
}

function unknown(args: RespArgs): string {
  let beginning = ''
  for (let index = 1; index < args.length && beginning.length < 128; index++)
    beginning += `'${shown(args[index] as Uint8Array, 128 - beginning.length)}' `
  return `ERR unknown command '${shown(args[0] ?? new Uint8Array(0))}', with args beginning with: ${beginning}`
}

function wrongNumber(name: string): string {
  return `ERR wrong number of arguments for '${name}' command`
}

function refused(text: string): FoundCommand {
  return { kind: 'refused', text }
}
