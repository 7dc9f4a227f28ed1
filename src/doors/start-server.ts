/**
 * A whole server from one configuration: its store, its memory, its engine, who may do what, and its doors. What is
 * opened first is closed last, also when something in between fails.
 */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { randomInt } from 'node:crypto'
import type { Logger } from 'pino'
import type { ServerConfig } from '../api/server-schema.ts'
import { MembraneError } from '../core/errors.ts'
import type { Clock } from '../core/ports.ts'
import { loadChainHashes } from '../hashing/chain-hashes.ts'
import { loadContentHashers } from '../hashing/content-hashers.ts'
import { parseEvictionPolicy } from '../policy/evict-policies.ts'
import type { AdminAudit, AdminOperationsParts } from '../server/admin-operations.ts'
import { type AuditAction, AuditLog } from '../server/audit.ts'
import { DEFAULT_FABRIC_OPTIONS, type Fabric, openFabric } from '../server/fabric.ts'
import { Gate } from '../server/gate.ts'
import type { OpenLog } from '../server/log.ts'
import { createOperations } from '../server/operations.ts'
import { auditPathOf, openSecurity, type Security, type SecurityPorts } from '../server/security.ts'
import { loadSemanticPorts } from '../server/semantic-ports.ts'
import { systemStopwatch } from '../server/system-time.ts'
import { openTenantQuotas, type TenantQuotas } from '../server/tenant-quotas.ts'
import type { PayloadMemory } from '../store/payload-memory.ts'
import { type DoorPlan, openServer, type Server } from './open-server.ts'
import { advertisedAddress, openCluster } from './start-cluster.ts'
import { openEngine } from './start-engine.ts'
import { openStore, type StorePorts } from './start-store.ts'

/** What the edge hands in. */
export interface StartPorts {
  readonly log: OpenLog
  /** Of the program, as clients are told it. */
  readonly version: string
  readonly environment: Readonly<Record<string, string | undefined>>
  readonly readCredentials: SecurityPorts['readCredentials']
}

/** A server that answers. */
export interface RunningServer {
  readonly server: Server
  /** Worth a warning: what works and is unwise. */
  readonly notes: readonly string[]
  /** Reads credentials and certificates anew. Throws, and leaves everything as it was, when they cannot be used. */
  reload(): Promise<void>
  /** Answers what is under way, for as long as the configuration allows, writes everything down, and frees it. */
  stop(): Promise<void>
}

/**
 * Throws what its parts throw (INVALID_CONFIG, STORE_LOCKED, ADDRESS_UNAVAILABLE, INVALID_MODEL and others); nothing
 * stays open then.
 */
export async function startServer(config: ServerConfig, ports: StartPorts): Promise<RunningServer> {
  const { log } = ports.log
  const clock: Clock = { nowMs: Date.now }
  const closing: (() => Promise<void>)[] = []
  const closeAll = async (): Promise<void> => {
    for (const close of closing.splice(0).toReversed()) await close()
  }
  try {
    // Who may come in is decided before anything is opened.
    const security = await openSecurity(config, {
      readCredentials: ports.readCredentials,
      clock,
      stopwatch: systemStopwatch,
    })
    const [{ hashers }, chainHashes] = await Promise.all([loadContentHashers(), loadChainHashes()])
    const { fabric, quotas, scrub, payloadMemory } = await openMemory(config, { hashers, clock })
    closing.push(() => fabric.close())
    const auditPath = auditPathOf(config)
    // A store on disk has made it; others may be the first to need it.
    if (config.dataDir !== null) await mkdir(config.dataDir, { recursive: true, mode: 0o700 })
    const file = auditPath === null ? null : await AuditLog.open(auditPath, clock)
    if (file !== null) closing.push(() => file.close())
    const audit = file ?? auditInLog(log)
    const cluster = await openCluster(config, { fabric, security, chainHashes, clock, version: ports.version, log })
    if (cluster !== null) closing.push(() => cluster.close())
    const { engine, rates, close } = await openEngine(config, {
      fabric,
      hashers,
      chainHashes,
      saltOf: security.saltOf,
      environment: ports.environment,
      log,
      cluster,
    })
    closing.push(close)
    const gate = new Gate(security.limiter)
    const operations = createOperations({
      fabric,
      engine,
      gate,
      clock,
      stopwatch: systemStopwatch,
      leaseMs: config.leaseSeconds * 1000,
      node: config.nodeId,
      log,
      quotas,
      audit,
      scrub,
      payloadMemory,
      allowedPeers: config.allowedPeers,
      cluster,
      transfersDirectory: config.store === 'disk' && config.dataDir !== null ? join(config.dataDir, 'transfers') : null,
    })
    closing.push(() => operations.pulls.close())
    const server = await openServer({
      operations,
      version: ports.version,
      doors: doorsOf(config, security),
      log,
      bodyBytesMax: config.bodiesBytesMax,
      payloadBytesMax: config.payloadBytesMax,
      connectionsMax: config.connectionsMax,
    })
    await cluster?.begin(advertisedAddress(config, httpPortOf(server)), { engine, rates })
    const written = <T>(action: AuditAction, act: () => Promise<T>): Promise<T> =>
      audit.around({ action, caller: null, target: config.nodeId, requestId: null }, act)
    await written('start', async () => {})
    return {
      server,
      notes: security.notes,
      reload: async () => {
        const { credentials, tls, notes } = await written('credentials.reload', () => security.reload())
        for (const door of tls === null ? [] : server.doors) if (tls !== null) door.renewTls(tls)
        for (const note of notes) log.warn(note)
        log.info({ credentials, hasNewCertificate: tls !== null }, 'read anew')
      },
      stop: async () => {
        try {
          await written('drain', async () => {
            // While its doors are open: others fetch what only this node has.
            await cluster?.leave(config.drainSeconds)
            await server.close(config.drainSeconds * 1000)
          })
        } finally {
          await closeAll()
        }
      },
    }
  } catch (error) {
    await closeAll()
    throw error
  }
}

