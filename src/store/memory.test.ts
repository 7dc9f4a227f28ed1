import { describe, expect, test } from 'vitest'
import { describeFragmentStore } from '../../test/contracts/fragment-store.ts'
import { bytesOf, fragmentOf, HOUR_MS, isSameBytes, VirtualClock } from '../../test/contracts/store-fixtures.ts'
import { MemoryStore } from './memory.ts'

describeFragmentStore('MemoryStore', { open: async (clock) => new MemoryStore(clock) })

describe('MemoryStore', () => {
  test('answers with its own bytes, without a copy', async () => {
    const store = new MemoryStore(new VirtualClock())
    await store.put(fragmentOf('k', bytesOf(1000)))
    const [first, second] = await Promise.all([store.get('k'), store.get('k', { span: { start: 10, end: 20 } })])
    expect(second?.payload.buffer).toBe(first?.payload.buffer)
  })

  test('keeps each payload in a memory of its own, which nothing else shares', async () => {
    const store = new MemoryStore(new VirtualClock())
    await store.put(fragmentOf('k', bytesOf(10)))
    expect((await store.get('k'))?.payload.buffer.byteLength).toBe(10)
  })

  test('keeps memory that was given away, and a copy of what would keep much more alive or may still change', async () => {
    const store = new MemoryStore(new VirtualClock())
    const kept = async (payload: Uint8Array, isGivenAway: boolean): Promise<boolean> => {
      await store.put({ ...fragmentOf('k', new Uint8Array(payload)), payload, isGivenAway })
      const found = await store.get('k')
      expect(found !== null && isSameBytes(found.payload, payload)).toBe(true)
      await store.remove(['k'])
      return found?.payload.buffer === payload.buffer
    }
    expect(await kept(bytesOf(1000), true)).toBe(true)
    expect(await kept(bytesOf(1100).subarray(100), true)).toBe(true)
    expect(await kept(new Uint8Array(0), true)).toBe(true)
    expect(await kept(bytesOf(1000), false)).toBe(false)
    expect(await kept(bytesOf(2000).subarray(1000), true)).toBe(false)
    expect(await kept(Buffer.from('from the pool'), true)).toBe(false)
    expect(await kept(new Uint8Array(new SharedArrayBuffer(1000)), true)).toBe(false)
    expect(await kept(new Uint8Array(new ArrayBuffer(1000, { maxByteLength: 1000 })), true)).toBe(false)
  })

  test('frees what has expired, though nobody asks for it', async () => {
    const clock = new VirtualClock()
    const store = new MemoryStore(clock)
    await store.put(fragmentOf('a', bytesOf(10), { expiresAtMs: clock.nowMs() + HOUR_MS }))
    await store.put(fragmentOf('b', bytesOf(20), { expiresAtMs: clock.nowMs() + 2 * HOUR_MS }))
    await store.put(fragmentOf('c', bytesOf(40)))
    clock.advance(HOUR_MS)
    expect(store.stats()).toEqual({ entries: 2, payloadBytes: 60, corruptEntries: 0 })
    clock.advance(HOUR_MS)
    expect(store.stats()).toEqual({ entries: 1, payloadBytes: 40, corruptEntries: 0 })
  })
  test('frees what has expired when it is purged, however soon after it looked for it', async () => {
    const clock = new VirtualClock()
    const store = new MemoryStore(clock)
    for (const afterMs of [HOUR_MS, HOUR_MS + 1])
      await store.put(fragmentOf(`after-${afterMs}`, bytesOf(10), { expiresAtMs: clock.nowMs() + afterMs }))
    clock.advance(HOUR_MS)
    expect(store.stats()).toMatchObject({ entries: 1 })
    clock.advance(1)
    await store.purge()
    expect(store.stats()).toMatchObject({ entries: 0, payloadBytes: 0 })
  })
})
