import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { runs } from '../../test/effort.ts'
import { groupState, type PoolParts, type PoolRule, usablePrefix } from './fragment-group.ts'
import type { FragmentDescription } from './fragment.ts'
import { parseBlockHash, parseModelFingerprint } from './ids.ts'

const ALL: PoolRule = { kind: 'all-pages' }
const trailing = (blocks: number): PoolRule => ({ kind: 'trailing-pages', blocks })
/** `x` stands for a part that is there. */
const pool = (name: string, rule: PoolRule, parts: string): PoolParts => ({
  pool: name,
  rule,
  present: parts.split('').map((character) => character === 'x'),
})
const PROMPT = { blocks: 6, blockTokens: 16 }

const arbitraryRule = fc.oneof(
  fc.constant(ALL),
  fc.integer({ min: 1, max: 4 }).map((blocks) => trailing(blocks)),
)
const arbitraryPool: fc.Arbitrary<PoolParts> = fc.record({
  pool: fc.constantFrom('kv', 'swa', 'state'),
  rule: arbitraryRule,
  present: fc.array(fc.boolean(), { maxLength: 10 }),
})
const arbitraryPools = fc.array(arbitraryPool, { minLength: 1, maxLength: 3 })

/** What the rules say, word for word. */
function canContinue(pools: readonly PoolParts[], boundary: number): boolean {
  return pools.every(({ rule, present }) => {
    const before = Array.from({ length: boundary }, (_, block) => present[block] === true)
    return (rule.kind === 'all-pages' ? before : before.slice(-rule.blocks)).every(Boolean)
  })
}

describe('a usable prefix', () => {
  it.each([
    ['ends where the KV of all tokens ends', [pool('kv', ALL, 'xxx.xx')], 3],
    ['ends at the last state', [pool('kv', ALL, 'xxxxxx'), pool('state', trailing(1), '...x..')], 4],
    [
      'ends at the last state that the KV reaches',
      [pool('kv', ALL, 'xxx...'), pool('state', trailing(1), '.x...x')],
      2,
    ],
    ['needs the window only', [pool('swa', trailing(2), '..xx.x')], 4],
    ['needs a shorter window where the prompt is shorter', [pool('swa', trailing(4), 'xx....')], 2],
    ['is empty without a state', [pool('kv', ALL, 'xxxxxx'), pool('state', trailing(1), '......')], 0],
    ['is everything where nothing is asked', [], 6],
  ] as const)('%s', (_, pools, blocks) => {
    expect(usablePrefix(pools, PROMPT)).toMatchObject({ blocks, tokens: 16 * blocks })
  })

  it('comes with what is missing for all of the prompt', () => {
    const pools = [pool('kv', ALL, 'x..x.'), pool('swa', trailing(2), 'x....x'), pool('state', trailing(1), '.....x')]
    expect(usablePrefix(pools, PROMPT).missing).toEqual([
      { pool: 'kv', blocks: { start: 1, end: 3 } },
      { pool: 'kv', blocks: { start: 4, end: 6 } },
      { pool: 'swa', blocks: { start: 4, end: 5 } },
    ])
  })

  it('is the longest that every pool allows', () => {
    fc.assert(
      fc.property(arbitraryPools, fc.nat(10), (pools, blocks) => {
        const usable = usablePrefix(pools, { blocks, blockTokens: 16 })
        expect(canContinue(pools, usable.blocks)).toBe(true)
        for (let longer = usable.blocks + 1; longer <= blocks; longer++) expect(canContinue(pools, longer)).toBe(false)
      }),
      { numRuns: runs(300) },
    )
  })

  it('never gets shorter by more parts, and never reaches beyond what a pool has alone', () => {
    fc.assert(
      fc.property(arbitraryPools, fc.nat(10), fc.nat(2), fc.nat(9), (pools, blocks, which, block) => {
        const prompt = { blocks, blockTokens: 1 }
        const usable = usablePrefix(pools, prompt).blocks
        const more = pools.map((parts, index) =>
          index === which % pools.length
            ? { ...parts, present: Array.from({ length: 10 }, (_, at) => at === block || parts.present[at] === true) }
            : parts,
        )
        expect(usablePrefix(more, prompt).blocks).toBeGreaterThanOrEqual(usable)
        for (const parts of pools) expect(usable).toBeLessThanOrEqual(usablePrefix([parts], prompt).blocks)
      }),
      { numRuns: runs(300) },
    )
  })

  it('is the whole prompt exactly when nothing is missing, and once what was missing is there', () => {
    fc.assert(
      fc.property(arbitraryPools, fc.nat(10), (pools, blocks) => {
        const prompt = { blocks, blockTokens: 1 }
        const named = pools.map((parts, index) => ({ ...parts, pool: String(index) }))
        const { blocks: usable, missing } = usablePrefix(named, prompt)
        expect(usable === blocks).toBe(missing.length === 0)
        const filled = named.map(({ pool, rule, present }) => {
          const isMissing = (block: number): boolean =>
            missing.some((run) => run.pool === pool && run.blocks.start <= block && block < run.blocks.end)
          return {
            pool,
            rule,
            present: Array.from({ length: blocks }, (_, at) => isMissing(at) || present[at] === true),
          }
        })
        expect(usablePrefix(filled, prompt).blocks).toBe(blocks)
      }),
      { numRuns: runs(200) },
    )
  })

  it('needs a rule that makes sense', () => {
    for (const blocks of [0, -1, 1.5, Number.NaN])
      expect(() => usablePrefix([pool('swa', trailing(blocks), 'xx')], PROMPT)).toThrow('at least 1')
  })
})

