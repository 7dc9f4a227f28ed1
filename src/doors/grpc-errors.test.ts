import { Metadata, type Client, type ServiceError } from '@grpc/grpc-js'
import pino from 'pino'
import { afterEach, describe, expect, test } from 'vitest'
import { GRPC_STATUS } from '../api/error-status.ts'
import { ERROR_CODES, type ErrorCode, MembraneError } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import {
  call,
  clientOf,
  type DoorUnderTest,
  failureOf,
  openTestDoor,
  put,
  readAll,
  simulatedNode,
  type TestDoorOptions,
} from '../../test/contracts/grpc-fixtures.ts'
import { bytesOf } from '../../test/contracts/store-fixtures.ts'
import { errorStatus } from './grpc-errors.ts'

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

const silent = pino({ level: 'silent' })

describe('an error', () => {
  test('of every code has the status of the table, a sentence that can be sent, and its code beside it', () => {
    for (const code of Object.keys(ERROR_CODES) as ErrorCode[]) {
      const thrown = new MembraneError(code, 'What happened.', { remedy: 'What to do.' })
      const { code: status, details, metadata } = errorStatus(thrown, silent, '/x')
      expect(status).toBe(GRPC_STATUS[code])
      expect(metadata.get('membrane-code')).toEqual([code])
      if (code !== 'INTERNAL') expect(details).toBe('What happened. What to do.')
    }
  })

  test('of the store does not say where the node keeps its bytes', () => {
    const details = { directory: '/var/lib/hidden' }
    const thrown = new MembraneError('STORE_FULL', 'Could not write to /var/lib/hidden.', { details })
    expect(errorStatus(thrown, silent, '/x')).toMatchObject({
      code: GRPC_STATUS.STORE_FULL,
      details: `${ERROR_CODES.STORE_FULL.meaning} Who runs the node finds the reason in its log.`,
    })
  })

  test('is cut to what a header takes, with no half of a character left', () => {
    const thrown = new MembraneError('INVALID_REQUEST', `${'a'.repeat(999)}😀 and more`)
    const { details } = errorStatus(thrown, silent, '/x')
    expect(details).toHaveLength(1000)
    expect(() => encodeURI(details)).not.toThrow()
  })

  test('that is a bug says nothing of itself to the caller, and is logged under the id that the caller has', async () => {
    const { client, logged } = await opened({
      limiter: {
        take: () => {
          throw new TypeError('a secret of ours')
        },
      },
    })
    const { error } = await call(client, 'Heartbeat').then(
      () => ({ error: null }),
      (thrown: ServiceError) => ({ error: thrown }),
    )
    expect(error).toMatchObject({ code: 13 })
    expect(error?.details).not.toContain('secret')
    const requestId = error?.metadata.get('membrane-request-id')[0]
    const line = logged.find((one) => one['requestId'] === requestId)
    expect(line).toMatchObject({ path: '/membrane.Membrane/Heartbeat', err: { message: 'a secret of ours' } })
  })

  test('of a caller who is too fast says when to come back', async () => {
    const { client } = await opened({
      limiter: {
        take: () => {
          throw new MembraneError('RATE_LIMITED', 'Too fast.', { details: { retryAfterSeconds: 1.2 } })
        },
      },
    })
    for (const failing of [call(client, 'Heartbeat'), readAll(client, 'Get', { request: { key: 'a' } })]) {
      const error = await failing.then(
        () => null,
        (thrown: ServiceError) => thrown,
      )
      expect(error).toMatchObject({ code: 8 })
      expect(error?.metadata).toBeInstanceOf(Metadata)
      expect(error?.metadata.get('retry-after')).toEqual(['2'])
    }
  })
})

