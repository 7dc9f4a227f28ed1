/** RESP commands about keys, whatever their values are. */
import { RESP_NULL, RESP_OK, type RespReply, respArray, respInteger } from '../api/resp-codec-replies.ts'
import { LIMITS } from '../core/limits.ts'
import { respText } from '../api/resp-codec-replies.ts'
import { integerOf, keyOf, textOf, wordOf } from './resp-arguments.ts'
import type { RespArgs, RespCall, RespCommand, RespCommandTable } from './resp-command.ts'
import { refuse, SYNTAX } from './resp-refusal.ts'
import { type KeyWalk, VALUE_PREFIX, walkKeys } from './resp-cursors.ts'
import { matchesGlob } from './resp-glob.ts'
import { presenceOf } from './resp-presence.ts'
import { removeKeys } from './resp-write.ts'

const READ = { flags: ['readonly'], group: 'generic' } as const
const NO_KEYS = { keys: [0, 0, 0] } as const
/** After so many keys, others have their turn. */
const KEYS_AT_ONCE = 512
const SCAN_KEYS = 10
/** Map entry, key, head and bookkeeping of one value, about. */
const ENTRY_BYTES = 1024

const remove: RespCommand = {
  arity: -2,
  flags: ['write'],
  keys: [1, -1, 1],
  group: 'generic',
  summary: 'Removes keys; how many were there.',
  run: async (call, args) => respInteger(await removeKeys(call, args.slice(1))),
}

const flush: RespCommand = {
  ...NO_KEYS,
  arity: -1,
  flags: ['write'],
  group: 'server',
  summary: 'Removes all values of the own tenant that this protocol shows.',
  run: (call, args) => flushAll(call, args),
}

export const KEY_COMMANDS: RespCommandTable = {
  exists: {
    ...READ,
    flags: ['readonly', 'fast'],
    keys: [1, -1, 1],
    arity: -2,
    summary:
      'How many of the keys are there, each counted as often as it is named; what is there stays for some seconds.',
    run: async ({ caller, session }, args) => {
      const [reply = RESP_NULL] = await presenceOf(session.door.operations, caller, [args], session.failed)
      return reply
    },
  },
  del: remove,
  unlink: { ...remove, flags: ['write', 'fast'], summary: 'The same as DEL.' },
  type: {
    ...READ,
    flags: ['readonly', 'fast'],
    keys: [1, 1, 1],
    arity: 2,
    summary: 'string for a key that is there, else none.',
    run: async ({ caller, session }, args) => {
      const found = await session.door.operations.fragments.head(caller, keyOf(args[1] as Uint8Array))
      return { kind: 'status', text: found === null ? 'none' : 'string' }
    },
  },
  dbsize: {
    ...READ,
    ...NO_KEYS,
    group: 'server',
    arity: 1,
    summary: 'How many values the own tenant has.',
    run: async (call) => {
      let count = 0
      for await (const _ of startWalk(call)) {
        count += 1
        await pause(count)
      }
      return respInteger(count)
    },
  },
  keys: {
    ...READ,
    ...NO_KEYS,
    arity: 2,
    summary: 'Keys that match a pattern; an error when they are too many: use SCAN.',
    run: async (call, args) => {
      const found: RespReply[] = []
      let looked = 0
      for await (const key of startWalk(call)) {
        if (matchesGlob(args[1] as Uint8Array, key)) found.push({ kind: 'bytes', bytes: key })
        if (found.length > LIMITS.respKeysMax) throw refuse(`ERR more than ${LIMITS.respKeysMax} keys: use SCAN`)
        looked += 1
        await pause(looked)
      }
      return respArray(found)
    },
  },
  scan: {
    ...READ,
    ...NO_KEYS,
    arity: -2,
    summary: 'Some keys, and where to go on.',
    run: (call, args) => scan(call, args),
  },
  flushdb: flush,
  flushall: flush,
}

export const MEMORY_COMMANDS: RespCommandTable = {
  usage: {
    ...READ,
    arity: -3,
    keys: [2, 2, 1],
    summary: 'Bytes that a value takes, about.',
    run: async ({ caller, session }, args) => {
      if (args.length > 3 && !(args.length === 5 && wordOf(args[3] as Uint8Array) === 'samples')) throw refuse(SYNTAX)
      if (args.length === 5) integerOf(args[4] as Uint8Array)
      const found = await session.door.operations.fragments.head(caller, keyOf(args[2] as Uint8Array))
      return found === null ? RESP_NULL : respInteger(found.payloadBytes + ENTRY_BYTES)
    },
  },
}

interface ScanOptions {
  readonly pattern: Uint8Array | null
  readonly count: number
  /** Of values, there is one type. */
  readonly isOfOtherType: boolean
}

async function scan(call: RespCall, args: RespArgs): Promise<RespReply> {
  const cursor = cursorOf(args[1] as Uint8Array)
  const { pattern, count, isOfOtherType } = scanOptionsOf(args)
  const { cursors } = call.session.door
  const { tenant } = call.caller
  const walk = cursor === 0 ? startWalk(call) : cursors.take(tenant, cursor)
  const found: RespReply[] = []
  for (let looked = 0; looked < count; looked++) {
    const { value: key, done } = await walk.next()
    if (done === true) return scanReply(0, found)
    if (!isOfOtherType && (pattern === null || matchesGlob(pattern, key))) found.push({ kind: 'bytes', bytes: key })
    await pause(looked + 1)
  }
  return scanReply(cursors.hold(tenant, walk), found)
}

function scanReply(cursor: number, keys: readonly RespReply[]): RespReply {
  return respArray([respText(String(cursor)), respArray(keys)])
}

function cursorOf(bytes: Uint8Array): number {
  const text = textOf(bytes)
  if (!/^\d{1,15}$/.test(text)) throw refuse('ERR invalid cursor')
  return Number(text)
}

function scanOptionsOf(args: RespArgs): ScanOptions {
  let pattern: Uint8Array | null = null
  let count = SCAN_KEYS
  let isOfOtherType = false
  for (let at = 2; at < args.length; at += 2) {
    const value = args[at + 1]
    const word = wordOf(args[at] as Uint8Array)
    if (value === undefined) throw refuse(SYNTAX)
    if (word === 'match') pattern = value
    else if (word === 'type') isOfOtherType = wordOf(value) !== 'string'
    else if (word === 'count') {
      count = integerOf(value)
      if (count < 1) throw refuse(SYNTAX)
    } else throw refuse(SYNTAX)
  }
  return { pattern, count: Math.min(count, LIMITS.respKeysMax), isOfOtherType }
}

function startWalk({ caller, session }: RespCall): KeyWalk & AsyncIterable<Uint8Array> {
  return walkKeys(session.door.operations.fragments.keys(caller, VALUE_PREFIX))
}

/** Long walks let others have their turn now and then. */
async function pause(steps: number): Promise<void> {
  if (steps % KEYS_AT_ONCE === 0) await new Promise((resolve) => setImmediate(resolve))
}

/** All is gone when it is answered, with ASYNC as well. */
async function flushAll({ caller, session }: RespCall, args: RespArgs): Promise<RespReply> {
  const mode = args[1] === undefined ? 'sync' : wordOf(args[1])
  if (args.length > 2 || (mode !== 'sync' && mode !== 'async')) throw refuse(SYNTAX)
  await session.door.operations.admin.flush({ caller, requestId: `resp-${session.id}` }, VALUE_PREFIX)
  return RESP_OK
}
