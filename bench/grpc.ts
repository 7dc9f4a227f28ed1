/**
 * The gRPC door in a process of its own: small calls, and payloads of 4 MB put and got, beside what the packages do by
 * themselves with the generated code and with bytes that nobody checks, and beside HTTP/1.1 of Node alone.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { Agent, request as httpRequest } from 'node:http'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { Client, credentials, Metadata } from '@grpc/grpc-js'
import type { MethodDefinition, ServiceDefinition } from '@grpc/proto-loader'
import { GrpcClient } from '../src/api/grpc-client.ts'
import { loadMembraneService, SERVICE_NAME } from '../src/api/grpc-service.ts'
import type { Bench, Findings } from './bench.ts'
import { ratioOf, RUNS } from './harness.ts'

const MB = 2 ** 20
const PAYLOAD_BYTES = 4 * MB
const CHUNK_BYTES = 256 * 1024
const SMALL_CALLS = 4000
const SMALL_IN_FLIGHT = 32
const LARGE_CALLS = 32

const declared = loadMembraneService().declared[SERVICE_NAME] as ServiceDefinition

interface Ports {
  readonly ours: number
  readonly plain: number
  readonly http: number
}

export const bench: Bench = {
  summary: 'the gRPC door in a process of its own, beside its packages by themselves, and HTTP/1.1',
  probes: {},
  run: async (): Promise<Findings> => {
    const { child, ports } = await startServer()
    try {
      const times = await measureCalls(ports)
      const of = (name: string): readonly number[] => times.get(name) ?? []
      const rows = [...times].map(([what, runsMs]) => ({ what, runsMs, note: noteOf(what, runsMs) }))
      const ratios = [
        ratioOf('small calls: ours / grpc-js alone', of('small: grpc-js alone'), of('small: ours')),
        ratioOf('get: ours / grpc-js alone', of('get: grpc-js alone'), of('get: ours')),
        ratioOf('put: ours / grpc-js alone', of('put: grpc-js alone'), of('put: ours')),
        ratioOf('get: ours / HTTP/1.1 alone', of('get: HTTP/1.1 alone'), of('get: ours')),
        ratioOf('put: ours / HTTP/1.1 alone', of('put: HTTP/1.1 alone'), of('put: ours')),
      ]
      return { rows, ratios }
    } finally {
      child.kill()
    }
  },
}

async function startServer(): Promise<{ readonly child: ChildProcess; readonly ports: Ports }> {
  const script = fileURLToPath(new URL('grpc-server.ts', import.meta.url))
  const child = spawn(process.execPath, [script, String(PAYLOAD_BYTES)], { stdio: ['ignore', 'pipe', 'inherit'] })
  const lines = createInterface({ input: child.stdout })
  const line = await new Promise<string>((resolve, reject) => {
    lines.once('line', resolve)
    child.once('exit', () => reject(new Error('The server of the bench ended before it listened.')))
  })
  return { child, ports: JSON.parse(line) as Ports }
}

/** Means of one call in milliseconds, by what was called, one a turn. */
async function measureCalls(ports: Ports): Promise<ReadonlyMap<string, readonly number[]>> {
  const payload = Buffer.alloc(PAYLOAD_BYTES, 7)
  const ours = new GrpcClient({ target: `127.0.0.1:${ports.ours}` })
  const plain = new Client(`127.0.0.1:${ports.plain}`, credentials.createInsecure(), {
    'grpc-node.flow_control_window': 64 * MB,
  })
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  const { key } = await ours.put({ payload })
  let puts = 0
  const calls: Readonly<Record<string, () => Promise<unknown>>> = {
    'small: ours': () => ours.heartbeat(),
    'small: grpc-js alone': () => plainUnary(plain),
    'get: ours': () => ours.get(key),
    'get: grpc-js alone': () => plainGet(plain),
    'get: HTTP/1.1 alone': () => http(ports.http, agent, null),
    'put: ours': () => {
      // Other bytes each time, so that each put stores.
      payload.writeUInt32LE(puts++, 0)
      return ours.put({ payload })
    },
    'put: grpc-js alone': () => plainPut(plain, payload),
    'put: HTTP/1.1 alone': () => http(ports.http, agent, payload),
  }
  const times = new Map(Object.keys(calls).map((name): [string, number[]] => [name, []]))
  // One turn more, which is not counted: connections and code warm up.
  for (let turn = 0; turn <= RUNS; turn++) {
    for (const [name, call] of Object.entries(calls)) {
      const isSmall = name.startsWith('small')
      const ms = await meanMs(call, isSmall ? SMALL_CALLS : LARGE_CALLS, isSmall ? SMALL_IN_FLIGHT : 1)
      if (turn > 0) times.get(name)?.push(ms)
    }
  }
  ours.close()
  plain.close()
  agent.destroy()
  return times
}

