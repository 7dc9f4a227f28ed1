import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { blockHashAt, sliceBlockHashes, unpackBlockHashes } from '../core/block-hashes.ts'
import { byteSignature } from '../core/fragment-bytes.ts'
import { createHashChain } from '../core/hash-chains.ts'
import type { Fragment, FragmentDescription, StructuralSignature } from '../core/fragment.ts'
import { parseModelFingerprint, parseTenantId, type TenantId } from '../core/ids.ts'
import type { MembraneError } from '../core/errors.ts'
import type { Embedder, FragmentStore, Quarantine, SnapshotStorage } from '../core/ports.ts'
import { loadChainHashes } from '../hashing/chain-hashes.ts'
import { loadContentHashers } from '../hashing/content-hashers.ts'
import { fragmentizeTensors } from '../reconstruct/fragmentize.ts'
import { MemoryStore } from '../store/memory.ts'
import { bruteForceVectors } from '../vectors/brute-force.ts'
import { runs } from '../../test/effort.ts'
import { bytesOf, rejectsWith, toArray, VirtualClock } from '../../test/contracts/store-fixtures.ts'
import { loadSemanticPorts } from './semantic-ports.ts'
import { DEFAULT_FABRIC_OPTIONS, type Fabric, type FabricOptions, openFabric } from './fabric.ts'

const MODEL = parseModelFingerprint('ab'.repeat(32))
const [ANN, BOB] = [parseTenantId('ann'), parseTenantId('bob')]
const BLOCK_TOKENS = 4
const { hashers } = await loadContentHashers()
const chain = createHashChain('blake3', { hashes: await loadChainHashes(), blockTokens: BLOCK_TOKENS })

function hashesOf(tokens: readonly number[], tenantSalt = 'salt of ann') {
  return chain.hash(Uint32Array.from(tokens), { model: MODEL, tenantSalt })
}

/** KV of a prompt in fragments of two blocks, of bytes that follow from its tokens. */
function kvOf(tokens: readonly number[], tenantSalt?: string): readonly Fragment[] {
  const end = tokens.length
  const signature: StructuralSignature = {
    model: MODEL,
    kind: 'kv',
    tokens: { start: 0, end },
    layers: { start: 0, end: 1 },
    heads: null,
    dtype: 'U8',
    layout: 'heads,tokens,headDim',
    positionEncoding: 'rope:10000',
  }
  const data = Uint8Array.from(
    { length: 2 * end * 8 },
    (_, index) => (tokens[Math.floor(index / 8) % end] ?? 0) + index,
  )
  const blocks = unpackBlockHashes(hashesOf(tokens, tenantSalt))
  const tensors = ['k', 'v'].map((name) => ({
    name: `layers.0.${name}`,
    dtype: 'U8' as const,
    shape: [2, end, 8],
    data,
  }))
  const whole = { signature, parent: null, blocks, sequence: 'chat' }
  return fragmentizeTensors(whole, tensors, { blockTokens: BLOCK_TOKENS, fragmentTokens: 2 * BLOCK_TOKENS }).fragments
}

const TOKENS = Array.from({ length: 24 }, (_, index) => 100 + index)

const TEST_OPTIONS = {
  ...DEFAULT_FABRIC_OPTIONS,
  hashers,
  seed: 1,
  bound: { payloadBytesMax: Infinity, entriesMax: 100 },
}

interface Opened {
  readonly fabric: Fabric
  readonly store: MemoryStore
  readonly clock: VirtualClock
}

async function open(options: Partial<FabricOptions> = {}): Promise<Opened> {
  const clock = new VirtualClock()
  const store = new MemoryStore(clock)
  return { fabric: await reopen(store, clock, options), store, clock }
}

function reopen(store: MemoryStore, clock: VirtualClock, options: Partial<FabricOptions> = {}): Promise<Fabric> {
  return openFabric({ ...TEST_OPTIONS, store, clock, ...options })
}

async function putAll(fabric: Fabric, tenant: TenantId, fragments: readonly Fragment[]): Promise<void> {
  for (const { description, payload } of fragments) await fabric.of(tenant).put({ description, payload })
}

