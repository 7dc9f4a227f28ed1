/** What holds over every door alike: requests are counted as they ended, rates are kept, and a node that drains takes nothing new. */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { afterEach, describe, expect, test } from 'vitest'
import { GrpcClient } from '../../src/api/grpc-client.ts'
import type { DoorName } from '../../src/doors/door.ts'
import { RateLimits } from '../../src/server/rate-limits.ts'
import { LM_HEALTH, LmClient, lmExist, lmGet, lmPut, lmRequest } from '../lm-client.ts'
import { connectResp, plain } from '../resp-client.ts'
import { openTestServer, type TestServer, type TestServerOptions } from '../test-server.ts'

const closing: (() => unknown)[] = []
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close()
})

async function opened(options: TestServerOptions = {}): Promise<TestServer> {
  const node = await openTestServer({ doors: ['http', 'grpc', 'resp', 'lm'], ...options })
  closing.push(() => node.close())
  return node
}

function grpc(node: TestServer): GrpcClient {
  const client = new GrpcClient({ target: `127.0.0.1:${node.port('grpc')}` })
  closing.push(() => client.close())
  return client
}

async function lm(node: TestServer): Promise<LmClient> {
  const socket = connect(node.port('lm'), '127.0.0.1')
  closing.push(() => socket.destroy())
  await once(socket, 'connect')
  return new LmClient(socket)
}

async function resp(node: TestServer) {
  const client = await connectResp(node.port('resp'))
  closing.push(() => client.close())
  return client
}

const codeOf = (asked: Promise<unknown>): Promise<string> =>
  asked.then(
    () => 'ok',
    (error: { readonly code?: string }) => error.code ?? 'no code',
  )

/** As Prometheus reads them: `route outcome` and how many, of one door. */
async function countsOf(node: TestServer, door: DoorName): Promise<Readonly<Record<string, number>>> {
  const text = await (await fetch(`http://127.0.0.1:${node.port('http')}/metrics`)).text()
  const line = /^membrane_requests_total\{door="([^"]+)",route="([^"]+)",outcome="([^"]+)"\} (\d+)$/gm
  const found = [...text.matchAll(line)].filter(([, name]) => name === door)
  return Object.fromEntries(found.map(([, , route, outcome, count]) => [`${route} ${outcome}`, Number(count)]))
}

const opaque = (node: TestServer, name: string): string =>
  `http://127.0.0.1:${node.port('http')}/v1/fragments/opaque/=${name}`

describe('the metrics count what was answered', () => {
  test('over HTTP', async () => {
    const node = await opened()
    for (let times = 0; times < 3; times++)
      await (await fetch(opaque(node, 'a'), { method: 'PUT', body: 'x' })).arrayBuffer()
    await (await fetch(opaque(node, 'none'))).arrayBuffer()
    await expect
      .poll(() => countsOf(node, 'http'))
      .toMatchObject({ 'PUT /v1/fragments/* ok': 3, 'GET /v1/fragments/* NOT_FOUND': 1 })
  })

  test('over RESP', async () => {
    const node = await opened()
    const client = await resp(node)
    for (const name of ['a', 'b']) await client.call('SET', name, 'x')
    await client.call('GET')
    expect(await countsOf(node, 'resp')).toMatchObject({ 'set ok': 2 })
  })

  test('over gRPC, with what failed', async () => {
    const node = await opened()
    const client = grpc(node)
    const { key } = await client.put({ payload: Buffer.from('x') })
    for (let times = 0; times < 4; times++) await client.get(key)
    const failed = await codeOf(client.put({ payload: Buffer.from('x'), contentHash: `b3:${'0'.repeat(64)}` }))
    expect(failed).not.toBe('ok')
    expect(await client.isServing()).toBe(true)
    await expect
      .poll(() => countsOf(node, 'grpc'))
      .toEqual({
        'membrane.Membrane/Put ok': 1,
        'membrane.Membrane/Get ok': 4,
        [`membrane.Membrane/Put ${failed}`]: 1,
        'grpc.health.v1.Health/Check ok': 1,
      })
  })

  test('over gRPC, of calls that are cancelled under way', async () => {
    const node = await opened()
    const client = grpc(node)
    const gone = new AbortController()
    const payload = new Uint8Array(100 * 1024 * 1024)
    const started = codeOf(client.put({ payload, signal: gone.signal }))
    await expect.poll(() => node.server.operations.meters.bodyBytes()).toBeGreaterThan(0)
    gone.abort()
    expect(await started).not.toBe('ok')
    await expect.poll(() => countsOf(node, 'grpc')).toEqual({ 'membrane.Membrane/Put ABORTED': 1 })
  })

  test('over lm://, also what the protocol has no word for', async () => {
    const node = await opened({ payloadBytesMax: 1000 })
    const client = await lm(node)
    client.socket.write(
      Buffer.concat([lmPut('a', Buffer.alloc(10)), lmGet('a'), lmGet('none'), lmExist('a'), LM_HEALTH]),
    )
    for (let times = 0; times < 4; times++) expect(await client.answer()).not.toBeNull()
    for (const wrong of [lmRequest([9, 0, 0, 0, 0, 0, 0, 0, 0], 'k'), lmPut('a', Buffer.alloc(1001))]) {
      const other = await lm(node)
      other.socket.write(wrong)
      expect(await other.read(1)).toBeNull()
    }
    const half = await lm(node)
    half.socket.end(lmPut('half', Buffer.alloc(500)).subarray(0, 300))
    expect(await half.read(1)).toBeNull()
    await expect
      .poll(() => countsOf(node, 'lm'))
      .toEqual({
        'put ok': 1,
        'get ok': 2,
        'exist ok': 1,
        'health ok': 1,
        '(other) INVALID_REQUEST': 1,
        'put LIMIT_REACHED': 1,
        'put ABORTED': 1,
      })
  })
})

