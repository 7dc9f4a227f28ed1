import { describe, expect, test } from 'vitest'
import type { Fragment, FragmentDescription } from '../core/fragment.ts'
import type { Embedder, FragmentStore, SnapshotStorage } from '../core/ports.ts'
import { MemoryStore } from '../store/memory.ts'
import { bruteForceVectors } from '../vectors/brute-force.ts'
import { bytesOf, VirtualClock } from '../../test/contracts/store-fixtures.ts'
import { loadSemanticPorts } from './semantic-ports.ts'
import { openFabric } from './fabric.ts'
import {
  ANN,
  BOB,
  BYTES,
  kvOf,
  MODEL,
  open,
  prefixOf,
  putAll,
  TEST_OPTIONS,
  TOKENS,
} from '../../test/contracts/fabric-fixtures.ts'

describe('a fabric', () => {
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
})

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
