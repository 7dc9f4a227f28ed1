import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { blockHashAt, sliceBlockHashes } from '../core/block-hashes.ts'
import { parseTenantId } from '../core/ids.ts'
import type { MembraneError } from '../core/errors.ts'
import type { Quarantine } from '../core/ports.ts'
import { MemoryStore } from '../store/memory.ts'
import { runs } from '../../test/effort.ts'
import { bytesOf, rejectsWith, toArray } from '../../test/contracts/store-fixtures.ts'
import {
  ANN,
  BOB,
  BYTES,
  hashers,
  hashesOf,
  kvOf,
  MODEL,
  open,
  prefixOf,
  putAll,
  reopen,
  TOKENS,
} from '../../test/contracts/fabric-fixtures.ts'

describe('a fabric', () => {
  test('finds the leading blocks of a prompt, and gives back their KV bit for bit', async () => {
    const { fabric } = await open()
    const fragments = kvOf(TOKENS)
    await putAll(fabric, ANN, fragments)
    const other = [...TOKENS.slice(0, 18), 7, 7, 7, 7, 7, 7]
    const found = await prefixOf(fabric, ANN, other)
    expect(found).toMatchObject({ blocks: 4, tokens: 16 })
    expect(found.fragments).toHaveLength(2)
    for (const [index, { key }] of found.fragments.entries()) {
      const got = await fabric.of(ANN).get(key)
      expect(got?.description).toEqual(fragments[index]?.description)
      expect(Buffer.from(got?.payload ?? []).equals(fragments[index]?.payload ?? new Uint8Array(0))).toBe(true)
    }
    expect(await prefixOf(fabric, BOB, TOKENS)).toMatchObject({ blocks: 0, fragments: [] })
    expect(fabric.indices.inconsistencies()).toEqual([])
  })

  test('leases what it finds, and forgets in all indices what is evicted', async () => {
    const fragments = kvOf(TOKENS)
    const bytes = fragments.reduce((sum, { payload }) => sum + payload.length, 0)
    const { fabric, clock } = await open({
      bound: { payloadBytesMax: bytes + 10, entriesMax: 100 },
      policy: 'leaf-lru',
    })
    await putAll(fabric, ANN, fragments)
    await prefixOf(fabric, ANN, TOKENS.slice(0, 8))
    const pushed = bytesOf(bytes)
    await rejectsWith(fabric.of(ANN).put({ description: BYTES, payload: pushed }), 'STORE_FULL')
    expect((await prefixOf(fabric, ANN, TOKENS)).blocks).toBe(2)
    clock.advance(2000)
    await fabric.of(ANN).put({ description: BYTES, payload: pushed })
    expect((await prefixOf(fabric, ANN, TOKENS)).blocks).toBe(0)
    expect(fabric.indices.inconsistencies()).toEqual([])
    expect(fabric.stats()).toMatchObject({ fragments: 1, contentBytes: bytes, evictions: 3 })
  })

  test('has everything again when it is opened again, chains and hints included', async () => {
    const { fabric, store, clock } = await open()
    await putAll(fabric, ANN, kvOf(TOKENS))
    await fabric.of(BOB).put({ description: BYTES, payload: bytesOf(50), hints: { isPinned: true, priority: 2 } })
    const again = await reopen(store, clock)
    expect(await prefixOf(again, ANN, TOKENS)).toMatchObject({ blocks: 6, tokens: 24 })
    const [entry] = await toArray(again.of(BOB).list())
    expect(entry).toMatchObject({ hints: { isPinned: true, priority: 2 }, payloadBytes: 50, description: BYTES })
    expect(again.stats()).toMatchObject({ fragments: 4, unindexed: 0 })
  })

  test('answers damaged bytes with a gap, keeps the evidence, and takes a good copy again', async () => {
    const evidence: string[] = []
    const quarantine: Quarantine = { keep: async ({ expected }) => void evidence.push(expected), clear: async () => {} }
    const { fabric, store } = await open({ quarantine })
    const fragments = kvOf(TOKENS)
    await putAll(fabric, ANN, fragments)
    const [, second] = (await prefixOf(fabric, ANN, TOKENS)).fragments
    const content = await store.get(`b/${second?.contentHash}`)
    const damaged = Uint8Array.from(content?.payload ?? [])
    damaged[100] = (damaged[100] ?? 0) ^ 1
    await store.put({ ...(content ?? expect.unreachable()), head: Uint8Array.of(1), payload: damaged })
    expect(await fabric.of(ANN).get(second?.key ?? '')).toBeNull()
    expect(evidence).toEqual([second?.contentHash])
    expect((await prefixOf(fabric, ANN, TOKENS)).blocks).toBe(2)
    expect(fabric.stats().corruptEntries).toBe(1)
    await putAll(fabric, ANN, fragments)
    expect((await prefixOf(fabric, ANN, TOKENS)).blocks).toBe(6)
    expect(fabric.indices.inconsistencies()).toEqual([])
  })

  test('shares a prefix with another tenant, under the hashes that its salt gives, and nothing beyond it', async () => {
    const { fabric } = await open()
    await putAll(fabric, ANN, kvOf(TOKENS))
    const hashes = hashesOf(TOKENS)
    const theirHashes = hashesOf(TOKENS, 'salt of bob')
    expect(blockHashAt(hashes, 0)).not.toBe(blockHashAt(theirHashes, 0))
    const five = { model: MODEL, hashes, theirHashes: sliceBlockHashes(theirHashes, 0, 5) }
    expect(await fabric.of(ANN).share(BOB, five)).toBe(2)
    expect((await prefixOf(fabric, BOB, TOKENS, 'salt of bob')).blocks).toBe(4)
    expect((await prefixOf(fabric, BOB, TOKENS)).blocks).toBe(0)
    const { contentBytes, payloadBytes } = fabric.stats()
    expect(payloadBytes).toBeGreaterThan(contentBytes)
  })

  test('erases a tenant from the store and from every index', async () => {
    const { fabric } = await open()
    await putAll(fabric, ANN, kvOf(TOKENS))
    await putAll(fabric, BOB, kvOf(TOKENS, 'salt of bob'))
    expect(await fabric.erase(ANN)).toBe(3)
    expect((await prefixOf(fabric, ANN, TOKENS)).blocks).toBe(0)
    expect((await prefixOf(fabric, BOB, TOKENS, 'salt of bob')).blocks).toBe(6)
    expect([...fabric.indices.fragments()].every(({ tenant }) => tenant === BOB)).toBe(true)
    expect(fabric.indices.inconsistencies()).toEqual([])
  })

  test('lists and serves the rest when a head cannot be read, and can still remove it', async () => {
    const { fabric, store, clock } = await open()
    const { key } = await fabric.of(ANN).put({ description: BYTES, payload: bytesOf(10, 1) })
    await fabric.of(ANN).put({ description: BYTES, payload: bytesOf(10, 2) })
    const reference = (await store.get(`r/ann/${key}`)) ?? expect.unreachable()
    const head = Uint8Array.from([...reference.head.subarray(0, 42), 0xff, 1, 2])
    await store.put({ ...reference, head })
    const again = await reopen(store, clock)
    expect(again.stats()).toMatchObject({ fragments: 2, unindexed: 1 })
    expect(await toArray(again.of(ANN).list())).toHaveLength(1)
    const keys = await toArray(again.of(ANN).keys())
    expect(await again.of(ANN).remove(keys)).toBe(2)
    expect(again.stats()).toMatchObject({ fragments: 0, unindexed: 0, contentBytes: 0 })
  })

  test('refuses bytes that are not what they are called', async () => {
    const { fabric } = await open()
    const own = fabric.of(ANN)
    const contentHash = hashers.b3.hash(bytesOf(10))
    await rejectsWith(own.put({ description: BYTES, payload: bytesOf(11), contentHash }), 'CONTENT_MISMATCH')
    const [kv] = kvOf(TOKENS)
    const foreignKey = new TextEncoder().encode('name')
    const put = { description: kv?.description ?? BYTES, payload: bytesOf(3), foreignKey }
    await rejectsWith(own.put(put), 'INVALID_REQUEST')
    expect(fabric.stats().fragments).toBe(0)
  })

  test('has no index that names what the store lacks, after whatever was done to it', async () => {
    const kv = [...kvOf(TOKENS), ...kvOf([...TOKENS.slice(0, 8), 5, 5, 5, 5, 5, 5, 5, 5])]
    const operation = fc.record({
      kind: fc.constantFrom('put', 'put', 'remove', 'get', 'lease', 'damage', 'access', 'close', 'wait', 'erase'),
      tenant: fc.constantFrom(ANN, BOB),
      which: fc.nat({ max: kv.length - 1 }),
      ttlMs: fc.constantFrom(null, null, 500),
    })
    await fc.assert(
      fc.asyncProperty(fc.array(operation, { maxLength: 30 }), async (operations) => {
        const { fabric, store, clock } = await open({
          bound: { payloadBytesMax: 700, entriesMax: 5 },
          policy: 'leaf-lru',
        })
        const keys = new Map<number, string>()
        for (const { kind, tenant, which, ttlMs } of operations) {
          const own = fabric.of(tenant)
          const { description, payload } = kv[which] ?? expect.unreachable()
          const key = keys.get(which) ?? 'opaque/=none'
          if (kind === 'put') {
            const expiresAtMs = ttlMs === null ? null : clock.nowMs() + ttlMs
            const put = await own.put({ description, payload, expiresAtMs }).catch((error: MembraneError) => {
              expect(error.code).toBe('STORE_FULL')
              return null
            })
            if (put !== null) keys.set(which, put.key)
          } else if (kind === 'remove') await own.remove([key])
          else if (kind === 'get') await own.get(key)
          else if (kind === 'lease') await prefixOf(fabric, tenant, TOKENS)
          else if (kind === 'access') own.accessed('s', [key])
          else if (kind === 'close') own.closeSession('s')
          else if (kind === 'wait') clock.advance(400)
          else if (kind === 'erase') await fabric.erase(tenant)
          else await damageOne(store)
        }
        // What expired or was damaged is known to be gone once somebody has looked for it.
        for (const { key } of Array.from(fabric.indices.fragments())) {
          const slash = key.indexOf('/')
          await fabric.of(parseTenantId(key.slice(0, slash))).get(key.slice(slash + 1))
        }
        await new Promise(setImmediate)
        const there = new Set((await toArray(store.list('r/'))).map(({ key }) => key.slice(2)))
        expect(new Set([...fabric.indices.fragments()].map(({ key }) => key))).toEqual(there)
        expect(fabric.indices.inconsistencies()).toEqual([])
      }),
      { numRuns: runs(60, 3000) },
    )
  })
})

/** Flips a byte of some content, if there is any. */
async function damageOne(store: MemoryStore): Promise<void> {
  for await (const { key, payloadBytes } of store.list('b/')) {
    const found = await store.get(key)
    if (found === null || payloadBytes === 0) continue
    const payload = Uint8Array.from(found.payload)
    payload[0] = (payload[0] ?? 0) ^ 1
    await store.put({ ...found, head: Uint8Array.of(1), payload })
    return
  }
}
