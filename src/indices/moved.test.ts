import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { runs } from '../../test/effort.ts'
import { type BlockHash, parseBlockHash } from '../core/ids.ts'
import { seededRandom } from '../core/random.ts'
import { MovedIndex, type MovedRun } from './moved.ts'

const BLOCK = 4
const OPTIONS = { blockTokens: BLOCK, tokensMax: 1000 }

/** A hash of all tokens up to the end of each block. */
function chainOf(tokenIds: Uint32Array): readonly BlockHash[] {
  let hash = 17
  return Array.from({ length: Math.floor(tokenIds.length / BLOCK) }, (_, block) => {
    for (const tokenId of tokenIds.subarray(block * BLOCK, (block + 1) * BLOCK))
      hash = (Math.imul(hash, 31) + tokenId) >>> 0
    return parseBlockHash(`test:${hash.toString(16).padStart(8, '0')}`)
  })
}

const ids = (...numbers: readonly number[]): Uint32Array => Uint32Array.from(numbers)
const range = (from: number, tokens: number): readonly number[] => Array.from({ length: tokens }, (_, at) => from + at)

function indexOf(...records: readonly Uint32Array[]): MovedIndex {
  const index = new MovedIndex(OPTIONS)
  for (const record of records) expect(index.add('a', record, chainOf(record))).toBe(true)
  return index
}

function find(index: MovedIndex, tokenIds: Uint32Array, minTokens = BLOCK, scope = 'a'): readonly MovedRun[] {
  return index.find(scope, { tokenIds, blocks: chainOf(tokenIds), minTokens })
}

const placesOf = (found: readonly MovedRun[]) =>
  found.map(({ promptStart, recordStart, tokens }) => ({ promptStart, recordStart, tokens }))

