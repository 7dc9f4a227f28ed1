import { describe, expect, test } from 'vitest'
import {
  contentHashOf,
  fragment,
  localBlocks,
  MODEL,
  newIndices,
  prompt,
  TENANT,
} from '../../test/contracts/index-fixtures.ts'
import { packBlockHashes } from '../core/block-hashes.ts'
import type { BlockHash, TenantId } from '../core/ids.ts'
import type { Prompt } from './exact-holders.ts'
import { TIER_BIT } from './tiers.ts'

describe('the indices of a node', () => {
  test('hold a block when one fragment has all its layers', () => {
    const indices = newIndices()
    indices.insert(fragment({ tier: 'disk' }))
    expect(indices.longestPrefix(prompt())).toEqual({
      blocks: 4,
      localBlocks: 4,
      nodes: [{ node: 'here', blocks: 4, blocksByTier: [0, 0, 4, 0] }],
    })
    expect(indices.longestPrefix(prompt(1)).localBlocks).toBe(3)
    expect(indices.longestPrefix(prompt(0, 'two' as TenantId)).blocks).toBe(0)
  })

  test('hold a block when fragments of one form have all layers between them, each where it lies', () => {
    const indices = newIndices()
    indices.insert(fragment({ key: 'low', layers: [0, 5], tier: 'disk' }))
    expect(localBlocks(indices)).toBe(0)
    indices.insert(fragment({ key: 'other form', layers: [3, 8], dtype: 'F8_E4M3', blocks: [0, 6] }))
    expect(localBlocks(indices)).toBe(0)
    indices.insert(fragment({ key: 'high', layers: [4, 8], blocks: [0, 2] }))
    expect(localBlocks(indices)).toBe(2)
    expect([...indices.localTiers(prompt())]).toEqual([TIER_BIT.disk, TIER_BIT.disk, 0, 0, 0, 0, 0, 0])
    indices.insert(fragment({ key: 'low again', layers: [0, 4], blocks: [1, 2] }))
    expect(indices.localTiers(prompt())[1]).toBe(TIER_BIT.memory)
    indices.remove('high')
    expect(localBlocks(indices)).toBe(0)
  })

  test('take a fragment from layer 0 on for the whole when the number of layers is not known', () => {
    const indices = newIndices(null)
    indices.insert(fragment({ key: 'late', layers: [4, 8] }))
    expect(localBlocks(indices)).toBe(0)
    indices.insert(fragment({ key: 'early', layers: [0, 4], blocks: [0, 3] }))
    expect(localBlocks(indices)).toBe(3)
  })

  test('hold no block for some of the heads, nor for what is no KV', () => {
    const indices = newIndices()
    indices.insert(fragment({ key: 'heads', heads: [0, 4] }))
    indices.insert(fragment({ key: 'other heads', heads: [4, 8] }))
    indices.insert(fragment({ key: 'state', kind: 'state', blocks: [3, 4] }))
    expect(localBlocks(indices)).toBe(0)
    expect(
      indices
        .fragmentsOf(prompt(), 3)
        .map(({ key }) => key)
        .sort(),
    ).toEqual(['heads', 'other heads', 'state'])
  })

  test('hold the blocks of a group when all parts are there, in the tier of the slowest', () => {
    const indices = newIndices()
    const group = (part: number) => ({ id: 'g', part, parts: 3, pool: 'kv' })
    indices.insert(fragment({ key: 'full', group: group(0) }))
    indices.insert(fragment({ key: 'window', group: group(1), blocks: [2, 4] }))
    expect(localBlocks(indices)).toBe(0)
    indices.insert(fragment({ key: 'state', kind: 'state', blocks: [3, 4], group: group(2), tier: 'disk' }))
    expect(indices.longestPrefix(prompt()).nodes[0]?.blocksByTier).toEqual([0, 0, 4, 0])
    indices.insert(fragment({ key: 'state copy', kind: 'state', blocks: [3, 4], group: group(2), tier: 'memory' }))
    expect(indices.longestPrefix(prompt()).nodes[0]?.blocksByTier).toEqual([0, 4, 0, 0])
    indices.remove('state copy')
    expect(indices.longestPrefix(prompt()).nodes[0]?.blocksByTier).toEqual([0, 0, 4, 0])
    indices.remove('window')
    expect(localBlocks(indices)).toBe(0)
    expect(indices.inconsistencies()).toEqual([])
  })

  test('know two tenants, and two sizes, of a group id as different groups', () => {
    const indices = newIndices()
    const group = (part: number, parts = 2) => ({ id: 'g', part, parts, pool: 'kv' })
    indices.insert(fragment({ key: '0', group: group(0) }))
    indices.insert(fragment({ key: '1', group: group(1), tenant: 'two' as TenantId }))
    indices.insert(fragment({ key: '2', group: group(1, 3) }))
    expect(localBlocks(indices)).toBe(0)
    indices.insert(fragment({ key: '3', group: group(1) }))
    expect(localBlocks(indices)).toBe(4)
  })

  test('know the fragment that was inserted last under a key, and nothing of the one before', () => {
    const indices = newIndices()
    indices.insert(fragment({ sequence: 's', blocks: [0, 6] }))
    indices.insert(fragment({ sequence: 's', blocks: [4, 6], tier: 'disk' }))
    expect([...indices.localTiers(prompt())]).toEqual([0, 0, 0, 0, 4, 4, 0, 0])
    const place = { tenant: TENANT, model: MODEL, sequence: 's' }
    expect(indices.overlapping(place, { start: 0, end: 64 }, 10)).toEqual([])
    expect(indices.overlapping(place, { start: 0, end: 65 }, 10)).toEqual([indices.get('k')])
    expect(indices.count).toBe(1)
  })

  test('find the fragments that cover some of a prompt, each once, the first block first', () => {
    const indices = newIndices()
    indices.insert(fragment({ key: 'late', blocks: [3, 6] }))
    indices.insert(fragment({ key: 'early', blocks: [0, 4] }))
    indices.insert(fragment({ key: 'elsewhere', prompt: 1, blocks: [3, 6] }))
    expect(indices.fragmentsIn(prompt(), 1, 8).map(({ key }) => key)).toEqual(['early', 'late'])
    expect(indices.fragmentsIn(prompt(), 4, 8).map(({ key }) => key)).toEqual(['late'])
    expect(indices.fragmentsIn(prompt(0, 'two' as TenantId), 0, 8)).toEqual([])
  })

  test('find what lies beside a span', () => {
    const indices = newIndices()
    indices.insert(fragment({ key: 'a', sequence: 's', blocks: [0, 2] }))
    indices.insert(fragment({ key: 'b', sequence: 's', blocks: [4, 6] }))
    const place = { tenant: TENANT, model: MODEL, sequence: 's' }
    const found = indices.adjacent(place, { start: 32, end: 48 }, { gapTokensMax: 16, limit: 3 })
    expect([found.before, found.after]).toEqual([[indices.get('a')], [indices.get('b')]])
  })

  test('name what other nodes hold, until they withdraw it or are forgotten', () => {
    const indices = newIndices()
    indices.insert(fragment({ blocks: [0, 2] }))
    indices.announce({ node: 'there', tier: 'remote', ...prompt() })
    indices.announce({ node: 'over there', tier: 'device', ...prompt(1) })
    expect(indices.longestPrefix(prompt())).toEqual({
      blocks: 8,
      localBlocks: 2,
      nodes: [
        { node: 'there', blocks: 8, blocksByTier: [0, 0, 0, 8] },
        { node: 'over there', blocks: 3, blocksByTier: [3, 0, 0, 0] },
        { node: 'here', blocks: 2, blocksByTier: [0, 2, 0, 0] },
      ],
    })
    expect(indices.withdraw({ node: 'over there', tier: null, ...prompt(1) })).toBe(8)
    const sweep = indices.forgetNode('there')
    sweep.next()
    indices.announce({ node: 'there', tier: 'disk', ...prompt(1) })
    for (const _ of sweep);
    expect(indices.longestPrefix(prompt()).nodes).toEqual([
      { node: 'there', blocks: 3, blocksByTier: [0, 0, 3, 0] },
      { node: 'here', blocks: 2, blocksByTier: [0, 2, 0, 0] },
    ])
    expect(indices.inconsistencies()).toEqual([])
  })

  test('link a fragment with what it follows and what it was made from, whoever came first', () => {
    const follower = fragment({ key: 'follower', blocks: [4, 6] })
    const copy = fragment({ key: 'copy', prompt: 1, derivedFrom: [contentHashOf('first')] })
    const first = fragment({ key: 'first' })
    for (const order of [
      [follower, copy, first],
      [first, copy, follower],
    ]) {
      const indices = newIndices()
      for (const one of order) indices.insert(one)
      expect(indices.neighbours('first', { limit: 9 })).toEqual([
        { key: 'copy', kind: 'derived-from', direction: 'in', weight: 1 },
        { key: 'follower', kind: 'prefix-of', direction: 'out', weight: 1 },
      ])
      expect(indices.subgraph('copy', { depth: 2 })?.nodes.map(({ key }) => key)).toEqual(['copy', 'first', 'follower'])
      indices.remove('first')
      expect(indices.neighbours('copy', { limit: 9 })).toEqual([])
    }
  })

  test("never link or compare one tenant's fragments with another's", () => {
    const indices = newIndices()
    indices.insert(fragment({ key: 'mine', text: 'aab' }))
    indices.insert(
      fragment({
        key: 'theirs',
        tenant: 'two' as TenantId,
        blocks: [4, 6],
        text: 'aab',
        derivedFrom: [contentHashOf('mine')],
      }),
    )
    indices.accessed({ tenant: TENANT, session: 's' }, ['mine', 'theirs'])
    expect(indices.neighbours('theirs', { limit: 9 })).toEqual([])
    expect(indices.coAccessValue('mine')).toBe(0)
    expect(indices.sessions.sessionsOf('theirs', { limit: 9 })).toEqual([])
    const asked = { tenant: TENANT, model: MODEL, text: 'ab', limit: 9, similarityMin: 0 }
    expect(indices.similar(asked)?.map(({ fragment: { key } }) => key)).toEqual(['mine'])
  })

  test('record no edge between tenants, nor with what is not known', () => {
    const indices = newIndices()
    for (const [key, tenant] of [
      ['k', 'one'],
      ['l', 'one'],
      ['theirs', 'two'],
    ] as const)
      indices.insert(fragment({ key, tenant: tenant as TenantId }))
    const edge = { from: 'k', kind: 'version-of', weight: 1, atMs: 0 } as const
    expect(indices.recordEdge({ ...edge, to: 'theirs' })).toBe(false)
    expect(indices.recordEdge({ ...edge, to: 'unknown' })).toBe(false)
    expect(indices.recordEdge({ ...edge, to: 'l' })).toBe(true)
    expect([...indices.recordedEdges()]).toEqual([{ ...edge, to: 'l', atMs: 1e6 }])
  })

  test('tell two block hashes apart that agree in their first 16 bytes', () => {
    const indices = newIndices()
    const hash = (end: string): BlockHash => `b3-x:${'ab'.repeat(16)}${end.repeat(16)}` as BlockHash
    const { description, ...rest } = fragment()
    indices.insert({ ...rest, description: { ...description, blocks: [hash('00')] } })
    const asked = (end: string): Prompt => ({ ...prompt(), hashes: packBlockHashes([hash(end)]) })
    expect(indices.fragmentsOf(asked('00'), 0)).toHaveLength(1)
    expect(indices.fragmentsOf(asked('01'), 0)).toEqual([])
  })

  test('refuse nothing half: what throws is in no index, and neither is what it was to replace', () => {
    const indices = newIndices()
    indices.insert(fragment({ sequence: 's' }))
    const { description, ...rest } = fragment({ sequence: 's', blocks: [0, 2] })
    const { signature } = description
    const twoChains = [...description.blocks, 'other:00' as BlockHash]
    expect(() => indices.insert({ ...rest, description: { ...description, blocks: twoChains } })).toThrow(
      'of one chain',
    )
    expect(indices.count).toBe(0)
    const tokens = { start: 5, end: 3 }
    const bad = { ...rest, description: { ...description, signature: { ...signature, tokens } } }
    expect(() => indices.insert(bad)).toThrow('found [5, 3)')
    expect([indices.count, indices.namespaces, indices.longestPrefix(prompt()).blocks]).toEqual([0, 0, 0])
    expect(indices.inconsistencies()).toEqual([])
    indices.insert(fragment({ sequence: 's' }))
    expect(indices.inconsistencies()).toEqual([])
  })

  test('remember what was accessed together, also when it moves to another tier', () => {
    const indices = newIndices()
    for (const key of ['k', 'l']) indices.insert(fragment({ key, text: key }))
    indices.accessed({ tenant: TENANT, session: 's' }, ['k', 'unknown', 'l'])
    expect(indices.setTier('k', 'disk')).toBe(true)
    expect(indices.setTier('unknown', 'disk')).toBe(false)
    expect(indices.prefetchCandidates(['l'], { limit: 9 })).toEqual([{ key: 'k', weight: 1 }])
    expect(indices.coAccessValue('k')).toBe(1)
    expect(indices.sessions.prospect('k')).toEqual({ kind: 'open', openSessions: 1, turnsMax: 1 })
    expect(indices.localTiers(prompt())[0]).toBe(TIER_BIT.memory | TIER_BIT.disk)
    expect(indices.get('k')?.tier).toBe('disk')
  })

  test('count look-ups by index, slowest tier and tenant', () => {
    const indices = newIndices()
    indices.insert(fragment({ key: 'k', blocks: [0, 2], text: 'a', sequence: 's' }))
    indices.insert(fragment({ key: 'l', blocks: [2, 4], text: 'a', sequence: 's', tier: 'disk' }))
    indices.announce({ node: 'there', tier: 'memory', ...prompt(0, 'two' as TenantId) })
    const place = { tenant: TENANT, model: MODEL, sequence: 's' }
    indices.longestPrefix(prompt())
    indices.longestPrefix(prompt(0, 'two' as TenantId))
    indices.longestPrefix(prompt(0, 'three' as TenantId))
    indices.overlapping(place, { start: 0, end: 1 }, 9)
    indices.adjacent(place, { start: 500, end: 501 }, { gapTokensMax: 1, limit: 9 })
    indices.neighbours('k', { limit: 9 })
    indices.similar({ tenant: TENANT, model: MODEL, text: 'b', limit: 9, similarityMin: 0.5 })
    indices.statistics.saved('exact', TENANT, { tier: 'disk', tokens: 64 })
    const { byTenant, byIndex, byTier } = indices.statistics.snapshot()
    expect(byIndex).toEqual({
      exact: { hits: 2, misses: 1, tokensSaved: 64 },
      positional: { hits: 1, misses: 1, tokensSaved: 0 },
      graph: { hits: 1, misses: 0, tokensSaved: 0 },
      semantic: { hits: 0, misses: 1, tokensSaved: 0 },
    })
    expect(byTier).toEqual({
      device: { hits: 0, tokensSaved: 0 },
      memory: { hits: 1, tokensSaved: 0 },
      disk: { hits: 2, tokensSaved: 64 },
      remote: { hits: 1, tokensSaved: 0 },
    })
    expect([...byTenant].map(([tenant, { hits }]) => [tenant, hits])).toEqual([
      ['one', 3],
      ['two', 1],
      ['three', 0],
    ])
  })
})
