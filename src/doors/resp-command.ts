/** What a RESP command is: a name, what COMMAND says of it, and what it does. */
import type { RespReply } from '../api/resp-codec-replies.ts'
import type { Caller } from '../server/caller.ts'
import type { RespSession, RespStoredValue } from './resp-parts.ts'

/** A command under way: who asks, over which connection. */
export interface RespCall {
  readonly caller: Caller
  readonly session: RespSession
}

export type RespArgs = readonly Uint8Array[]

/** Null when all of the answer was sent in parts. */
export type RespAnswer = RespReply | RespStoredValue | null

export interface RespCommand {
  /** Arguments with the name; below zero, so many at least. */
  readonly arity: number
  readonly flags: readonly string[]
  /** First and last argument that is a key, and the step between keys; zeros for none, last below zero from the end. */
  readonly keys: readonly [number, number, number]
  readonly group: 'string' | 'generic' | 'connection' | 'server' | 'cluster'
  readonly summary: string
  /** Whoever has not given a credential may call it too: then `run` looks at the session only. */
  readonly isOpen?: true
  readonly run: (call: RespCall, args: RespArgs) => RespAnswer | Promise<RespAnswer>
}

/** By name, in small letters. */
export type RespCommandTable = Readonly<Record<string, RespCommand>>
