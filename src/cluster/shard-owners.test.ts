import { expect, test } from 'vitest'
import { BUCKETS } from './name-table.ts'
import { SHARD_COPIES, shardOwners } from './shard-owners.ts'

const NODES = Array.from({ length: 8 }, (_, index) => `node-${index}`)

test('every bucket has two keepers, and every node about its share', () => {
  const owners = shardOwners(NODES)
  expect(owners).toHaveLength(BUCKETS)
  for (const keepers of owners) expect(new Set(keepers).size).toBe(SHARD_COPIES)
  const fair = (SHARD_COPIES * BUCKETS) / NODES.length
  for (const node of NODES) {
    const share = owners.filter((keepers) => keepers.includes(node)).length
    expect(share).toBeGreaterThan(0.5 * fair)
    expect(share).toBeLessThan(1.5 * fair)
  }
})

test('a node that goes moves its own buckets and no other, in whatever order nodes are named', () => {
  const before = shardOwners(NODES)
  const after = shardOwners(NODES.filter((node) => node !== 'node-3').toReversed())
  for (const [bucket, keepers] of before.entries()) {
    const left = keepers.filter((node) => node !== 'node-3')
    expect(after[bucket]?.slice(0, left.length)).toEqual(left)
  }
})

test('alone, a node keeps all', () => {
  expect(shardOwners(['only']).every((keepers) => keepers.join() === 'only')).toBe(true)
  expect(shardOwners([]).every((keepers) => keepers.length === 0)).toBe(true)
})
