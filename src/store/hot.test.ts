import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { MembraneError } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import type { FragmentPut, FragmentStore } from '../core/ports.ts'
import { describeFragmentStore } from '../../test/contracts/fragment-store.ts'
import {
  bytesOf,
  collect,
  expectFragment,
  fragmentOf,
  HOUR_MS,
  isSameBytes,
  piecesOf,
  rejectsWith,
  sha256Of,
  TEST_HASHERS,
  VirtualClock,
} from '../../test/contracts/store-fixtures.ts'
import { runs } from '../../test/effort.ts'
import { REFERENCE_HEAD_BYTES } from './canonical-reference.ts'
import { openCanonicalStore } from './canonical.ts'
import { HotStore } from './hot.ts'
import { MemoryStore } from './memory.ts'
import { VerifiedStore } from './verified.ts'

const MB = 2 ** 20

// Where all fits, and where most is too large for it.
for (const bytesMax of [256 * MB, 100_000]) {
  describeFragmentStore(`HotStore of ${bytesMax} bytes over what it is meant for`, {
    open: async (clock) => {
      const store = new VerifiedStore({ store: new MemoryStore(clock), hashers: TEST_HASHERS, quarantine: null })
      const canonical = await openCanonicalStore(store, { emptyContentHash: sha256Of(new Uint8Array(0)) })
      return new HotStore(canonical, { bytesMax, clock })
    },
    bounds: {
      keyBytesMax: LIMITS.storeKeyBytesMax - 2,
      headBytesMax: LIMITS.storeHeadBytesMax - REFERENCE_HEAD_BYTES,
    },
  })
}

/** Calls that reached the store below, and that can be made to wait there. */
class Below {
  readonly clock = new VirtualClock()
  readonly inner = new MemoryStore(this.clock)
  readonly calls: string[] = []
  /** Before the call is carried out below. */
  before: (call: string) => Promise<void> | void = () => {}
  /** After that, and before it is answered. */
  after: (call: string) => Promise<void> | void = () => {}

