/** Part of the contract of fragment stores: spans, places to read to, and arguments that are refused. */
import { expect, test } from 'vitest'
import { LIMITS } from '../../src/core/limits.ts'
import {
  bytesOf,
  expectEntry,
  expectFragment,
  fragmentOf,
  isSameBytes,
  rejectsWith,
  type WithStore,
} from './store-fixtures.ts'

export function describeStoreArguments(withStore: WithStore): void {
  test(
    'reads any span of a payload',
    withStore(async (store) => {
      const put = fragmentOf('k', bytesOf(100_000), { head: bytesOf(333) })
      await store.put(put)
      const spans = [
        [0, 100_000],
        [0, 0],
        [100_000, 100_000],
        [0, 1],
        [99_999, 100_000],
        [4096, 8192],
        [1, 65_537],
        [70_000, 70_001],
      ] as const
      for (const [start, end] of spans) {
        const got = await store.get('k', { span: { start, end } })
        expect(got && isSameBytes(got.payload, put.payload.subarray(start, end)), `${start} to ${end}`).toBe(true)
        expect(got).toMatchObject({ payloadBytes: 100_000, contentHash: put.contentHash })
        expect(got && isSameBytes(got.head, put.head)).toBe(true)
      }
      const outside = [
        [0, 100_001],
        [-1, 5],
        [9, 8],
        [0.5, 5],
        [0, Number.NaN],
        [100_001, 100_001],
      ] as const
      for (const [start, end] of outside) {
        await rejectsWith(store.get('k', { span: { start, end } }), 'OUT_OF_DOMAIN')
        await rejectsWith(store.stream('k', { span: { start, end } }), 'OUT_OF_DOMAIN')
      }
    }),
  )

  test(
    'reads into the place it is given, if it has to copy, and takes none that is too small',
    withStore(async (store) => {
      const put = fragmentOf('k', bytesOf(9000))
      await store.put(put)
      for (const span of [
        { start: 0, end: 9000 },
        { start: 100, end: 8000 },
        { start: 5, end: 5 },
      ]) {
        const memory = new Uint8Array(10_000).fill(0xcc)
        const into = memory.subarray(500, 9500)
        const got = await store.get('k', { span, into })
        expect(got && isSameBytes(got.payload, put.payload.subarray(span.start, span.end))).toBe(true)
        expect(memory.subarray(0, 500).every((byte) => byte === 0xcc)).toBe(true)
        expect(memory.subarray(9500).every((byte) => byte === 0xcc)).toBe(true)
        if (got?.payload.buffer === memory.buffer) expect(got.payload.byteOffset).toBe(into.byteOffset)
      }
      await rejectsWith(store.get('k', { into: new Uint8Array(8999) }), 'INVALID_REQUEST')
      await rejectsWith(store.get('k', { span: { start: 1, end: 3 }, into: new Uint8Array(1) }), 'INVALID_REQUEST')
    }),
  )

  test(
    'takes heads of any bytes up to their bound, and none above it',
    withStore(async (store) => {
      const largest = fragmentOf('k', bytesOf(3), { head: bytesOf(LIMITS.storeHeadBytesMax) })
      await store.put(largest)
      expectFragment(await store.get('k'), largest)
      expectEntry(await store.head('k'), largest)
      const above = { ...largest, head: new Uint8Array(LIMITS.storeHeadBytesMax + 1) }
      await rejectsWith(store.put(above), 'INVALID_REQUEST')
      expectFragment(await store.get('k'), largest)
    }),
  )

  const badKeys = {
    'an empty key': '',
    'a key above the bound': 'k'.repeat(LIMITS.storeKeyBytesMax + 1),
    'a key above the bound in bytes, not in letters': 'ü'.repeat(LIMITS.storeKeyBytesMax / 2 + 1),
    'a key with half a surrogate pair': 'a\ud83eb',
  }
  test.each(Object.entries(badKeys))('refuses %s', (_, key) =>
    withStore(async (store) => {
      await rejectsWith(store.put(fragmentOf(key, bytesOf(1))), 'INVALID_REQUEST')
      await rejectsWith(store.get(key), 'INVALID_REQUEST')
      await rejectsWith(store.stream(key), 'INVALID_REQUEST')
      await rejectsWith(store.head(key), 'INVALID_REQUEST')
      await rejectsWith(store.has(['fine', key]), 'INVALID_REQUEST')
      await rejectsWith(store.remove(['fine', key]), 'INVALID_REQUEST')
    })(),
  )

  test(
    'refuses a remove with a bad key before it removes anything',
    withStore(async (store) => {
      await store.put(fragmentOf('fine', bytesOf(1)))
      await rejectsWith(store.remove(['fine', '']), 'INVALID_REQUEST')
      expect(await store.has(['fine'])).toEqual([true])
    }),
  )

  test(
    'refuses sizes and times that are none, and payloads of another size',
    withStore(async (store) => {
      const put = fragmentOf('k', bytesOf(10))
      for (const payloadBytes of [-1, 0.5, Number.NaN, LIMITS.payloadBytesMax + 1]) {
        await rejectsWith(store.put({ ...put, payloadBytes }), 'INVALID_REQUEST')
      }
      for (const expiresAtMs of [-1, 0.5, Number.NaN, Number.POSITIVE_INFINITY]) {
        await rejectsWith(store.put({ ...put, expiresAtMs }), 'INVALID_REQUEST')
      }
      await rejectsWith(store.put({ ...put, payloadBytes: 9 }), 'CONTENT_MISMATCH')
      await rejectsWith(store.put({ ...put, payloadBytes: 11 }), 'CONTENT_MISMATCH')
      expect(await store.get('k')).toBeNull()
      expect(store.stats().entries).toBe(0)
    }),
  )
}
