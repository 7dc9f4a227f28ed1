import { expect, test } from 'vitest'
import { HashRing, ringPlace } from './hash-ring.ts'

const NODES = Array.from({ length: 10 }, (_, index) => ({ node: `node-${index}` }))
const PLACES = Array.from({ length: 20_000 }, (_, index) => ringPlace(`fragment ${index}`))

function firstOf(ring: HashRing, place: number): string {
  return ring.walk(place).next().value ?? ''
}

test('every node gets about its share', () => {
  const ring = new HashRing(NODES)
  const counts = Map.groupBy(PLACES, (place) => firstOf(ring, place))
  expect(counts.size).toBe(NODES.length)
  for (const { length } of counts.values()) {
    expect(length).toBeGreaterThan((0.6 * PLACES.length) / NODES.length)
    expect(length).toBeLessThan((1.5 * PLACES.length) / NODES.length)
  }
})

test('a node that goes moves its own share and no other, in whatever order nodes are named', () => {
  const before = new HashRing(NODES)
  const after = new HashRing(NODES.filter(({ node }) => node !== 'node-4').toReversed())
  for (const place of PLACES) {
    const first = firstOf(before, place)
    expect(firstOf(after, place)).toBe(first === 'node-4' ? [...before.walk(place)][1] : first)
  }
})

test('a walk meets every node once, and a heavier one more often first', () => {
  const ring = new HashRing([...NODES.slice(0, 3), { node: 'large', weight: 3 }])
  expect([...ring.walk(7)].toSorted()).toEqual(['large', 'node-0', 'node-1', 'node-2'])
  const large = PLACES.filter((place) => firstOf(ring, place) === 'large').length
  expect(large / PLACES.length).toBeGreaterThan(0.35)
  expect(large / PLACES.length).toBeLessThan(0.65)
  expect([...new HashRing([]).walk(1)]).toEqual([])
})
