import type { Client } from '@grpc/grpc-js'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { mkdtemp, rm } from 'node:fs/promises'
import { afterEach, describe, expect, test } from 'vitest'
import { unpackBlockHashes } from '../core/block-hashes.ts'
import { encodeDescription } from '../core/fragment-codec.ts'
import {
  as,
  call,
  clientOf,
  type DoorUnderTest,
  failureOf,
  openTestDoor,
  put,
  readAll,
  type TestDoorOptions,
} from '../../test/contracts/grpc-fixtures.ts'
import { hashesOf, kvOf, MODEL, TOKENS } from '../../test/contracts/fabric-fixtures.ts'
import { bytesOf } from '../../test/contracts/store-fixtures.ts'

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

describe('the gRPC door', () => {
  test('takes a payload in pieces and gives it back, whole and in part', async () => {
    const { client, budget } = await opened()
    const payload = bytesOf(700_000)
    const stored = await put(client, { header: { mediaType: 'text/plain' }, payload })
    expect(stored).toMatchObject({ outcome: 'stored', key: `artifact/${stored.contentHash}` })
    expect(await readPayload(client, { key: stored.key })).toEqual(Buffer.from(payload))
    for (const [start, end] of [
      [10, 300_010],
      [0, 1],
      [699_999, 700_000],
      [5, 5],
    ] as const)
      expect(await readPayload(client, { key: stored.key, start, end })).toEqual(
        Buffer.from(payload.subarray(start, end)),
      )
    expect(await readPayload(client, { key: stored.key, start: 600_000 })).toEqual(
      Buffer.from(payload.subarray(600_000)),
    )
    expect(budget.bytes).toBe(0)
  })

  test('gives 64 MB back as they were put', async () => {
    const { client, budget } = await opened()
    const payload = bytesOf(64 * 1024 * 1024)
    const { key } = await put(client, { header: {}, payload })
    expect((await readPayload(client, { key })).equals(payload)).toBe(true)
    expect(budget.bytes).toBe(0)
  })

  test('says what an entry is, keeps the hints of its sender, and forgets it', async () => {
    const { client } = await opened()
    const header = { mediaType: 'text/plain', priority: 'high', isPinned: true, expiresAtMs: 2 ** 42 }
    const { key, contentHash } = await put(client, { header, payload: bytesOf(10) })
    const entry = await call(client, 'Head', { request: { key } })
    expect(entry).toMatchObject({ key, contentHash, priority: 'high', isPinned: true, expiresAtMs: 2 ** 42 })
    expect(JSON.parse(entry.description)).toMatchObject({ signature: { kind: 'artifact', layout: 'text/plain' } })
    expect(await call(client, 'Has', { request: { keys: [key, 'artifact/none'] } })).toMatchObject({
      isPresent: [true, false],
    })
    expect(await call(client, 'Remove', { request: { keys: [key, 'artifact/none'] } })).toEqual({ removed: 1 })
    expect(await failureOf(call(client, 'Head', { request: { key } }))).toMatchObject({ status: 5, code: 'NOT_FOUND' })
    expect(await failureOf(readPayload(client, { key }))).toMatchObject({ status: 5, code: 'NOT_FOUND' })
  })

  test('names bytes by a foreign key', async () => {
    const { client } = await opened()
    const stored = await put(client, { header: { foreignKey: Buffer.from('a key') }, payload: bytesOf(10) })
    expect(stored.key).toBe('artifact/=a%20key')
  })

  test('finds the leading blocks of a prompt, whose hashes come as texts or packed', async () => {
    const { client } = await opened()
    const fragments = kvOf(TOKENS)
    for (const { description, payload } of fragments.slice(0, 2))
      await put(client, { header: { description: encodeDescription(description) }, payload })
    const hashes = hashesOf(TOKENS)
    const prompt = { model: MODEL, blockTokens: 4 }
    const found = await call(client, 'LongestPrefix', {
      request: { ...prompt, blockHashes: unpackBlockHashes(hashes), leaseMs: 1000 },
    })
    expect(found).toMatchObject({ blocks: 4, tokens: 16 })
    expect(found.fragments).toMatchObject([
      { tokenStart: 0, tokenEnd: 8 },
      { tokenStart: 8, tokenEnd: 16 },
    ])
    const { chain, digestBytes, bytes } = hashes
    const packed = { chain, digestBytes, digests: bytes }
    expect(await call(client, 'LongestPrefix', { request: { ...prompt, packed, leaseMs: 1000 } })).toEqual(found)
    expect(await readPayload(client, { key: found.fragments[1].key })).toEqual(Buffer.from(fragments[1]?.payload ?? []))
    for (const wrong of [
      { ...packed, digestBytes: 7 },
      { ...packed, digestBytes: 0 },
      { ...packed, chain: 'A chain' },
    ])
      expect(await failureOf(call(client, 'LongestPrefix', { request: { ...prompt, packed: wrong } }))).toMatchObject({
        code: 'INVALID_REQUEST',
      })
  })

  test('shows nothing of one tenant to another', async () => {
    const { client } = await opened()
    const payload = bytesOf(100)
    const { key, contentHash } = await put(client, { header: {}, payload })
    const bob = { token: 'bob' }
    expect(await call(client, 'Has', { ...bob, request: { keys: [key] } })).toMatchObject({ isPresent: [false] })
    expect(await failureOf(call(client, 'Head', { ...bob, request: { key } }))).toMatchObject({ code: 'NOT_FOUND' })
    expect(await call(client, 'RetrieveFragment', { ...bob, request: { contentHash } })).toMatchObject({ found: false })
    expect(await call(client, 'Remove', { ...bob, request: { keys: [key] } })).toEqual({ removed: 0 })
    expect(await call(client, 'SyncInventory', bob)).toMatchObject({ digest: {}, entries: [] })
    expect(await call(client, 'Heartbeat', bob)).toMatchObject({ fragmentCount: 0, memoryUsedBytes: 0 })
    // The same bytes are new to whoever did not have them.
    expect(await put(client, { header: {}, payload, token: 'bob' })).toMatchObject({ outcome: 'stored' })
    expect(await call(client, 'Heartbeat')).toMatchObject({ fragmentCount: 1, memoryUsedBytes: 100, healthy: true })
  })

  test('lets readers read, writers write, and nobody in who is not known', async () => {
    const { client } = await opened()
    const { key } = await put(client, { header: {}, payload: bytesOf(3) })
    expect(await readPayload(client, { key }, 'reader')).toHaveLength(3)
    expect(await failureOf(put(client, { header: {}, payload: bytesOf(3), token: 'reader' }))).toMatchObject({
      status: 7,
      code: 'FORBIDDEN',
    })
    expect(await failureOf(readPayload(client, { key }, 'monitor'))).toMatchObject({ code: 'FORBIDDEN' })
    for (const token of ['nobody', null])
      expect(await failureOf(call(client, 'Heartbeat', { token }))).toMatchObject({
        status: 16,
        code: 'UNAUTHENTICATED',
      })
    const basic = as(null)
    basic.set('authorization', 'Basic YTpi')
    const failed = new Promise((resolve, reject) => {
      const heartbeat = (client as unknown as Record<string, (...all: unknown[]) => void>)['Heartbeat']
      heartbeat?.call(client, {}, basic, (error: unknown, response: unknown) =>
        error === null ? resolve(response) : reject(error),
      )
    })
    expect(await failureOf(failed)).toMatchObject({ code: 'UNAUTHENTICATED' })
  })

  test('lets in whoever sends no credential where that is allowed', async () => {
    const { client } = await opened({
      authenticator: {
        anonymous: { tenant: 'default' as never, role: 'writer', name: 'anonymous' },
        byToken: () => null,
        byCertificate: () => null,
      },
    })
    expect(await call(client, 'Heartbeat', { token: null })).toMatchObject({ healthy: true })
    expect(await failureOf(call(client, 'Heartbeat', { token: 'wrong' }))).toMatchObject({ code: 'UNAUTHENTICATED' })
  })

  test('lists what a tenant holds by pages that miss nothing and repeat nothing', async () => {
    const { client, fabric } = await opened()
    const keys: string[] = []
    for (let index = 0; index < 25; index++)
      keys.push((await put(client, { header: {}, payload: bytesOf(index + 1) })).key)
    const found: string[] = []
    let pageToken = ''
    let pages = 0
    do {
      const page = await call(client, 'SyncInventory', { request: { pageSize: 10, pageToken } })
      found.push(...page.entries.map(({ key }: { key: string }) => key))
      expect(Object.keys(page.digest)).toEqual(
        page.entries.map(({ contentHash }: { contentHash: string }) => contentHash),
      )
      pageToken = page.nextPageToken
      pages += 1
    } while (pageToken !== '')
    expect(pages).toBe(3)
    expect(found).toEqual(keys.toSorted())
    expect(fabric.stats().fragments).toBe(25)
  })

  test('listens on a Unix socket', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'membrane-grpc-'))
    closing.push(() => rm(folder, { recursive: true, force: true }))
    const { client, door } = await opened({ address: { kind: 'unix', path: join(folder, 'door') } })
    expect(await call(client, 'Heartbeat')).toMatchObject({ healthy: true })
    expect(door).toMatchObject({ name: 'grpc', isTls: false, connections: 1 })
  })

  test('says which address it cannot have', async () => {
    const { door } = await opened()
    await expect(openTestDoor({ address: door.address })).rejects.toMatchObject({ code: 'ADDRESS_UNAVAILABLE' })
  })
})

async function readPayload(client: Client, request: object, token = 'ann'): Promise<Buffer> {
  const [first, ...rest] = await readAll(client, 'Get', { request, token })
  expect(first.entry).not.toBeNull()
  return Buffer.concat(rest.map(({ data }: { data: Buffer }) => data))
}