describe('each code that can be provoked has its status', () => {
  const payload = bytesOf(100)

  test.each<[string, ErrorCode, (client: Client) => Promise<unknown>]>([
    ['no fragment', 'INVALID_REQUEST', (client) => call(client, 'StoreFragment')],
    ['no payload', 'PAYLOAD_REQUIRED', (client) => call(client, 'StoreFragment', { request: { fragment: {} } })],
    [
      'a negative ttl',
      'INVALID_REQUEST',
      (client) => call(client, 'StoreFragment', { request: { fragment: { ttl: -1 }, payload } }),
    ],
    [
      'a negative token',
      'INVALID_REQUEST',
      (client) => call(client, 'StoreFragment', { request: { fragment: { tokenStart: -3 }, payload } }),
    ],
    [
      'a description that is none',
      'INVALID_FRAGMENT',
      (client) => put(client, { header: { description: Buffer.from('{}') }, payload }),
    ],
    ['a priority that is none', 'INVALID_REQUEST', (client) => put(client, { header: { priority: 'top' }, payload })],
    ['a hash that is none', 'INVALID_REQUEST', (client) => put(client, { header: { contentHash: 'x' }, payload })],
    [
      'another hash',
      'CONTENT_MISMATCH',
      (client) => put(client, { header: { contentHash: `b3:${'0'.repeat(64)}` }, payload }),
    ],
    ['fewer bytes than said', 'CONTENT_MISMATCH', (client) => put(client, { header: { payloadBytes: 101 }, payload })],
    ['more bytes than said', 'CONTENT_MISMATCH', (client) => put(client, { header: { payloadBytes: 99 }, payload })],
    [
      'a length beyond the bound',
      'LIMIT_REACHED',
      (client) => put(client, { header: { payloadBytes: 2 ** 40 }, payload }),
    ],
    [
      'a length that is no safe number',
      'INVALID_REQUEST',
      (client) => put(client, { header: { payloadBytes: 2 ** 63 }, payload }),
    ],
    [
      'a chunk that is too large',
      'LIMIT_REACHED',
      (client) => {
        const large = bytesOf(LIMITS.grpcChunkBytesMax + 1)
        return put(client, { header: {}, payload: large, chunkBytes: large.length })
      },
    ],
    [
      'too many keys',
      'INVALID_REQUEST',
      (client) => call(client, 'Has', { request: { keys: Array(65_537).fill('k') } }),
    ],
    [
      'too many removals',
      'INVALID_REQUEST',
      (client) => call(client, 'Remove', { request: { keys: Array(65_537).fill('k') } }),
    ],
    ['an endless lease', 'INVALID_REQUEST', (client) => call(client, 'LongestPrefix', { request: { model: 'm' } })],
    ['a key that is not there', 'NOT_FOUND', (client) => call(client, 'Head', { request: { key: 'artifact/none' } })],
    [
      'a prompt without an engine',
      'NOT_SUPPORTED',
      (client) => call(client, 'Rebuild', { request: { prompt: { text: 'a' } } }),
    ],
    ['no prompt', 'INVALID_REQUEST', (client) => call(client, 'Explain')],
    [
      'text of no engine',
      'NOT_SUPPORTED',
      (client) => readAll(client, 'Generate', { request: { prompt: { text: 'a' } } }),
    ],
    [
      'another reuse',
      'INVALID_REQUEST',
      (client) => call(client, 'Rebuild', { request: { prompt: { text: 'a', reuse: 'some' } } }),
    ],
  ])('%s: %s', async (_, code, provoke) => {
    const { client, budget } = await opened()
    expect(await failureOf(provoke(client))).toMatchObject({ code, status: GRPC_STATUS[code] })
    await expect.poll(() => budget.bytes).toBe(0)
    expect(await call(client, 'Heartbeat')).toMatchObject({ fragmentCount: 0 })
  })

  test('a span outside the payload: OUT_OF_DOMAIN', async () => {
    const { client } = await opened()
    const { key } = await put(client, { header: {}, payload })
    for (const span of [{ start: 0, end: 101 }, { start: 50, end: 40 }, { start: 101 }])
      expect(await failureOf(readAll(client, 'Get', { request: { key, ...span } }))).toMatchObject({
        code: 'OUT_OF_DOMAIN',
        status: 11,
      })
  })

  test('a message beyond the bound is refused by gRPC itself', async () => {
    const { client, budget } = await opened()
    const request = { fragment: {}, payload: new Uint8Array(LIMITS.grpcMessageBytesMax + 1) }
    expect(await failureOf(call(client, 'StoreFragment', { request }))).toMatchObject({ status: 8 })
    await expect.poll(() => budget.bytes).toBe(0)
  })

  test('a node that shuts down: DRAINING', async () => {
    const { client, gate } = await opened()
    gate.drain()
    expect(await failureOf(call(client, 'Has', { request: { keys: ['a'] } }))).toMatchObject({
      code: 'DRAINING',
      status: 14,
    })
  })

  test('tokens that the model does not have: INVALID_REQUEST', async () => {
    const { client } = await opened({ engine: (fabric) => ({ kind: 'node', node: simulatedNode(fabric) }) })
    const prompt = { tokens: { ids: [2 ** 32 - 1] } }
    expect(await failureOf(call(client, 'Rebuild', { request: { prompt } }))).toMatchObject({ code: 'INVALID_REQUEST' })
  })
})
