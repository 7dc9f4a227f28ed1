import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { byteDescription } from '../../src/core/fragment-bytes.ts'
import {
  type BlockHash,
  DEFAULT_TENANT,
  parseModelFingerprint,
  parseTenantId,
  type TenantId,
} from '../../src/core/ids.ts'
import { seededRandom } from '../../src/core/random.ts'
import { fragmentizeTensors } from '../../src/reconstruct/fragmentize.ts'
import { loadContentHashers } from '../../src/hashing/content-hashers.ts'
import { DEFAULT_FABRIC_OPTIONS, type Fabric, openFabric } from '../../src/server/fabric.ts'
import { FabricSink } from '../../src/server/fabric-sink.ts'
import { HttpPeer } from '../../src/server/http-peer.ts'
import { HttpChunkSource } from '../../src/server/http-chunk-source.ts'
import { StagedFiles } from '../../src/server/staged-files.ts'
import { type SyncOptions, syncFrom } from '../../src/server/sync-from.ts'
import { MemoryStore } from '../../src/store/memory.ts'
import { openCuttingProxy } from '../cutting-proxy.ts'
import { runs } from '../effort.ts'
import { openTestServer, type TestServerOptions } from '../test-server.ts'

const { hashers } = await loadContentHashers()
const clock = { nowMs: Date.now }
const CHUNK_BYTES = 64 * 1024
const closing: (() => Promise<void>)[] = []
afterAll(async () => {
  for (const close of closing.toReversed()) await close()
})

async function openServer(options: TestServerOptions = {}) {
  const server = await openTestServer(options)
  closing.push(() => server.close())
  return server
}

function openMemory(): Promise<Fabric> {
  return openFabric({ ...DEFAULT_FABRIC_OPTIONS, store: new MemoryStore(clock), hashers, clock, seed: 1 })
}

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), 'membrane-transfer-'))
  closing.push(async () => rmSync(path, { recursive: true, force: true }))
  return path
}

function bytesOf(length: number, seed: number): Uint8Array {
  const random = seededRandom(seed)
  return Uint8Array.from({ length }, () => 256 * random())
}

async function put(fabric: Fabric, name: string, payload: Uint8Array, tenant: TenantId = DEFAULT_TENANT) {
  const { key } = await fabric.of(tenant).put({
    description: byteDescription('opaque'),
    foreignKey: new TextEncoder().encode(name),
    payload,
    hints: { priority: 2, isPinned: true },
    expiresAtMs: 4_000_000_000_000,
  })
  return key
}

async function sync(
  to: Fabric,
  port: number,
  {
    directory = null,
    memoryBytesMax = 1024 * 1024,
    token,
    ...options
  }: SyncOptions & {
    readonly directory?: string | null
    readonly memoryBytesMax?: number
    readonly token?: string
  } = {},
) {
  const peer = new HttpPeer({ url: `http://127.0.0.1:${port}`, ...(token === undefined ? {} : { token }) })
  const files = directory === null ? null : new StagedFiles(directory)
  const parts = { own: to.of(), peer, hashers, files, scope: DEFAULT_TENANT, memoryBytesMax }
  try {
    return await syncFrom(parts, { chunkBytes: CHUNK_BYTES, ...options })
  } finally {
    peer.close()
  }
}

/** Of the bytes as they are read: comparing them one by one takes a minute. */
async function hashOf(fabric: Fabric, key: string): Promise<string | null> {
  const found = await fabric.of().get(key)
  return found === null ? null : hashers.b3.hash(found.payload)
}

async function contentsOf(fabric: Fabric): Promise<ReadonlyMap<string, unknown>> {
  const contents = new Map<string, unknown>()
  for await (const { key, contentHash, description, hints, expiresAtMs } of fabric.of().list())
    contents.set(key, { contentHash, description, hints, expiresAtMs })
  return contents
}

