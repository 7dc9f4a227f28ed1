/** Clients that go away, stall, lie or send what is no gRPC: nothing is kept, nothing is held, others are served. */
import { connect as connectHttp2, type ClientHttp2Session, constants } from 'node:http2'
import { connect, type Socket } from 'node:net'
import { type Client, Metadata, type ServiceError } from '@grpc/grpc-js'
import fc from 'fast-check'
import { afterEach, describe, expect, test } from 'vitest'
import { LIMITS } from '../core/limits.ts'
import { runs } from '../../test/effort.ts'
import { hostileGrpcBytes, hostileGrpcCall, sendHostileCall } from '../../test/hostile-messages.ts'
import { manualTimers } from '../../test/mocks/manual-timers.ts'
import {
  as,
  call,
  clientOf,
  type DoorUnderTest,
  failureOf,
  openTestDoor,
  put,
  type TestDoorOptions,
} from '../../test/contracts/grpc-fixtures.ts'
import { bytesOf } from '../../test/contracts/store-fixtures.ts'

const MEBIBYTE = 1024 * 1024

const closing: (() => unknown)[] = []
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close()
})

async function opened(options: TestDoorOptions = {}): Promise<DoorUnderTest & { readonly client: Client }> {
  const under = await openTestDoor(options)
  closing.push(under.close)
  const client = clientOf(under.door, 'membrane.Membrane')
  closing.push(() => client.close())
  return { ...under, client }
}

interface PutStream extends NodeJS.EventEmitter {
  write(message: object, sent?: () => void): boolean
  end(): void
  cancel(): void
}

/** A put that its test sends bit by bit. */
function startPut(client: Client, metadata: Metadata = as('ann'), options: object = {}) {
  const { promise, resolve, reject } = Promise.withResolvers<unknown>()
  const open = (client as unknown as Record<string, (...all: unknown[]) => PutStream>)['Put']
  if (open === undefined) throw new Error('There is no Put.')
  const stream = open.call(client, metadata, options, (error: ServiceError | null, response: unknown) =>
    error === null ? resolve(response) : reject(error),
  )
  stream.on('error', () => {})
  promise.catch(() => {})
  return { stream, answered: promise }
}

function portOf({ door }: DoorUnderTest): number {
  if (door.address.kind !== 'tcp') throw new Error('A TCP address was expected.')
  return door.address.port
}

