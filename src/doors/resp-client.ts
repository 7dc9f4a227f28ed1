/** CLIENT: what a connection says of itself, and what the connections of a tenant are. */
import { RESP_NULL, RESP_OK, respInteger, respText } from '../api/resp-codec-replies.ts'
import { shown, textOf, wordOf } from './resp-arguments.ts'
import type { RespCommandTable } from './resp-command.ts'
import { refuse, SYNTAX } from './resp-refusal.ts'
import type { RespSession } from './resp-parts.ts'

const COMMON = { keys: [0, 0, 0], group: 'connection', flags: ['noscript', 'loading', 'stale'] } as const

/** Characters of a name; Redis has no bound of its own. */
const NAME_BYTES_MAX = 1024

export const CLIENT_COMMANDS: RespCommandTable = {
  id: { ...COMMON, arity: 2, summary: 'Number of this connection.', run: ({ session }) => respInteger(session.id) },
  setname: {
    ...COMMON,
    arity: 3,
    summary: 'Names this connection.',
    run: ({ session }, args) => {
      setClientName(session, args[2] as Uint8Array)
      return RESP_OK
    },
  },
  getname: {
    ...COMMON,
    arity: 2,
    summary: 'Name of this connection.',
    run: ({ session }) => (session.name === '' ? RESP_NULL : respText(session.name)),
  },
  setinfo: {
    ...COMMON,
    arity: 4,
    summary: 'Says which library the client is.',
    run: ({ session }, args) => {
      const option = wordOf(args[2] as Uint8Array)
      const value = args[3] as Uint8Array
      if (option !== 'lib-name' && option !== 'lib-ver')
        throw refuse(`ERR Unrecognized option '${shown(args[2] as Uint8Array)}'`)
      if (!isName(value)) throw refuse(`ERR ${option} cannot contain spaces, newlines or special characters.`)
      if (option === 'lib-name') session.libraryName = textOf(value)
      else session.libraryVersion = textOf(value)
      return RESP_OK
    },
  },
  info: {
    ...COMMON,
    arity: 2,
    summary: 'What is known of this connection.',
    run: ({ session }) => respText(`${lineOf(session)}\n`),
  },
  list: {
    ...COMMON,
    arity: 2,
    summary: 'The connections of the own tenant.',
    run: ({ caller, session }) => {
      const own = [...session.door.sessions.values()].filter((one) => one.caller?.tenant === caller.tenant)
      return respText(own.map((one) => `${lineOf(one)}\n`).join(''))
    },
  },
  'no-evict': {
    ...COMMON,
    arity: 3,
    summary: 'No connection is closed to make room: on and off are the same.',
    run: (_, args) => onOff(args[2] as Uint8Array),
  },
}

/** Throws Redis's answer to a name with spaces or what is not printable. */
export function setClientName(session: RespSession, name: Uint8Array): void {
  if (!isName(name)) throw refuse('ERR Client names cannot contain spaces, newlines or special characters.')
  session.name = textOf(name)
}

function isName(bytes: Uint8Array): boolean {
  return bytes.length <= NAME_BYTES_MAX && bytes.every((byte) => byte > 0x20 && byte < 0x7f)
}

function onOff(bytes: Uint8Array) {
  const word = wordOf(bytes)
  if (word === 'on' || word === 'off') return RESP_OK
  throw refuse(SYNTAX)
}

function lineOf(session: RespSession): string {
  const { id, peer, name, door, connectedAtMs, version, caller, libraryName, libraryVersion, lastCommand } = session
  const ageSeconds = Math.max(0, Math.floor((door.nowMs() - connectedAtMs) / 1000))
  return [
    `id=${id} addr=${peer} name=${name} age=${ageSeconds} db=0 cmd=${lastCommand} user=${caller?.name ?? '(none)'}`,
    `resp=${version} lib-name=${libraryName} lib-ver=${libraryVersion} tot-cmds=${session.commands}`,
  ].join(' ')
}
