/** What a RESP connection has said about itself, and what commands may do with the connection. */
import type { RespReply, RespVersion } from '../api/resp-codec-replies.ts'
import type { Caller } from '../server/caller.ts'
import type { RespDoorParts } from './resp-parts.ts'

/** One connection, as commands see it. */
export interface RespSession {
  /** Counts up over the connections of a door. */
  readonly id: number
  readonly peer: string
  readonly connectedAtMs: number
  readonly door: RespDoorParts
  /** What a connection without a credential of its own is: of the certificate, or the anonymous one. */
  readonly initialCaller: Caller | null
  /** Null until a credential is given, where one is required. */
  caller: Caller | null
  version: RespVersion
  name: string
  libraryName: string
  libraryVersion: string
  failedAuths: number
  lastCommand: string
  commands: number
  /** The answer under way is the last one. */
  isLeaving: boolean
  /** The answer to what was thrown; bugs are logged. */
  readonly failed: (error: unknown) => RespReply
  /** Sends a part of an answer and ends when there is room for more. */
  send(part: RespPart): Promise<void>
}

/** A part of an answer: the beginning of an array whose items follow, or a whole reply. */
export type RespPart = { readonly kind: 'arrayStart'; readonly items: number } | RespReply
