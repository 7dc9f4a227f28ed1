import { describe, expect, test } from 'vitest'
import type { ContentHashers, FragmentStore, Quarantine } from '../core/ports.ts'
import { MemoryStore } from '../store/memory.ts'
import { bytesOf, HOUR_MS, isSameBytes, rejectsWith, VirtualClock } from '../../test/contracts/store-fixtures.ts'
import { ANN, BOB, BYTES, hashers, open, TEST_OPTIONS } from '../../test/contracts/fabric-fixtures.ts'
import { type Fabric, type FabricOptions, openFabric } from './fabric.ts'

/** Hashers that note how many bytes each call hashed, pieces and all. */
function noting(): { readonly hashed: number[]; readonly hashers: ContentHashers } {
  const hashed: number[] = []
  const hash: ContentHashers['b3']['hash'] = (payload) => {
    // References have no payload.
    if (payload.length > 0) hashed.push(payload.length)
    return hashers.b3.hash(payload)
  }
  return { hashed, hashers: { ...hashers, b3: { ...hashers.b3, hash } } }
}

/** Memory that a process does not own, as far as it says: like a disk. */
function remote(inner: FragmentStore): FragmentStore & { gets: number } {
  return {
    gets: 0,
    put: (put) => inner.put(put),
    get(key, options) {
      this.gets += 1
      return inner.get(key, options)
    },
    stream: (key, options) => inner.stream(key, options),
    head: (key) => inner.head(key),
    has: (keys) => inner.has(keys),
    remove: (keys) => inner.remove(keys),
    list: (prefix) => inner.list(prefix),
    stats: () => inner.stats(),
    sync: () => inner.sync(),
    purge: () => inner.purge(),
    close: () => inner.close(),
  }
}

async function openRemote(options: Partial<FabricOptions> = {}) {
  const clock = new VirtualClock()
  const inner = new MemoryStore(clock)
  const store = remote(inner)
  const fabric = await openFabric({ ...TEST_OPTIONS, store, clock, hotBytesMax: 1_000_000, ...options })
  return { fabric, store, inner, clock }
}

const put = (fabric: Fabric, payload: Uint8Array) => fabric.of(ANN).put({ description: BYTES, payload })

describe('a fabric in memory', () => {
  test('keeps the memory that it is given and gives it back, and hashes it once', async () => {
    const { hashed, hashers } = noting()
    const { fabric } = await open({ hashers, isMemoryTrusted: true, hotBytesMax: 1_000_000 })
    const payload = bytesOf(5000)
    const { key } = await fabric.of(ANN).put({ description: BYTES, payload, isGivenAway: true })
    expect((await fabric.of(ANN).get(key))?.payload.buffer).toBe(payload.buffer)
    expect((await fabric.of(ANN).read(key, { span: { start: 7, end: 9 } }))?.payload).toEqual(payload.subarray(7, 9))
    expect(hashed).toEqual([5000])
    expect(fabric.stats().hot).toBeNull()
  })

  test('checks a hash that it is told, with one hash, and keeps no memory that it was not given', async () => {
    const { hashed, hashers } = noting()
    const { fabric } = await open({ hashers, isMemoryTrusted: true })
    const payload = bytesOf(5000)
    const contentHash = hashers.b3.hash(payload)
    hashed.length = 0
    const { key } = await fabric.of(ANN).put({ description: BYTES, payload, contentHash })
    expect(hashed).toEqual([5000])
    await rejectsWith(
      fabric.of(ANN).put({ description: BYTES, payload: bytesOf(5000, 1), contentHash }),
      'CONTENT_MISMATCH',
    )
    payload.fill(0)
    expect(isSameBytes((await fabric.of(ANN).read(key))?.payload ?? payload, bytesOf(5000))).toBe(true)
  })

  test('hashes every read of memory that is not trusted', async () => {
    const { hashed, hashers } = noting()
    const { fabric } = await open({ hashers, isMemoryTrusted: false })
    const { key } = await put(fabric, bytesOf(5000))
    hashed.length = 0
    await fabric.of(ANN).read(key)
    expect(hashed).toEqual([5000])
  })
})

