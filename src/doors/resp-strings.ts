/** RESP commands that read and write values. */
import { RESP_NULL, RESP_OK, type RespReply, respInteger, respText } from '../api/resp-codec-replies.ts'
import { MembraneError } from '../core/errors.ts'
import type { ByteSpan } from '../core/ports.ts'
import { integerOf, keyOf } from './resp-arguments.ts'
import type { RespArgs, RespCall, RespCommandTable } from './resp-command.ts'
import type { RespStoredValue } from './resp-parts.ts'
import { refuse } from './resp-refusal.ts'
import { getexExpiryOf, type SetOptions, setOptionsOf } from './resp-set-options.ts'
import { inTurn, inTurns, putValue } from './resp-write.ts'

const READ = { flags: ['readonly', 'fast'], keys: [1, 1, 1], group: 'string' } as const
const NO_BYTES: ByteSpan = { start: 0, end: 0 }
const WRITE = { flags: ['write', 'denyoom'], keys: [1, 1, 1], group: 'string' } as const

export const STRING_COMMANDS: RespCommandTable = {
  get: { ...READ, arity: 2, summary: 'The value of a key.', run: (call, args) => get(call, args[1] as Uint8Array) },
  set: {
    ...WRITE,
    arity: -3,
    summary: 'Sets a key to a value, which is verified before it is kept.',
    run: (call, args) => set(call, args),
  },
  setnx: {
    ...WRITE,
    arity: 3,
    summary: 'Sets a key that is missing.',
    run: async (call, args) => {
      const options = { expiry: { kind: 'default' }, when: 'missing', givesOld: false } as const
      return respInteger((await setWith(call, args, options)).kind === 'null' ? 0 : 1)
    },
  },
  getex: {
    flags: ['write', 'fast'],
    keys: [1, 1, 1],
    group: 'string',
    arity: -2,
    summary: 'The value of a key, which gets another expiry.',
    run: (call, args) => getex(call, args),
  },
  mget: {
    ...READ,
    keys: [1, -1, 1],
    arity: -2,
    summary: 'The values of keys, in order; each is read when the one before it was sent.',
    run: async (call, args) => {
      await call.session.send({ kind: 'arrayStart', items: args.length - 1 })
      for (let index = 1; index < args.length; index++) {
        // What fails stands in its place: the number of values has been said.
        const value = await get(call, args[index] as Uint8Array).catch(call.session.failed)
        await call.session.send(value)
      }
      return null
    },
  },
  mset: {
    ...WRITE,
    keys: [1, -1, 2],
    arity: -3,
    summary: 'Sets keys to values, one after another; where one fails, those before it are set.',
    run: (call, args) => mset(call, args),
  },
  strlen: {
    ...READ,
    arity: 2,
    summary: 'Bytes of a value; 0 for a key that is missing.',
    run: async ({ caller, session }, args) => {
      const found = await session.door.operations.fragments.head(caller, keyOf(args[1] as Uint8Array))
      return respInteger(found?.payloadBytes ?? 0)
    },
  },
  getrange: {
    ...READ,
    flags: ['readonly'],
    arity: 4,
    summary: 'Bytes of a value from a first to a last one; below zero from the end.',
    run: async ({ caller, session }, args) => {
      const first = integerOf(args[2] as Uint8Array)
      const last = integerOf(args[3] as Uint8Array)
      let range = NO_BYTES
      const key = keyOf(args[1] as Uint8Array)
      const found = await session.door.operations.fragments.readPayload(caller, key, ({ payloadBytes }) => {
        range = rangeOf(payloadBytes, first, last)
        return range
      })
      return found === null ? respText('') : { kind: 'value', ...found, bytes: range.end - range.start }
    },
  },
}

/** HOT: the value is the store's own memory. */
async function get({ caller, session }: RespCall, foreignKey: Uint8Array): Promise<RespReply | RespStoredValue> {
  const found = await session.door.operations.fragments.readPayload(caller, keyOf(foreignKey))
  return found === null ? RESP_NULL : { kind: 'value', ...found, bytes: found.payloadBytes }
}