function httpPortOf({ doors }: Server): number {
  for (const { name, address } of doors) if (name === 'http' && address.kind === 'tcp') return address.port
  throw new MembraneError('INVALID_CONFIG', 'Nodes of a cluster talk over HTTP: this one has no HTTP door.')
}

function doorsOf(config: ServerConfig, { authenticator, socketAuthenticator, tls }: Security): readonly DoorPlan[] {
  const { host, port, grpcPort, respPort, respSocket, lmPort } = config
  const ports = { http: port, grpc: grpcPort, resp: respPort, lm: lmPort }
  const plans: DoorPlan[] = []
  for (const name of ['http', 'grpc', 'resp', 'lm'] as const) {
    const tcpPort = ports[name]
    if (tcpPort !== null) plans.push({ name, address: { kind: 'tcp', host, port: tcpPort }, tls, authenticator })
  }
  if (respSocket !== null) {
    const address = { kind: 'unix', path: respSocket } as const
    plans.push({ name: 'resp', address, tls: null, authenticator: socketAuthenticator })
  }
  return plans
}

/** A server without a directory keeps no file: its log says it. */
function auditInLog(log: Logger): AdminAudit {
  return {
    around: async ({ caller, ...entry }, act) => {
      const line = { ...entry, caller: caller?.name ?? null, tenant: caller?.tenant ?? null }
      log.info({ audit: { ...line, outcome: 'begun' } }, 'administrative action')
      try {
        const result = await act()
        log.info({ audit: { ...line, outcome: 'done' } }, 'administrative action')
        return result
      } catch (error) {
        const outcome = error instanceof MembraneError ? error.code : 'INTERNAL'
        log.info({ audit: { ...line, outcome } }, 'administrative action')
        throw error
      }
    },
  }
}

interface OpenedMemory {
  readonly fabric: Fabric
  readonly quotas: TenantQuotas
  readonly scrub: AdminOperationsParts['scrub']
  readonly payloadMemory: PayloadMemory | null
}

async function openMemory(config: ServerConfig, ports: StorePorts): Promise<OpenedMemory> {
  const { store: kind, memoryBytesMax, storeBytesMax, storeEntriesMax, ttlSeconds } = config
  const { store, quarantine, snapshot, quotaFile, scrub, payloadMemory } = await openStore(config, ports)
  try {
    const quotas = await openTenantQuotas(quotaFile)
    const fabric = await openFabric({
      ...DEFAULT_FABRIC_OPTIONS,
      ...ports,
      store,
      quarantine,
      snapshot,
      quotaOf: quotas.quotaOf,
      tier: kind === 'redis' ? 'remote' : kind,
      hotBytesMax: memoryBytesMax,
      bound: {
        payloadBytesMax: (kind === 'memory' ? memoryBytesMax : storeBytesMax) ?? Infinity,
        entriesMax: storeEntriesMax,
      },
      policy: parseEvictionPolicy(config.evictionPolicy),
      ttlMs: ttlSeconds === null ? null : ttlSeconds * 1000,
      semantic: config.semantic ? await loadSemanticPorts() : null,
      node: config.nodeId,
      seed: randomInt(2 ** 32),
    })
    const scrubAll: OpenedMemory['scrub'] =
      scrub === null
        ? null
        : async (signal) => {
            const { entries, payloadBytes, isComplete } = await scrub(signal)
            return { entries, payloadBytes, isComplete, damaged: (await fabric.dropLost()).length }
          }
    return { fabric, quotas, scrub: scrubAll, payloadMemory }
  } catch (error) {
    await store.close()
    throw error
  }
}
