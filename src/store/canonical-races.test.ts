import { describe, expect, test } from 'vitest'
import { MembraneError } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import type { FragmentStore } from '../core/ports.ts'
import {
  bytesOf,
  expectFragment,
  fragmentOf,
  rejectsWith,
  sha256Of,
  toArray,
  VirtualClock,
} from '../../test/contracts/store-fixtures.ts'
import { type CanonicalStore, openCanonicalStore } from './canonical.ts'
import { MemoryStore } from './memory.ts'

/** A store whose calls can be made to wait or to fail, by name and key. */
class Gated {
  readonly inner = new MemoryStore(new VirtualClock())
  /** Before the call goes on; what it throws the call throws. */
  before: (call: string) => Promise<void> | void = () => {}
  /** The same when it has been done, before it answers. */
  after: (call: string) => void = () => {}

  wrap(): FragmentStore {
    const { inner } = this
    return {
      put: async (put) => {
        await this.before(`put ${put.key}`)
        const outcome = await inner.put(put)
        this.after(`put ${put.key}`)
        return outcome
      },
      get: async (key, options) => {
        await this.before(`get ${key}`)
        return inner.get(key, options)
      },
      stream: async (key, options) => {
        await this.before(`stream ${key}`)
        return inner.stream(key, options)
      },
      head: (key) => inner.head(key),
      has: (keys) => inner.has(keys),
      remove: async (keys) => {
        for (const key of keys) await this.before(`remove ${key}`)
        return inner.remove(keys)
      },
      list: (prefix) => inner.list(prefix),
      stats: () => inner.stats(),
      sync: () => inner.sync(),
      purge: () => inner.purge(),
      close: () => inner.close(),
    }
  }
}

async function openGated(): Promise<{ readonly gated: Gated; readonly store: CanonicalStore }> {
  const gated = new Gated()
  const store = await openCanonicalStore(gated.wrap(), { emptyContentHash: sha256Of(new Uint8Array(0)) })
  return { gated, store }
}

const OLD = fragmentOf('a/1', bytesOf(100, 1))
const NEW = fragmentOf('a/1', bytesOf(100, 2))

function unavailable(): MembraneError {
  return new MembraneError('STORE_UNAVAILABLE', 'The device does not answer.')
}

async function keysOf(store: FragmentStore): Promise<string[]> {
  return (await toArray(store.list())).map(({ key }) => key).toSorted()
}

/** Lets everything that needs no more than the memory store go as far as it can. */
async function quiesce(): Promise<void> {
  for (let turn = 0; turn < 50; turn++) await Promise.resolve()
}

describe('a canonical store', () => {
  test.each(['get', 'stream'] as const)(
    'answers a %s during a replacement with the bytes of either put',
    async (call) => {
      const { gated, store } = await openGated()
      await store.put(OLD)
      gated.before = async (name) => {
        if (name !== `${call} b/${OLD.contentHash}`) return
        gated.before = () => {}
        await store.put(NEW)
        await store.sync()
      }
      expect((await store[call]('a/1'))?.contentHash).toBe(NEW.contentHash)
      expectFragment(await store.get('a/1'), NEW)
    },
  )

  test('leaves alone what was put again while a reader found the bytes gone', async () => {
    const { gated, store } = await openGated()
    await store.put(OLD)
    gated.before = async (name) => {
      if (name !== `get b/${OLD.contentHash}`) return
      gated.before = () => {}
      await gated.inner.remove([`b/${OLD.contentHash}`])
      void Promise.resolve().then(() => store.put(NEW))
    }
    await store.get('a/1')
    await quiesce()
    expectFragment(await store.get('a/1'), NEW)
  })

  test('removes with the next purge what it could not remove before', async () => {
    const { gated, store } = await openGated()
    await store.put(OLD)
    gated.before = (name) => {
      if (name === `remove b/${OLD.contentHash}`) throw unavailable()
    }
    await store.remove(['a/1'])
    await rejectsWith(store.purge(), 'STORE_UNAVAILABLE')
    await rejectsWith(store.purge(), 'STORE_UNAVAILABLE')
    gated.before = () => {}
    await store.purge()
    expect(await keysOf(gated.inner)).toEqual([])
    expect(store.contentBytes).toBe(0)
  })

  test.each([
    ['could not be removed', (name: string) => name.startsWith('remove b/')],
    ['were written by a put that failed', (name: string) => name.startsWith('put b/')],
    ['were written for a key that was not', (name: string) => name.startsWith('put r/')],
  ])('gives nobody bytes for their hash alone when they %s', async (_, isFailing) => {
    const { gated, store } = await openGated()
    const fail = (name: string): void => {
      if (isFailing(name)) throw unavailable()
    }
    gated.after = fail
    gated.before = (name) => {
      if (name.startsWith('remove')) fail(name)
    }
    await store.put(OLD).then(
      () => store.remove(['a/1']),
      () => null,
    )
    await store.sync().catch(() => null)
    gated.before = () => {}
    gated.after = () => {}
    const claim = { ...OLD, key: 'b/claim', payload: noPieces() }
    await rejectsWith(store.put(claim), 'CONTENT_MISMATCH')
    expect(await store.get('b/claim')).toBeNull()
    // Who has the bytes puts them as ever.
    await store.put({ ...OLD, key: 'b/honest' })
    expectFragment(await store.get('b/honest'), { ...OLD, key: 'b/honest' })
  })

  test('keeps what a put may have left only until the key is put or removed again', async () => {
    const { gated, store } = await openGated()
    gated.before = (name) => {
      if (name === 'put r/a/1') throw unavailable()
    }
    await rejectsWith(store.put(OLD), 'STORE_UNAVAILABLE')
    gated.before = () => {}
    await store.put(OLD)
    await store.remove(['a/1'])
    await store.purge()
    expect(store.contentBytes).toBe(0)
    expect(store.stats().payloadBytes).toBe(0)
    expect(await keysOf(gated.inner)).toEqual([])
  })

  test('has no more removals under way than the limit and one call, however many keys are removed', async () => {
    const { gated, store } = await openGated()
    const keys = Array.from({ length: 500 }, (_, index) => `a/${index}`)
    for (const [index, key] of keys.entries()) await store.put(fragmentOf(key, bytesOf(10, index)))
    let [underWay, most] = [0, 0]
    gated.before = async (name) => {
      if (!name.startsWith('remove b/')) return
      underWay += 1
      most = Math.max(most, underWay)
      for (let turn = 0; turn < 100; turn++) await Promise.resolve()
      underWay -= 1
    }
    expect(await store.remove(keys)).toBe(500)
    await store.sync()
    expect(most).toBeGreaterThan(1)
    expect(most).toBeLessThanOrEqual(2 * LIMITS.backgroundRemovalsMax)
    expect(await keysOf(gated.inner)).toEqual([])
  })

  test('closes while others go on putting', async () => {
    const { store } = await openGated()
    const putUntilClosed = async (owner: string): Promise<number> => {
      for (let count = 0; count < 1000; count++) {
        try {
          await store.put(fragmentOf(`${owner}/${count}`, bytesOf(10, count)))
        } catch (error) {
          expect(error).toMatchObject({ code: 'STORE_CLOSED' })
          return count
        }
      }
      return Number.POSITIVE_INFINITY
    }
    const putting = ['a', 'b', 'c'].map(putUntilClosed)
    await quiesce()
    await store.close()
    for (const count of await Promise.all(putting)) expect(count).toBeLessThan(1000)
    await rejectsWith(store.put(OLD), 'STORE_CLOSED')
  })
})

async function* noPieces(): AsyncGenerator<Uint8Array> {}