describe('a put', () => {
  test('that is cancelled in the middle stores nothing and gives its room back', async () => {
    const under = await opened()
    const { client, budget } = under
    const { stream, answered } = startPut(client)
    stream.write({ header: { payloadBytes: 32 * MEBIBYTE } })
    for (let offset = 0; offset < 8 * MEBIBYTE; offset += MEBIBYTE) stream.write({ data: bytesOf(MEBIBYTE), offset })
    await expect.poll(() => budget.bytes).toBeGreaterThanOrEqual(32 * MEBIBYTE)
    stream.cancel()
    expect(await failureOf(answered)).toMatchObject({ status: 1 })
    await expect.poll(() => budget.bytes).toBe(0)
    expect(await call(client, 'Heartbeat')).toMatchObject({ fragmentCount: 0 })
    expect(under.logged).toEqual([])
  })

  test('whose connection breaks stores nothing and gives its room back', async () => {
    const { client, budget, door, fabric } = await opened()
    const other = clientOf(door, 'membrane.Membrane')
    const { stream } = startPut(other)
    stream.write({ header: { payloadBytes: MEBIBYTE } })
    await expect.poll(() => budget.bytes).toBeGreaterThan(MEBIBYTE)
    other.getChannel().close()
    stream.cancel()
    await expect.poll(() => budget.bytes).toBe(0)
    expect(await call(client, 'Heartbeat')).toMatchObject({ fragmentCount: 0 })
    expect(fabric.stats().fragments).toBe(0)
  })

  test('whose deadline passes gives its room back', async () => {
    const { client, budget } = await opened()
    const { stream, answered } = startPut(client, as('ann'), { deadline: Date.now() + 50 })
    stream.write({ header: { payloadBytes: MEBIBYTE } })
    expect(await failureOf(answered)).toMatchObject({ status: 4 })
    await expect.poll(() => budget.bytes).toBe(0)
  })

  test('that does not go on is ended', async () => {
    const alarm = manualTimers()
    const { client, budget } = await opened({ alarm })
    const { stream, answered } = startPut(client)
    stream.write({ header: { payloadBytes: MEBIBYTE } })
    await expect.poll(() => budget.bytes).toBeGreaterThan(MEBIBYTE)
    alarm.fire(LIMITS.grpcStallMsMax)
    expect(await failureOf(answered)).toMatchObject({ status: 4, code: 'DEADLINE_EXCEEDED' })
    await expect.poll(() => budget.bytes).toBe(0)
    expect(alarm.pending).toBe(0)
  })

  test('waits while there is no room for it, and nothing of it is read meanwhile', async () => {
    const { client, budget } = await opened({ budgetBytes: 40 * MEBIBYTE })
    const first = startPut(client)
    first.stream.write({ header: { payloadBytes: 20 * MEBIBYTE } })
    await expect.poll(() => budget.bytes).toBe(36 * MEBIBYTE)
    const second = startPut(client)
    const payload = bytesOf(20 * MEBIBYTE, 2)
    second.stream.write({ header: { payloadBytes: payload.length } })
    let sentChunks = 0
    const chunkBytes = MEBIBYTE / 4
    for (let offset = 0; offset < payload.length; offset += chunkBytes)
      second.stream.write({ data: payload.subarray(offset, offset + chunkBytes), offset }, () => {
        sentChunks += 1
      })
    second.stream.end()
    for (let turn = 0; turn < 2000; turn++) await new Promise((resolve) => setImmediate(resolve))
    expect(budget.bytes).toBe(36 * MEBIBYTE)
    // What fits into the buffers of a connection.
    expect(sentChunks).toBeLessThan(8)
    first.stream.cancel()
    expect(await second.answered).toMatchObject({ outcome: 'stored' })
    await expect.poll(() => budget.bytes).toBe(0)
  })

  test('that would never fit is refused at once', async () => {
    const { client } = await opened({ budgetBytes: 20 * MEBIBYTE })
    const { stream, answered } = startPut(client)
    stream.write({ header: { payloadBytes: 21 * MEBIBYTE } })
    expect(await failureOf(answered)).toMatchObject({ status: 8, code: 'LIMIT_REACHED' })
    // Nearly all of the room there is leaves none for what is in flight.
    expect(await put(client, { header: {}, payload: bytesOf(20 * MEBIBYTE) })).toMatchObject({ outcome: 'stored' })
  })

  test('has one header, first, and its chunks in order', async () => {
    const { client } = await opened()
    for (const messages of [
      [{ data: bytesOf(10), offset: 0 }],
      [{ header: { payloadBytes: 10 } }, { header: { payloadBytes: 10 } }],
      [{ header: { payloadBytes: 10 } }, { data: bytesOf(5), offset: 5 }],
      [],
    ]) {
      const { stream, answered } = startPut(client)
      for (const message of messages) stream.write(message)
      stream.end()
      expect(await failureOf(answered)).toMatchObject({ code: 'INVALID_REQUEST' })
    }
  })
})

describe('a reader that stops', () => {
  test('keeps nobody else from being served', async () => {
    const { client, door } = await opened()
    const { key } = await put(client, { header: {}, payload: bytesOf(16 * MEBIBYTE) })
    const slow = clientOf(door, 'membrane.Membrane')
    closing.push(() => slow.close())
    const open = (slow as unknown as Record<string, (...all: unknown[]) => PutStream>)['Get']
    const stream = open?.call(slow, { key }, as('ann'))
    stream?.on('error', () => {})
    await new Promise((resolve) => stream?.once('readable', resolve))
    expect(await call(client, 'Heartbeat')).toMatchObject({ healthy: true })
    stream?.cancel()
  })
})

describe('connections', () => {
  test('beyond the bound are closed at once, and may come when others have gone', async () => {
    const under = await opened({ connectionsMax: 2 })
    const { client, door } = under
    await call(client, 'Heartbeat')
    const held = await connectedSocket(portOf(under))
    await expect.poll(() => door.connections).toBe(2)
    const refused = connect(portOf(under), '127.0.0.1')
    refused.on('error', () => {})
    await new Promise((resolve) => refused.once('close', resolve))
    expect(door.connections).toBe(2)
    held.destroy()
    await expect.poll(() => door.connections).toBe(1)
    const third = clientOf(door, 'membrane.Membrane')
    closing.push(() => third.close())
    expect(await call(third, 'Heartbeat')).toMatchObject({ healthy: true })
  })
})

