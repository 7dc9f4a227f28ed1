/** Health, reflection, and how the door closes. */
import { fileURLToPath } from 'node:url'
import { type Client, credentials } from '@grpc/grpc-js'
import { protoPath as healthProto } from 'grpc-health-check'
import { loadFileDescriptorSetFromBuffer } from '@grpc/proto-loader'
import { afterEach, describe, expect, test } from 'vitest'
import {
  as,
  call,
  clientOf,
  type DoorUnderTest,
  failureOf,
  openTestDoor,
  put,
  readAll,
} from '../../test/contracts/grpc-fixtures.ts'
import { bytesOf, toArray } from '../../test/contracts/store-fixtures.ts'
import { loadMembraneService } from '../api/grpc-service.ts'

const REFLECTION_PROTO = fileURLToPath(
  new URL('../proto/grpc/reflection/v1/reflection.proto', import.meta.resolve('@grpc/reflection')),
)

const closing: (() => unknown)[] = []
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close()
})

async function opened(): Promise<DoorUnderTest> {
  const under = await openTestDoor()
  closing.push(under.close)
  return under
}

function connected({ door }: DoorUnderTest, name: string, protoPath?: string): Client {
  const client = clientOf(door, name, {
    tls: credentials.createInsecure(),
    ...(protoPath === undefined ? {} : { protoPath }),
  })
  closing.push(() => client.close())
  return client
}

/** What a client made from a proto has is known when it runs. */
type Stream = NodeJS.EventEmitter & AsyncIterable<unknown> & { write(message: object): void; end(): void }
function streamOf(client: Client, method: string, ...rest: unknown[]): Stream {
  const methods = client as unknown as Record<string, (...all: unknown[]) => Stream>
  const open = methods[method]
  if (open === undefined) throw new Error(`There is no ${method}.`)
  return open.apply(client, rest)
}

describe('health', () => {
  test('is told to whoever asks, of the node and of the service, and of nothing else', async () => {
    const health = connected(await opened(), 'grpc.health.v1.Health', healthProto)
    for (const service of ['', 'membrane.Membrane'])
      expect(await call(health, 'Check', { request: { service }, token: null })).toMatchObject({ status: 1 })
    expect(await failureOf(call(health, 'Check', { request: { service: 'other' } }))).toMatchObject({ status: 5 })
  })

  test('is bad once the node closes its door, and whoever watches is told before the door is closed', async () => {
    const under = await opened()
    const health = connected(under, 'grpc.health.v1.Health', healthProto)
    const watching = streamOf(health, 'Watch', { service: '' }, as(null))
    const seen: unknown[] = []
    watching.on('data', (message: { status: number }) => seen.push(message.status))
    const ended = new Promise((resolve) => watching.on('error', resolve))
    await expect.poll(() => seen).toEqual([1])
    await under.door.close(AbortSignal.timeout(60_000))
    expect(seen).toEqual([1, 2])
    expect(await ended).toMatchObject({ code: 14 })
  })
})

describe('reflection', () => {
  test('tells a client that has no proto file all that it needs for one', async () => {
    const under = await opened()
    const reflection = connected(under, 'grpc.reflection.v1.ServerReflection', REFLECTION_PROTO)
    const answers = streamOf(reflection, 'ServerReflectionInfo', as(null))
    answers.write({ listServices: '*' })
    answers.write({ fileContainingSymbol: 'membrane.Membrane' })
    answers.end()
    // oxlint-disable-next-line typescript/no-explicit-any -- As above.
    const [services, files] = (await toArray(answers)) as any[]
    expect(services.listServicesResponse.service).toEqual([{ name: 'membrane.Membrane' }])
    const [file] = files.fileDescriptorResponse.fileDescriptorProto as Buffer[]
    // A set of files has the form of a chunk: bytes in field 1.
    const set = loadMembraneService().encodeGetResponse({ data: file ?? Buffer.alloc(0), offset: 0 })
    const declared = loadFileDescriptorSetFromBuffer(set)
    const service = declared['membrane.Membrane'] as unknown as Record<string, { path: string; requestStream: boolean }>
    expect(service['Put']).toMatchObject({ path: '/membrane.Membrane/Put', requestStream: true })
    expect(Object.keys(service)).toHaveLength(15)
  })
})

describe('closing', () => {
  test('answers what is under way, and takes nothing new', async () => {
    const under = await opened()
    const client = connected(under, 'membrane.Membrane')
    const payload = bytesOf(8 * 1024 * 1024)
    const { key } = await put(client, { header: {}, payload })
    const reading = streamOf(client, 'Get', { key }, as('ann'))
    const iterator = (reading as AsyncIterable<{ data: Buffer }>)[Symbol.asyncIterator]()
    await iterator.next()
    const closed = under.door.close(AbortSignal.timeout(60_000))
    let bytes = 0
    for (let next = await iterator.next(); next.done !== true; next = await iterator.next())
      bytes += next.value.data.length
    expect(bytes).toBe(payload.length)
    await closed
    expect(under.door.connections).toBe(0)
    expect(await failureOf(call(client, 'Heartbeat'))).toMatchObject({ status: 14 })
  })

  test('cuts what is still open when its time is over', async () => {
    const under = await opened()
    const client = connected(under, 'membrane.Membrane')
    const { key } = await put(client, { header: {}, payload: bytesOf(32 * 1024 * 1024) })
    const stuck = streamOf(client, 'Get', { key }, as('ann'))
    const failed = new Promise((resolve) => stuck.on('error', resolve))
    await new Promise((resolve) => stuck.once('readable', resolve))
    const grace = new AbortController()
    const closed = under.door.close(grace.signal)
    grace.abort()
    await closed
    expect(under.door.connections).toBe(0)
    stuck.on('data', () => {})
    expect(await failed).toBeInstanceOf(Error)
  })

  test('of a door on which nothing happened ends at once', async () => {
    const under = await opened()
    connected(under, 'membrane.Membrane')
    await under.door.close(AbortSignal.abort())
    await readAll(connected(under, 'membrane.Membrane'), 'Get', { request: { key: 'a' } }).catch(() => {})
  })
})
