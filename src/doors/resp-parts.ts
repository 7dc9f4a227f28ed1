/** What all connections of a RESP door share. */
import type { DoorOptions } from './door.ts'
import type { RespCursors } from './resp-cursors.ts'
import type { RespSession } from './resp-session.ts'
import type { RespTurns } from './resp-turns.ts'
import type { SerialTasks } from '../store/serial.ts'

/** An action that an operator may want to trace. */
export interface RespAuditEvent {
  readonly action: 'flush'
  readonly tenant: string
  readonly credential: string
  readonly removed: number
}

/** What a RESP door may be told beyond what every door is; see `DEFAULT_RESP_SETTINGS`. */
export interface RespSettings {
  /** Of the program, as HELLO and INFO say it. */
  readonly version: string
  /** Milliseconds since 1970. */
  readonly nowMs: () => number
  /** A command that is half there is waited for so long, and longer by its bytes over `senderBytesPerSecondMin`. */
  readonly commandTimeoutMs: number
  readonly senderBytesPerSecondMin: number
  /** A peer that takes no byte of its answers for so long is cut. */
  readonly answerTimeoutMs: number
  /** Before a failed AUTH is answered; doubles with each. */
  readonly failedAuthDelayMs: number
  /** So many are answered; the connection is closed then. */
  readonly failedAuthsMax: number
  /** Told of what an audit log should have. */
  readonly audit: (event: RespAuditEvent) => void
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