describe('a request that does not go on', () => {
  test('holds room for one message, which it loses with its time', async () => {
    const alarm = manualTimers()
    const under = await opened({ alarm })
    const session = await http2Session(portOf(under))
    const stream = session.request(headersOf('/membrane.Membrane/StoreFragment', 'ann'))
    // It announces 1,000 bytes, and sends one.
    stream.write(Buffer.from([0, 0, 0, 3, 0xe8, 1]))
    await expect.poll(() => under.budget.bytes).toBe(LIMITS.grpcMessageBytesMax)
    const ended = new Promise((resolve) => stream.once('response', resolve))
    alarm.fire(LIMITS.grpcStallMsMax)
    expect(await ended).toMatchObject({ 'grpc-status': '4', 'membrane-code': 'DEADLINE_EXCEEDED' })
    await expect.poll(() => under.budget.bytes).toBe(0)
  })

  test('and ends before it is read leaves no timer behind', async () => {
    const alarm = manualTimers()
    const under = await opened({ alarm })
    const session = await http2Session(portOf(under))
    // The package itself refuses such a time, while the call waits for its turn to be read.
    const headers = { ...headersOf('/membrane.Membrane/Heartbeat', 'ann'), 'grpc-timeout': 'soon' }
    const stream = session.request(headers)
    expect(await new Promise((resolve) => stream.once('response', resolve))).toMatchObject({ 'grpc-status': '13' })
    expect(await call(under.client, 'Heartbeat')).toMatchObject({ healthy: true })
    await expect.poll(() => alarm.pending).toBe(0)
  })

  test('of somebody who is not known holds nothing', async () => {
    const under = await opened()
    const session = await http2Session(portOf(under))
    const stream = session.request(headersOf('/membrane.Membrane/StoreFragment', 'nobody'))
    const response = new Promise((resolve) => stream.once('response', resolve))
    stream.write(Buffer.from([0, 0, 0, 3, 0xe8, 1]))
    expect(await response).toMatchObject({ 'grpc-status': '16', 'membrane-code': 'UNAUTHENTICATED' })
    expect(under.budget.bytes).toBe(0)
  })
})

describe('random bytes', () => {
  test('as connections, as HTTP/2 frames or as messages end nothing but themselves', async () => {
    const under = await opened({ connectionsMax: 64 })
    const { client, budget, door } = under
    const port = portOf(under)
    await fc.assert(
      fc.asyncProperty(hostileGrpcBytes, fc.integer({ min: 1, max: 500 }), async (bytes, segmentBytes) => {
        const socket = await connectedSocket(port)
        for (let at = 0; at < bytes.length; at += segmentBytes) socket.write(bytes.subarray(at, at + segmentBytes))
        socket.end()
        socket.resume()
        await new Promise((resolve) => socket.once('close', resolve))
      }),
      { numRuns: runs(300, 20_000) },
    )
    expect(await call(client, 'Heartbeat')).toMatchObject({ healthy: true })
    await expect.poll(() => door.connections).toBe(1)
    await expect.poll(() => budget.bytes).toBe(0)
    expect(under.logged).toEqual([])
  })

  test('as messages of every call get a status, and leave no room taken', async () => {
    const under = await opened()
    const port = portOf(under)
    const session = await http2Session(port)
    await fc.assert(
      fc.asyncProperty(hostileGrpcCall, (call) => sendHostileCall(session, call, headersOf(call.path, 'ann'))),
      { numRuns: runs(500, 100_000) },
    )
    expect(await call(under.client, 'Heartbeat')).toMatchObject({ healthy: true })
    await expect.poll(() => under.budget.bytes).toBe(0)
    expect(under.logged).toEqual([])
  })
})

async function connectedSocket(port: number): Promise<Socket> {
  const socket = connect(port, '127.0.0.1')
  socket.on('error', () => {})
  closing.push(() => socket.destroy())
  await new Promise((resolve) => socket.once('connect', resolve))
  return socket
}

async function http2Session(port: number): Promise<ClientHttp2Session> {
  const session = connectHttp2(`http://127.0.0.1:${port}`)
  session.on('error', () => {})
  closing.push(() => session.destroy())
  await new Promise((resolve) => session.once('connect', resolve))
  return session
}

function headersOf(path: string, token: string): Record<string, string> {
  return {
    [constants.HTTP2_HEADER_METHOD]: 'POST',
    [constants.HTTP2_HEADER_PATH]: path,
    [constants.HTTP2_HEADER_CONTENT_TYPE]: 'application/grpc+proto',
    te: 'trailers',
    authorization: `Bearer ${token}`,
  }
}