describe('a rate holds', () => {
  /** Two requests, and no more until the clock moves: it does not. */
  const two = () =>
    opened({
      limiter: new RateLimits({ requestsPerSecondMax: 2, bytesPerSecondMax: null, stopwatch: { seconds: () => 0 } }),
    })

  test('over HTTP', async () => {
    const node = await two()
    const statuses: number[] = []
    for (let times = 0; times < 4; times++) statuses.push((await fetch(opaque(node, 'a'))).status)
    expect(statuses).toEqual([404, 404, 429, 429])
    await expect.poll(() => node.server.operations.meters.rateLimited).toBeGreaterThanOrEqual(2)
  })

  test('over RESP', async () => {
    const node = await two()
    const client = await resp(node)
    const answers: unknown[] = []
    for (let times = 0; times < 4; times++) answers.push(plain(await client.call('GET', 'a')))
    expect(answers.slice(0, 2)).toEqual([null, null])
    for (const refused of answers.slice(2)) expect(refused).toMatch(/^-/)
    expect(node.server.operations.meters.rateLimited).toBe(2)
  })

  test('over gRPC', async () => {
    const node = await two()
    const client = grpc(node)
    const codes: string[] = []
    for (let times = 0; times < 4; times++) codes.push(await codeOf(client.has(['opaque/=a'])))
    expect(codes).toEqual(['ok', 'ok', 'RATE_LIMITED', 'RATE_LIMITED'])
    await expect.poll(() => node.server.operations.meters.rateLimited).toBe(2)
  })

  test('over lm://, whose clients see a miss', async () => {
    const node = await two()
    const client = await lm(node)
    client.socket.write(Buffer.concat([lmPut('a', Buffer.from('x')), ...Array.from({ length: 3 }, () => lmExist('a'))]))
    const codes: unknown[] = []
    for (let times = 0; times < 3; times++) codes.push((await client.answer())?.code)
    expect(codes).toEqual([200, 400, 400])
    expect(node.server.operations.meters.rateLimited).toBe(2)
  })
})

describe('a node that drains', () => {
  const drained = async (): Promise<TestServer> => {
    const node = await opened()
    node.server.operations.gate.drain()
    return node
  }

  test('takes nothing new over HTTP', async () => {
    expect((await fetch(opaque(await drained(), 'a'))).status).toBe(503)
  })

  test('takes nothing new over RESP', async () => {
    const client = await resp(await drained())
    expect(plain(await client.call('GET', 'a'))).toMatch(/^-/)
  })

  test('takes nothing new over gRPC, not even a stream that has sent no header', async () => {
    const node = await drained()
    const client = grpc(node)
    expect(await codeOf(client.has(['opaque/=a']))).toBe('DRAINING')
    expect(await codeOf(client.put({ payload: new Uint8Array(1) }))).toBe('DRAINING')
    expect(node.server.operations.meters.bodyBytes()).toBe(0)
  })

  test('takes nothing new over lm://, and says it by closing', async () => {
    const node = await drained()
    for (const asked of [lmGet('a'), lmExist('a'), lmPut('a', Buffer.from('x'))]) {
      const client = await lm(node)
      client.socket.write(asked)
      expect(await client.read(1)).toBeNull()
    }
    const counts = Array.from(node.server.operations.meters.requests(), ({ route, byOutcome }) => [route, ...byOutcome])
    expect(counts).toEqual([
      ['get', ['DRAINING', 1]],
      ['exist', ['DRAINING', 1]],
      ['put', ['DRAINING', 1]],
    ])
  })

  test('keeps what was being put over lm:// when it began', async () => {
    const node = await opened()
    const { socket } = await lm(node)
    const bytes = lmPut('kept', Buffer.alloc(100_000, 7))
    await sent(socket, bytes.subarray(0, 50_000))
    await expect.poll(() => node.server.operations.meters.bodyBytes()).toBe(100_000)
    node.server.operations.gate.drain()
    const closed = node.server.close(5000)
    await sent(socket, bytes.subarray(50_000))
    await closed
    expect(node.fabric.stats().fragments).toBe(1)
  })

  test('keeps what was being put over gRPC when it began', async () => {
    const node = await opened()
    const client = grpc(node)
    const put = client.put({ payload: new Uint8Array(64 * 1024 * 1024) })
    await expect.poll(() => node.server.operations.meters.bodyBytes()).toBeGreaterThanOrEqual(64 * 1024 * 1024)
    node.server.operations.gate.drain()
    const closed = node.server.close(20_000)
    expect(await put).toMatchObject({ outcome: 'stored' })
    client.close()
    await closed
    expect(node.fabric.stats().fragments).toBe(1)
  })
})

function sent(socket: Socket, bytes: Uint8Array): Promise<void> {
  return new Promise((resolve) => void socket.write(bytes, () => resolve()))
}
