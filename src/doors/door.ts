/** A door: one protocol on one address, over the same operations. */
import type { Logger } from 'pino'
import type { BodyBudget } from '../server/body-budget.ts'
import type { Authenticator } from '../server/caller.ts'
import type { Operations } from '../server/operations.ts'

/** Protocols that a node speaks. */
export const DOORS = ['http', 'grpc', 'resp', 'lm'] as const
export type DoorName = (typeof DOORS)[number]

/** Where to listen. Port 0 takes a free one. */
export type ListenAddress =
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number }
  | { readonly kind: 'unix'; readonly path: string }

/** Certificates of a door, PEM. */
export interface DoorTls {
  readonly cert: string
  readonly key: string
  /** Clients must show a certificate that this authority signed; null asks for none. */
  readonly clientCa: string | null
}

/** What every door is opened with. */
export interface DoorOptions {
  readonly operations: Operations
  /** Of the program, as protocols that ask for one are told it. */
  readonly version: string
  readonly authenticator: Authenticator
  readonly address: ListenAddress
  readonly tls: DoorTls | null
  readonly log: Logger
  /** Shared by all doors. */
  readonly budget: BodyBudget
  /** Connections at a time; one more is closed at once. */
  readonly connectionsMax: number
  /** Bytes of one value or body; more is refused before it is read. */
  readonly payloadBytesMax: number
}

/** An open door. */
export interface Door {
  readonly name: DoorName
  /** As it turned out: with the port that was free, if 0 was asked for. */
  readonly address: ListenAddress
  readonly isTls: boolean
  /** Connections that are open now. */
  readonly connections: number
  /** New connections are met with these certificates. False when the door cannot change them while it is open. */
  renewTls(tls: DoorTls): boolean
  /**
   * Takes no new connections and no new requests; requests under way are answered. Ends when all connections are
   * closed; what is still open when `signal` aborts is cut.
   */
  close(signal: AbortSignal): Promise<void>
}

export function addressText(address: ListenAddress): string {
  if (address.kind === 'unix') return address.path
  return `${address.host.includes(':') ? `[${address.host}]` : address.host}:${address.port}`
}
