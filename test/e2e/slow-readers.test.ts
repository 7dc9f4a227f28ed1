/** Large answers, and readers who do not take them. */
import { mkdtemp, rm } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { loadContentHashers } from '../../src/hashing/content-hashers.ts'
import { pathOf } from '../../src/api/client-control.ts'
import type { RespValue } from '../../src/api/resp-codec-reader.ts'
import { DEFAULT_TENANT } from '../../src/core/ids.ts'
import { opaqueKey } from '../../src/server/fragment-operations.ts'
import { TenantFabric } from '../../src/server/tenant-fabric.ts'
import { openDiskStore } from '../../src/store/disk.ts'
import { clientOf as grpcClientOf, readAll } from '../contracts/grpc-fixtures.ts'
import { bytesOf } from '../contracts/store-fixtures.ts'
import { LmClient, lmGet } from '../lm-client.ts'
import { connectResp, type RespClient } from '../resp-client.ts'
import { openTestServer, type TestServer } from '../test-server.ts'

const MB = 2 ** 20
const VALUE_BYTES = 3 * MB + 5
/** More than a door gives to the network at once. */
const LARGE_BYTES = 20 * MB
const { hashers } = await loadContentHashers()
const closing: (() => unknown)[] = []
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close()
})

/** Values of 3 MB on a disk, of which two fit the memory tier each by itself. */
async function opened(answersBytesMax: number): Promise<TestServer> {
  const directory = await mkdtemp(join(tmpdir(), 'membrane-slow-'))
  closing.push(() => rm(directory, { recursive: true, force: true }))
  const store = await openDiskStore({ directory, hashers })
  const fabric = { store, tier: 'disk', hotBytesMax: 32 * MB } as const
  const node = await openTestServer({ doors: ['http', 'grpc', 'resp', 'lm'], fabric, answersBytesMax })
  closing.push(() => node.close())
  return node
}

async function respOf(node: TestServer): Promise<RespClient> {
  const client = await connectResp(node.port('resp'))
  closing.push(() => client.close())
  return client
}

const valueOf = (index: number, bytes = VALUE_BYTES): Buffer => Buffer.from(bytesOf(bytes, index + 1))

async function putSome(node: TestServer, count: number, bytes = VALUE_BYTES): Promise<readonly string[]> {
  const client = await respOf(node)
  const names = Array.from({ length: count }, (_, index) => `value ${index}`)
  for (const [index, name] of names.entries()) await client.call('SET', name, valueOf(index, bytes))
  return names
}

/** `toEqual` takes a second for a megabyte. */
function expectBytes(found: RespValue | undefined, expected: Uint8Array): void {
  expect(found?.kind).toBe('bytes')
  expect(found?.kind === 'bytes' && Buffer.from(found.bytes).equals(expected)).toBe(true)
}

async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await sleep(5)
}

