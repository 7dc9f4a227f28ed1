/**
 * What bench/grpc.ts calls, in a process of its own: our door over a fabric in memory, and beside it what its packages
 * and Node do by themselves with bytes that nobody keeps or checks. Prints the three ports.
 */
import { createServer, type Server as HttpServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Server, ServerCredentials, type ServerReadableStream, type ServerWritableStream } from '@grpc/grpc-js'
import type { ServiceDefinition } from '@grpc/proto-loader'
import pino from 'pino'
import { loadMembraneService, SERVICE_NAME } from '../src/api/grpc-service.ts'
import { DEFAULT_TENANT } from '../src/core/ids.ts'
import { openGrpcDoor } from '../src/doors/grpc.ts'
import { loadContentHashers } from '../src/hashing/content-hashers.ts'
import { BodyBudget } from '../src/server/body-budget.ts'
import { DEFAULT_FABRIC_OPTIONS, openFabric } from '../src/server/fabric.ts'
import { Gate } from '../src/server/gate.ts'
import { MemoryStore } from '../src/store/memory.ts'
import { operationsOn } from '../test/operations.ts'

const PAYLOAD_BYTES = Number(process.argv[2])
const CHUNK_BYTES = 256 * 1024
const payload = Buffer.alloc(PAYLOAD_BYTES, 7)

async function openOurs(): Promise<number> {
  const clock = { nowMs: Date.now }
  const { hashers } = await loadContentHashers()
  const bound = { payloadBytesMax: 1024 ** 3, entriesMax: 10_000 }
  const store = new MemoryStore(clock)
  const fabric = await openFabric({ ...DEFAULT_FABRIC_OPTIONS, store, hashers, clock, seed: 1, tier: 'memory', bound })
  const gate = new Gate(null)
  const { address } = await openGrpcDoor({
    operations: await operationsOn({ fabric, clock, gate }),
    version: 'bench',
    authenticator: {
      anonymous: { tenant: DEFAULT_TENANT, role: 'writer', name: 'bench' },
      byToken: () => null,
      byCertificate: () => null,
    },
    address: { kind: 'tcp', host: '127.0.0.1', port: 0 },
    tls: null,
    log: pino({ level: 'silent' }),
    budget: new BodyBudget(1024 ** 3),
    connectionsMax: 64,
    payloadBytesMax: 1024 ** 3,
  })
  return address.kind === 'tcp' ? address.port : 0
}

/** The generated code, and handlers that do nothing else. */
function openPlain(): Promise<number> {
  const server = new Server({ 'grpc.max_receive_message_length': -1 })
  server.addService(loadMembraneService().declared[SERVICE_NAME] as ServiceDefinition, {
    Heartbeat: (_: unknown, callback: (error: null, value: object) => void) => callback(null, { healthy: true }),
    Put: (call: ServerReadableStream<{ data: Buffer }, object>, callback: (error: null, value: object) => void) => {
      let filled = 0
      const target = Buffer.allocUnsafe(PAYLOAD_BYTES)
      call.on('data', ({ data }: { data: Buffer }) => {
        filled += data.copy(target, filled)
      })
      call.on('end', () => callback(null, { outcome: 'stored' }))
    },
    Get: (call: ServerWritableStream<object, object>) => {
      void sendPlain(call)
    },
  })
  return new Promise((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, port) =>
      error === null ? resolve(port) : reject(error),
    )
  })
}

async function sendPlain(call: ServerWritableStream<object, object>): Promise<void> {
  for (let offset = 0; offset < PAYLOAD_BYTES; offset += CHUNK_BYTES) {
    const data = payload.subarray(offset, offset + CHUNK_BYTES)
    if (!call.write({ data, offset })) await new Promise((resolve) => call.once('drain', resolve))
  }
  call.end()
}

async function openHttp(): Promise<number> {
  const server: HttpServer = createServer((request, response) => {
    if (request.method === 'GET') response.end(payload)
    else {
      const target = Buffer.allocUnsafe(PAYLOAD_BYTES)
      let filled = 0
      request.on('data', (segment: Buffer) => {
        filled += segment.copy(target, filled)
      })
      request.on('end', () => response.end())
    }
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return (server.address() as AddressInfo).port
}

const ports = { ours: await openOurs(), plain: await openPlain(), http: await openHttp() }
console.log(JSON.stringify(ports))
