/** A node with its doors: opens them all or none, and closes them so that what is under way ends well. */
import type { Logger } from 'pino'
import { unreachable } from '../core/errors.ts'
import { BodyBudget } from '../server/body-budget.ts'
import type { Authenticator } from '../server/caller.ts'
import type { Operations } from '../server/operations.ts'
import { addressText, type Door, type DoorName, type DoorOptions, type DoorTls, type ListenAddress } from './door.ts'

/** Which protocol to speak, and where. */
export interface DoorPlan {
  readonly name: DoorName
  readonly address: ListenAddress
  readonly tls: DoorTls | null
  readonly authenticator: Authenticator
}

/** What a server is put together from. */
export interface ServerParts {
  readonly operations: Operations
  /** Of the program. */
  readonly version: string
  readonly doors: readonly DoorPlan[]
  readonly log: Logger
  /** Bytes of bodies on their way in, over all doors. */
  readonly bodyBytesMax: number
  readonly payloadBytesMax: number
  /** Of each door. */
  readonly connectionsMax: number
}

/** A node that others can reach. */
export interface Server {
  readonly doors: readonly Door[]
  readonly operations: Operations
  /**
   * Takes no new requests, answers those under way, closes the doors; what is still open after `graceMs` is cut. The
   * fabric and the engine stay open: they are whoever's they were.
   */
  close(graceMs: number): Promise<void>
}

/** Throws ADDRESS_UNAVAILABLE and INVALID_CONFIG; then no door is left open. */
export async function openServer(parts: ServerParts): Promise<Server> {
  const { operations, version, log, payloadBytesMax, connectionsMax } = parts
  const budget = new BodyBudget(parts.bodyBytesMax)
  operations.meters.watchBodies(() => budget.bytes)
  const opened: Door[] = []
  try {
    for (const { name, ...plan } of parts.doors) {
      const common = { operations, version, budget, payloadBytesMax, connectionsMax }
      const door = await openDoor(name, { ...common, ...plan, log: log.child({ door: name }) })
      log.info({ door: name, address: addressText(door.address), tls: door.isTls }, 'listening')
      opened.push(door)
      operations.meters.watchDoor({ door: name, connections: () => door.connections })
    }
  } catch (error) {
    await closeAll(opened, AbortSignal.abort())
    throw error
  }
  return {
    doors: opened,
    operations,
    close: async (graceMs) => {
      operations.gate.drain()
      await closeAll(opened, AbortSignal.timeout(graceMs))
    },
  }
}

async function closeAll(doors: readonly Door[], signal: AbortSignal): Promise<void> {
  await Promise.all(doors.map((door) => door.close(signal)))
}

/** Each protocol is loaded when it is spoken. */
async function openDoor(name: DoorName, options: DoorOptions): Promise<Door> {
  switch (name) {
    case 'http':
      return (await import('./http.ts')).openHttpDoor(options)
    case 'resp':
      return (await import('./resp.ts')).openRespDoor(options)
    case 'grpc':
      return (await import('./grpc.ts')).openGrpcDoor(options)
    case 'lm':
      return (await import('./lm.ts')).openLmDoor(options)
    default:
      return unreachable(name)
  }
}
