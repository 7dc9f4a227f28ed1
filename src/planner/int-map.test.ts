import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { IntMap } from './int-map.ts'

const LARGEST = 2 ** 31 - 1

/** Undoes the factor of the hash modulo 2^32: small multiples of it share a home, or two, in a table of any size. */
const GOLDEN_RATIO_INVERSE = 0x0e8b2f51

describe('an integer map', () => {
  it('holds the smallest and the largest key and value', () => {
    const map = new IntMap()
    map.set(0, LARGEST)
    map.set(LARGEST, 0)
    expect([map.get(0), map.get(LARGEST), map.get(1), map.count]).toEqual([LARGEST, 0, -1, 2])
  })

  it('agrees with a Map, for any keys', () => {
    // Few keys, so that they meet again; dense ones and ones a power of two apart; ones that share their home.
    const key = fc.oneof(
      fc.nat(40),
      fc.nat(40).map((step) => step * 2 ** 25),
      fc.nat(20).map((step) => LARGEST - step),
      fc.nat(40).map((step) => Math.imul(step, GOLDEN_RATIO_INVERSE) & LARGEST),
    )
    const change = fc.record({ key, value: fc.nat(), isDeletion: fc.boolean() })
    fc.assert(
      fc.property(fc.array(change, { maxLength: 300, size: 'max' }), (changes) => {
        const map = new IntMap()
        const model = new Map<number, number>()
        for (const { key, value, isDeletion } of changes) {
          if (isDeletion) expect(map.delete(key)).toBe(model.delete(key))
          else {
            map.set(key, value)
            model.set(key, value)
          }
          expect(map.count).toBe(model.size)
        }
        for (const { key } of changes) expect(map.get(key)).toBe(model.get(key) ?? -1)
      }),
    )
  })

  it('stays whole while keys come and go for ever', () => {
    const map = new IntMap()
    for (let key = 0; key < 200_000; key++) {
      map.set(key, key % 1000)
      if (key >= 1000) map.delete(key - 1000)
    }
    expect(map.count).toBe(1000)
    for (let key = 199_000; key < 200_000; key++) expect(map.get(key)).toBe(key % 1000)
    expect([map.get(0), map.get(198_999), map.get(200_000)]).toEqual([-1, -1, -1])
  })
})
