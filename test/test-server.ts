/** A server in this process, on free ports, with whatever a test needs of it. */
import pino from 'pino'
import { openCpuBackend, DEFAULT_MODEL_PATH } from '../src/compute/cpu.ts'
import { openSimulatedBackend } from '../src/compute/simulated.ts'
import type { ComputeBackend } from '../src/core/compute.ts'
import { createHashChain } from '../src/core/hash-chains.ts'
import { DEFAULT_TENANT } from '../src/core/ids.ts'
import { LIMITS } from '../src/core/limits.ts'
import type { DoorName, DoorTls } from '../src/doors/door.ts'
import { openServer, type Server } from '../src/doors/open-server.ts'
import { loadChainHashes } from '../src/hashing/chain-hashes.ts'
import { loadContentHashers } from '../src/hashing/content-hashers.ts'
import { MeasuredRates } from '../src/policy/measured-rates.ts'
import type { Authenticator, Caller } from '../src/server/caller.ts'
import { type Engine } from '../src/server/compute-operations.ts'
import { DEFAULT_FABRIC_OPTIONS, type Fabric, type FabricOptions, openFabric } from '../src/server/fabric.ts'
import { Gate, type RateLimiter } from '../src/server/gate.ts'
import { openNode } from '../src/server/node.ts'
import { DEFAULT_NODE_OPTIONS } from '../src/server/node-options.ts'
import type { Operations } from '../src/server/operations.ts'
import { systemAlarm, systemStopwatch } from '../src/server/system-time.ts'
import { MemoryStore } from '../src/store/memory.ts'
import { operationsOn } from './operations.ts'

export interface TestServerOptions {
  readonly doors?: readonly DoorName[]
  readonly tls?: DoorTls | null
  /** Callers by token; without any, whoever comes is an administrator of the default tenant. */
  readonly tokens?: Readonly<Record<string, Caller>>
  readonly fabric?: Partial<FabricOptions>
  /** `simulated` answers at once. */
  readonly compute?: 'none' | 'cpu' | 'simulated' | ComputeBackend
  readonly payloadBytesMax?: number
  readonly bodyBytesMax?: number
  readonly connectionsMax?: number
  readonly allowedPeers?: readonly string[]
  /** See `FragmentOperationsParts`. */
  readonly answersBytesMax?: number
  /** Where pulls keep what has come when they are cut. */
  readonly transfersDirectory?: string
  /** Slows callers down. */
  readonly limiter?: RateLimiter
  /** Lines that the server logs. */
  readonly logged?: string[]
}

export interface TestServer {
  readonly server: Server
  readonly fabric: Fabric
  readonly operations: Operations
  /** Port of a door. */
  port(door: DoorName): number
  close(): Promise<void>
}

const clock = { nowMs: Date.now }

export async function openTestServer(options: TestServerOptions = {}): Promise<TestServer> {
  const { doors = ['http'], tls = null, compute = 'none' } = options
  const { hashers } = await loadContentHashers()
  const fabric = await openFabric({
    ...DEFAULT_FABRIC_OPTIONS,
    store: new MemoryStore(clock),
    hashers,
    clock,
    tier: 'memory',
    seed: 1,
    ...options.fabric,
  })
  const engine = await engineOf(compute, fabric)
  const gate = new Gate(options.limiter ?? null)
  const authenticator = authenticatorOf(options.tokens)
  const { allowedPeers = [], answersBytesMax = LIMITS.answersBytesMax } = options
  const log = pino({ level: 'trace' }, { write: (line) => options.logged?.push(line) })
  const directories = options.transfersDirectory === undefined ? {} : { transfersDirectory: options.transfersDirectory }
  const operations = await operationsOn({
    fabric,
    clock,
    gate,
    engine,
    allowedPeers,
    answersBytesMax,
    log,
    ...directories,
  })
  const server = await openServer({
    operations,
    version: '1.2.3',
    doors: doors.map((name) => ({ name, address: { kind: 'tcp', host: '127.0.0.1', port: 0 }, tls, authenticator })),
    log,
    bodyBytesMax: options.bodyBytesMax ?? 256 * 1024 * 1024,
    payloadBytesMax: options.payloadBytesMax ?? 128 * 1024 * 1024,
    connectionsMax: options.connectionsMax ?? 1024,
  })
  return {
    server,
    fabric,
    operations,
    port: (name) => {
      const address = server.doors.find((door) => door.name === name)?.address
      if (address?.kind !== 'tcp') throw new Error(`The door ${name} is not open.`)
      return address.port
    },
    close: async () => {
      await server.close(5000)
      if (engine.kind === 'node') await engine.node.close()
      if (engine.kind === 'service') await engine.backend.close()
      await fabric.close()
    },
  }
}

function authenticatorOf(tokens: TestServerOptions['tokens']): Authenticator {
  const anonymous =
    tokens === undefined ? ({ tenant: DEFAULT_TENANT, role: 'admin', name: 'anonymous' } as const) : null
  return {
    anonymous,
    byToken: (token) => (tokens === undefined ? anonymous : (tokens[token] ?? null)),
    byCertificate: ({ commonName }) => tokens?.[commonName] ?? null,
  }
}

async function engineOf(compute: NonNullable<TestServerOptions['compute']>, fabric: Fabric): Promise<Engine> {
  if (compute === 'none') return { kind: 'none' }
  const [{ hashers }, chainHashes] = await Promise.all([loadContentHashers(), loadChainHashes()])
  const backend =
    compute === 'cpu'
      ? await openCpuBackend({
          modelPath: DEFAULT_MODEL_PATH,
          threads: 1,
          memoryBytesMax: 1024 ** 3,
          blake3: chainHashes.blake3,
          contentHasher: hashers.b3,
        })
      : compute === 'simulated'
        ? openSimulatedBackend({
            name: 'tiny',
            layers: 2,
            kvHeads: 2,
            headDim: 8,
            dtype: 'F32',
            contextTokensMax: 2048,
            prefillSeconds: () => 0,
            wait: async () => {},
          })
        : compute
  if (backend.kind === 'text') return { kind: 'service', backend }
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