test('a sync through a proxy that cuts connections copies everything and sends little twice', async () => {
  const server = await openServer()
  const sizes = [24_000_001, 3_000_000, CHUNK_BYTES, CHUNK_BYTES + 1, 17, 0]
  for (const [index, size] of sizes.entries()) await put(server.fabric, `payload ${index}`, bytesOf(size, index))
  const totalBytes = sizes.reduce((sum, size) => sum + size, 0)
  for (let seed = 1; seed <= runs(3); seed++) {
    const random = seededRandom(seed)
    const at = Array.from({ length: 20 }, () => Math.floor(random() * totalBytes))
    const proxy = await openCuttingProxy(server.port('http'), at)
    const [copy, directory] = [await openMemory(), folder()]
    const report = await sync(copy, proxy.port, { directory, connections: 3 })
    expect(report, `seed ${seed}`).toMatchObject({ missing: 6, fetched: 6, refused: [], lost: [], unfinished: 0 })
    expect(proxy.cuts()).toBe(20)
    const { bytesAccepted = 0, bytesDiscarded = 0 } = report.transfer?.counters ?? {}
    expect(bytesAccepted).toBe(totalBytes)
    expect(bytesDiscarded).toBeLessThanOrEqual(20 * CHUNK_BYTES + 0.02 * totalBytes)
    expect(await contentsOf(copy)).toEqual(await contentsOf(server.fabric))
    for (const key of (await contentsOf(copy)).keys())
      expect(await hashOf(copy, key)).toBe(await hashOf(server.fabric, key))
    expect(readdirSync(directory)).toEqual([])
    await proxy.close()
    await copy.close()
  }
})

test('a second sync exchanges some bytes and fetches nothing, however much there is', async () => {
  const server = await openServer()
  for (let index = 0; index < 300; index++) await put(server.fabric, `payload ${index}`, bytesOf(100, index))
  const copy = await openMemory()
  expect(await sync(copy, server.port('http'))).toMatchObject({ fetched: 300 })
  const again = await sync(copy, server.port('http'))
  expect(again).toMatchObject({ missing: 0, differing: 0, fetched: 0, roundTrips: 1, transfer: null })
  expect(again.comparedBytes).toBeLessThan(64)
  await put(server.fabric, 'one more', bytesOf(100, 1000))
  expect(await sync(copy, server.port('http'))).toMatchObject({ missing: 1, fetched: 1 })
})

test('equal bytes under two names are fetched once, and what is here with other bytes is left as it is', async () => {
  const server = await openServer()
  await put(server.fabric, 'one', bytesOf(200_000, 1))
  await put(server.fabric, 'other', bytesOf(200_000, 1))
  await put(server.fabric, 'mine', bytesOf(1000, 2))
  const copy = await openMemory()
  const mine = await put(copy, 'mine', bytesOf(1000, 3))
  const report = await sync(copy, server.port('http'))
  expect(report).toMatchObject({ missing: 2, differing: 1, fetched: 1, linked: 1 })
  expect(report.transfer?.counters.bytesReceived).toBe(200_000)
  expect(await hashOf(copy, mine)).toBe(hashers.b3.hash(bytesOf(1000, 3)))
})

test('a sync that is cancelled goes on where it was, from the files', async () => {
  const server = await openServer()
  const key = await put(server.fabric, 'large', bytesOf(8_000_000, 1))
  const [copy, directory] = [await openMemory(), folder()]
  const cancel = new AbortController()
  const progress: SyncOptions['progress'] = ({ bytesAccepted }) => {
    if (bytesAccepted > 3_000_000) cancel.abort()
  }
  const first = sync(copy, server.port('http'), { directory, connections: 1, signal: cancel.signal, progress })
  await expect(first).rejects.toMatchObject({ code: 'ABORTED' })
  expect(readdirSync(directory)).toHaveLength(2)
  const { transfer } = await sync(copy, server.port('http'), { directory, connections: 2 })
  expect(transfer?.counters.bytesResumed).toBeGreaterThan(3_000_000)
  expect(transfer?.counters.bytesReceived).toBe(8_000_000 - (transfer?.counters.bytesResumed ?? 0))
  expect(await hashOf(copy, key)).toBe(hashers.b3.hash(bytesOf(8_000_000, 1)))
  expect(readdirSync(directory)).toEqual([])
})

