/** A running HTTP door on a free port, over a memory, for tests; and raw bytes on a connection to it. */
import { connect } from 'node:net'
import pino from 'pino'
import { afterAll } from 'vitest'
import { createHashChain } from '../../src/core/hash-chains.ts'
import { DEFAULT_TENANT, parseTenantId } from '../../src/core/ids.ts'
import { openServer, type Server, type ServerParts } from '../../src/doors/open-server.ts'
import { loadChainHashes } from '../../src/hashing/chain-hashes.ts'
import { loadContentHashers } from '../../src/hashing/content-hashers.ts'
import { DEFAULT_MODEL_PATH, openCpuBackend } from '../../src/compute/cpu.ts'
import { MeasuredRates } from '../../src/policy/measured-rates.ts'
import { type AuditedAction, auditInto } from '../operations.ts'
import type { Authenticator, Caller, Role } from '../../src/server/caller.ts'
import { DEFAULT_FABRIC_OPTIONS, type Fabric, type FabricOptions, openFabric } from '../../src/server/fabric.ts'
import { Gate } from '../../src/server/gate.ts'
import { DEFAULT_NODE_OPTIONS } from '../../src/server/node-options.ts'
import { openNode } from '../../src/server/node.ts'
import { createOperations, type OperationsParts } from '../../src/server/operations.ts'
import { systemAlarm, systemStopwatch } from '../../src/server/system-time.ts'
import { openTenantQuotas } from '../../src/server/tenant-quotas.ts'
import { MemoryStore } from '../../src/store/memory.ts'

export interface HttpWorld {
  readonly server: Server
  readonly fabric: Fabric
  readonly url: string
  readonly port: number
  readonly audit: readonly AuditedAction[]
  /** What the node has logged: one JSON object a line. */
  readonly logged: readonly string[]
  /** Asks with the token of a caller; `admin` unless given. */
  readonly ask: (path: string, init?: RequestInit & { readonly as?: string }) => Promise<Answer>
}

/** An answer whose JSON is looked into without further ado. */
export type Answer = Omit<Response, 'json'> & { readonly json: () => Promise<ReturnType<typeof JSON.parse>> }

export interface WorldOptions
  extends Partial<Pick<ServerParts, 'bodyBytesMax' | 'payloadBytesMax' | 'connectionsMax'>> {
  /** Nobody needs a credential. */
  readonly isOpen?: boolean
  readonly engine?: OperationsParts['engine']
  readonly scrub?: OperationsParts['scrub']
  readonly fabric?: Partial<FabricOptions>
  readonly openEngine?: (fabric: Fabric) => Promise<OperationsParts['engine']>
}

const clock = { nowMs: Date.now }
export const { hashers } = await loadContentHashers()

/** Tokens are `<role>` of the tenant default, and `<role>@<tenant>`. */
function callerOf(token: string): Caller | null {
  const [role = '', tenant = DEFAULT_TENANT] = token.split('@')
  if (!['reader', 'writer', 'monitor', 'admin'].includes(role)) return null
  return { tenant: parseTenantId(tenant), role: role as Role, name: token }
}

/** Closed after the tests of the file. */
export async function openHttpWorld(options: WorldOptions = {}): Promise<HttpWorld> {
  const quotas = await openTenantQuotas(null)
  const fabric = await openFabric({
    ...DEFAULT_FABRIC_OPTIONS,
    store: new MemoryStore(clock),
    tier: 'memory',
    hashers,
    clock,
    seed: 1,
    quotaOf: quotas.quotaOf,
    ...options.fabric,
  })
  const audit: AuditedAction[] = []
  const logged: string[] = []
  const engine = (await options.openEngine?.(fabric)) ?? options.engine ?? { kind: 'none' as const }
  const authenticator: Authenticator = {
    anonymous: options.isOpen === true ? callerOf('admin') : null,
    byToken: callerOf,
    byCertificate: () => null,
  }
  const server = await openServer({
    operations: createOperations({
      fabric,
      quotas,
      engine,
      gate: new Gate(null),
      clock,
      stopwatch: systemStopwatch,
      leaseMs: 5000,
      node: 'node-1',
      log: pino({ level: 'silent' }),
      audit: auditInto(audit),
      scrub: options.scrub ?? null,
    }),
    version: '1.2.3',
    doors: [{ name: 'http', address: { kind: 'tcp', host: '127.0.0.1', port: 0 }, tls: null, authenticator }],
    log: pino({ level: 'debug' }, { write: (line: string) => logged.push(line) }),
    bodyBytesMax: options.bodyBytesMax ?? 64 * 1024 * 1024,
    payloadBytesMax: options.payloadBytesMax ?? 32 * 1024 * 1024,
    connectionsMax: options.connectionsMax ?? 256,
  })
  afterAll(async () => {
    await server.close(100)
    if (engine.kind === 'node') await engine.node.close()
    await fabric.close()
  })
  const address = server.doors[0]?.address
  if (address?.kind !== 'tcp') throw new Error('An address was expected.')
  const url = `http://127.0.0.1:${address.port}`
  const ask: HttpWorld['ask'] = (path, { as = 'admin', ...init } = {}) => {
    const headers = new Headers(init.headers)
    if (options.isOpen !== true) headers.set('authorization', `Bearer ${as}`)
    return fetch(url + path, { ...init, headers })
  }
  return { server, fabric, url, port: address.port, audit, logged, ask }
}

/** The small model that comes along, on one thread. */
export async function openTestEngine(fabric: Fabric): Promise<OperationsParts['engine']> {
  const chainHashes = await loadChainHashes()
  const backend = await openCpuBackend({
    modelPath: DEFAULT_MODEL_PATH,
    threads: 1,
    memoryBytesMax: 2 ** 28,
    blake3: chainHashes.blake3,
    contentHasher: hashers.b3,
  })
  const node = await openNode({
    ...DEFAULT_NODE_OPTIONS,
    fabric,
    backend,
    chain: createHashChain('blake3', { hashes: chainHashes, blockTokens: 16 }),
    rates: new MeasuredRates(),
    hashers,
    stopwatch: systemStopwatch,
    alarm: systemAlarm,
  })
  return { kind: 'node', node }
}

/** Sends bytes as they are, and gives what comes back until the other side ends or `until` has come. */
export async function sendRaw(port: number, bytes: string | Uint8Array, until?: RegExp): Promise<string> {
  const socket = connect(port, '127.0.0.1')
  let text = ''
  const { promise, resolve } = Promise.withResolvers<void>()
  socket.setEncoding('latin1')
  socket.on('data', (piece: string) => {
    text += piece
    if (until?.test(text) === true) resolve()
  })
  socket.once('close', () => resolve())
  // A connection that is cut is an answer too.
  socket.on('error', () => {})
  socket.write(bytes)
  await promise
  socket.destroy()
  return text
}

export const opaque = (name: string): string => `/v1/fragments/opaque/=${name}`
