import { connect } from 'node:tls'
import { type ChannelCredentials, type Client, credentials } from '@grpc/grpc-js'
import { afterEach, beforeAll, describe, expect, test } from 'vitest'
import { type Authority, createAuthority, type Identity } from '../../test/contracts/certificates.ts'
import {
  AUTHENTICATOR,
  call,
  clientOf,
  type DoorUnderTest,
  failureOf,
  openTestDoor,
  put,
  readAll,
} from '../../test/contracts/grpc-fixtures.ts'
import { bytesOf } from '../../test/contracts/store-fixtures.ts'
import type { DoorTls } from './door.ts'

let authority: Authority
let node: Identity
let [ann, mallory, stranger]: Identity[] = []
beforeAll(async () => {
  authority = await createAuthority('test authority')
  node = await authority.issue('node')
  ann = await authority.issue('ann')
  mallory = await (await createAuthority('another authority')).issue('ann')
  stranger = await authority.issue('stranger')
})

const closing: (() => unknown)[] = []
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close()
})

async function opened(tls: Partial<DoorTls> = {}): Promise<DoorUnderTest> {
  const under = await openTestDoor({ tls: { ...node, clientCa: null, ...tls } })
  closing.push(under.close)
  return under
}

function connected({ door }: DoorUnderTest, tls: ChannelCredentials): Client {
  const client = clientOf(door, 'membrane.Membrane', { tls })
  closing.push(() => client.close())
  return client
}

function channel(identity?: Identity): ChannelCredentials {
  const root = Buffer.from(authority.cert)
  return identity === undefined
    ? credentials.createSsl(root)
    : credentials.createSsl(root, Buffer.from(identity.key), Buffer.from(identity.cert))
}

describe('the gRPC door with TLS', () => {
  test('takes and gives what the plain one does, to whoever has a token', async () => {
    const under = await opened()
    expect(under.door.isTls).toBe(true)
    const client = connected(under, channel())
    const payload = bytesOf(1_000_000)
    const { key } = await put(client, { header: {}, payload })
    const [, ...chunks] = await readAll(client, 'Get', { request: { key } })
    expect(Buffer.concat(chunks.map(({ data }: { data: Buffer }) => data)).equals(payload)).toBe(true)
    expect(await failureOf(call(client, 'Heartbeat', { token: null }))).toMatchObject({ code: 'UNAUTHENTICATED' })
  })

  test('says nothing to a client that speaks plainly', async () => {
    const client = connected(await opened(), credentials.createInsecure())
    expect(await failureOf(call(client, 'Heartbeat'))).toMatchObject({ status: 14 })
  })

  test('counts connections while they are open', async () => {
    const under = await opened()
    const client = connected(under, channel())
    await call(client, 'Heartbeat')
    expect(under.door.connections).toBe(1)
    client.close()
    await expect.poll(() => under.door.connections).toBe(0)
  })

  test('counts a client whose handshake does not go on, and closes in spite of it', async () => {
    const under = await opened()
    const { address } = under.door
    if (address.kind !== 'tcp') throw new Error('A TCP address was expected.')
    const { connect: connectPlain } = await import('node:net')
    const socket = connectPlain(address.port, address.host)
    closing.push(() => socket.destroy())
    await new Promise((resolve) => socket.once('connect', resolve))
    await expect.poll(() => under.door.connections).toBe(1)
    await under.door.close(AbortSignal.timeout(60_000))
    expect(under.door.connections).toBe(0)
  })

  test('refuses certificates that are none, with the code of a configuration', async () => {
    await expect(openTestDoor({ tls: { cert: 'none', key: 'none', clientCa: null } })).rejects.toMatchObject({
      code: 'INVALID_CONFIG',
    })
  })
})

describe('the gRPC door with client certificates', () => {
  test('knows callers by them, and takes a token before them', async () => {
    const under = await opened({ clientCa: authority.cert })
    const client = connected(under, channel(ann))
    const { key } = await put(client, { header: {}, payload: bytesOf(10), token: 'ann' })
    const has = { request: { keys: [key] } }
    expect(await call(client, 'Has', { ...has, token: null })).toMatchObject({ isPresent: [true] })
    expect(await call(client, 'Has', { ...has, token: 'bob' })).toMatchObject({ isPresent: [false] })
    expect(await failureOf(call(client, 'Has', { ...has, token: 'wrong' }))).toMatchObject({ code: 'UNAUTHENTICATED' })
  })

  test('shows the fingerprint that a certificate has', async () => {
    const seen: string[] = []
    const under = await openTestDoor({
      tls: { ...node, clientCa: authority.cert },
      authenticator: {
        ...AUTHENTICATOR,
        byCertificate: (certificate) => {
          seen.push(certificate.fingerprint256)
          return AUTHENTICATOR.byCertificate(certificate)
        },
      },
    })
    closing.push(under.close)
    await call(connected(under, channel(ann)), 'Heartbeat', { token: null })
    const { X509Certificate } = await import('node:crypto')
    expect(seen).toEqual([new X509Certificate(ann?.cert ?? '').fingerprint256])
  })

  test('lets nobody in whose certificate another authority signed, who has none, or who is not known', async () => {
    const under = await opened({ clientCa: authority.cert })
    for (const identity of [mallory, undefined]) {
      const client = connected(under, channel(identity))
      expect(await failureOf(call(client, 'Heartbeat'))).toMatchObject({ status: 14 })
    }
    const unknown = connected(under, channel(stranger))
    expect(await failureOf(call(unknown, 'Heartbeat', { token: null }))).toMatchObject({
      status: 16,
      code: 'UNAUTHENTICATED',
    })
    expect(await call(unknown, 'Heartbeat', { token: 'bob' })).toMatchObject({ healthy: true })
  })

  test('outlives bytes that are no TLS', async () => {
    const under = await opened({ clientCa: authority.cert })
    const { address } = under.door
    if (address.kind !== 'tcp') throw new Error('A TCP address was expected.')
    const { connect: connectPlain } = await import('node:net')
    for (let attempt = 0; attempt < 10; attempt++) {
      const socket = connectPlain(address.port, address.host)
      socket.on('error', () => {})
      socket.end(bytesOf(500, attempt))
      await new Promise((resolve) => socket.once('close', resolve))
    }
    const broken = connect({ port: address.port, host: address.host, ca: authority.cert, servername: 'localhost' })
    broken.on('error', () => {})
    await new Promise((resolve) => broken.once('close', resolve))
    expect(await call(connected(under, channel(ann)), 'Heartbeat', { token: null })).toMatchObject({ healthy: true })
  })
})
