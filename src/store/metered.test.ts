import { describe, expect, test } from 'vitest'
import { describeFragmentStore } from '../../test/contracts/fragment-store.ts'
import {
  bytesOf,
  collect,
  fragmentOf,
  rejectsWith,
  TEST_HASHERS,
  toArray,
  VirtualClock,
} from '../../test/contracts/store-fixtures.ts'
import { MemoryStore } from './memory.ts'
import { LATENCY_BUCKETS_MS, MeteredStore } from './metered.ts'
import { VerifiedStore } from './verified.ts'

describeFragmentStore('MeteredStore of a MemoryStore', {
  open: async (clock) => new MeteredStore(new MemoryStore(clock), clock),
})

describe('MeteredStore', () => {
  test('counts puts by outcome, and the bytes that were written', async () => {
    const store = metered()
    await store.put(fragmentOf('a', bytesOf(100)))
    await store.put(fragmentOf('a', bytesOf(100)))
    await store.put(fragmentOf('a', bytesOf(30)))
    await store.put(fragmentOf('b', bytesOf(7)))
    await rejectsWith(store.put(fragmentOf('', bytesOf(7))), 'INVALID_REQUEST')
    expect(store.meters().put).toMatchObject({ calls: 5, failures: 1, stored: 2, replaced: 1, present: 1, bytes: 137 })
  })

  test('counts hits, misses and bytes of look-ups', async () => {
    const store = metered()
    await store.put(fragmentOf('a', bytesOf(100)))
    await store.get('a')
    await store.get('a', { span: { start: 10, end: 15 } })
    await store.get('b')
    await rejectsWith(store.get('a', { span: { start: 10, end: 101 } }), 'OUT_OF_DOMAIN')
    await store.head('a')
    await store.head('b')
    await store.has(['a', 'b', 'c'])
    await store.remove(['a', 'b'])
    await store.sync()
    const { get, head, has, remove, sync } = store.meters()
    expect(get).toMatchObject({ calls: 4, failures: 1, hits: 2, misses: 1, bytes: 105 })
    expect(head).toMatchObject({ calls: 2, failures: 0, hits: 1, misses: 1 })
    expect(has).toMatchObject({ calls: 1, failures: 0, hits: 1, misses: 2 })
    expect(remove).toMatchObject({ calls: 1, failures: 0, removed: 1 })
    expect(sync).toMatchObject({ calls: 1, failures: 0 })
  })

  test('counts what is read of streams, and streams that break', async () => {
    const inner = new MemoryStore(new VirtualClock())
    const verified = new VerifiedStore({ store: inner, hashers: TEST_HASHERS, quarantine: null })
    const store = new MeteredStore(verified, new VirtualClock())
    await store.put(fragmentOf('a', bytesOf(3 * 1024 * 1024)))
    const read = async (key: string): Promise<Uint8Array> => collect((await store.stream(key))?.chunks ?? nothing())
    await read('a')
    for await (const _ of (await store.stream('a'))?.chunks ?? nothing()) break
    await read('none')
    await inner.put({ ...fragmentOf('bad', bytesOf(10)), payload: bytesOf(10, 1) })
    await rejectsWith(read('bad'), 'CONTENT_MISMATCH')
    const { stream } = store.meters()
    expect(stream).toMatchObject({ calls: 4, failures: 0, hits: 3, misses: 1, bytes: 4 * 1024 * 1024, broken: 1 })
  })

  test('counts listings and their entries; a reader who leaves is no failure, a closed store is one', async () => {
    const store = metered()
    for (const key of ['a', 'b', 'c']) await store.put(fragmentOf(key, bytesOf(1)))
    await toArray(store.list())
    for await (const _ of store.list()) break
    await store.close()
    await rejectsWith(toArray(store.list()), 'STORE_CLOSED')
    expect(store.meters().list).toMatchObject({ calls: 3, failures: 1, entries: 4 })
  })

  test('counts latencies by the clock it is given, each in the bucket whose bound it does not pass', async () => {
    const clock = new VirtualClock()
    const inner = new MemoryStore(clock)
    // Parts of milliseconds that a time since 1970 can be told exactly in.
    const waits = [0, 0.0625, 0.1875, 1, 10_000, 10_001]
    const slow = new Proxy(inner, {
      get: (target, name) =>
        name === 'head'
          ? async (key: string) => {
              clock.advance(waits.shift() ?? 0)
              return target.head(key)
            }
          : Reflect.get(target, name, target),
    })
    const store = new MeteredStore(slow, clock)
    for (let call = 0; call < 6; call++) await store.head('k')
    const { ms, latencies } = store.meters().head
    expect(ms).toBe(20_002.25)
    const at = (bound: number): number | undefined => latencies[LATENCY_BUCKETS_MS.indexOf(bound)]
    expect([at(0.1), at(0.25), at(1), at(10_000), latencies.at(-1)]).toEqual([2, 1, 1, 1, 1])
    expect(latencies.reduce((sum, count) => sum + count, 0)).toBe(6)
  })

  test('gives copies of its counters', async () => {
    const store = metered()
    const before = store.meters()
    await store.has(['a'])
    expect(before.has).toMatchObject({ calls: 0, misses: 0 })
    expect(before.has.latencies.every((count) => count === 0)).toBe(true)
  })
})

function metered(): MeteredStore {
  const clock = new VirtualClock()
  return new MeteredStore(new MemoryStore(clock), clock)
}

async function* nothing(): AsyncGenerator<Uint8Array> {}
