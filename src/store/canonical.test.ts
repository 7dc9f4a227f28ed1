import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { MembraneError } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import type { FragmentPut, FragmentStore } from '../core/ports.ts'
import { describeFragmentStore } from '../../test/contracts/fragment-store.ts'
import {
  bytesOf,
  expectFragment,
  fragmentOf,
  HOUR_MS,
  rejectsWith,
  sha256Of,
  toArray,
  VirtualClock,
} from '../../test/contracts/store-fixtures.ts'
import { REFERENCE_HEAD_BYTES } from './canonical-reference.ts'
import { type CanonicalStore, openCanonicalStore } from './canonical.ts'
import { MemoryStore } from './memory.ts'

const EMPTY = { emptyContentHash: sha256Of(new Uint8Array(0)) }

async function openOver(inner: FragmentStore): Promise<CanonicalStore> {
  return openCanonicalStore(inner, EMPTY)
}

describeFragmentStore('a canonical store over memory', {
  open: async (clock) => openOver(new MemoryStore(clock)),
  bounds: {
    keyBytesMax: LIMITS.storeKeyBytesMax - 2,
    headBytesMax: LIMITS.storeHeadBytesMax - REFERENCE_HEAD_BYTES,
  },
})

/** Records every call that reaches the store below, and can be told to fail or wait. */
class Spy {
  readonly calls: string[] = []
  readonly bytesWritten: number[] = []
  fail: ((call: string) => MembraneError | null) | null = null

  wrap(inner: FragmentStore): FragmentStore {
    const noted = async <T>(call: string, run: () => Promise<T>): Promise<T> => {
      this.calls.push(call)
      const error = this.fail?.(call) ?? null
      if (error !== null) throw error
      return run()
    }
    return {
      put: (put: FragmentPut) => {
        if (put.payloadBytes > 0) this.bytesWritten.push(put.payloadBytes)
        return noted(`put ${put.key}`, () => inner.put(put))
      },
      get: (key, options) => inner.get(key, options),
      stream: (key, options) => inner.stream(key, options),
      head: (key) => inner.head(key),
      has: (keys) => inner.has(keys),
      remove: (keys) => noted(`remove ${keys.join(' ')}`, () => inner.remove(keys)),
      list: (prefix) => inner.list(prefix),
      stats: () => inner.stats(),
      sync: () => inner.sync(),
      purge: () => inner.purge(),
      close: () => inner.close(),
    }
  }
}

async function keysOf(store: FragmentStore): Promise<string[]> {
  return (await toArray(store.list())).map(({ key }) => key).toSorted()
}

