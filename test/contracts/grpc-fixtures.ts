/** A gRPC door over a fabric in memory, and clients that are made from proto files. */
import {
  type ChannelCredentials,
  Client,
  credentials,
  type GrpcObject,
  loadPackageDefinition,
  Metadata,
  type ServiceClientConstructor,
  type ServiceError,
} from '@grpc/grpc-js'
import { loadSync } from '@grpc/proto-loader'
import pino from 'pino'
import { MEMBRANE_PROTO_PATH } from '../../src/api/grpc-service.ts'
import { createHashChain } from '../../src/core/hash-chains.ts'
import type { RateBook } from '../../src/reconstruct/rebuild-ports.ts'
import { openSimulatedBackend } from '../../src/compute/simulated.ts'
import { addressText, type Door } from '../../src/doors/door.ts'
import { type GrpcDoorOptions, openGrpcDoor } from '../../src/doors/grpc.ts'
import { loadChainHashes } from '../../src/hashing/chain-hashes.ts'
import { BodyBudget } from '../../src/server/body-budget.ts'
import type { Authenticator, Caller, Role } from '../../src/server/caller.ts'
import { type Engine } from '../../src/server/compute-operations.ts'
import type { Fabric } from '../../src/server/fabric.ts'
import { Gate, type RateLimiter } from '../../src/server/gate.ts'
import { DEFAULT_NODE_OPTIONS } from '../../src/server/node-options.ts'
import { Node } from '../../src/server/node.ts'
import { systemAlarm, systemStopwatch } from '../../src/server/system-time.ts'
import { ANN, BOB, hashers, open } from './fabric-fixtures.ts'
import { operationsOn } from '../operations.ts'

const NODE_BLOCK_TOKENS = 16
const chain = createHashChain('blake3', { hashes: await loadChainHashes(), blockTokens: NODE_BLOCK_TOKENS })

/** Computing costs, whatever the pretended engine takes. */
const DEAR_PREFILL: RateBook = {
  read: () => ({ latencySeconds: 1e-5, bytesPerSecond: 1e9, isMeasured: true }),
  prefillSeconds: ({ start, end }) => (end - start) * 1e-3,
  isPrefillMeasured: true,
  observeRead: () => {},
  observePrefill: () => {},
}

export function simulatedNode(fabric: Fabric): Node {
  const backend = openSimulatedBackend({
    name: 'tiny',
    layers: 2,
    kvHeads: 2,
    headDim: 8,
    dtype: 'F32',
    contextTokensMax: 512,
    prefillSeconds: () => 0,
    wait: async () => {},
  })
  const time = { stopwatch: systemStopwatch, alarm: systemAlarm }
  return new Node({
    ...DEFAULT_NODE_OPTIONS,
    fabric,
    backend,
    chain,
    rates: DEAR_PREFILL,
    hashers,
    fragmentTokens: 64,
    ...time,
  })
}

const callerOf = (tenant: typeof ANN, role: Role): Caller => ({ tenant, role, name: `${tenant}-${role}` })

const TOKENS: Readonly<Record<string, Caller>> = {
  ann: callerOf(ANN, 'writer'),
  bob: callerOf(BOB, 'writer'),
  reader: callerOf(ANN, 'reader'),
  monitor: callerOf(ANN, 'monitor'),
}

/** Tokens are `ann`, `bob`, `reader` and `monitor`; so are common names of certificates. */
export const AUTHENTICATOR: Authenticator = {
  anonymous: null,
  byToken: (token) => TOKENS[token] ?? null,
  byCertificate: ({ commonName }) => TOKENS[commonName] ?? null,
}

export interface DoorUnderTest {
  readonly door: Door
  readonly fabric: Fabric
  readonly gate: Gate
  readonly budget: BodyBudget
  /** Lines of the log, as objects. */
  readonly logged: readonly Readonly<Record<string, unknown>>[]
  readonly close: () => Promise<void>
}

export type TestDoorOptions = Partial<GrpcDoorOptions> & {
  readonly engine?: (fabric: Fabric) => Engine
  readonly limiter?: RateLimiter
  readonly budgetBytes?: number
}

