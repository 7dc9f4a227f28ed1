/** The options of SET and GETEX, and when a key expires. */
import { integerOf, wordOf } from './resp-arguments.ts'
import type { RespArgs } from './resp-command.ts'
import { refuse, SYNTAX } from './resp-refusal.ts'

/** `default`: as the node keeps what names no time. `keep`: as it was. */
export type RespExpiry =
  | { readonly kind: 'default' }
  | { readonly kind: 'keep' }
  | { readonly kind: 'at'; readonly ms: number }

export interface SetOptions {
  readonly expiry: RespExpiry
  /** Set only when the key is missing, or only when it is there. */
  readonly when: 'always' | 'missing' | 'present'
  /** Answer with what was there before. */
  readonly givesOld: boolean
}

/** Milliseconds since 1970 that Redis takes: with a margin to what a number holds exactly. */
const EXPIRY_MS_MAX = 2 ** 52

/** Throws Redis's answers to what makes no sense, or not together: how it is written comes before what it says. */
export function setOptionsOf(args: RespArgs, start: number, nowMs: number): SetOptions {
  let time: { readonly word: ExpiryWord; readonly value: Uint8Array } | null = null
  let keeps = false
  let when: SetOptions['when'] = 'always'
  let givesOld = false
  for (let at = start; at < args.length; at++) {
    const word = wordOf(args[at] as Uint8Array)
    const value = args[at + 1]
    if (word === 'nx' && when !== 'present') when = 'missing'
    else if (word === 'xx' && when !== 'missing') when = 'present'
    else if (word === 'get') givesOld = true
    else if (word === 'keepttl' && time === null) keeps = true
    else if (isExpiryWord(word) && value !== undefined && (time === null || time.word === word) && !keeps) {
      time = { word, value }
      at += 1
    } else throw refuse(SYNTAX)
  }
  if (time === null) return { expiry: { kind: keeps ? 'keep' : 'default' }, when, givesOld }
  return { expiry: { kind: 'at', ms: expiryMs(time.word, time.value, { command: 'set', nowMs }) }, when, givesOld }
}

/** How GETEX changes the expiry; null when it is to leave it alone. The number is read when the key is there, as Redis does. */
export function getexExpiryOf(args: RespArgs, start: number, nowMs: number): (() => number | null) | null {
  const [option, value] = [args[start], args[start + 1]]
  if (option === undefined) return null
  const word = wordOf(option)
  if (word === 'persist' && args.length === start + 1) return () => null
  if (!isExpiryWord(word) || value === undefined || args.length !== start + 2) throw refuse(SYNTAX)
  return () => expiryMs(word, value, { command: 'getex', nowMs })
}

type ExpiryWord = 'ex' | 'px' | 'exat' | 'pxat'

function isExpiryWord(word: string): word is ExpiryWord {
  return word === 'ex' || word === 'px' || word === 'exat' || word === 'pxat'
}

/** Milliseconds since 1970. Throws Redis's answer to a time that is not above zero. */
function expiryMs(
  word: ExpiryWord,
  value: Uint8Array,
  { command, nowMs }: { readonly command: string; readonly nowMs: number },
): number {
  const given = integerOf(value)
  const ms = word === 'ex' || word === 'exat' ? given * 1000 : given
  const atMs = word === 'ex' || word === 'px' ? nowMs + ms : ms
  if (given > 0 && atMs <= EXPIRY_MS_MAX) return Math.floor(atMs)
  throw refuse(`ERR invalid expire time in '${command}' command`)
}
