import { describe, expect, test } from 'vitest'
import type { FragmentStore } from '../core/ports.ts'
import {
  bytesOf,
  expectFragment,
  fragmentOf,
  HOUR_MS,
  rejectsWith,
  sha256Of,
  VirtualClock,
} from '../../test/contracts/store-fixtures.ts'
import { type BoundedOptions, type BoundedStore, openBoundedStore } from './bounded.ts'
import { openCanonicalStore } from './canonical.ts'
import { HotStore } from './hot.ts'
import { MemoryStore } from './memory.ts'

interface Opened {
  readonly store: BoundedStore
  readonly clock: VirtualClock
  readonly memory: MemoryStore
  readonly left: string[]
}

type Below = (memory: MemoryStore, clock: VirtualClock) => Promise<FragmentStore>

const overCanonical: Below = (memory) => openCanonicalStore(memory, { emptyContentHash: sha256Of(new Uint8Array(0)) })

/** Every store that one may stand over. */
const BELOW: Readonly<Record<'memory' | 'canonical' | 'hot', Below>> = {
  memory: async (memory) => memory,
  canonical: overCanonical,
  hot: async (memory, clock) => new HotStore(await overCanonical(memory, clock), { bytesMax: 100_000, clock }),
}
const NAMES = ['memory', 'canonical', 'hot'] as const

async function open(name: keyof typeof BELOW, options: Partial<BoundedOptions> = {}): Promise<Opened> {
  const clock = new VirtualClock()
  const memory = new MemoryStore(clock)
  const left: string[] = []
  const store = await openBoundedStore(await BELOW[name](memory, clock), {
    payloadBytesMax: 1000,
    entriesMax: 100,
    policy: 'lru',
    clock,
    traitsOf: ({ head }) => ({ chainName: null, parentName: null, density: 1, priority: 1, isPinned: head[0] === 1 }),
    quotaOf: () => null,
    ttlMs: null,
    heldBytes: () => memory.stats().payloadBytes,
    joined: () => {},
    left: (key, reason) => void left.push(`${reason} ${key}`),
    ...options,
  })
  return { store, clock, memory, left }
}

const ENTRY = fragmentOf('a/1', bytesOf(600, 1))
const PINNED = { head: Uint8Array.of(1), expiresAtMs: null }

describe.each(NAMES)('a revision over a %s store', (name) => {
  test('changes head and expiry, and leaves the bytes', async () => {
    const { store, clock, left } = await open(name)
    await store.put(ENTRY)
    const inAnHour = clock.nowMs() + HOUR_MS
    expect(await store.revise('a/1', ({ head }) => ({ head, expiresAtMs: inAnHour }))).toBe(true)
    expectFragment(await store.get('a/1'), { ...ENTRY, expiresAtMs: inAnHour })
    expect(await store.revise('a/1', () => PINNED)).toBe(true)
    expectFragment(await store.get('a/1'), { ...ENTRY, ...PINNED })
    // It is pinned by now, and does not expire.
    clock.advance(HOUR_MS)
    await rejectsWith(store.put(fragmentOf('a/2', bytesOf(600, 2))), 'STORE_FULL')
    expect(left).toEqual([])
  })

  test('takes no expiry from the default, which is for entries that name none when they are put', async () => {
    const { store, clock } = await open(name, { ttlMs: 1000 })
    await store.put(ENTRY)
    expect((await store.head('a/1'))?.expiresAtMs).toBe(clock.nowMs() + 1000)
    await store.revise('a/1', () => PINNED)
    expect((await store.head('a/1'))?.expiresAtMs).toBe(null)
  })

  test('needs no room', async () => {
    const { store, left } = await open(name, { payloadBytesMax: 600, entriesMax: 1 })
    await store.put(ENTRY)
    expect(await store.revise('a/1', () => PINNED)).toBe(true)
    expect(left).toEqual([])
  })

  test('finds nothing where nothing is, or where it has expired, and refuses what is no expiry', async () => {
    const { store, clock } = await open(name)
    expect(await store.revise('a/1', () => PINNED)).toBe(false)
    await store.put({ ...ENTRY, expiresAtMs: clock.nowMs() + 10 })
    await rejectsWith(
      store.revise('a/1', ({ head }) => ({ head, expiresAtMs: 0.5 })),
      'INVALID_REQUEST',
    )
    clock.advance(10)
    expect(await store.revise('a/1', () => PINNED)).toBe(false)
    expect(await store.get('a/1')).toBeNull()
  })

  test('does not bring back what expires while it is looked at', async () => {
    const { store, clock } = await open(name)
    await store.put({ ...ENTRY, expiresAtMs: clock.nowMs() + 10 })
    const late = (): typeof PINNED => {
      clock.advance(10)
      return PINNED
    }
    expect(await store.revise('a/1', late)).toBe(false)
    expect(await store.get('a/1')).toBeNull()
  })

  test('finds nothing where the bytes turn out to be lost', async () => {
    const { store, memory } = await open(name)
    await store.put(ENTRY)
    const lose = (): typeof PINNED => {
      // Nothing of it waits in memory: it is gone before anything else is done.
      void memory.remove(['a/1', `b/${ENTRY.contentHash}`])
      return PINNED
    }
    expect(await store.revise('a/1', lose)).toBe(false)
    expect(await store.get('a/1')).toBeNull()
    await store.purge()
    expect(memory.stats()).toMatchObject({ entries: 0, payloadBytes: 0 })
  })

  test('never brings back what was removed or evicted meanwhile, whenever that was', async () => {
    for (const leave of ['remove', 'evict'] as const) {
      for (let turns = -40; turns < 60; turns++) {
        const { store, left, memory } = await open(name)
        // Of two entries, the one that is revised is the first to leave.
        const kept = bytesOf(400, 3)
        await store.put(fragmentOf('a/1', bytesOf(400, 1)))
        await store.put(fragmentOf('a/3', kept))
        const go = (): Promise<unknown> =>
          leave === 'remove' ? store.remove(['a/1']) : store.put(fragmentOf('a/2', bytesOf(400, 2)))
        const revise = (): Promise<boolean> => store.revise('a/1', ({ head, expiresAtMs }) => ({ head, expiresAtMs }))
        const [first, second] = turns < 0 ? [go, revise] : [revise, go]
        const started = first()
        for (let turn = 0; turn < Math.abs(turns); turn++) await Promise.resolve()
        await Promise.all([started, second()].map((call) => call.catch(() => null)))
        const isGone = left.some((line) => line.endsWith('a/1'))
        expect(await store.has(['a/1']), `${leave} after ${turns} turns`).toEqual([!isGone])
        if (leave === 'remove') expect(isGone).toBe(true)
        await store.purge()
        const held = memory.stats().payloadBytes
        expect(held).toBe(store.usageOf('a').payloadBytes)
      }
    }
  })
})
