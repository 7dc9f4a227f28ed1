/** RESP commands about the connection itself: who one is, and which version of the protocol is spoken. */
import { RESP_OK, type RespReply, respArray, respInteger, respText } from '../api/resp-codec-replies.ts'
import type { Caller } from '../server/caller.ts'
import { integerOf, shown, textOf, wordOf } from './resp-arguments.ts'
import { setClientName } from './resp-client.ts'
import type { RespArgs, RespCommandTable } from './resp-command.ts'
import { NOT_INTEGER, refuse, SYNTAX } from './resp-refusal.ts'
import type { RespSession } from './resp-parts.ts'

const FLAGS = ['noscript', 'loading', 'stale', 'fast', 'no_auth', 'allow_busy']

export const CONNECTION_COMMANDS: RespCommandTable = {
  ping: {
    arity: -1,
    flags: ['fast'],
    keys: [0, 0, 0],
    group: 'connection',
    summary: 'Answers.',
    run: (_, args) => {
      if (args.length > 2) throw refuse("ERR wrong number of arguments for 'ping' command")
      const [, message] = args
      return message === undefined ? { kind: 'status', text: 'PONG' } : { kind: 'bytes', bytes: message }
    },
  },
  echo: {
    arity: 2,
    flags: ['loading', 'stale', 'fast'],
    keys: [0, 0, 0],
    group: 'connection',
    summary: 'Answers with what was sent.',
    run: (_, args) => ({ kind: 'bytes', bytes: args[1] as Uint8Array }),
  },
  auth: {
    arity: -2,
    flags: FLAGS,
    keys: [0, 0, 0],
    group: 'connection',
    summary: 'Gives a credential: the password is the token; the user is "default" or the name of the credential.',
    isOpen: true,
    run: async ({ session }, args) => {
      if (args.length > 3) throw refuse(SYNTAX)
      const [first, second] = [args[1] as Uint8Array, args[2]]
      await logIn(session, second === undefined ? { password: first } : { user: first, password: second })
      return RESP_OK
    },
  },
  hello: {
    arity: -1,
    flags: FLAGS,
    keys: [0, 0, 0],
    group: 'connection',
    summary: 'Chooses the version of the protocol, and gives a credential and a name if one likes.',
    isOpen: true,
    run: ({ session }, args) => hello(session, args),
  },
  select: {
    arity: 2,
    flags: ['loading', 'stale', 'fast'],
    keys: [0, 0, 0],
    group: 'connection',
    summary: 'Chooses the database: there is 0.',
    run: (_, args) => {
      if (integerOf(args[1] as Uint8Array) === 0) return RESP_OK
      throw refuse('ERR DB index is out of range')
    },
  },
  quit: {
    arity: -1,
    flags: FLAGS,
    keys: [0, 0, 0],
    group: 'connection',
    summary: 'Closes the connection.',
    isOpen: true,
    run: ({ session }) => {
      session.isLeaving = true
      return RESP_OK
    },
  },
  reset: {
    arity: 1,
    flags: FLAGS,
    keys: [0, 0, 0],
    group: 'connection',
    summary: 'Makes the connection what it was when it was opened.',
    isOpen: true,
    run: ({ session }) => {
      session.caller = session.initialCaller
      session.version = 2
      session.name = ''
      return { kind: 'status', text: 'RESET' }
    },
  },
}

interface Credential {
  readonly user?: Uint8Array
  readonly password: Uint8Array
}

/** Throws Redis's answer to a wrong one, later each time; after some, the connection is closed. */
async function logIn(session: RespSession, { user, password }: Credential): Promise<void> {
  const { authenticator, failedAuthDelayMs, failedAuthsMax, log } = session.door
  const caller = authenticator.byToken(textOf(password))
  if (caller !== null && isUser(caller, user)) {
    session.caller = caller
    session.failedAuths = 0
    return
  }
  session.failedAuths += 1
  log.info({ peer: session.peer, failedAuths: session.failedAuths }, 'authentication failed')
  if (session.failedAuths >= failedAuthsMax) session.isLeaving = true
  const delayMs = failedAuthDelayMs * 2 ** (session.failedAuths - 1)
  if (delayMs > 0) await new Promise((resolve) => setTimeout(resolve, delayMs).unref())
  throw refuse('WRONGPASS invalid username-password pair or user is disabled.')
}

/** The token alone says who it is; a user name that says otherwise is refused all the same. */
function isUser({ name }: Caller, user: Uint8Array | undefined): boolean {
  if (user === undefined) return true
  const given = textOf(user)
  return given === 'default' || given === name
}

async function hello(session: RespSession, args: RespArgs): Promise<RespReply> {
  const version = args[1] === undefined ? session.version : helloVersion(args[1])
  let credential: Credential | null = null
  let name: Uint8Array | null = null
  for (let at = 2; at < args.length; at++) {
    const option = args[at] as Uint8Array
    const [first, second] = [args[at + 1], args[at + 2]]
    const word = wordOf(option)
    if (word === 'auth' && first !== undefined && second !== undefined) {
      credential = { user: first, password: second }
      at += 2
    } else if (word === 'setname' && first !== undefined) {
      name = first
      at += 1
    } else throw refuse(`ERR Syntax error in HELLO option '${shown(option)}'`)
  }
  if (credential !== null) await logIn(session, credential)
  if (session.caller === null)
    throw refuse(
      'NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> ' +
        '<pass> option can be used to authenticate the client and select the RESP protocol version at the same time',
    )
  if (name !== null) setClientName(session, name)
  session.version = version
  const entries: readonly (readonly [string, RespReply])[] = [
    ['server', respText('membrane')],
    ['version', respText(session.door.version)],
    ['proto', respInteger(version)],
    ['id', respInteger(session.id)],
    ['mode', respText('standalone')],
    ['role', respText('master')],
    ['modules', respArray([])],
  ]
  return { kind: 'map', entries: entries.map(([key, value]) => [respText(key), value] as const) }
}

function helloVersion(bytes: Uint8Array): 2 | 3 {
  let version: number
  try {
    version = integerOf(bytes)
  } catch {
    throw refuse(NOT_INTEGER.replace('value', 'Protocol version'))
  }
  if (version === 2 || version === 3) return version
  throw refuse('NOPROTO unsupported protocol version')
}