  wrap(): FragmentStore {
    const noted = async <T>(call: string, run: () => Promise<T>): Promise<T> => {
      this.calls.push(call)
      await this.before(call)
      const answer = await run()
      await this.after(call)
      return answer
    }
    const { inner } = this
    return {
      put: (put) => noted(`put ${put.key}`, () => inner.put(put)),
      get: (key, options) =>
        noted(options?.into === undefined ? `get ${key}` : `get ${key} to a place`, () => inner.get(key, options)),
      stream: (key, options) => noted(`stream ${key}`, () => inner.stream(key, options)),
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

function openHot(bytesMax = MB): { readonly below: Below; readonly hot: HotStore } {
  const below = new Below()
  return { below, hot: new HotStore(below.wrap(), { bytesMax, clock: below.clock }) }
}

const OLD = fragmentOf('k', bytesOf(100, 1))
const NEW = fragmentOf('k', bytesOf(100, 2))

/** Lets everything that needs no more than memory go as far as it can. */
async function quiesce(): Promise<void> {
  for (let turn = 0; turn < 50; turn++) await Promise.resolve()
}

describe('a hot store', () => {
  test('answers what it has with its own memory, whole and in parts, and asks below for nothing', async () => {
    const { below, hot } = openHot()
    await below.inner.put(OLD)
    const first = await hot.get('k')
    below.calls.length = 0
    const again = await hot.get('k', { into: new Uint8Array(100) })
    expect(again?.payload).toBe(first?.payload)
    const part = await hot.get('k', { span: { start: 10, end: 30 } })
    expect(part?.payload.buffer).toBe(first?.payload.buffer)
    expect(isSameBytes(part?.payload ?? new Uint8Array(0), OLD.payload.subarray(10, 30))).toBe(true)
    const stream = await hot.stream('k', { span: { start: 5, end: 9 } })
    expect(isSameBytes(await collect(stream?.chunks ?? expect.unreachable()), OLD.payload.subarray(5, 9))).toBe(true)
    expect(below.calls).toEqual([])
    expect(hot.hotStats()).toMatchObject({ entries: 1, hits: 3, misses: 1, evictions: 0 })
  })

  test('keeps what is put: memory that was given away as it is, and a copy of any other', async () => {
    const { below, hot } = openHot()
    const given = fragmentOf('given', bytesOf(5000, 1))
    await hot.put({ ...given, isGivenAway: true })
    const lent = fragmentOf('lent', bytesOf(5000, 2))
    const buffer = lent.payload.slice()
    await hot.put({ ...lent, payload: buffer })
    buffer.fill(0)
    const pieces = fragmentOf('pieces', bytesOf(5000, 3))
    await hot.put({ ...pieces, payload: piecesOf(pieces.payload, 700) })
    expect((await hot.get('given'))?.payload.buffer).toBe(given.payload.buffer)
    expectFragment(await hot.get('lent'), lent)
    expectFragment(await hot.get('pieces'), pieces)
    expect(below.calls).toEqual(['put given', 'put lent', 'put pieces'])
  })

  test.each([
    ['removed', (hot: HotStore) => hot.remove(['k']), null],
    ['replaced', (hot: HotStore) => hot.put(NEW), NEW],
  ] as const)('keeps no old bytes when a slow read ends after the entry was %s', async (_, change, now) => {
    const { below, hot } = openHot()
    await below.inner.put(OLD)
    const { promise, resolve } = Promise.withResolvers<void>()
    below.after = (call) => (call === 'get k' ? promise : undefined)
    const reading = hot.get('k')
    await quiesce()
    below.after = () => {}
    await change(hot)
    // It began after the change had ended: whatever the slow read finds is not for it.
    const later = await hot.get('k')
    resolve()
    expectFragment(await reading, OLD)
    for (const found of [later, await hot.get('k')]) {
      if (now === null) expect(found).toBeNull()
      else expectFragment(found, now)
    }
  })

  test('shows no old bytes, read while a removal was under way, to who asks after it', async () => {
    const { below, hot } = openHot()
    await below.inner.put(OLD)
    const [removal, read] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
    below.before = (call) => (call === 'remove k' ? removal.promise : undefined)
    below.after = (call) => (call === 'get k' ? read.promise : undefined)
    const removing = hot.remove(['k'])
    const during = hot.get('k')
    await quiesce()
    removal.resolve()
    await removing
    const after = hot.get('k')
    read.resolve()
    expectFragment(await during, OLD)
    expect(await after).toBeNull()
    expect(hot.hotStats().entries).toBe(0)
  })

  test('reads once below for all who ask at once', async () => {
    const { below, hot } = openHot()
    await below.inner.put(OLD)
    const found = await Promise.all(Array.from({ length: 9 }, () => hot.get('k')))
    for (const one of found) expectFragment(one, OLD)
    expect(below.calls).toEqual(['get k'])
  })

  test('asks below again after a read that failed', async () => {
    const { below, hot } = openHot()
    await below.inner.put(OLD)
    below.after = () => {
      throw new MembraneError('STORE_UNAVAILABLE', 'Away.')
    }
    await rejectsWith(hot.get('k'), 'STORE_UNAVAILABLE')
    below.after = () => {}
    expectFragment(await hot.get('k'), OLD)
  })

  test.each([
    ['a put that failed', (hot: HotStore) => hot.put(NEW)],
    ['a removal that failed', (hot: HotStore) => hot.remove(['k'])],
  ])('says what the store below says after %s', async (_, change) => {
    const { below, hot } = openHot()
    await hot.put(OLD)
    below.after = () => {
      throw new MembraneError('STORE_UNAVAILABLE', 'Away.')
    }
    await rejectsWith(change(hot), 'STORE_UNAVAILABLE')
    below.after = () => {}
    expect((await hot.get('k'))?.contentHash).toBe((await below.inner.get('k'))?.contentHash)
  })

  test('keeps neither of two puts at once, since the store below decides which one stays', async () => {
    const { below, hot } = openHot()
    const { promise, resolve } = Promise.withResolvers<void>()
    let puts = 0
    below.after = (call) => (call === 'put k' && puts++ === 0 ? promise : undefined)
    const both = [hot.put(OLD), hot.put(NEW)]
    await quiesce()
    resolve()
    await Promise.all(both)
    expect(hot.hotStats().entries).toBe(0)
    expect((await hot.get('k'))?.contentHash).toBe((await below.inner.get('k'))?.contentHash)
  })

  test('keeps nothing that the store below refused, and what that has instead', async () => {
    const { below, hot } = openHot()
    await below.inner.put(OLD)
    below.inner.put = async () => 'refused'
    expect(await hot.put(NEW)).toBe('refused')
    expectFragment(await hot.get('k'), OLD)
  })

  test('keeps nothing any more once it is closed', async () => {
    const { below, hot } = openHot()
    await below.inner.put(OLD)
    const { promise, resolve } = Promise.withResolvers<void>()
    below.after = (call) => (call === 'get k' ? promise : undefined)
    const reading = hot.get('k')
    await quiesce()
    await hot.close()
    resolve()
    expectFragment(await reading, OLD)
    await rejectsWith(hot.get('k'), 'STORE_CLOSED')
  })

  test('answers nothing that has expired, nor what was found to be gone below', async () => {
    const { below, hot } = openHot()
    await hot.put({ ...OLD, expiresAtMs: below.clock.nowMs() + HOUR_MS })
    await hot.put(fragmentOf('lost', bytesOf(10)))
    below.clock.advance(HOUR_MS)
    expect(await hot.get('k')).toBeNull()
    await below.inner.remove(['lost'])
    expect(await hot.has(['lost'])).toEqual([false])
    expect(await hot.get('lost')).toBeNull()
  })

  test('frees what has expired when it is purged', async () => {
    const { below, hot } = openHot()
    await hot.put({ ...OLD, expiresAtMs: below.clock.nowMs() + HOUR_MS })
    below.clock.advance(HOUR_MS)
    expect(hot.hotStats().entries).toBe(1)
    await hot.purge()
    expect(hot.hotStats()).toMatchObject({ entries: 0, bytes: 0 })
  })

  test('changes head and expiry without reading the bytes again', async () => {
    const { below, hot } = openHot()
    await hot.put(OLD)
    const changed = { ...OLD, head: bytesOf(3), expiresAtMs: below.clock.nowMs() + HOUR_MS }
    const unread = async function* (): AsyncGenerator<Uint8Array> {
      yield expect.unreachable('they are there already')
    }
    below.inner.put = async () => 'replaced'
    expect(await hot.put({ ...changed, payload: unread() })).toBe('replaced')
    expectFragment(await hot.get('k'), changed)
  })

  test('passes on what is too large for it, to the place that the caller gave', async () => {
    const { below, hot } = openHot()
    await hot.put(OLD)
    const large = fragmentOf('large', bytesOf(MB / 4))
    await hot.put(large)
    expectFragment(await hot.get('large'), large)
    below.calls.length = 0
    const into = new Uint8Array(MB / 4)
    expectFragment(await hot.get('large', { into }), large)
    expect(below.calls).toEqual(['get large to a place'])
    const stream = await hot.stream('large')
    expect(isSameBytes(await collect(stream?.chunks ?? expect.unreachable()), large.payload)).toBe(true)
    expect(hot.hotStats()).toMatchObject({ entries: 1, evictions: 0 })
  })

  test('keeps what is used again and again while others are read once', async () => {
    const { below, hot } = openHot()
    const keys = Array.from({ length: 600 }, (_, index) => `scan/${index}`)
    for (const key of keys) await below.inner.put(fragmentOf(key, bytesOf(10_000, key.length)))
    const used = Array.from({ length: 20 }, (_, index) => `used/${index}`)
    for (const key of used) await below.inner.put(fragmentOf(key, bytesOf(10_000, 1)))
    for (let turn = 0; turn < 4; turn++) for (const key of used) await hot.get(key)
    for (const key of keys) await hot.get(key)
    below.calls.length = 0
    for (const key of used) await hot.get(key)
    expect(below.calls).toEqual([])
    expect(hot.hotStats().evictions).toBeGreaterThan(400)
  })

  test('stays within its bytes and counts them exactly, whatever is put, read and removed', async () => {
    const step = fc.record({
      kind: fc.constantFrom('put', 'get', 'get', 'remove'),
      key: fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f', 'g'),
      bytes: fc.integer({ min: 0, max: 2500 }),
    })
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60 }), fc.integer({ min: 600, max: 20_000 }), async (steps, max) => {
        const { hot } = openHot(max)
        for (const { kind, key, bytes } of steps) {
          if (kind === 'put') await hot.put(fragmentOf(key, bytesOf(bytes, bytes)))
          else if (kind === 'get') await hot.get(key)
          else await hot.remove([key])
          expect(hot.hotStats().bytes).toBeLessThanOrEqual(max)
        }
        for (const key of 'abcdefg') await hot.remove([key])
        expect(hot.hotStats()).toMatchObject({ entries: 0, bytes: 0 })
      }),
      { numRuns: runs(50) },
    )
  })