test('what a process that was killed had staged is found by its hashes', async () => {
  const server = await openServer()
  const payload = bytesOf(4_000_000, 1)
  const key = await put(server.fabric, 'large', payload)
  const [copy, directory] = [await openMemory(), folder()]
  const peer = new HttpPeer({ url: `http://127.0.0.1:${server.port('http')}` })
  const source = new HttpChunkSource(peer, CHUNK_BYTES)
  const killed = new FabricSink({
    own: copy.of(),
    describe: (name) => peer.describe(name),
    manifest: (name) => source.manifest({ key: name }, {}),
    hashers,
    files: new StagedFiles(directory),
    scope: DEFAULT_TENANT,
    memoryBytesMax: 0,
  })
  const staged = await killed.open({ key, contentHash: hashers.b3.hash(payload), payloadBytes: payload.length })
  // Chunks 0 to 9, and one that was written in part.
  await staged?.stage(0, payload.subarray(0, 10.5 * CHUNK_BYTES))
  await staged?.suspend(new Uint8Array(0))
  for (const name of readdirSync(directory)) if (name.endsWith('.state')) rmSync(join(directory, name))
  const { transfer } = await sync(copy, server.port('http'), { directory })
  expect(transfer?.counters.bytesResumed).toBe(10 * CHUNK_BYTES)
  expect(await hashOf(copy, key)).toBe(hashers.b3.hash(payload))
  peer.close()
})

test('nobody compares, describes or copies what is of another tenant', async () => {
  const other = parseTenantId('other')
  const tokens = {
    mine: { tenant: DEFAULT_TENANT, role: 'reader', name: 'mine' },
    theirs: { tenant: other, role: 'reader', name: 'theirs' },
  } as const
  const server = await openServer({ tokens })
  const key = await put(server.fabric, 'secret', bytesOf(1000, 1), other)
  const contentHash = hashers.b3.hash(bytesOf(1000, 1))
  const [mine, theirs] = (['mine', 'theirs'] as const).map(
    (token) => new HttpPeer({ url: `http://127.0.0.1:${server.port('http')}`, token }),
  )
  const asked = { key, contentHash, span: { start: 0, end: 1000 } }
  const options = { progress: () => undefined }
  for (const [peer, isTheirs] of [
    [mine, false],
    [theirs, true],
  ] as const) {
    if (peer === undefined) throw new Error('A peer was expected.')
    const source = new HttpChunkSource(peer, CHUNK_BYTES)
    expect((await peer.inventory()).entries).toBe(isTheirs ? 1 : 0)
    expect((await peer.describe(key)) !== null).toBe(isTheirs)
    expect((await source.manifest({ key }, {})) !== null).toBe(isTheirs)
    expect(await source.fetch(asked, new Uint8Array(1000), options)).toBe(isTheirs ? 1000 : null)
  }
  expect((await mine?.inventory())?.secret).not.toEqual((await theirs?.inventory())?.secret)
  const copy = await openMemory()
  expect(await sync(copy, server.port('http'), { token: 'mine' })).toMatchObject({ missing: 0 })
  await expect(sync(copy, server.port('http'))).rejects.toMatchObject({ code: 'UNAUTHENTICATED' })
  mine?.close()
  theirs?.close()
})

test('no part of a payload is hashed whole to send a chunk of it', async () => {
  const store = new MemoryStore(clock)
  const get = store.get.bind(store)
  const spans: unknown[] = []
  const server = await openServer({ fabric: { store, isMemoryTrusted: false } })
  store.get = (key, options) => {
    spans.push(options?.span)
    return get(key, options)
  }
  const key = await put(server.fabric, 'large', bytesOf(500_000, 1))
  const peer = new HttpPeer({ url: `http://127.0.0.1:${server.port('http')}` })
  const into = new Uint8Array(1000)
  const asked = { key, contentHash: hashers.b3.hash(bytesOf(500_000, 1)), span: { start: 7, end: 1007 } }
  spans.length = 0
  await new HttpChunkSource(peer, CHUNK_BYTES).fetch(asked, into, { progress: () => undefined })
  expect(into).toEqual(bytesOf(500_000, 1).subarray(7, 1007))
  expect(spans.filter((span) => span !== undefined)).toEqual([{ start: 7, end: 1007 }])
  peer.close()
})

