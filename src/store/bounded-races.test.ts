import { describe, expect, test } from 'vitest'
import { MembraneError } from '../core/errors.ts'
import type { FragmentStore } from '../core/ports.ts'
import {
  bytesOf,
  expectFragment,
  fragmentOf,
  rejectsWith,
  sha256Of,
  VirtualClock,
} from '../../test/contracts/store-fixtures.ts'
import { type BoundedOptions, type BoundedStore, openBoundedStore } from './bounded.ts'
import { openCanonicalStore } from './canonical.ts'
import { MemoryStore } from './memory.ts'

interface Opened {
  readonly store: BoundedStore
  readonly inner: MemoryStore
  readonly clock: VirtualClock
  readonly left: string[]
  /** Before a removal below; what it throws the removal throws. */
  readonly removal: { before: (key: string) => void }
}

async function open(options: Partial<BoundedOptions> = {}): Promise<Opened> {
  const clock = new VirtualClock()
  const inner = new MemoryStore(clock)
  const left: string[] = []
  const removal = { before: (): void => {} }
  const below: FragmentStore = {
    put: (put) => inner.put(put),
    get: (key, options) => inner.get(key, options),
    stream: (key, options) => inner.stream(key, options),
    head: (key) => inner.head(key),
    has: (keys) => inner.has(keys),
    remove: async (keys) => {
      for (const key of keys) (removal as Opened['removal']).before(key)
      return inner.remove(keys)
    },
    list: (prefix) => inner.list(prefix),
    stats: () => inner.stats(),
    sync: () => inner.sync(),
    purge: () => inner.purge(),
    close: () => inner.close(),
  }
  const store = await openBoundedStore(below, {
    payloadBytesMax: 300,
    entriesMax: 100,
    policy: 'leaf-lru',
    clock,
    traitsOf: ({ head }) => ({
      chainName: null,
      parentName: null,
      density: 1,
      priority: head[0] === 0 ? 0 : 1,
      isPinned: head[0] === 1,
    }),
    quotaOf: () => null,
    ttlMs: null,
    heldBytes: () => inner.stats().payloadBytes,
    joined: () => {},
    left: (key, reason) => void left.push(`${reason} ${key}`),
    ...options,
  })
  return { store, inner, clock, left, removal }
}

/** Pieces of a payload that come when they are let go. */
function held(payload: Uint8Array): { readonly pieces: AsyncIterable<Uint8Array>; readonly release: () => void } {
  const { promise, resolve } = Promise.withResolvers<void>()
  async function* pieces(): AsyncGenerator<Uint8Array> {
    await promise
    yield payload
  }
  return { pieces: pieces(), release: resolve }
}

/** Lets everything that needs no more than the memory store go as far as it can. */
async function quiesce(): Promise<void> {
  for (let turn = 0; turn < 50; turn++) await Promise.resolve()
}

function put(store: FragmentStore, key: string, bytes = 100): Promise<unknown> {
  return store.put(fragmentOf(key, bytesOf(bytes, key.length)))
}

