/** Part of the contract of fragment stores: what is put is found, whole, until it is replaced or removed. */
import { expect, test } from 'vitest'
import {
  bytesOf,
  expectEntry,
  expectFragment,
  fragmentOf,
  HOUR_MS,
  type StoreBounds,
  type WithStore,
} from './store-fixtures.ts'

export function describeStoreEntries(withStore: WithStore, { keyBytesMax }: StoreBounds): void {
  const sizes = [0, 1, 63, 4095, 4096, 4097, 65_536, 1_048_577, 3_000_000]

  test.each(sizes)('gives back a payload of %i bytes with its head', (size) =>
    withStore(async (store) => {
      const put = fragmentOf('a/key', bytesOf(size), { head: bytesOf(size % 300, 7) })
      expect(await store.put(put)).toBe('stored')
      expectFragment(await store.get('a/key'), put)
      expectEntry(await store.head('a/key'), put)
      expect(await store.has(['a/key'])).toEqual([true])
    })(),
  )

  test(
    'answers what is missing with null, false and zero',
    withStore(async (store) => {
      expect(await store.get('none')).toBeNull()
      expect(await store.get('none', { span: { start: 5, end: 9 } })).toBeNull()
      expect(await store.stream('none')).toBeNull()
      expect(await store.head('none')).toBeNull()
      expect(await store.has(['none', 'none'])).toEqual([false, false])
      expect(await store.remove(['none'])).toBe(0)
      expect(store.stats()).toEqual({ entries: 0, payloadBytes: 0, corruptEntries: 0 })
    }),
  )

  test(
    'keeps entries of different keys apart, whatever letters and lengths the keys have',
    withStore(async (store) => {
      const keys = [
        'a',
        'a ',
        'A',
        'ä',
        'a\u0308',
        '\0',
        'a\0b',
        '\n\r\t',
        '../../x',
        '/',
        '.',
        '..',
        '*',
        'a*',
        '[a]',
        '\\',
      ]
      keys.push('{}c}', '%7Ba}b', '%', '%25')
      keys.push('{a}b', '{a}c', '{}', '模型', '🧠', 'con', 'a:b', 'k'.repeat(keyBytesMax))
      keys.push('k'.repeat(keyBytesMax - 1), 'ü'.repeat(Math.floor(keyBytesMax / 2)))
      keys.push(...Array.from('abdefgh', (letter) => `{}${letter}}`))
      const puts = keys.map((key, index) => fragmentOf(key, bytesOf(100 + index, index)))
      for (const put of puts) expect(await store.put(put)).toBe('stored')
      for (const put of puts) expectFragment(await store.get(put.key), put)
      expect(await store.has(keys)).toEqual(keys.map(() => true))
      expect(store.stats().entries).toBe(keys.length)
      expect(await store.remove(['a*', '[a]'])).toBe(2)
      expect(await store.has(['a', 'a ', 'a*'])).toEqual([true, true, false])
    }),
  )

  test(
    'answers `has` in the order of the keys, twice for a key asked for twice',
    withStore(async (store) => {
      await store.put(fragmentOf('b', bytesOf(1)))
      expect(await store.has([])).toEqual([])
      expect(await store.has(['a', 'b', 'c', 'b', 'a'])).toEqual([false, true, false, true, false])
      const many = Array.from({ length: 3000 }, (_, index) => (index % 1000 === 0 ? 'b' : `x${index}`))
      expect(await store.has(many)).toEqual(many.map((key) => key === 'b'))
    }),
  )

  test(
    'says `present` to a put that changes nothing, and `replaced` to any other',
    withStore(async (store, clock) => {
      const first = fragmentOf('k', bytesOf(500), { head: bytesOf(9) })
      expect(await store.put(first)).toBe('stored')
      expect(await store.put({ ...first, payload: first.payload.slice() })).toBe('present')
      const otherHead = { ...first, head: bytesOf(9, 1) }
      expect(await store.put(otherHead)).toBe('replaced')
      expectEntry(await store.head('k'), otherHead)
      const otherBytes = fragmentOf('k', bytesOf(500, 1), { head: otherHead.head })
      expect(await store.put(otherBytes)).toBe('replaced')
      expectFragment(await store.get('k'), otherBytes)
      const otherExpiry = { ...otherBytes, expiresAtMs: clock.nowMs() + HOUR_MS }
      expect(await store.put(otherExpiry)).toBe('replaced')
      expect(await store.put(otherExpiry)).toBe('present')
      expectEntry(await store.head('k'), otherExpiry)
      expectFragment(await store.get('k'), otherExpiry)
    }),
  )

  test(
    'counts entries and bytes through puts, replacements and removals',
    withStore(async (store) => {
      await store.put(fragmentOf('a', bytesOf(1000)))
      await store.put(fragmentOf('b', bytesOf(200)))
      await store.put(fragmentOf('b', bytesOf(200)))
      expect(store.stats()).toEqual({ entries: 2, payloadBytes: 1200, corruptEntries: 0 })
      await store.put(fragmentOf('a', bytesOf(10)))
      expect(store.stats()).toEqual({ entries: 2, payloadBytes: 210, corruptEntries: 0 })
      expect(await store.remove(['a', 'a', 'none'])).toBe(1)
      expect(store.stats()).toEqual({ entries: 1, payloadBytes: 200, corruptEntries: 0 })
      expect(await store.remove(['b'])).toBe(1)
      expect(store.stats()).toEqual({ entries: 0, payloadBytes: 0, corruptEntries: 0 })
    }),
  )

  test(
    'finds what was removed no more, and takes it again',
    withStore(async (store) => {
      const put = fragmentOf('k', bytesOf(5000))
      await store.put(put)
      expect(await store.remove(['k'])).toBe(1)
      expect(await store.get('k')).toBeNull()
      expect(await store.head('k')).toBeNull()
      expect(await store.has(['k'])).toEqual([false])
      expect(await store.put(put)).toBe('stored')
      expectFragment(await store.get('k'), put)
      expect(await store.remove([])).toBe(0)
    }),
  )

  test(
    'keeps copies: the caller may use its buffers again after a put',
    withStore(async (store) => {
      const put = fragmentOf('k', bytesOf(70_000), { head: bytesOf(20) })
      const payload = put.payload.slice()
      const head = put.head.slice()
      await store.put({ ...put, payload, head })
      payload.fill(0)
      head.fill(0)
      expectFragment(await store.get('k'), put)
    }),
  )

  test(
    'leaves an answer as it is when the entry is replaced or removed',
    withStore(async (store) => {
      const put = fragmentOf('k', bytesOf(70_000, 1), { head: bytesOf(20) })
      await store.put(put)
      const [first, second] = await Promise.all([store.get('k'), store.get('k')])
      await store.put(fragmentOf('k', bytesOf(70_000, 2)))
      await store.get('k')
      await store.remove(['k'])
      await store.put(fragmentOf('l', bytesOf(70_000, 3)))
      await store.get('l')
      expectFragment(first, put)
      expectFragment(second, put)
    }),
  )
}
