/** Kinds of values in a server's configuration. Each says what it expected in one phrase, and never what it found. */
import { z } from 'zod'
import { LIMITS } from '../core/limits.ts'
import { parseBytes, parseMilliseconds } from '../core/quantities.ts'
import { Secret } from '../core/secret.ts'

export function whole(min: number, max: number, error = `a whole number from ${min} to ${max}`) {
  return z.int({ error }).min(min, { error }).max(max, { error })
}

export function amount(min: number, max: number, error = `a number from ${min} to ${max}`) {
  return z.number({ error }).min(min, { error }).max(max, { error })
}

/** TCP; 0 takes a free one. */
export const port = whole(0, 65_535)

/** A number of bytes, or a size with its unit. */
export function bytes(max: number) {
  const error = `a size from 1 to ${max} bytes, such as 500MB or 10GiB`
  const size = z.string({ error }).regex(/^\d+(?:\.\d+)? ?(?:B|[kMGT]B|[KMGT]iB)?$/, { error })
  return z.union([whole(1, max, error), size], { error }).transform((value, context) => {
    const number = typeof value === 'number' ? value : parseBytes(value)
    return within(number, { min: 1, max }) ?? refuse(context, error)
  })
}

/** A number of seconds, or a duration with its unit. */
export function seconds(min: number, max: number) {
  const error = `a duration from ${min} to ${max} seconds, such as 90s, 15min or 12h`
  const duration = z.string({ error }).regex(/^\d+(?:\.\d+)? ?(?:ms|s|min|h|d)?$/, { error })
  return z.union([amount(min, max, error), duration], { error }).transform((value, context) => {
    const number = typeof value === 'number' || /^[\d.]+$/.test(value) ? Number(value) : secondsOf(value)
    return within(number, { min, max }) ?? refuse(context, error)
  })
}

function secondsOf(duration: string): number | null {
  const ms = parseMilliseconds(duration)
  return ms === null ? null : ms / 1000
}

function within(value: number | null, { min, max }: { readonly min: number; readonly max: number }): number | null {
  return value !== null && value >= min && value <= max ? value : null
}

function refuse({ issues }: z.RefinementCtx, message: string): never {
  issues.push({ code: 'custom', message, input: null })
  return z.NEVER
}

export function oneOf<const Names extends readonly [string, ...string[]]>(names: Names) {
  return z.enum(names, { error: `one of ${names.join(', ')}` })
}

export const flag = z.boolean({ error: 'true or false' })

export function text(what: string, pattern: RegExp) {
  return z.string({ error: what }).regex(pattern, { error: what })
}

// A control character in a path is a slip, and would reach terminals by messages.
// oxlint-disable-next-line no-control-regex
export const path = text(`a path of 1 to 4096 characters`, /^[^\u0000-\u001f\u007f]{1,4096}$/)

export const hostAndPort = text('host:port', /^(?:\[[0-9a-fA-F:.]{2,45}\]|[A-Za-z0-9._-]{1,253}):\d{1,5}$/)

export function list<Item extends z.ZodType>(item: Item, max: number) {
  const error = `a list of at most ${max}`
  return z.array(item, { error }).max(max, { error })
}

export const secret = z
  .string({ error: 'a secret as text' })
  .min(1, { error: 'a secret that is not empty' })
  .max(LIMITS.apiKeyCharactersMax, { error: `a secret of at most ${LIMITS.apiKeyCharactersMax} characters` })
  .transform((secretText) => new Secret(secretText))
