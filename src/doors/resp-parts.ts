/** What all connections of a RESP door share, and what each has said about itself. */
import type { ArrivingHashes } from '../server/arriving-hashes.ts'
import type { RespReply, RespVersion } from '../api/resp-codec-replies.ts'
import type { Caller } from '../server/caller.ts'
import type { PayloadRead } from '../server/fragment-operations.ts'
import type { DoorOptions } from './door.ts'
import type { RespCursors } from './resp-cursors.ts'
import type { RespTurns } from './resp-turns.ts'
import type { SerialTasks } from '../store/serial.ts'

/** What a RESP door may be told beyond what every door is; see `DEFAULT_RESP_SETTINGS`. */
export interface RespSettings {
  /** Milliseconds since 1970. */
  readonly nowMs: () => number
  /** A command that is half there is waited for so long, and longer by what comes of it over `senderBytesPerSecondMin`. */
  readonly commandTimeoutMs: number
  readonly senderBytesPerSecondMin: number
  /** A peer that takes no byte of its answers for so long is cut. */
  readonly answerTimeoutMs: number
  /** Before a failed AUTH is answered; doubles with each. */
  readonly failedAuthDelayMs: number
  /** So many are answered; the connection is closed then. */
  readonly failedAuthsMax: number
}

export interface RespDoorParts extends DoorOptions, RespSettings {
  readonly turns: RespTurns
  readonly cursors: RespCursors
  /** Writes of one key of one tenant, one after another: so that SET NX and SET GET are one step. */
  readonly writes: SerialTasks
  readonly sessions: ReadonlyMap<number, RespSession>
  readonly startedAtMs: number
  readonly counts: { connections: number; commands: number; rejected: number }
}

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
  /** Of values that have just arrived. */
  readonly hashes: ArrivingHashes
  /** The answer to what was thrown; bugs are logged. */
  readonly failed: (error: unknown) => RespReply
  /** Sends a part of an answer and ends when there is room for more. */
  send(part: RespPart): Promise<void>
}

/** A value of the store; sent by whoever is told of it, at the pace of the peer. */
export interface RespStoredValue extends PayloadRead {
  readonly kind: 'value'
  readonly bytes: number
}

/** A part of an answer: the beginning of an array whose items follow, or a whole reply. */
export type RespPart = { readonly kind: 'arrayStart'; readonly items: number } | RespReply | RespStoredValue
