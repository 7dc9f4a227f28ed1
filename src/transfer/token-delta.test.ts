import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { MembraneError } from '../core/errors.ts'
import { seededRandom } from '../core/random.ts'
import { loadChainHashes } from '../hashing/chain-hashes.ts'
import { runs } from '../../test/effort.ts'
import { decodeTokenDelta, encodeTokenDelta, type TokenBase } from './token-delta.ts'

const { blake3: hash } = await loadChainHashes()

function baseOf(tokenIds: Uint32Array): TokenBase {
  return { tokenIds, hash }
}

function tokensOf(seed: number, count: number, vocabulary = 150_000): Uint32Array {
  const random = seededRandom(seed)
  return Uint32Array.from({ length: count }, () => random() * vocabulary)
}

/** Pieces of the base, turned around, repeated and cut, with other tokens between. */
const edited = fc
  .tuple(
    fc.nat(),
    fc.nat(600),
    fc.constantFrom(2, 5, 150_000, 2 ** 32),
    fc.array(fc.tuple(fc.nat(600), fc.nat(200), fc.nat(40)), { maxLength: 6 }),
  )
  .map(([seed, count, vocabulary, pieces]) => {
    const base = tokensOf(seed, count, vocabulary)
    const tokenIds = pieces.flatMap(([from, length, literals]) => [
      ...base.subarray(from, from + length),
      ...tokensOf(seed + from, literals, vocabulary),
    ])
    return { base, tokenIds: Uint32Array.from(tokenIds) }
  })

describe('a token delta', () => {
  test('brings the prompt back exactly, in at most 8 bytes more than its tokens take', () => {
    fc.assert(
      fc.property(edited, ({ base, tokenIds }) => {
        const delta = encodeTokenDelta(tokenIds, baseOf(base))
        expect(decodeTokenDelta(delta, baseOf(base))).toEqual(tokenIds)
        expect(delta.length).toBeLessThanOrEqual(4 * tokenIds.length + 8)
      }),
      // Without a bias to small numbers: runs need room to meet.
      { numRuns: runs(500), noBias: true },
    )
  })

  test('of the next turn of a conversation takes little more than what was said', () => {
    const base = tokensOf(1, 20_000)
    const turn = Uint32Array.from([...base, ...tokensOf(2, 100)])
    expect(encodeTokenDelta(turn, baseOf(base)).length).toBeLessThan(100 * 3 + 40)
    expect(encodeTokenDelta(base, baseOf(base)).length).toBeLessThan(40)
  })

  test('finds what was moved, cut out of the middle and put before', () => {
    const base = tokensOf(3, 10_000)
    const moved = Uint32Array.from([
      ...base.subarray(7001, 9000),
      ...tokensOf(4, 50),
      ...base.subarray(100, 5003),
      ...tokensOf(5, 3),
    ])
    expect(encodeTokenDelta(moved, baseOf(base)).length).toBeLessThan(53 * 3 + 60)
  })

  test('is refused with another base', () => {
    const base = tokensOf(6, 1000)
    const delta = encodeTokenDelta(base, baseOf(base))
    const other = base.slice()
    other[999] = 1
    expect(() => decodeTokenDelta(delta, baseOf(other))).toThrow('another one')
    expect(() => decodeTokenDelta(delta, baseOf(base.subarray(1)))).toThrow('another one')
  })

  test('copies nothing from outside of its base', () => {
    const base = tokensOf(7, 100)
    const delta = encodeTokenDelta(base, baseOf(base)).slice()
    // The place of the only run, which is its last byte: 0, 2, 1 stand for 0, 1, -1.
    expect(decodeTokenDelta(delta, baseOf(base))).toEqual(base)
    for (const place of [2, 1]) {
      delta[delta.length - 1] = place
      expect(() => decodeTokenDelta(delta, baseOf(base))).toThrow('outside of the base')
    }
  })

  test('that is damaged is INVALID_REQUEST, CONTENT_MISMATCH or another prompt, never another error', () => {
    const damage = fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 3 })
    fc.assert(
      fc.property(edited, damage, fc.option(fc.nat()), ({ base, tokenIds }, flips, end) => {
        const delta = encodeTokenDelta(tokenIds, baseOf(base)).slice()
        for (const [at, value] of flips) delta[at % delta.length] = value
        try {
          decodeTokenDelta(end === null ? delta : delta.subarray(0, end % delta.length), baseOf(base))
        } catch (error) {
          expect(error).toBeInstanceOf(MembraneError)
          expect(['INVALID_REQUEST', 'CONTENT_MISMATCH']).toContain((error as MembraneError).code)
        }
      }),
      { numRuns: runs(500) },
    )
  })
})
