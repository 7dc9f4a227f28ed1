/** COMMAND: what this node knows, as clients ask it to find keys and to help with typing. */
import { RESP_NULL, type RespReply, respArray, respInteger, respText } from '../api/resp-codec-replies.ts'
import { textOf } from './resp-arguments.ts'
import type { RespArgs, RespCommand, RespCommandTable } from './resp-command.ts'
import { refuse, SYNTAX } from './resp-refusal.ts'

type Commands = ReadonlyMap<string, RespCommand>

/** `commands` may be filled later. */
export function describeCommands(commands: Commands): RespCommandTable {
  const common = { keys: [0, 0, 0], group: 'server', flags: ['loading', 'stale'] } as const
  return {
    '': {
      ...common,
      arity: -1,
      summary: 'All commands.',
      run: () => respArray(namesOf(commands).map((name) => described(commands, name))),
    },
    count: {
      ...common,
      arity: 2,
      summary: 'How many commands there are.',
      run: () => respInteger(namesOf(commands).length),
    },
    list: {
      ...common,
      arity: -2,
      summary: 'Names of all commands.',
      run: (_, args) => {
        if (args.length > 2) throw refuse(SYNTAX)
        return respArray(namesOf(commands).map(respText))
      },
    },
    info: {
      ...common,
      arity: -2,
      summary: 'Arity, flags and keys of commands.',
      run: (_, args) => respArray(asked(commands, args).map((name) => described(commands, name))),
    },
    docs: {
      ...common,
      arity: -2,
      summary: 'What commands do.',
      run: (_, args) => {
        const known = asked(commands, args).filter((name) => partsOf(commands, name).length > 0 || commands.has(name))
        return { kind: 'map', entries: known.map((name) => [respText(name), documented(commands, name)] as const) }
      },
    },
  }
}

function asked(commands: Commands, args: RespArgs): readonly string[] {
  return args.length === 2 ? namesOf(commands) : args.slice(2).map((name) => textOf(name).toLowerCase())
}

/** Without the parts of commands that have parts. */
function namesOf(commands: Commands): readonly string[] {
  return [...new Set(Array.from(commands.keys(), (name) => name.split('|', 1)[0] ?? name))].sort()
}

function partsOf(commands: Commands, name: string): readonly string[] {
  return [...commands.keys()].filter((one) => one.startsWith(`${name}|`))
}

function described(commands: Commands, name: string): RespReply {
  const parts = partsOf(commands, name)
  const command = commands.get(name)
  if (command === undefined && parts.length === 0) return RESP_NULL
  const { arity, flags, keys } = command ?? { arity: -2, flags: [], keys: [0, 0, 0] }
  return respArray([
    respText(name),
    respInteger(arity),
    { kind: 'set', items: flags.map((text) => ({ kind: 'status', text })) },
    ...keys.map(respInteger),
    { kind: 'set', items: [] },
    respArray([]),
    respArray([]),
    respArray(parts.map((part) => described(commands, part))),
  ])
}

function documented(commands: Commands, name: string): RespReply {
  const parts = partsOf(commands, name)
  const command = commands.get(name)
  const entries: (readonly [RespReply, RespReply])[] = [
    [respText('summary'), respText(command?.summary ?? `${name.toUpperCase()} and what follows it.`)],
    [respText('group'), respText(command?.group ?? 'server')],
  ]
  if (parts.length > 0) {
    const documents = parts.map((part) => [respText(part), documented(commands, part)] as const)
    entries.push([respText('subcommands'), { kind: 'map', entries: documents }])
  }
  return { kind: 'map', entries }
}