function set(call: RespCall, args: RespArgs): Promise<RespReply | RespStoredValue> {
  const { nowMs } = call.session.door
  return setWith(call, args, setOptionsOf(args, 3, nowMs()))
}

async function setWith(
  call: RespCall,
  args: RespArgs,
  { expiry, when, givesOld }: SetOptions,
): Promise<RespReply | RespStoredValue> {
  const { caller, session } = call
  const { fragments } = session.door.operations
  const [foreignKey, value] = [args[1] as Uint8Array, args[2] as Uint8Array]
  const key = keyOf(foreignKey)
  return inTurn(call, key, async () => {
    if (when === 'always' && !givesOld && expiry.kind !== 'keep') {
      await putValue(call, { foreignKey, value, expiry })
      return RESP_OK
    }
    const old = await fragments.head(caller, key)
    const oldValue = givesOld && old !== null ? await get(call, foreignKey) : RESP_NULL
    const isWanted = when === 'always' || (when === 'missing') === (old === null)
    if (isWanted) {
      const kept = old?.expiresAtMs ?? null
      const asKept = kept === null ? ({ kind: 'default' } as const) : ({ kind: 'at', ms: kept } as const)
      await beforeSent(oldValue, async () => {
        checkIsHeld(oldValue)
        await putValue(call, { foreignKey, value, expiry: expiry.kind === 'keep' ? asKept : expiry })
      })
    }
    if (givesOld) return oldValue
    return isWanted ? RESP_OK : RESP_NULL
  })
}

/** A change between reading a value and sending it; where it fails, the value is not sent. */
async function beforeSent(answer: RespReply | RespStoredValue, change: () => Promise<unknown>): Promise<void> {
  try {
    await change()
  } catch (error) {
    if (answer.kind === 'value') answer.ended(false)
    throw error
  }
}

/** What is read while it is sent would be gone by then. */
function checkIsHeld(answer: RespReply | RespStoredValue): void {
  if (answer.kind !== 'value' || answer.chunks === null) return
  throw new MembraneError('LIMIT_REACHED', `A value of ${answer.bytes} bytes cannot be answered and end at once now.`, {
    remedy: 'Get it first.',
  })
}

function getex(call: RespCall, args: RespArgs): Promise<RespReply | RespStoredValue> {
  const { caller, session } = call
  const foreignKey = args[1] as Uint8Array
  const expiryOf = getexExpiryOf(args, 2, session.door.nowMs())
  if (expiryOf === null) return get(call, foreignKey)
  const key = keyOf(foreignKey)
  return inTurn(call, key, async () => {
    const value = await get(call, foreignKey)
    if (value.kind !== 'value') return value
    await beforeSent(value, async () => {
      const expiresAtMs = expiryOf()
      if (expiresAtMs !== null && expiresAtMs <= session.door.nowMs()) checkIsHeld(value)
      await session.door.operations.fragments.revise(caller, key, { expiresAtMs })
    })
    return value
  })
}

/** Nobody else writes one of the keys meanwhile; who reads may see some set and some not yet. */
function mset(call: RespCall, args: RespArgs): Promise<RespReply> {
  if (args.length % 2 === 0) throw refuse("ERR wrong number of arguments for 'mset' command")
  const values = new Map<string, { readonly foreignKey: Uint8Array; readonly value: Uint8Array }>()
  for (let at = 1; at < args.length; at += 2) {
    const foreignKey = args[at] as Uint8Array
    values.set(keyOf(foreignKey), { foreignKey, value: args[at + 1] as Uint8Array })
  }
  return inTurns(call, [...values.keys()], async () => {
    for (const one of values.values()) await putValue(call, { ...one, expiry: { kind: 'default' } })
    return RESP_OK
  })
}

function rangeOf(length: number, first: number, last: number): ByteSpan {
  // As Redis: with both counted from the end and crossed, nothing, before they are brought within the value.
  if (first < 0 && last < 0 && first > last) return NO_BYTES
  const start = Math.max(0, first < 0 ? length + first : first)
  const end = Math.max(0, last < 0 ? length + last : last)
  return { start: Math.min(start, length), end: Math.max(Math.min(start, length), Math.min(length, end + 1)) }
}
