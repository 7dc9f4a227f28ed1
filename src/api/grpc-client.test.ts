import { createServer } from 'node:net'
import { afterEach, beforeAll, describe, expect, test } from 'vitest'
import { addressText } from '../doors/door.ts'
import { type Authority, createAuthority } from '../../test/contracts/certificates.ts'
import { hashers, kvOf, TOKENS } from '../../test/contracts/fabric-fixtures.ts'
import { type DoorUnderTest, openTestDoor, type TestDoorOptions } from '../../test/contracts/grpc-fixtures.ts'
import { bytesOf } from '../../test/contracts/store-fixtures.ts'
import { encodeDescription } from '../core/fragment-codec.ts'
import { MembraneError } from '../core/errors.ts'
import { GrpcClient, type GrpcClientOptions } from './grpc-client.ts'

let authority: Authority
beforeAll(async () => {
  authority = await createAuthority('test authority')
})

const closing: (() => unknown)[] = []
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close()
})

async function opened(
  options: TestDoorOptions = {},
  asked: Partial<GrpcClientOptions> = {},
): Promise<DoorUnderTest & { readonly client: GrpcClient }> {
  const under = await openTestDoor(options)
  closing.push(under.close)
  const client = new GrpcClient({ target: addressText(under.door.address), token: 'ann', ...asked })
  closing.push(() => client.close())
  return { ...under, client }
}

describe('a gRPC client', () => {
  test('puts, finds, gets and removes', async () => {
    const { client } = await opened()
    const payload = bytesOf(1_500_000)
    const contentHash = hashers.b3.hash(payload)
    const stored = await client.put({ payload, contentHash, mediaType: 'text/plain' })
    expect(stored).toMatchObject({ outcome: 'stored', contentHash })
    const { key } = stored
    expect((await client.has([key, 'artifact/none'])).isPresent).toEqual([true, false])
    const found = await client.get(key)
    expect(found?.entry).toMatchObject({ key, contentHash, payloadBytes: payload.length })
    expect(Buffer.from(found?.payload ?? []).equals(payload)).toBe(true)
    const part = await client.get(key, { span: { start: 5, end: 15 } })
    expect(part?.payload).toEqual(payload.slice(5, 15))
    expect(await client.heartbeat()).toMatchObject({ fragmentCount: 1, healthy: true })
    expect(await client.remove([key])).toBe(1)
    expect(await client.get(key)).toBeNull()
    expect((await client.put({ payload: new Uint8Array(0) })).outcome).toBe('stored')
  })

  test('puts fragments under the key of their context', async () => {
    const { client } = await opened()
    const [fragment] = kvOf(TOKENS)
    if (fragment === undefined) throw new Error('There is no fragment.')
    const description = encodeDescription(fragment.description)
    const { key } = await client.put({ payload: fragment.payload, description })
    expect(key).toMatch(/^kv\//)
    expect((await client.get(key))?.entry.description).toEqual(Buffer.from(description))
  })

  test('speaks TLS, and shows a certificate', async () => {
    const node = await authority.issue('node')
    const identity = await authority.issue('bob')
    const tls = { ca: authority.cert, identity, serverName: 'localhost' }
    const { client } = await opened({ tls: { ...node, clientCa: authority.cert } }, { token: null, tls })
    expect(await client.isServing()).toBe(true)
    expect(await client.heartbeat()).toMatchObject({ healthy: true })
  })

  test('throws what the node says, with its code and when to come back', async () => {
    const { client, gate } = await opened({
      limiter: {
        take: () => {
          throw new MembraneError('RATE_LIMITED', 'Too fast.', { details: { retryAfterSeconds: 3 } })
        },
      },
    })
    await expect(client.heartbeat()).rejects.toMatchObject({ code: 'RATE_LIMITED', details: { retryAfterSeconds: 3 } })
    gate.drain()
    await expect(client.put({ payload: bytesOf(3_000_000) })).rejects.toMatchObject({ code: 'DRAINING' })
  })

  test('stops when it is told to', async () => {
    const { client, budget } = await opened()
    const { key } = await client.put({ payload: bytesOf(10_000_000) })
    const signal = AbortSignal.abort()
    await expect(client.get(key, { signal })).rejects.toMatchObject({ code: 'ABORTED' })
    await expect(client.put({ payload: bytesOf(10_000_000), signal })).rejects.toMatchObject({ code: 'ABORTED' })
    await expect.poll(() => budget.bytes).toBe(0)
  })

  test('says who cannot be reached, and who does not answer', async () => {
    const nobody = new GrpcClient({ target: '127.0.0.1:1' })
    closing.push(() => nobody.close())
    await expect(nobody.heartbeat()).rejects.toMatchObject({ code: 'PEER_UNAVAILABLE' })
    const silent = createServer(() => {})
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve))
    closing.push(() => silent.close())
    const address = silent.address()
    if (address === null || typeof address === 'string') throw new Error('A TCP address was expected.')
    const waiting = new GrpcClient({ target: `127.0.0.1:${address.port}`, deadlineMs: 50 })
    closing.push(() => waiting.close())
    await expect(waiting.heartbeat()).rejects.toMatchObject({ code: 'DEADLINE_EXCEEDED' })
  })
})
