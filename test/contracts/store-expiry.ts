/** Part of the contract of fragment stores: entries that expire. */
import { expect, test } from 'vitest'
import { bytesOf, expectEntry, expectFragment, fragmentOf, HOUR_MS, type WithStore } from './store-fixtures.ts'

export function describeStoreExpiry(withStore: WithStore): void {
  test(
    'finds an entry until the moment it expires, and no more from then on',
    withStore(async (store, clock) => {
      const put = fragmentOf('k', bytesOf(100), { expiresAtMs: clock.nowMs() + HOUR_MS })
      const lasting = fragmentOf('l', bytesOf(100, 1))
      await store.put(put)
      await store.put(lasting)
      clock.advance(HOUR_MS - 1)
      expectFragment(await store.get('k'), put)
      expectEntry(await store.head('k'), put)
      clock.advance(1)
      expect(await store.get('k')).toBeNull()
      expect(await store.stream('k')).toBeNull()
      expect(await store.head('k')).toBeNull()
      expect(await store.has(['k', 'l'])).toEqual([false, true])
      const keys: string[] = []
      for await (const entry of store.list()) keys.push(entry.key)
      expect(keys).toEqual(['l'])
      expect(await store.remove(['k'])).toBe(0)
      expect(store.stats().corruptEntries).toBe(0)
    }),
  )

  test(
    'stores anew what has expired, and forgets an expiry that a later put leaves out',
    withStore(async (store, clock) => {
      const put = fragmentOf('k', bytesOf(100), { expiresAtMs: clock.nowMs() + HOUR_MS })
      await store.put(put)
      clock.advance(2 * HOUR_MS)
      expect(await store.put(put)).toBe('stored')
      expect(await store.get('k')).toBeNull()
      const later = { ...put, expiresAtMs: clock.nowMs() + HOUR_MS }
      expect(await store.put(later)).toBe('stored')
      expectFragment(await store.get('k'), later)
      expect(await store.put({ ...put, expiresAtMs: null })).toBe('replaced')
      clock.advance(100 * HOUR_MS)
      expect(await store.has(['k'])).toEqual([true])
    }),
  )

  test(
    'takes an expiry that has passed as a put that expires at once, and loses what was there',
    withStore(async (store, clock) => {
      await store.put(fragmentOf('k', bytesOf(100, 1)))
      await store.put(fragmentOf('k', bytesOf(100, 2), { expiresAtMs: clock.nowMs() }))
      expect(await store.get('k')).toBeNull()
      expect(await store.has(['k'])).toEqual([false])
    }),
  )
}