describe('a canonical store', () => {
  test('keeps equal bytes once, until the last reference is gone', async () => {
    const inner = new MemoryStore(new VirtualClock())
    const store = await openOver(inner)
    const payload = bytesOf(5000)
    const hash = sha256Of(payload)
    await store.put(fragmentOf('a/1', payload))
    await store.put(fragmentOf('a/2', payload))
    await store.put(fragmentOf('b/1', payload))
    await store.sync()
    expect(await keysOf(inner)).toEqual([`b/${hash}`, 'r/a/1', 'r/a/2', 'r/b/1'])
    expect(store.stats()).toEqual({ entries: 3, payloadBytes: 15_000, corruptEntries: 0 })
    expect(store.contentBytes).toBe(5000)
    expect(await store.remove(['a/1', 'b/1'])).toBe(2)
    expectFragment(await store.get('a/2'), fragmentOf('a/2', payload))
    expect(await store.remove(['a/2'])).toBe(1)
    await store.sync()
    expect(await keysOf(inner)).toEqual([])
    expect(store.contentBytes).toBe(0)
    expect(store.stats()).toEqual({ entries: 0, payloadBytes: 0, corruptEntries: 0 })
  })

  test('writes every byte of what only others have, and none of what the owner has', async () => {
    const spy = new Spy()
    const store = await openOver(spy.wrap(new MemoryStore(new VirtualClock())))
    const payload = bytesOf(7000)
    await store.put(fragmentOf('a/1', payload))
    const before = { writes: spy.calls.filter((call) => call.startsWith('put')).length }
    spy.calls.length = 0
    expect(await store.put(fragmentOf('b/1', payload))).toBe('stored')
    expect(spy.calls.filter((call) => call.startsWith('put'))).toHaveLength(before.writes)
    expect(spy.bytesWritten).toEqual([7000, 7000])
    await store.sync()
    expect(store.contentBytes).toBe(7000)
  })

  test('reads no pieces of what the key names already, and all of what only other keys name', async () => {
    const spy = new Spy()
    const inner = new MemoryStore(new VirtualClock())
    const store = await openOver(spy.wrap(inner))
    const put = fragmentOf('a/1', bytesOf(7000))
    await store.put(put)
    let pieces = 0
    const counted = async function* (): AsyncGenerator<Uint8Array> {
      pieces += 1
      yield put.payload
    }
    const revised = { ...put, head: bytesOf(5) }
    spy.bytesWritten.length = 0
    expect(await store.put({ ...revised, payload: counted() })).toBe('replaced')
    expect(await store.put({ ...revised, payload: counted() })).toBe('present')
    expectFragment(await store.get('a/1'), revised)
    expect([pieces, spy.bytesWritten]).toEqual([0, []])
    expect(await store.put({ ...put, key: 'b/1', payload: counted() })).toBe('stored')
    expect(pieces).toBe(1)
    await inner.remove([`b/${put.contentHash}`])
    expect(await store.put({ ...put, payload: counted() })).toBe('replaced')
    expectFragment(await store.get('a/1'), put)
    expect(pieces).toBe(2)
    await store.remove(['a/1', 'b/1'])
    await store.sync()
    expect(await keysOf(inner)).toEqual([])
  })

  test('gives nobody the bytes of others for their hash, whatever else the key names', async () => {
    const store = await openOver(new MemoryStore(new VirtualClock()))
    const secret = fragmentOf('a/secret', bytesOf(7000, 1))
    await store.put(secret)
    const own = fragmentOf('b/1', bytesOf(7000, 2))
    await store.put(own)
    const nothing = (async function* () {})()
    await rejectsWith(store.put({ ...secret, key: 'b/1', payload: nothing }), 'CONTENT_MISMATCH')
    expectFragment(await store.get('b/1'), own)
  })

  test('passes on that memory is given away, so that nobody copies it', async () => {
    const inner = new MemoryStore(new VirtualClock())
    const store = await openOver(inner)
    const put = fragmentOf('a/1', bytesOf(7000))
    await store.put({ ...put, isGivenAway: true })
    expect((await store.get('a/1'))?.payload.buffer).toBe(put.payload.buffer)
  })

  test('answers a removal before it touches content, whether others have it or not', async () => {
    const spy = new Spy()
    const store = await openOver(spy.wrap(new MemoryStore(new VirtualClock())))
    const shared = bytesOf(100, 1)
    await store.put(fragmentOf('a/shared', shared))
    await store.put(fragmentOf('b/shared', shared))
    await store.put(fragmentOf('b/alone', bytesOf(100, 2)))
    await store.sync()
    for (const key of ['b/shared', 'b/alone']) {
      spy.calls.length = 0
      const first = store.remove([key])
      await first
      expect(spy.calls[0]).toBe(`remove r/${key}`)
      await store.sync()
    }
    expect(await store.has(['a/shared'])).toEqual([true])
  })

  test('removes what a crash between two steps has left, and forgets references without content', async () => {
    const clock = new VirtualClock()
    const inner = new MemoryStore(clock)
    const store = await openOver(inner)
    await store.put(fragmentOf('a/kept', bytesOf(10, 1)))
    await store.put(fragmentOf('a/dangling', bytesOf(10, 2)))
    await store.sync()
    await inner.remove([`b/${sha256Of(bytesOf(10, 2))}`])
    const orphan = bytesOf(10, 3)
    await inner.put(fragmentOf(`b/${sha256Of(orphan)}`, orphan))
    await inner.put(fragmentOf(`d/${sha256Of(orphan)}-1`, orphan))
    const again = await openOver(inner)
    expect(again.recovery).toEqual({ references: 1, orphansRemoved: 2, danglingRemoved: 1 })
    expect(await keysOf(inner)).toEqual([`b/${sha256Of(bytesOf(10, 1))}`, 'r/a/kept'])
    expectFragment(await again.get('a/kept'), fragmentOf('a/kept', bytesOf(10, 1)))
  })

  test('misses every reference to content that was lost, and has it again once somebody puts it', async () => {
    const inner = new MemoryStore(new VirtualClock())
    const store = await openOver(inner)
    const payload = bytesOf(300)
    await store.put(fragmentOf('a/1', payload))
    await store.put(fragmentOf('a/2', payload))
    await inner.remove([`b/${sha256Of(payload)}`])
    expect(await store.get('a/1')).toBeNull()
    expect(await store.has(['a/1'])).toEqual([false])
    await store.put(fragmentOf('a/3', payload))
    expectFragment(await store.get('a/3'), fragmentOf('a/3', payload))
    // This one does not count in the new content, and must not take it along.
    await store.remove(['a/2'])
    await store.sync()
    expectFragment(await store.get('a/3'), fragmentOf('a/3', payload))
    await store.remove(['a/3'])
    await store.sync()
    expect(await keysOf(inner)).toEqual([])
  })

  test('releases the content of what expired when somebody looks for it, and of the rest when it is purged', async () => {
    const clock = new VirtualClock()
    const inner = new MemoryStore(clock)
    const store = await openOver(inner)
    await store.put(fragmentOf('a/1', bytesOf(10), { expiresAtMs: clock.nowMs() + HOUR_MS }))
    await store.put(fragmentOf('a/2', bytesOf(20, 2), { expiresAtMs: clock.nowMs() + HOUR_MS }))
    await store.put(fragmentOf('a/3', bytesOf(30, 3), { expiresAtMs: clock.nowMs() + HOUR_MS + 1 }))
    clock.advance(HOUR_MS)
    expect(await store.get('a/1')).toBeNull()
    expect(store.stats()).toMatchObject({ entries: 2 })
    await store.purge()
    expect(await keysOf(inner)).toEqual([`b/${sha256Of(bytesOf(30, 3))}`, 'r/a/3'])
    expect(store.contentBytes).toBe(30)
    expect(store.stats()).toEqual({ entries: 1, payloadBytes: 30, corruptEntries: 0 })
  })

  test.each(['put b/', 'put r/'] as const)('holds nothing after a put that failed at %s', async (where) => {
    const spy = new Spy()
    const inner = new MemoryStore(new VirtualClock())
    const store = await openOver(spy.wrap(inner))
    await store.put(fragmentOf('a/old', bytesOf(10, 1)))
    spy.fail = (call) => (call.startsWith(where) ? new MembraneError('STORE_FULL', 'full') : null)
    await rejectsWith(store.put(fragmentOf('a/new', bytesOf(10, 2))), 'STORE_FULL')
    await rejectsWith(store.put(fragmentOf('a/old', bytesOf(10, 3))), 'STORE_FULL')
    spy.fail = null
    await store.sync()
    expectFragment(await store.get('a/old'), fragmentOf('a/old', bytesOf(10, 1)))
    expect(await store.get('a/new')).toBeNull()
    expect(await keysOf(inner)).toEqual([`b/${sha256Of(bytesOf(10, 1))}`, 'r/a/old'])
    expect(store.stats()).toEqual({ entries: 1, payloadBytes: 10, corruptEntries: 0 })
  })

  test('reports at the next sync what failed after an answer', async () => {
    const spy = new Spy()
    const store = await openOver(spy.wrap(new MemoryStore(new VirtualClock())))
    await store.put(fragmentOf('a/1', bytesOf(10)))
    spy.fail = (call) => (call.startsWith('remove b/') ? new MembraneError('STORE_UNAVAILABLE', 'away') : null)
    expect(await store.remove(['a/1'])).toBe(1)
    await rejectsWith(store.sync(), 'STORE_UNAVAILABLE')
  })

  test('never loses or keeps content wrongly, whatever comes at once', async () => {
    const operation = fc.record({
      kind: fc.constantFrom('put', 'remove'),
      owner: fc.constantFrom('a', 'b'),
      name: fc.nat({ max: 2 }),
      content: fc.nat({ max: 2 }),
    })
    await fc.assert(
      fc.asyncProperty(fc.array(fc.array(operation, { maxLength: 6 }), { maxLength: 8 }), async (rounds) => {
        const inner = new MemoryStore(new VirtualClock())
        const store = await openOver(inner)
        const expected = new Map<string, Uint8Array>()
        for (const round of rounds) {
          // At once, and taken in the order of the calls: the store promises so for one key.
          await Promise.all(
            round.map(({ kind, owner, name, content }) => {
              const key = `${owner}/${name}`
              if (kind === 'remove') {
                expected.delete(key)
                return store.remove([key])
              }
              expected.set(key, bytesOf(50, content))
              return store.put(fragmentOf(key, bytesOf(50, content)))
            }),
          )
          for (const [key, payload] of expected) expectFragment(await store.get(key), fragmentOf(key, payload))
        }
        await store.sync()
        const contents = new Set([...expected.values()].map((payload) => `b/${sha256Of(payload)}`))
        expect(await keysOf(inner)).toEqual([...contents, ...[...expected.keys()].map((key) => `r/${key}`)].toSorted())
        expect(store.contentBytes).toBe(contents.size * 50)
        expect(store.stats().payloadBytes).toBe(expected.size * 50)
      }),
    )
  })
})