function prefixOf(fabric: Fabric, tenant: TenantId, tokens: readonly number[], tenantSalt?: string) {
  const prompt = { model: MODEL, hashes: hashesOf(tokens, tenantSalt) }
  return fabric.of(tenant).longestPrefix(prompt, { leaseMs: 1000, blockTokens: BLOCK_TOKENS })
}

const BYTES: FragmentDescription = {
  signature: byteSignature('artifact', 'text/plain'),
  parent: null,
  blocks: [],
  blockTokens: 1,
  group: null,
  text: null,
  sequence: null,
  derivedFrom: [],
}

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

  test('lets what a closed session used leave first, unless another session uses it', async () => {
    const shared = kvOf(TOKENS.slice(0, 8))
    const own = kvOf([...TOKENS.slice(0, 8), 1, 2, 3, 4, 5, 6, 7, 8])
    const other = kvOf([...TOKENS.slice(0, 8), 9, 9, 9, 9, 9, 9, 9, 9])
    const bytes = own.reduce((sum, { payload }) => sum + payload.length, 0) + (other.at(-1)?.payload.length ?? 0)
    const { fabric } = await open({ bound: { payloadBytesMax: bytes, entriesMax: 100 }, policy: 'leaf-lru' })
    const ann = fabric.of(ANN)
    const turn = async (session: string, fragments: readonly Fragment[]): Promise<void> => {
      const keys: string[] = []
      for (const { description, payload } of fragments) keys.push((await ann.put({ description, payload })).key)
      ann.accessed(session, keys)
    }
    await turn('other', [...shared, ...other.slice(1)])
    await turn('own', own)
    expect(ann.closeSession('own')).toBe(true)
    expect(ann.closeSession('unknown')).toBe(false)
    await ann.put({ description: BYTES, payload: bytesOf(10) })
    // Though it was used last: nobody comes back to it, and its head is still somebody's.
    expect((await prefixOf(fabric, ANN, [...TOKENS.slice(0, 8), 1, 2, 3, 4, 5, 6, 7, 8])).blocks).toBe(2)
    expect((await prefixOf(fabric, ANN, [...TOKENS.slice(0, 8), 9, 9, 9, 9, 9, 9, 9, 9])).blocks).toBe(4)
  })

  test('knows what is used together, what overlaps and what reads alike, of one tenant only', async () => {
    const { fabric } = await open({ semantic: { embedder: LETTERS, vectors: bruteForceVectors } })
    const ann = fabric.of(ANN)
    const described = (text: string): FragmentDescription => ({ ...BYTES, text })
    const keys: string[] = []
    for (const text of ['aaab', 'aabb', 'zzzz'])
      keys.push((await ann.put({ description: described(text), payload: bytesOf(9, text.length + keys.length) })).key)
    await fabric.of(BOB).put({ description: described('aaab'), payload: bytesOf(9, 77) })
    const { model } = BYTES.signature
    const alike = ann.similar({ model, text: 'aaaa', limit: 5, similarityMin: 0.5 })
    expect(alike?.map(({ fragment }) => fragment.key)).toEqual(keys.slice(0, 2))
    ann.accessed('s', keys.slice(0, 2))
    expect(ann.neighbours(keys[0] ?? '', 5)).toMatchObject([{ key: keys[1], kind: 'co-accessed' }])
    await putAll(fabric, ANN, kvOf(TOKENS))
    expect(ann.prefetch(keys.slice(0, 1), 5)).toMatchObject([{ key: keys[1] }])
    expect(ann.reuseProbability(keys[0] ?? '', 60_000)).toBeGreaterThanOrEqual(0)
    expect(ann.reuseProbability('opaque/=none', 60_000)).toBeNull()
    expect(fabric.workload()).toMatchObject({ requests: 1, uses: 2 })
    const sequence = { model: MODEL, sequence: 'chat' }
    expect(
      ann.overlapping(sequence, { start: 7, end: 9 }, 9).map(({ description }) => description.signature.tokens),
    ).toEqual([
      { start: 0, end: 8 },
      { start: 8, end: 16 },
    ])
    expect(fabric.of(BOB).overlapping(sequence, { start: 7, end: 9 }, 9)).toEqual([])
    ann.saved(8)
    expect(fabric.stats().cache).toMatchObject({ tokensSaved: 8, byIndex: { semantic: { hits: 1 } } })
  })

  test('finds by meaning with the word vectors that come along', async () => {
    const { fabric } = await open({ semantic: await loadSemanticPorts() })
    const ann = fabric.of(ANN)
    const texts = ['a library that compresses files', 'a game of cards for one player', 'a text editor for programmers']
    for (const [seed, text] of texts.entries())
      await ann.put({ description: { ...BYTES, text }, payload: bytesOf(9, seed) })
    const found = ann.similar({
      model: BYTES.signature.model,
      text: 'archive compression',
      limit: 3,
      similarityMin: 0.2,
    })
    expect(found?.[0]?.fragment.description.text).toBe(texts[0])
  })

  test('keeps what was used together over a restart, and drops what the store lost meanwhile', async () => {
    let kept: Uint8Array | null = null
    const snapshot: SnapshotStorage = {
      read: async () => kept,
      write: async (pieces) => void (kept = new Uint8Array(Buffer.concat([...pieces]))),
      remove: async () => void (kept = null),
    }
    const clock = new VirtualClock()
    const store = new MemoryStore(clock)
    const unclosed: FragmentStore = new Proxy(store, {
      get: (target, name) => {
        if (name === 'close') return async () => {}
        const value: unknown = Reflect.get(target, name)
        return typeof value === 'function' ? value.bind(target) : value
      },
    })
    const fabric = await openFabric({ ...TEST_OPTIONS, store: unclosed, clock, snapshot })
    const own = fabric.of(ANN)
    const keys: string[] = []
    for (const seed of [1, 2, 3]) keys.push((await own.put({ description: BYTES, payload: bytesOf(20, seed) })).key)
    own.accessed('s', keys)
    await fabric.close()
    expect(kept).not.toBeNull()
    await store.remove([`r/ann/${keys[1]}`])
    const again = await openFabric({ ...TEST_OPTIONS, store: unclosed, clock, snapshot })
    expect(again.of(ANN).neighbours(keys[0] ?? '', 9)).toMatchObject([{ key: keys[2], kind: 'co-accessed' }])
    expect(again.indices.get(`ann/${keys[1]}`)).toBeNull()
    expect(again.indices.inconsistencies()).toEqual([])
    await again.erase(ANN)
    expect(kept).toBeNull()
  })

  test('evicts what is used alone before what is used together, once it knows', async () => {
    let kept: Uint8Array | null = null
    const snapshot: SnapshotStorage = {
      read: async () => kept,
      write: async (pieces) => void (kept = new Uint8Array(Buffer.concat([...pieces]))),
      remove: async () => {},
    }
    const clock = new VirtualClock()
    const options = { ...TEST_OPTIONS, clock, snapshot, bound: { payloadBytesMax: 80, entriesMax: 100 } }
    const first = new MemoryStore(clock)
    const fabric = await openFabric({ ...options, store: first, policy: 'chain-lhd' })
    const own = fabric.of(ANN)
    const keys: string[] = []
    for (const seed of [1, 2, 3, 4]) keys.push((await own.put({ description: BYTES, payload: bytesOf(20, seed) })).key)
    own.accessed('s', [keys[0] ?? '', keys[3] ?? ''])
    const store = new MemoryStore(clock)
    for await (const { key } of first.list()) await store.put((await first.get(key)) ?? expect.unreachable())
    await fabric.close()
    const again = await openFabric({ ...options, store, policy: 'chain-lhd' })
    const hints = { priority: 2 } as const
    await again.of(ANN).put({ description: BYTES, payload: bytesOf(20, 5), hints })
    // The first was used longest ago, but the fourth is still there.
    expect(await again.of(ANN).has(keys)).toEqual([true, false, true, true])
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

/** Counts letters: texts are near when they have the same ones. */
const LETTERS: Embedder = {
  id: 'letters',
  dimensions: 26,
  embed: (text) => {
    const vector = new Float32Array(26)
    for (const letter of text) vector[letter.charCodeAt(0) - 97] = (vector[letter.charCodeAt(0) - 97] ?? 0) + 1
    const length = Math.hypot(...vector)
    return length === 0 ? null : vector.map((value) => value / length)
  },
}
