import { describe, expect, test } from 'vitest'
import { LIMITS } from '../core/limits.ts'
import { parseTenantId } from '../core/ids.ts'
import { rejectsWith, VirtualClock } from '../../test/contracts/store-fixtures.ts'
import { Listings } from './listings.ts'

const [ANN, BOB] = [parseTenantId('ann'), parseTenantId('bob')]
const IDLE_MS = 1000

function openListings() {
  const clock = new VirtualClock()
  let next = 0
  const ended: string[] = []
  const listings = new Listings<number>({ clock, random32: () => (next += 1), idleMs: IDLE_MS })
  async function* numbers(name: string, count: number): AsyncGenerator<number> {
    try {
      for (let number = 0; number < count; number++) yield number
    } finally {
      ended.push(name)
    }
  }
  return { clock, listings, ended, numbers }
}

describe('listings', () => {
  test('go on where they stopped, and give a page again to whoever has not got it', async () => {
    const { listings, numbers } = openListings()
    const first = await listings.start(ANN, numbers('a', 5), 2)
    expect(first.entries).toEqual([0, 1])
    const second = await listings.next(ANN, first.cursor ?? '', 2)
    expect(second.entries).toEqual([2, 3])
    expect(await listings.next(ANN, first.cursor ?? '', 2)).toEqual(second)
    const third = await listings.next(ANN, second.cursor ?? '', 2)
    expect(third).toEqual({ entries: [4], cursor: null })
    expect(await listings.next(ANN, second.cursor ?? '', 2)).toEqual(third)
    await rejectsWith(listings.next(ANN, first.cursor ?? '', 2), 'INVALID_REQUEST')
  })

  test('asked twice at once give the same page, and none is left out', async () => {
    const { listings, numbers } = openListings()
    const { cursor } = await listings.start(ANN, numbers('a', 6), 2)
    const [one, two] = await Promise.all([listings.next(ANN, cursor ?? '', 2), listings.next(ANN, cursor ?? '', 2)])
    expect([one, two?.entries]).toEqual([two, [2, 3]])
    expect((await listings.next(ANN, one?.cursor ?? '', 9)).entries).toEqual([4, 5])
  })

  test('are those of one tenant, whatever cursor another has', async () => {
    const { listings, numbers } = openListings()
    const { cursor } = await listings.start(ANN, numbers('a', 5), 2)
    await rejectsWith(listings.next(BOB, cursor ?? '', 2), 'INVALID_REQUEST')
    await rejectsWith(listings.next(ANN, 'nonsense', 2), 'INVALID_REQUEST')
    expect((await listings.next(ANN, cursor ?? '', 2)).entries).toEqual([2, 3])
  })

  test('are forgotten when nobody goes on, and what they held is freed', async () => {
    const { clock, listings, ended, numbers } = openListings()
    const { cursor } = await listings.start(ANN, numbers('a', 5), 2)
    clock.advance(IDLE_MS)
    await rejectsWith(listings.next(ANN, cursor ?? '', 2), 'INVALID_REQUEST')
    expect([listings.count, ended]).toEqual([0, ['a']])
  })

  test('are bounded, for each tenant and for all', async () => {
    const { listings, ended, numbers } = openListings()
    await listings.start(BOB, numbers('bob', 5), 1)
    for (let index = 0; index <= LIMITS.listingsPerTenantMax; index++)
      await listings.start(ANN, numbers(`a${index}`, 5), 1)
    expect(listings.count).toBe(LIMITS.listingsPerTenantMax + 1)
    expect(ended).toEqual(['a0'])
    for (let index = 0; index < LIMITS.listingsMax; index++)
      await listings.start(parseTenantId(`t${index}`), numbers(`t${index}`, 5), 1)
    expect(listings.count).toBe(LIMITS.listingsMax)
    expect(ended).toContain('bob')
  })

  test('that fail give no page that leaves something out', async () => {
    const { listings } = openListings()
    async function* failing(): AsyncGenerator<number> {
      yield 1
      yield 2
      throw new Error('the store is gone')
    }
    const { cursor } = await listings.start(ANN, failing(), 1)
    await expect(listings.next(ANN, cursor ?? '', 5)).rejects.toThrow('the store is gone')
    await rejectsWith(listings.next(ANN, cursor ?? '', 5), 'INVALID_REQUEST')
  })
})