describe('the index of moved tokens', () => {
  const record = ids(...range(100, 40))

  test('finds tokens at any other position, as far as they are equal', () => {
    const prompt = ids(1, 2, 3, ...range(106, 23), 4, 5)
    expect(placesOf(find(indexOf(record), prompt))).toEqual([{ promptStart: 3, recordStart: 6, tokens: 23 }])
  })

  test('finds all of any run of tokens that has a block in it, wherever it stands', () => {
    const runOfRecord = fc.record({ start: fc.nat(20), tokens: fc.integer({ min: 2 * BLOCK - 1, max: 20 }) })
    const parts = fc.array(fc.record({ run: runOfRecord, fill: fc.nat(9) }), { maxLength: 4 })
    fc.assert(
      fc.property(parts, (all) => {
        const prompt: number[] = [9]
        const expected: { readonly promptStart: number; readonly recordStart: number; readonly tokens: number }[] = []
        for (const { run, fill } of all) {
          expected.push({ promptStart: prompt.length, recordStart: run.start, tokens: run.tokens })
          prompt.push(...range(100 + run.start, run.tokens), 9, ...range(1, fill))
        }
        expect(placesOf(find(indexOf(record), ids(...prompt)))).toEqual(expected)
      }),
      { numRuns: runs(200) },
    )
  })

  test('gives runs of equal tokens only, in order, none overlapping or too short, whatever repeats', () => {
    const few = fc.array(fc.nat(2), { minLength: 8, maxLength: 60 })
    fc.assert(
      fc.property(few, few, few, fc.integer({ min: BLOCK, max: 12 }), (a, b, prompt, minTokens) => {
        const tokenIds = ids(...prompt)
        const own = chainOf(tokenIds)
        let end = 0
        for (const run of find(indexOf(ids(...a), ids(...b)), tokenIds, minTokens)) {
          const { record, recordStart, promptStart, tokens } = run
          expect(promptStart).toBeGreaterThanOrEqual(end)
          expect(tokens).toBeGreaterThanOrEqual(minTokens)
          end = promptStart + tokens
          expect(tokenIds.slice(promptStart, end)).toEqual(record.tokenIds.slice(recordStart, recordStart + tokens))
          const block = Math.floor(promptStart / BLOCK)
          if (recordStart === promptStart && own[block] !== undefined) expect(record.blocks[block]).not.toBe(own[block])
        }
        expect(end).toBeLessThanOrEqual(tokenIds.length)
      }),
      { numRuns: runs(300) },
    )
  })

  test('gives the longest of several', () => {
    const short = ids(50, 51, ...range(100, 9), 52)
    const long = ids(60, 61, 62, ...range(100, 20), 63)
    const prompt = ids(1, ...range(100, 30))
    expect(find(indexOf(short, long), prompt)[0]).toMatchObject({ tokens: 20 })
    expect(find(indexOf(long, short), prompt)[0]).toMatchObject({ tokens: 20 })
  })

  test('leaves out KV of the prompt itself, and gives the same place behind other tokens', () => {
    const index = indexOf(record)
    expect(find(index, record)).toEqual([])
    expect(find(index, ids(...range(100, 40), 7, 8))).toEqual([])
    const changed = Uint32Array.from(record)
    changed[9] = 7
    expect(placesOf(find(index, changed))).toEqual([{ promptStart: 10, recordStart: 10, tokens: 30 }])
  })

  test('keeps scopes apart', () => {
    const prompt = ids(1, ...record)
    const index = indexOf(record)
    expect(find(index, prompt, BLOCK, 'b')).toEqual([])
    index.add('b', record, chainOf(record))
    expect(find(index, prompt, BLOCK, 'b')).toHaveLength(1)
    index.clear('a')
    expect([find(index, prompt, BLOCK, 'a').length, find(index, prompt, BLOCK, 'b').length]).toEqual([0, 1])
    expect([index.records, index.tokens]).toEqual([1, 40])
  })

  test('has one record of a prompt that goes on', () => {
    const index = indexOf(record.subarray(0, 10), record.subarray(0, 20), record)
    expect([index.records, index.tokens]).toEqual([1, 40])
    expect(index.add('a', record, chainOf(record))).toBe(true)
    expect([index.records, index.tokens]).toEqual([1, 40])
    expect(find(index, ids(1, ...record))).toHaveLength(1)
  })

  test('forgets what was longest neither added nor found, and stays within its bound', () => {
    const index = new MovedIndex({ blockTokens: BLOCK, tokensMax: 100 })
    const [a, b, c] = [ids(...range(100, 40)), ids(...range(200, 40)), ids(...range(300, 40))]
    for (const each of [a, b]) index.add('a', each, chainOf(each))
    expect(find(index, ids(1, ...a))).toHaveLength(1)
    index.add('a', c, chainOf(c))
    expect([index.records, index.tokens]).toEqual([2, 80])
    expect([a, b, c].map((each) => find(index, ids(1, ...each)).length)).toEqual([1, 0, 1])
    const tooLong = ids(...range(1000, 104))
    expect(index.add('a', tooLong, chainOf(tooLong))).toBe(false)
    expect(index.add('a', ids(1, 2, 3), [])).toBe(false)
  })

  test('looks at a bounded number of equal blocks, and gives a bounded number of runs', () => {
    const index = new MovedIndex({ blockTokens: BLOCK, tokensMax: 100_000 })
    for (let round = 0; round < 200; round++) {
      const same = ids(...range(500 + round, 4), ...range(100, 40))
      index.add('a', same, chainOf(same))
    }
    const prompt = Uint32Array.from({ length: 4000 }, (_, at) => (at % 20 === 0 ? 1 : 100 + (at % 20)))
    expect(find(index, prompt)).toHaveLength(64)
  })

  test('believes no hash: of so many blocks some have the same one', () => {
    const random = seededRandom(7)
    const tokens = (parity: number): Uint32Array =>
      Uint32Array.from({ length: 400_000 }, () => 2 * Math.floor(random() * 2 ** 20) + parity)
    const index = new MovedIndex({ blockTokens: BLOCK, tokensMax: 400_000 })
    const record = tokens(0)
    const blocks = chainOf(record)
    expect(index.add('a', record, blocks)).toBe(true)
    expect(index.find('a', { tokenIds: tokens(1), blocks: [], minTokens: BLOCK })).toEqual([])
  })

  test('takes as many hashes as there are blocks, and runs of a block or more', () => {
    const index = indexOf(record)
    expect(() => index.add('a', record, [])).toThrow('10 block hashes were expected; found 0.')
    expect(() => find(index, record, BLOCK - 1)).toThrow('minTokens is at least a block, 4; found 3.')
    expect(() => new MovedIndex({ blockTokens: 0, tokensMax: 1 })).toThrow('blockTokens is a whole number')
  })
})