describe('a fabric with a memory tier', () => {
  test('reads and hashes below once, and then no more', async () => {
    const { hashed, hashers } = noting()
    const { fabric, store, clock } = await openRemote({ hashers })
    const { key } = await put(fabric, bytesOf(5000))
    const again = await openFabric({ ...TEST_OPTIONS, store, clock, hashers, hotBytesMax: 1_000_000 })
    hashed.length = 0
    store.gets = 0
    for (let turn = 0; turn < 3; turn++) expect((await again.of(ANN).read(key))?.payload.length).toBe(5000)
    expect([hashed, store.gets]).toEqual([[5000], 1])
    expect(again.stats().hot).toMatchObject({ entries: 1, hits: 2, misses: 1, evictions: 0, bytesMax: 1_000_000 })
  })

  test('verifies every read without one, from whatever does not say that it is in memory', async () => {
    const evidence: string[] = []
    const quarantine: Quarantine = { keep: async ({ expected }) => void evidence.push(expected), clear: async () => {} }
    const { fabric, inner } = await openRemote({ quarantine, hotBytesMax: 0, isMemoryTrusted: true })
    const { key, contentHash } = await put(fabric, bytesOf(5000))
    const content = (await inner.get(`b/${contentHash}`)) ?? expect.unreachable()
    await inner.put({ ...content, head: Uint8Array.of(1), payload: bytesOf(5000, 1) })
    expect(await fabric.of(ANN).read(key)).toBeNull()
    expect(evidence).toEqual([contentHash])
    expect(fabric.stats()).toMatchObject({ fragments: 0, hot: null })
  })

  test('has nothing of what is removed, evicted or expired', async () => {
    const { fabric, clock } = await openRemote({ bound: { payloadBytesMax: 12_000, entriesMax: 100 }, policy: 'lru' })
    const ann = fabric.of(ANN)
    const { key } = await put(fabric, bytesOf(5000))
    await ann.remove([key])
    expect(await ann.read(key)).toBeNull()
    const { key: first } = await put(fabric, bytesOf(5000, 1))
    await put(fabric, bytesOf(5000, 2))
    const expiresAtMs = clock.nowMs() + HOUR_MS
    const { key: last } = await ann.put({ description: BYTES, payload: bytesOf(5000, 3), expiresAtMs })
    expect(await ann.read(first)).toBeNull()
    expect(fabric.stats().hot).toMatchObject({ entries: 2 })
    clock.advance(HOUR_MS)
    expect(await ann.read(last)).toBeNull()
    expect(fabric.stats()).toMatchObject({ fragments: 1, hot: { entries: 1 } })
    await fabric.erase(ANN)
    expect(fabric.stats()).toMatchObject({ fragments: 0, hot: { entries: 0, bytes: 0 } })
  })

  test('says that a fragment is lost when its bytes are, though memory had them', async () => {
    const { fabric, inner } = await openRemote()
    const { key, contentHash } = await put(fabric, bytesOf(5000))
    await inner.remove([`b/${contentHash}`])
    expect(await fabric.dropLost()).toEqual([`ann/${key}`])
    expect(await fabric.of(ANN).read(key)).toBeNull()
    expect(fabric.stats()).toMatchObject({ fragments: 0, hot: { entries: 0 } })
  })
})

describe('a tenant', () => {
  test('leases what it has, and nothing of others', async () => {
    const { fabric, clock } = await open({ bound: { payloadBytesMax: 1000, entriesMax: 100 }, policy: 'lru' })
    const { key } = await put(fabric, bytesOf(600))
    expect(await fabric.of(BOB).lease([key], 1000)).toEqual([false])
    expect(await fabric.of(ANN).lease([key, 'kv/none'], 1000)).toEqual([true, false])
    await rejectsWith(put(fabric, bytesOf(600, 1)), 'STORE_FULL')
    clock.advance(1100)
    await put(fabric, bytesOf(600, 1))
    expect(await fabric.of(ANN).lease([key], 1000)).toEqual([false])
  })

  test('revises hints and expiry of its own, each without the other, and the bytes are not written again', async () => {
    const { fabric, store, clock } = await open()
    const ann = fabric.of(ANN)
    const { key } = await ann.put({ description: BYTES, payload: bytesOf(600), hints: { priority: 2 } })
    const writes: string[] = []
    const putBelow = store.put.bind(store)
    store.put = (put) => {
      writes.push(put.key)
      return putBelow(put)
    }
    const expiresAtMs = clock.nowMs() + HOUR_MS
    expect(await fabric.of(BOB).revise(key, { expiresAtMs })).toBe(false)
    expect(await ann.revise(key, { expiresAtMs })).toBe(true)
    expect(await ann.head(key)).toMatchObject({ expiresAtMs, hints: { priority: 2, isPinned: false } })
    expect(await ann.revise(key, { hints: { isPinned: true } })).toBe(true)
    expect(await ann.revise(key, { expiresAtMs: null })).toBe(true)
    const found = (await ann.get(key)) ?? expect.unreachable()
    expect(found).toMatchObject({ expiresAtMs: null, hints: { priority: 2, isPinned: true }, description: BYTES })
    expect(isSameBytes(found.payload, bytesOf(600))).toBe(true)
    expect(new Set(writes)).toEqual(new Set([`r/ann/${key}`]))
    expect(await ann.revise('kv/none', { expiresAtMs })).toBe(false)
  })
})
