import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { firstKeys } from './grpc-inventory.ts'

const { signal } = new AbortController()

async function* listed(keys: readonly string[]): AsyncGenerator<{ readonly key: string }> {
  for (const key of keys) yield { key }
}

describe('a page of an inventory', () => {
  test('is what comes first behind a key, in order, and says whether it is the last', async () => {
    const keys = fc.uniqueArray(fc.string({ maxLength: 3 }), { maxLength: 60 })
    await fc.assert(
      fc.asyncProperty(
        keys,
        fc.string({ maxLength: 2 }),
        fc.integer({ min: 1, max: 12 }),
        async (all, after, limit) => {
          const behind = all.filter((key) => key > after).toSorted((a, b) => (a < b ? -1 : 1))
          const { page, isLast } = await firstKeys(listed(all), { after, limit, signal })
          expect(page.map(({ key }) => key)).toEqual(behind.slice(0, limit))
          expect(isLast).toBe(behind.length <= limit)
        },
      ),
      { numRuns: 1000 },
    )
  })

  test('is given up when nobody waits for it any more', async () => {
    const options = { after: '', limit: 1, signal: AbortSignal.abort() }
    await expect(firstKeys(listed(['a']), options)).rejects.toMatchObject({ code: 'ABORTED' })
  })
})