  test('says what it has without asking below, and streams from below when told to', async () => {
    const { below, hot } = openHot()
    await hot.put({ ...OLD, expiresAtMs: below.clock.nowMs() + HOUR_MS })
    below.inner.head = () => expect.unreachable('it is in memory')
    const { payload: _, ...entry } = OLD
    expect(await hot.head('k')).toEqual({ ...entry, expiresAtMs: below.clock.nowMs() + HOUR_MS })
    below.inner.head = async () => null
    below.calls.length = 0
    const stream = await hot.stream('k', { isFromBelow: true, span: { start: 1, end: 9 } })
    expect(isSameBytes(await collect(stream?.chunks ?? expect.unreachable()), OLD.payload.subarray(1, 9))).toBe(true)
    expect(below.calls).toEqual(['stream k'])
    expect(hot.hotStats()).toMatchObject({ hits: 0, misses: 0 })
    below.clock.advance(HOUR_MS)
    expect(await hot.head('k')).toBeNull()
  })
})

describe('a hot store over shared content', () => {
  test('is hot for each tenant alone: who else has the same bytes shows in no read', async () => {
    const below = new Below()
    const canonical = await openCanonicalStore(below.wrap(), { emptyContentHash: sha256Of(new Uint8Array(0)) })
    const hot = new HotStore(canonical, { bytesMax: MB, clock: below.clock })
    const readsBelow = async (key: string): Promise<number> => {
      below.calls.length = 0
      await hot.get(key)
      return below.calls.length
    }
    const put: FragmentPut = fragmentOf('ann/1', bytesOf(100))
    await canonical.put(put)
    await canonical.put({ ...put, key: 'bob/1' })
    expect(await readsBelow('ann/1')).toBe(1)
    expect(await readsBelow('ann/1')).toBe(0)
    expect(await readsBelow('bob/1')).toBe(1)
    expect(await readsBelow('bob/1')).toBe(0)
  })
})