async function meanMs(call: () => Promise<unknown>, calls: number, inFlight: number): Promise<number> {
  const start = performance.now()
  let left = calls
  const run = async (): Promise<void> => {
    while (left-- > 0) await call()
  }
  await Promise.all(Array.from({ length: inFlight }, run))
  return (performance.now() - start) / calls
}

function methodOf(name: string): MethodDefinition<object, object> {
  const method = declared[name]
  if (method === undefined) throw new Error(`There is no ${name}.`)
  return method
}

function plainUnary(client: Client): Promise<unknown> {
  const { path, requestSerialize, responseDeserialize } = methodOf('Heartbeat')
  return new Promise((resolve, reject) => {
    client.makeUnaryRequest(path, requestSerialize, responseDeserialize, {}, (error, value) =>
      error === null ? resolve(value) : reject(error),
    )
  })
}

async function plainGet(client: Client): Promise<Buffer> {
  const { path, requestSerialize, responseDeserialize } = methodOf('Get')
  const target = Buffer.allocUnsafe(PAYLOAD_BYTES)
  let filled = 0
  for await (const message of client.makeServerStreamRequest(path, requestSerialize, responseDeserialize, {}))
    filled += (message as { data: Buffer }).data.copy(target, filled)
  return target
}

async function plainPut(client: Client, payload: Buffer): Promise<unknown> {
  const { path, requestSerialize, responseDeserialize } = methodOf('Put')
  const { promise, resolve, reject } = Promise.withResolvers<unknown>()
  const stream = client.makeClientStreamRequest(
    path,
    requestSerialize,
    responseDeserialize,
    new Metadata(),
    (error, value) => (error === null ? resolve(value) : reject(error)),
  )
  for (let offset = 0; offset < payload.length; offset += CHUNK_BYTES) {
    const data = payload.subarray(offset, offset + CHUNK_BYTES)
    if (!stream.write({ data, offset })) await new Promise((drained) => stream.once('drain', drained))
  }
  stream.end()
  return promise
}

function http(port: number, agent: Agent, payload: Buffer | null): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const method = payload === null ? 'GET' : 'POST'
    const asked = httpRequest({ port, host: '127.0.0.1', agent, method }, (response) => {
      const target = Buffer.allocUnsafe(PAYLOAD_BYTES)
      let filled = 0
      response.on('data', (segment: Buffer) => {
        filled += segment.copy(target, filled)
      })
      response.on('end', () => resolve(target))
    })
    asked.on('error', reject)
    if (payload === null) asked.end()
    else asked.end(payload)
  })
}

function noteOf(what: string, runsMs: readonly number[]): string {
  const bestMs = Math.min(...runsMs)
  if (what.startsWith('small')) return `${Math.round(1000 / bestMs)} calls/s at best, ${SMALL_IN_FLIGHT} at a time`
  return `${(PAYLOAD_BYTES / bestMs / 1e6).toFixed(2)} GB/s at best, one at a time`
}