describe('answers for which there is no room', () => {
  test('come in chunks through every door, whole and in part, as they were put', async () => {
    const node = await opened(0)
    const [name = ''] = await putSome(node, 1)
    const value = valueOf(0)
    const hot = node.fabric.stats().hot
    const resp = await respOf(node)
    expectBytes(await resp.call('GET', name), value)
    const several = await resp.call('MGET', name, 'missing', name)
    const [first, missing, last] = several.kind === 'array' ? several.items : []
    for (const one of [first, last]) expectBytes(one, value)
    expect(missing).toEqual({ kind: 'null' })
    expectBytes(await resp.call('GETRANGE', name, '100', '-3'), value.subarray(100, -2))
    expectBytes(await resp.call('GETEX', name, 'PX', '100000'), value)
    resp.send('GET', name)
    resp.send('STRLEN', name)
    expectBytes(await resp.read(), value)
    expect(await resp.read()).toEqual({ kind: 'integer', value: VALUE_BYTES })
    const lm = new LmClient(connect(node.port('lm'), '127.0.0.1'))
    closing.push(() => lm.socket.destroy())
    lm.socket.write(lmGet(name))
    expect((await lm.answer())?.body.equals(value)).toBe(true)
    const url = `http://127.0.0.1:${node.port('http')}/v1/fragments/${pathOf(opaqueKey(Buffer.from(name)))}`
    expect(Buffer.from(await (await fetch(url)).arrayBuffer()).equals(value)).toBe(true)
    const range = await fetch(url, { headers: { range: 'bytes=7-99' } })
    expect(Buffer.from(await range.arrayBuffer()).equals(value.subarray(7, 100))).toBe(true)
    const door = node.server.doors.find((one) => one.name === 'grpc')
    const grpc = grpcClientOf(door ?? expect.unreachable(), 'membrane.Membrane')
    closing.push(() => grpc.close())
    const messages = await readAll(grpc, 'Get', { request: { key: opaqueKey(Buffer.from(name)) } })
    expect(Buffer.concat(messages.map(({ data }) => data)).equals(value)).toBe(true)
    // Read from below the memory tier, which has it all the while.
    expect(node.fabric.stats().hot).toMatchObject({ hits: hot?.hits, misses: hot?.misses })
  })

  test('cannot be given with the value replaced or ended: that is refused, and changes nothing', async () => {
    const node = await opened(0)
    const [name = ''] = await putSome(node, 1)
    const resp = await respOf(node)
    const refused = expect.stringMatching(/cannot be answered and end at once/)
    expect(await resp.call('SET', name, 'new', 'GET')).toMatchObject({ kind: 'error', text: refused })
    expect(await resp.call('GETEX', name, 'PXAT', '1')).toMatchObject({ kind: 'error', text: refused })
    expectBytes(await resp.call('GET', name), valueOf(0))
    expect(await resp.call('PTTL', name)).toEqual({ kind: 'integer', value: -1 })
  })

  test('take the room and give it back, whether they are taken or their readers go away', async () => {
    const node = await opened(2 * LARGE_BYTES)
    const { fragments } = node.operations
    const names = await putSome(node, 6, LARGE_BYTES)
    const readers = await Promise.all(names.map(() => respOf(node)))
    for (const reader of readers) reader.socket.pause()
    // More than once each: a value that is asked for twice is held twice.
    for (const [index, reader] of readers.entries())
      for (let times = 0; times < 5; times++) reader.send('GET', names[index] ?? '')
    await until(() => fragments.answersBytes === 2 * LARGE_BYTES)
    const half = readers.splice(0, 3)
    for (const reader of half) reader.socket.destroy()
    for (const [index, reader] of readers.entries()) {
      reader.socket.resume()
      for (let times = 0; times < 5; times++) expectBytes(await reader.read(), valueOf(index + 3, LARGE_BYTES))
    }
    await until(() => fragments.answersBytes === 0)
    // And over the other doors, to readers who leave in the middle.
    const path = `/v1/fragments/${pathOf(opaqueKey(Buffer.from(names[0] ?? '')))}`
    const http = connect(node.port('http'), '127.0.0.1').pause()
    http.write(`GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`)
    const lm = connect(node.port('lm'), '127.0.0.1').pause()
    lm.write(lmGet(names[1] ?? ''))
    await until(() => fragments.answersBytes === 2 * LARGE_BYTES)
    http.destroy()
    lm.destroy()
    await until(() => fragments.answersBytes === 0)
  })

  test('give their room back when the connection closes before the answer has begun', async () => {
    const node = await opened(64 * LARGE_BYTES)
    const { fragments } = node.operations
    const [name = ''] = await putSome(node, 1, LARGE_BYTES)
    const path = `/v1/fragments/${pathOf(opaqueKey(Buffer.from(name)))}`
    const request = `GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`
    // Node tells only the first answer of a connection that it has closed.
    const several = connect(node.port('http'), '127.0.0.1').pause()
    several.write(request.repeat(12))
    await until(() => fragments.answersBytes >= 2 * LARGE_BYTES)
    several.destroy()
    await until(() => fragments.answersBytes === 0)
    // Gone while a value is read that is sent as a whole.
    await putSome(node, 1)
    const own = node.fabric.of(DEFAULT_TENANT)
    const read = own.read.bind(own)
    const [begun, goOn] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
    vi.spyOn(TenantFabric.prototype, 'read').mockImplementationOnce(async (key, options) => {
      begun.resolve()
      await goOn.promise
      return read(key, options)
    })
    closing.push(() => vi.restoreAllMocks())
    const one = connect(node.port('http'), '127.0.0.1')
    one.write(request)
    await begun.promise
    one.destroy()
    const door = node.server.doors.find((each) => each.name === 'http')
    await until(() => door?.connections === 0)
    expect(fragments.answersBytes).toBe(VALUE_BYTES)
    goOn.resolve()
    await until(() => fragments.answersBytes === 0)
  })
})