test('a node copies from peers that its configuration names, and from nobody else', async () => {
  const source = await openServer()
  await put(source.fabric, 'one', bytesOf(300_000, 1))
  const peer = `127.0.0.1:${source.port('http')}`
  const target = await openServer({ allowedPeers: [peer] })
  const url = `http://127.0.0.1:${target.port('http')}/v1/transfer`
  const pull = (body: object) =>
    fetch(`${url}/pull`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    })
  for (const other of ['127.0.0.1:1', `localhost:${source.port('http')}`, `${peer}/x`])
    expect((await pull({ peer: other })).status).toBe(403)
  const begun = await pull({ peer })
  expect(begun.status).toBe(202)
  expect(await begun.json()).toMatchObject({ id: 1, peer, tenant: 'default', state: 'running' })
  const states = async () => ((await (await fetch(url)).json()) as { pulls: readonly object[] }).pulls
  await expect
    .poll(states, { timeout: 10_000 })
    .toEqual([
      expect.objectContaining({ id: 1, state: 'done', wantedBytes: 300_000, acceptedBytes: 300_000, fetched: 1 }),
    ])
  expect(await contentsOf(target.fabric)).toEqual(await contentsOf(source.fabric))
})

test('only administrators make a node copy', async () => {
  const tokens = { writer: { tenant: DEFAULT_TENANT, role: 'writer', name: 'writer' } } as const
  const target = await openServer({ tokens, allowedPeers: ['127.0.0.1:1'] })
  const headers = { authorization: 'Bearer writer', 'content-type': 'application/json' }
  const url = `http://127.0.0.1:${target.port('http')}/v1/transfer`
  const body = JSON.stringify({ peer: '127.0.0.1:1' })
  expect((await fetch(`${url}/pull`, { method: 'POST', headers, body })).status).toBe(403)
  expect((await fetch(url, { headers })).status).toBe(403)
})

test('what crosses a slow link is packed where it shrinks, and arrives as it was', async () => {
  const server = await openServer()
  const tokens = 64 * 1024
  const data = new Uint8Array(tokens * 512)
  // Upper bytes of few values, as those of BF16 are; lower ones of any.
  const random = seededRandom(1)
  for (let at = 0; at < data.length; at += 2) {
    data[at] = 256 * random()
    data[at + 1] = 60 + 4 * random()
  }
  const [fragment] = fragmentizeTensors(
    {
      signature: {
        model: parseModelFingerprint('ab'.repeat(32)),
        kind: 'kv',
        tokens: { start: 0, end: tokens },
        layers: { start: 0, end: 1 },
        heads: null,
        dtype: 'BF16',
        layout: 'heads,tokens,headDim',
        positionEncoding: 'rope:10000',
      },
      parent: null,
      blocks: [`blake3-256:${'cd'.repeat(32)}` as BlockHash],
      sequence: null,
    },
    ['k', 'v'].map((name) => ({ name: `layers.0.${name}`, dtype: 'BF16', shape: [8, tokens, 32], data }) as const),
    { blockTokens: tokens, fragmentTokens: tokens },
  ).fragments
  if (fragment === undefined) throw new Error('A fragment was expected.')
  const { key } = await server.fabric.of().put({ description: fragment.description, payload: fragment.payload })
  const proxy = await openCuttingProxy(server.port('http'), [], 20e6)
  closing.push(() => proxy.close())
  const copy = await openMemory()
  const report = await sync(copy, proxy.port, { chunkBytes: 1024 * 1024, connections: 2, memoryBytesMax: 100e6 })
  const { compressed, transfer } = report
  expect(compressed.plainBytes).toBeGreaterThan(20e6)
  expect(compressed.plainBytes / compressed.wireBytes).toBeGreaterThan(1.3)
  expect(transfer?.counters).toMatchObject({ chunksDamaged: 0, bytesDiscarded: 0 })
  expect(await hashOf(copy, key)).toBe(hashers.b3.hash(fragment.payload))
})
