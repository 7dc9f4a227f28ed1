/** Part of the contract of fragment stores: closing, and opening again. */
import { expect, test } from 'vitest'
import {
  bytesOf,
  expectFragment,
  fragmentOf,
  HOUR_MS,
  rejectsWith,
  type StoreUnderTest,
  VirtualClock,
  type WithStore,
} from './store-fixtures.ts'

export function describeStoreClosing(withStore: WithStore, { open, reopen }: StoreUnderTest): void {
  test('refuses every call once it is closed, except to close it again', async () => {
    const store = await open(new VirtualClock())
    await store.put(fragmentOf('k', bytesOf(100)))
    await store.sync()
    await store.close()
    await store.close()
    await rejectsWith(store.put(fragmentOf('k', bytesOf(100))), 'STORE_CLOSED')
    await rejectsWith(store.get('k'), 'STORE_CLOSED')
    await rejectsWith(store.stream('k'), 'STORE_CLOSED')
    await rejectsWith(store.head('k'), 'STORE_CLOSED')
    await rejectsWith(store.has(['k']), 'STORE_CLOSED')
    await rejectsWith(store.remove(['k']), 'STORE_CLOSED')
    await rejectsWith(store.sync(), 'STORE_CLOSED')
    await rejectsWith(
      (async () => {
        for await (const _ of store.list()) expect.unreachable()
      })(),
      'STORE_CLOSED',
    )
  })

  test(
    'ends what is under way when it closes: a put is then acknowledged or refused',
    withStore(async (store) => {
      const put = store.put(fragmentOf('k', bytesOf(2_000_000)))
      const outcome = put.then(
        () => 'stored',
        (error: { code?: unknown }) => error.code,
      )
      await store.close()
      expect(['stored', 'STORE_CLOSED', 'STORE_UNAVAILABLE']).toContain(await outcome)
    }),
  )

  if (reopen === undefined) return
  test('has everything again when it is opened again', async () => {
    const clock = new VirtualClock()
    const store = await open(clock)
    const kept = [
      fragmentOf('a', bytesOf(10_000), { head: bytesOf(50) }),
      fragmentOf('b', bytesOf(0)),
      fragmentOf('ü/🧠', bytesOf(700_000), { expiresAtMs: clock.nowMs() + 2 * HOUR_MS }),
    ]
    for (const put of kept) await store.put({ ...put, payload: put.payload })
    await store.put(fragmentOf('a', bytesOf(20_000, 5)))
    await store.put({ ...fragmentOf('a', bytesOf(10_000), { head: bytesOf(50) }) })
    await store.put(fragmentOf('gone', bytesOf(10)))
    await store.put(fragmentOf('expires', bytesOf(10), { expiresAtMs: clock.nowMs() + HOUR_MS }))
    await store.remove(['gone'])
    await store.close()
    clock.advance(HOUR_MS)
    const again = await reopen(clock)
    try {
      for (const put of kept) expectFragment(await again.get(put.key), put)
      expect(await again.has(['gone', 'expires'])).toEqual([false, false])
      expect(again.stats()).toEqual({ entries: 3, payloadBytes: 710_000, corruptEntries: 0 })
      expect(await again.put(kept[0] ?? expect.unreachable())).toBe('present')
    } finally {
      await again.close()
    }
  })
}