describe('a group', () => {
  const block = (digit: number) => parseBlockHash(`b3c:${String(digit).repeat(16)}`)
  const part = (number: number, kind: 'kv' | 'state', first: number, count: number): FragmentDescription => ({
    signature: {
      model: parseModelFingerprint('ab'.repeat(32)),
      kind,
      tokens: { start: 16 * first, end: 16 * (first + count) },
      layers: { start: 0, end: 4 },
      heads: null,
      dtype: 'BF16',
      layout: 'heads,tokens,headDim',
      positionEncoding: 'none',
    },
    parent: first === 0 ? null : block(first - 1),
    blocks: Array.from({ length: count }, (_, index) => block(first + index)),
    blockTokens: 16,
    group: { id: 'g', part: number, parts: 3, pool: kind },
    text: null,
    sequence: null,
    derivedFrom: [],
  })
  const whole = [part(0, 'kv', 0, 2), part(1, 'kv', 2, 2), part(2, 'state', 3, 1)] as const
  const [first, second, state] = whole

  it('is complete when every part is there, in any order, some of them twice', () => {
    expect(groupState(whole)).toEqual({ kind: 'complete' })
    expect(groupState([state, second, first, second])).toEqual({ kind: 'complete' })
  })

  it('is incomplete while one part is missing', () => {
    for (const missing of [0, 1, 2])
      expect(groupState(whole.filter((_, index) => index !== missing))).toEqual({
        kind: 'incomplete',
        missingParts: [missing],
      })
  })

  const inGroup = (description: FragmentDescription, change: object): FragmentDescription => ({
    ...description,
    group: { id: 'g', part: 2, parts: 3, pool: 'state', ...change },
  })
  const otherModel = { ...state.signature, model: parseModelFingerprint('cd'.repeat(32)) }

  it.each([
    ['nothing', [], 'A fragment of a group was expected; found none.'],
    ['a fragment of none', [first, { ...second, group: null }], 'belongs to no group'],
    ['two groups', [first, inGroup(state, { id: 'h' })], 'Parts of two groups: g and h.'],
    ['another number of parts', [first, inGroup(state, { parts: 4 })], 'do not agree on how many they are: 3 and 4'],
    ['one part that is two', [first, second, inGroup(second, { part: 1, pool: 'swa' })], 'Part 1 is two fragments.'],
    ['another model', [first, { ...state, signature: otherModel }], 'The parts are of two models.'],
    ['another context', [first, second, { ...state, blocks: [block(7)] }], 'end at token 64 are of two contexts'],
    [
      'a state that is too early',
      [first, second, part(2, 'state', 2, 1)],
      'A state stands at token 48, before the end',
    ],
  ] as const)('is none of %s', (_, descriptions, reason) => {
    expect(groupState(descriptions)).toEqual({ kind: 'conflict', reason: expect.stringContaining(reason) })
  })
})
