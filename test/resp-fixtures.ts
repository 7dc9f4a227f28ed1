/** A RESP door over a fabric in memory, with some credentials, for tests and benches. */
import pino from 'pino'
import { DEFAULT_TENANT, parseTenantId } from '../src/core/ids.ts'
import type { Door, DoorOptions } from '../src/doors/door.ts'
import { openRespDoor } from '../src/doors/resp.ts'
import type { RespSettings } from '../src/doors/resp-parts.ts'
import { loadContentHashers } from '../src/hashing/content-hashers.ts'
import { BodyBudget } from '../src/server/body-budget.ts'
import type { Authenticator, Caller } from '../src/server/caller.ts'
import { DEFAULT_FABRIC_OPTIONS, type Fabric, type FabricOptions, openFabric } from '../src/server/fabric.ts'
import { Gate } from '../src/server/gate.ts'
import type { Operations } from '../src/server/operations.ts'
import { MemoryStore } from '../src/store/memory.ts'
import { type AuditedAction, operationsOn } from './operations.ts'

export const ANYBODY: Caller = { tenant: DEFAULT_TENANT, role: 'admin', name: 'anonymous' }

/** Tokens and who has them. */
const CALLERS: Readonly<Record<string, Caller>> = {
  'token-of-a': { tenant: parseTenantId('a'), role: 'writer', name: 'writer-a' },
  'token-of-b': { tenant: parseTenantId('b'), role: 'writer', name: 'writer-b' },
  'token-of-reader': { tenant: parseTenantId('a'), role: 'reader', name: 'reader-a' },
}

export function authenticatorWith(anonymous: Caller | null): Authenticator {
  return {
    anonymous,
    byToken: (token) => CALLERS[token] ?? null,
    byCertificate: ({ commonName }) => Object.values(CALLERS).find(({ name }) => name === commonName) ?? null,
  }
}

export interface RespWorld {
  readonly door: Door
  /** 0 for a Unix socket. */
  readonly port: number
  readonly operations: Operations
  readonly audited: readonly AuditedAction[]
  readonly fabric: Fabric
  readonly budget: BodyBudget
  readonly close: () => Promise<void>
}

export type RespWorldOptions = Partial<DoorOptions & RespSettings> & { readonly fabric?: Partial<FabricOptions> }

export async function openRespWorld(options: RespWorldOptions = {}): Promise<RespWorld> {
  const { hashers } = await loadContentHashers()
  const clock = { nowMs: options.nowMs ?? Date.now }
  const common = { ...DEFAULT_FABRIC_OPTIONS, hashers, clock, tier: 'memory', seed: 1 } as const
  const fabric = await openFabric({ ...common, store: new MemoryStore(clock), ...options.fabric })
  const gate = new Gate(null)
  const audited: AuditedAction[] = []
  const operations = await operationsOn({ fabric, clock, gate, audited })
  const budget = options.budget ?? new BodyBudget(256 * 1024 * 1024)
  const { fabric: _, ...given } = options
  const door = await openRespDoor({
    operations,
    version: '1.2.3',
    authenticator: authenticatorWith(ANYBODY),
    address: { kind: 'tcp', host: '127.0.0.1', port: 0 },
    tls: null,
    log: pino({ level: 'silent' }),
    budget,
    connectionsMax: 256,
    payloadBytesMax: 128 * 1024 * 1024,
    failedAuthDelayMs: 0,
    ...given,
  })
  return {
    door,
    port: door.address.kind === 'tcp' ? door.address.port : 0,
    operations,
    audited,
    fabric,
    budget,
    close: async () => {
      await door.close(AbortSignal.timeout(5000))
      await fabric.close()
    },
  }
}
