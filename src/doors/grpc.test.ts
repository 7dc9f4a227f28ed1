import type { Client } from '@grpc/grpc-js'
import { afterEach, describe, expect, test } from 'vitest'
import {
  call,
  clientOf,
  type DoorUnderTest,
  openTestDoor,
  put,
  readAll,
  type TestDoorOptions,
} from '../../test/contracts/grpc-fixtures.ts'
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
    const [first, ...rest] = await readAll(client, 'Get', { request: { key: stored.key } })
    expect(first.entry).toMatchObject({ key: stored.key, payloadBytes: 700_000, priority: 'normal' })
    expect(Buffer.concat(rest.map(({ data }) => data)).equals(payload)).toBe(true)
    const part = await readAll(client, 'Get', { request: { key: stored.key, start: 10, end: 300_010 } })
    expect(Buffer.concat(part.map(({ data }) => data)).equals(payload.subarray(10, 300_010))).toBe(true)
    expect(budget.bytes).toBe(0)
  })

  test('stores and finds by the original messages', async () => {
    const { client } = await opened()
    const { key, contentHash } = await call(client, 'StoreFragment', {
      request: { fragment: { tokenStart: 0, tokenEnd: 15, modelId: 'm' }, payload: Buffer.from('bytes') },
    })
    const found = await call(client, 'RetrieveFragment', { request: { contentHash } })
    expect(found).toMatchObject({ found: true, payload: Buffer.from('bytes') })
    expect(found.fragment).toMatchObject({ key, tokenStart: 0, tokenEnd: 15, modelId: 'm', size: 5, sizeBytes: 5 })
  })
})