export async function openTestDoor({
  engine = () => ({ kind: 'none' }),
  limiter,
  budgetBytes = 256 * 1024 * 1024,
  ...options
}: TestDoorOptions = {}): Promise<DoorUnderTest> {
  const { fabric, clock } = await open({ bound: { payloadBytesMax: Infinity, entriesMax: 100_000 } })
  const gate = new Gate(limiter ?? null)
  const budget = new BodyBudget(budgetBytes)
  const logged: Record<string, unknown>[] = []
  const log = pino({ level: 'debug' }, { write: (line: string) => logged.push(JSON.parse(line)) })
  const engineOpened = engine(fabric)
  const operations = await operationsOn({ fabric, clock, gate, engine: engineOpened })
  const door = await openGrpcDoor({
    operations,
    version: '1.2.3',
    authenticator: AUTHENTICATOR,
    address: { kind: 'tcp', host: '127.0.0.1', port: 0 },
    tls: null,
    log,
    budget,
    connectionsMax: 16,
    payloadBytesMax: 128 * 1024 * 1024,
    ...options,
  })
  const close = async (): Promise<void> => {
    await door.close(AbortSignal.timeout(5000))
    if (engineOpened.kind === 'node') await engineOpened.node.close()
    await fabric.close()
  }
  return { door, fabric, gate, budget, logged, close }
}

/** Of any package: a client of `name`, as generated code would have it. */
export function clientOf(
  door: Door,
  name: string,
  {
    protoPath = MEMBRANE_PROTO_PATH,
    tls = credentials.createInsecure(),
  }: { readonly protoPath?: string; readonly tls?: ChannelCredentials } = {},
): Client {
  const loaded = loadPackageDefinition(loadSync(protoPath, { longs: Number, defaults: true, oneofs: true }))
  let at: unknown = loaded
  for (const part of name.split('.')) at = (at as GrpcObject)[part]
  const Service = at as ServiceClientConstructor
  const target = door.address.kind === 'unix' ? `unix:${door.address.path}` : addressText(door.address)
  return new Service(target, tls, {
    'grpc.max_receive_message_length': -1,
    'grpc.enable_channelz': 0,
    'grpc.use_local_subchannel_pool': 1,
    'grpc.ssl_target_name_override': 'localhost',
  })
}

export function as(token: string | null): Metadata {
  const metadata = new Metadata()
  if (token !== null) metadata.set('authorization', `Bearer ${token}`)
  return metadata
}

// oxlint-disable-next-line typescript/no-explicit-any -- What a client made from a proto has is known when it runs.
type Dynamic = any

/** One request, one answer. */
export function call<Response = Dynamic>(
  client: Client,
  method: string,
  { request = {}, token = 'ann' }: { readonly request?: object; readonly token?: string | null } = {},
): Promise<Response> {
  return new Promise((resolve, reject) => {
    const methods = client as unknown as Record<string, Dynamic>
    methods[method].call(client, request, as(token), (error: ServiceError | null, response: Response) => {
      if (error === null) resolve(response)
      else reject(error)
    })
  })
}

/** All that a stream of the server sends. */
export async function readAll<Response = Dynamic>(
  client: Client,
  method: string,
  { request = {}, token = 'ann' }: { readonly request?: object; readonly token?: string } = {},
): Promise<Response[]> {
  const methods = client as unknown as Record<string, Dynamic>
  const messages: Response[] = []
  for await (const message of methods[method].call(client, request, as(token))) messages.push(message)
  return messages
}

export interface PutRequest {
  readonly header: object
  readonly payload: Uint8Array
  readonly chunkBytes?: number
  readonly token?: string
}

export function put(
  client: Client,
  { header, payload, chunkBytes = 262_144, token = 'ann' }: PutRequest,
): Promise<Dynamic> {
  return new Promise((resolve, reject) => {
    const methods = client as unknown as Record<string, Dynamic>
    const stream = methods['Put'].call(client, as(token), (error: ServiceError | null, response: Dynamic) => {
      if (error === null) resolve(response)
      else reject(error)
    })
    stream.on('error', () => {})
    const sendAll = async (): Promise<void> => {
      stream.write({ header: { payloadBytes: payload.length, ...header } })
      for (let offset = 0; offset < payload.length; offset += chunkBytes) {
        const data = payload.subarray(offset, offset + chunkBytes)
        if (!stream.write({ data, offset })) await new Promise<void>((drained) => stream.once('drain', drained))
      }
      stream.end()
    }
    void sendAll()
  })
}

/** The status and our code of a call that must fail. */
export async function failureOf(promise: Promise<unknown>): Promise<{ status: number; code: string; details: string }> {
  const error = await promise.then(
    () => null,
    (thrown: ServiceError) => thrown,
  )
  if (error === null) throw new Error('The call was answered.')
  return { status: error.code, code: String(error.metadata.get('membrane-code')[0]), details: error.details }
}
