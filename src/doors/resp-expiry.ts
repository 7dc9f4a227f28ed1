/** RESP commands about when a key is gone. */
import { type RespReply, respInteger } from '../api/resp-codec-replies.ts'
import { integerOf, keyOf, shown, wordOf } from './resp-arguments.ts'
import type { RespArgs, RespCall, RespCommand, RespCommandTable } from './resp-command.ts'
import { refuse } from './resp-refusal.ts'
import { inTurn } from './resp-write.ts'

const READ = { flags: ['readonly', 'fast'], keys: [1, 1, 1], group: 'generic', arity: 2 } as const
const WRITE = { flags: ['write', 'fast'], keys: [1, 1, 1], group: 'generic' } as const

/** As Redis: beyond, adding to the time of now would leave the range. */
const EXPIRY_MS_MAX = 2 ** 52
const MISSING = -2
const NEVER = -1

export const EXPIRY_COMMANDS: RespCommandTable = {
  ttl: {
    ...READ,
    summary: 'Seconds until a key is gone; -1 for never, -2 for one that is missing.',
    run: (call, args) => remaining(call, args, (ms, nowMs) => Math.floor((Math.max(0, ms - nowMs) + 500) / 1000)),
  },
  pttl: {
    ...READ,
    summary: 'Milliseconds until a key is gone; -1 for never, -2 for one that is missing.',
    run: (call, args) => remaining(call, args, (ms, nowMs) => Math.max(0, ms - nowMs)),
  },
  expiretime: {
    ...READ,
    summary: 'Seconds since 1970 at which a key is gone.',
    run: (call, args) => remaining(call, args, (ms) => Math.floor((ms + 500) / 1000)),
  },
  pexpiretime: {
    ...READ,
    summary: 'Milliseconds since 1970 at which a key is gone.',
    run: (call, args) => remaining(call, args, (ms) => ms),
  },
  expire: expireCommand('expire', 'in so many seconds', 1000, true),
  pexpire: expireCommand('pexpire', 'in so many milliseconds', 1, true),
  expireat: expireCommand('expireat', 'at so many seconds since 1970', 1000, false),
  pexpireat: expireCommand('pexpireat', 'at so many milliseconds since 1970', 1, false),
  persist: {
    ...WRITE,
    arity: 2,
    summary: 'A key is kept without an end, as far as the node keeps anything so.',
    run: (call, args) => {
      const foreignKey = args[1] as Uint8Array
      const { fragments } = call.session.door.operations
      return inTurn(call, keyOf(foreignKey), async () => {
        const found = await fragments.head(call.caller, keyOf(foreignKey))
        if (found === null || found.expiresAtMs === null) return respInteger(0)
        return respInteger((await fragments.revise(call.caller, found.key, { expiresAtMs: null })) ? 1 : 0)
      })
    },
  },
}

async function remaining(
  { caller, session }: RespCall,
  args: RespArgs,
  valueOf: (expiresAtMs: number, nowMs: number) => number,
): Promise<RespReply> {
  const { operations, nowMs } = session.door
  const found = await operations.fragments.head(caller, keyOf(args[1] as Uint8Array))
  if (found === null) return respInteger(MISSING)
  return respInteger(found.expiresAtMs === null ? NEVER : valueOf(found.expiresAtMs, nowMs()))
}

function expireCommand(name: string, when: string, unitMs: number, isFromNow: boolean): RespCommand {
  return {
    ...WRITE,
    arity: -3,
    summary: `A key is gone ${when}; at once when that has passed.`,
    run: (call, args) => {
      const conditions = conditionsOf(args)
      const given = integerOf(args[2] as Uint8Array)
      const { nowMs } = call.session.door
      const atMs = given * unitMs + (isFromNow ? nowMs() : 0)
      if (Math.abs(given * unitMs) > EXPIRY_MS_MAX || Math.abs(atMs) > EXPIRY_MS_MAX)
        throw refuse(`ERR invalid expire time in '${name}' command`)
      return expire(call, args[1] as Uint8Array, atMs, conditions)
    },
  }
}

async function expire(
  call: RespCall,
  foreignKey: Uint8Array,
  atMs: number,
  conditions: ReadonlySet<string>,
): Promise<RespReply> {
  const { fragments } = call.session.door.operations
  const key = keyOf(foreignKey)
  return inTurn(call, key, async () => {
    const head = await fragments.head(call.caller, key)
    if (head === null || !isMet(conditions, head.expiresAtMs, atMs)) return respInteger(0)
    if (atMs <= call.session.door.nowMs()) {
      await fragments.remove(call.caller, [key])
      return respInteger(1)
    }
    return respInteger((await fragments.revise(call.caller, key, { expiresAtMs: Math.floor(atMs) })) ? 1 : 0)
  })
}

function conditionsOf(args: RespArgs): ReadonlySet<string> {
  const words = new Set<string>()
  for (let at = 3; at < args.length; at++) {
    const word = wordOf(args[at] as Uint8Array)
    if (!['nx', 'xx', 'gt', 'lt'].includes(word))
      throw refuse(`ERR Unsupported option ${shown(args[at] as Uint8Array)}`)
    words.add(word)
  }
  if (words.has('nx') && words.size > 1)
    throw refuse('ERR NX and XX, GT or LT options at the same time are not compatible')
  if (words.has('gt') && words.has('lt')) throw refuse('ERR GT and LT options at the same time are not compatible')
  return words
}

/** A key that never goes is later than any time. */
function isMet(conditions: ReadonlySet<string>, before: number | null, atMs: number): boolean {
  if (conditions.has('nx') && before !== null) return false
  if (conditions.has('xx') && before === null) return false
  if (conditions.has('gt') && (before === null || atMs <= before)) return false
  return !(conditions.has('lt') && before !== null && atMs >= before)
}