describe('a bounded store', () => {
  test('keeps what is put again while its old bytes expire, and makes nobody else wait for it', async () => {
    const { store, clock } = await open()
    const old = fragmentOf('a/1', bytesOf(100, 1), { expiresAtMs: clock.nowMs() + 1000 })
    await store.put(old)
    const again = fragmentOf('a/1', bytesOf(100, 2))
    const { pieces, release } = held(again.payload)
    const putting = store.put({ ...again, payload: pieces })
    await quiesce()
    clock.advance(5000)
    await put(store, 'b/other')
    release()
    await putting
    expectFragment(await store.get('a/1'), again)
    expect(store.boundedStats().owners['a']).toEqual({ entries: 1, payloadBytes: 100 })
  })

  test('frees what somebody found expired before it fills its place', async () => {
    const { store, inner, clock } = await open({ entriesMax: 2 })
    await store.put(fragmentOf('a/long', bytesOf(10), { expiresAtMs: clock.nowMs() + 500 }))
    await store.put(fragmentOf('a/short', bytesOf(10, 1), { expiresAtMs: clock.nowMs() + 100 }))
    clock.advance(150)
    inner.stats()
    clock.advance(400)
    expect(await store.get('a/long')).toBeNull()
    await quiesce()
    for (const key of ['a/1', 'a/2']) {
      await put(store, key, 10)
      expect(inner.stats().entries).toBeLessThanOrEqual(2)
    }
  })

  test('frees what expired while a put of the same key failed', async () => {
    const { store, clock, left } = await open()
    await store.put(fragmentOf('a/1', bytesOf(100, 1), { expiresAtMs: clock.nowMs() + 1000 }))
    const { pieces, release } = held(bytesOf(99))
    const putting = store.put({ ...fragmentOf('a/1', bytesOf(100, 2)), payload: pieces })
    await quiesce()
    clock.advance(5000)
    await put(store, 'b/other')
    release()
    await rejectsWith(putting, 'CONTENT_MISMATCH')
    clock.advance(5000)
    await put(store, 'b/another')
    expect(left).toEqual(['expired a/1'])
    expect(store.boundedStats().owners['a']).toEqual({ entries: 0, payloadBytes: 0 })
  })

  test('removes later what it could not remove when it was chosen to leave', async () => {
    const { store, inner, removal } = await open()
    for (const key of ['a/1', 'a/2', 'a/3']) await put(store, key)
    removal.before = () => {
      throw new MembraneError('STORE_UNAVAILABLE', 'The device does not answer.')
    }
    for (const key of ['a/4', 'a/5', 'a/6']) await rejectsWith(put(store, key), 'STORE_UNAVAILABLE')
    removal.before = () => {}
    await put(store, 'a/7')
    await put(store, 'a/8')
    await put(store, 'a/9')
    expect(inner.stats().payloadBytes).toBe(300)
    expect(store.boundedStats().owners['a']).toEqual({ entries: 3, payloadBytes: 300 })
  })

  test('forgets what expired, and removes what it could not remove before, when it is purged', async () => {
    const { store, inner, clock, left, removal } = await open()
    await store.put(fragmentOf('a/short', bytesOf(100, 1), { expiresAtMs: clock.nowMs() + 1000 }))
    for (const key of ['a/1', 'a/2']) await put(store, key)
    removal.before = () => {
      throw new MembraneError('STORE_UNAVAILABLE', 'The device does not answer.')
    }
    await store.lease(['a/short', 'a/2'], 5000)
    await rejectsWith(put(store, 'a/3'), 'STORE_UNAVAILABLE')
    clock.advance(1000)
    await rejectsWith(store.purge(), 'STORE_UNAVAILABLE')
    await rejectsWith(store.purge(), 'STORE_UNAVAILABLE')
    expect(await inner.has(['a/1', 'a/2'])).toEqual([true, true])
    removal.before = () => {}
    await store.purge()
    expect(await inner.has(['a/1', 'a/2'])).toEqual([false, true])
    expect(inner.stats()).toMatchObject({ entries: 1, payloadBytes: 100 })
    expect(left).toEqual(['evicted a/1', 'expired a/short'])
  })

  test('ranks and pins an entry by what its last put says', async () => {
    const { store, left } = await open()
    const [low, pinned, normal] = [Uint8Array.of(0), Uint8Array.of(1), Uint8Array.of(2)]
    await store.put(fragmentOf('a/pinned', bytesOf(90, 1), { head: normal }))
    await store.put(fragmentOf('a/free', bytesOf(90, 2), { head: pinned }))
    await store.put(fragmentOf('a/low', bytesOf(90, 3), { head: normal }))
    await store.put(fragmentOf('a/pinned', bytesOf(20, 1), { head: pinned }))
    await store.put(fragmentOf('a/free', bytesOf(20, 2), { head: normal }))
    await store.put(fragmentOf('a/low', bytesOf(20, 3), { head: low }))
    expect(left).toEqual([])
    for (const key of ['a/y', 'a/z', 'a/zz']) await put(store, key, 130)
    expect(left).toEqual(['evicted a/low', 'evicted a/free', 'evicted a/y'])
  })

  test('says nothing of how much others have when there is no room', async () => {
    const { store } = await open()
    for (const key of ['a/1', 'a/2', 'a/3'])
      await store.put(fragmentOf(key, bytesOf(100), { head: new Uint8Array([1]) }))
    const error: unknown = await put(store, 'b/1').catch((error: unknown) => error)
    expect(error).toMatchObject({ code: 'STORE_FULL' })
    expect(String(error)).not.toMatch(/\b3\b/)
  })
})

describe('room in a bounded store', () => {
  test('is counted once, whenever a second put comes', async () => {
    for (let turns = 0; turns < 40; turns++) {
      const { store } = await openOverCanonical(100)
      const first = store.put(fragmentOf('a/1', bytesOf(50, 1)))
      for (let turn = 0; turn < turns; turn++) await Promise.resolve()
      const second = store.put(fragmentOf('a/2', bytesOf(40, 2)))
      expect(await Promise.all([first, second]), `after ${turns} turns`).toEqual(['stored', 'stored'])
    }
  })

  test('is not needed for bytes that are there already', async () => {
    const { store, left } = await openOverCanonical(100)
    const put = fragmentOf('a/1', bytesOf(60, 1))
    await store.put(put)
    await store.put(fragmentOf('a/2', bytesOf(40, 2)))
    expect(await store.put(put)).toBe('present')
    expect(left).toEqual([])
  })

  test('of equal bytes is not held up by a sender that never ends', async () => {
    const { store } = await openOverCanonical(1000)
    const never = (async function* () {
      await new Promise(() => {})
      yield bytesOf(1)
    })()
    void store.put({ ...fragmentOf('a/1', bytesOf(100)), payload: never })
    expect(await store.put(fragmentOf('b/1', bytesOf(100)))).toBe('stored')
  })
})

async function openOverCanonical(payloadBytesMax: number) {
  const clock = new VirtualClock()
  const canonical = await openCanonicalStore(new MemoryStore(clock), { emptyContentHash: sha256Of(new Uint8Array(0)) })
  const left: string[] = []
  const store = await openBoundedStore(canonical, {
    payloadBytesMax,
    entriesMax: 1000,
    policy: 'leaf-lru',
    clock,
    traitsOf: () => ({ chainName: null, parentName: null, density: 1, priority: 1, isPinned: false }),
    quotaOf: () => null,
    ttlMs: null,
    heldBytes: () => canonical.contentBytes,
    joined: () => {},
    left: (key) => void left.push(key),
  })
  return { store, left }
}
