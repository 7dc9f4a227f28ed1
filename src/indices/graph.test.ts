import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { runs } from '../../test/effort.ts'
import { FragmentGraph } from './graph.ts'
import { EDGE_KINDS, type EdgeKind } from './graph-edges.ts'

const HALF_LIFE_MS = 10_000
const HALF_LIVES = { 'prefix-of': null, 'version-of': null, 'derived-from': null, 'co-accessed': HALF_LIFE_MS } as const
const KEYS = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h']
const NOW_MS = 1_700_000_000_000

function graphOf(keys: readonly string[], options: ConstructorParameters<typeof FragmentGraph>[0] = {}): FragmentGraph {
  const graph = new FragmentGraph({ halfLifeMs: HALF_LIVES, ...options })
  for (const key of keys) graph.insert(key)
  return graph
}

describe('an edge', () => {
  test('joins only keys that are there', () => {
    const graph = graphOf(['a', 'b'])
    expect(graph.relate('a', 'c', 'prefix-of', 1, NOW_MS)).toBe(false)
    expect(graph.relate('a', 'a', 'prefix-of', 1, NOW_MS)).toBe(false)
    expect(graph.relate('a', 'b', 'prefix-of', 1, NOW_MS)).toBe(true)
    expect(graph.has('c')).toBe(false)
  })

  test('has a direction, unless it is by co-access', () => {
    const graph = graphOf(['a', 'b'])
    graph.relate('a', 'b', 'derived-from', 2, NOW_MS)
    graph.relate('a', 'b', 'co-accessed', 1, NOW_MS)
    const seen = (key: string) => graph.neighbours(key, { limit: 9, atMs: NOW_MS })
    expect(seen('a')).toMatchObject([
      { key: 'b', kind: 'derived-from', direction: 'out', weight: 2 },
      { key: 'b', kind: 'co-accessed', direction: 'both' },
    ])
    expect(seen('b')).toMatchObject([
      { key: 'a', direction: 'in', weight: 2 },
      { key: 'a', direction: 'both' },
    ])
  })

  test('by co-access weighs half after a half-life, and a fact weighs what it did', () => {
    const graph = graphOf(['a', 'b'])
    graph.relate('a', 'b', 'co-accessed', 8, NOW_MS)
    graph.relate('a', 'b', 'version-of', 8, NOW_MS)
    const later = graph.neighbours('a', { limit: 9, atMs: NOW_MS + 3 * HALF_LIFE_MS })
    expect(later.map(({ weight }) => weight)).toEqual([8, expect.closeTo(1, 6)])
  })

  test.each([0, -1, Number.NaN, 1e10])('of weight %s is refused', (weight) => {
    expect(() => graphOf(['a', 'b']).relate('a', 'b', 'prefix-of', weight, NOW_MS)).toThrow('weight of an edge')
  })
})

describe('an access of many keys', () => {
  test('links each with the few after it, closer ones more', () => {
    const keys = Array.from({ length: 1000 }, (_, index) => `k${index}`)
    const graph = graphOf(keys, { coAccessWindow: 3 })
    graph.coAccessed(keys, NOW_MS)
    expect(graph.edgeCount('co-accessed')).toBe(999 + 998 + 997)
    expect(graph.neighbours('k0', { limit: 9, atMs: NOW_MS })).toMatchObject([
      { key: 'k1', weight: expect.closeTo(1, 6) },
      { key: 'k2', weight: expect.closeTo(1 / 2, 6) },
      { key: 'k3', weight: expect.closeTo(1 / 3, 6) },
    ])
  })

  test('adds to what is left of earlier ones', () => {
    const graph = graphOf(['a', 'b'])
    graph.coAccessed(['a', 'b'], NOW_MS)
    graph.coAccessed(['b', 'a', 'b'], NOW_MS + HALF_LIFE_MS)
    expect(graph.coAccessValue('a', NOW_MS + HALF_LIFE_MS)).toBeCloseTo(1.5, 6)
    expect(graph.coAccessValue('a', NOW_MS + 2 * HALF_LIFE_MS)).toBeCloseTo(0.75, 6)
  })

  test('brings nothing back that was removed', () => {
    const graph = graphOf(['a', 'b'])
    graph.remove('a')
    graph.coAccessed(['a', 'b'], NOW_MS)
    expect([graph.has('a'), graph.edgeCount('co-accessed')]).toEqual([false, 0])
  })
})

describe('bounds', () => {
  test('the weakest edge of a key leaves first', () => {
    const graph = graphOf(['hub', 'a', 'b', 'c', 'd'], { degreeMax: 2 })
    for (const [key, weight] of [
      ['a', 3],
      ['b', 1],
      ['c', 2],
    ] as const) {
      graph.relate('hub', key, 'prefix-of', weight, NOW_MS)
    }
    expect(graph.relate('d', 'hub', 'prefix-of', 0.5, NOW_MS)).toBe(false)
    expect(graph.neighbours('hub', { limit: 9, atMs: NOW_MS }).map(({ key }) => key)).toEqual(['a', 'c'])
    expect(graph.neighbours('b', { limit: 9, atMs: NOW_MS })).toEqual([])
  })

  test('the weakest edge of a kind leaves first, at the weight that is left', () => {
    const graph = graphOf(['a', 'b', 'c', 'd'], { edgesMax: 2 })
    graph.relate('a', 'b', 'co-accessed', 4, NOW_MS)
    graph.relate('b', 'c', 'co-accessed', 2, NOW_MS + 2 * HALF_LIFE_MS)
    graph.relate('c', 'd', 'co-accessed', 2, NOW_MS + 2 * HALF_LIFE_MS)
    expect(graph.neighbours('a', { limit: 9, atMs: NOW_MS })).toEqual([])
    expect(graph.edgeCount('co-accessed')).toBe(2)
  })

  test('a full graph refuses a new key, and knows the old ones', () => {
    const graph = graphOf(['a'], { keysMax: 1 })
    expect([graph.insert('b'), graph.insert('a')]).toEqual([false, true])
  })
})

describe('a subgraph', () => {
  const keys = ['a', 'b', 'c', 'd', 'e']
  const chain = graphOf(keys)
  for (const [index, key] of keys.slice(1).entries())
    chain.relate(keys[index] ?? '', key, 'prefix-of', 5 - index, NOW_MS)

  test('ends at its depth and has the edges between its nodes', () => {
    expect(chain.subgraph('b', { depth: 1, atMs: NOW_MS })).toEqual({
      nodes: [
        { key: 'b', depth: 0 },
        { key: 'a', depth: 1 },
        { key: 'c', depth: 1 },
      ],
      edges: [
        { from: 'b', to: 'c', kind: 'prefix-of', weight: 4 },
        { from: 'a', to: 'b', kind: 'prefix-of', weight: 5 },
      ],
    })
  })

  test('does not cross light edges, ends at its size, and is null for nothing', () => {
    const reached = (options: { weightMin?: number; nodesMax?: number }) =>
      chain.subgraph('a', { depth: 9, atMs: NOW_MS, ...options })?.nodes.map(({ key }) => key)
    expect(reached({ weightMin: 3 })).toEqual(['a', 'b', 'c', 'd'])
    expect(reached({ nodesMax: 2 })).toEqual(['a', 'b'])
    expect(chain.subgraph('z', { depth: 1, atMs: NOW_MS })).toBeNull()
    expect(() => chain.subgraph('a', { depth: 99, atMs: NOW_MS })).toThrow('depth of a subgraph')
  })
})

test('components are the keys that paths of edges join', () => {
  const graph = graphOf(['a', 'b', 'c', 'd', 'e'])
  graph.relate('e', 'd', 'prefix-of', 1, NOW_MS)
  graph.relate('d', 'a', 'derived-from', 1, NOW_MS)
  graph.relate('b', 'c', 'co-accessed', 1, NOW_MS)
  const sorted = (kinds?: readonly EdgeKind[]) =>
    graph.components({ atMs: NOW_MS, ...(kinds && { kinds }) }).map((keys) => keys.toSorted())
  expect(sorted()).toEqual([
    ['a', 'd', 'e'],
    ['b', 'c'],
  ])
  expect(sorted(['derived-from'])).toEqual([['a', 'd'], ['b'], ['c'], ['e']])
})

test('what was accessed together with several of the keys is the first to prefetch', () => {
  const graph = graphOf(['a', 'b', 'c', 'd'], { coAccessWindow: 1 })
  graph.coAccessed(['a', 'c'], NOW_MS)
  graph.coAccessed(['b', 'c'], NOW_MS)
  graph.coAccessed(['a', 'd'], NOW_MS)
  graph.coAccessed(['a', 'b'], NOW_MS)
  graph.relate('a', 'd', 'prefix-of', 100, NOW_MS)
  expect(graph.prefetchCandidates(['a', 'b', 'nowhere'], { limit: 5, atMs: NOW_MS })).toEqual([
    { key: 'c', weight: expect.closeTo(2, 6) },
    { key: 'd', weight: expect.closeTo(1, 6) },
  ])
})

/** The same graph, as a list of edges with their weights, decayed and sorted anew each time. */
class NaiveGraph {
  readonly keys = new Set<string>()
  readonly degreeMax: number
  readonly edgesMax: number
  edges: NaiveEdge[] = []

  constructor(degreeMax: number, edgesMax: number) {
    this.degreeMax = degreeMax
    this.edgesMax = edgesMax
  }

  remove(key: string): void {
    this.keys.delete(key)
    this.edges = this.edges.filter((edge) => edge.from !== key && edge.to !== key)
  }

  set(from: string, to: string, kind: EdgeKind, weight: number, atMs: number, isAdded: boolean): void {
    if (!this.keys.has(from) || !this.keys.has(to) || from === to) return
    const isSame = (edge: NaiveEdge) =>
      edge.kind === kind &&
      ((edge.from === from && edge.to === to) || (kind === 'co-accessed' && edge.from === to && edge.to === from))
    const before = this.edges.find(isSame)
    this.edges = this.edges.filter((edge) => !isSame(edge))
    const left = isAdded && before !== undefined ? this.weight(before, atMs) : 0
    this.edges.push({ from, to, kind, weight: weight + left, atMs })
    for (const end of [from, to]) {
      this.#drop((edge) => edge.kind === kind && (edge.from === end || edge.to === end), this.degreeMax, atMs)
    }
    this.#drop((edge) => edge.kind === kind, this.edgesMax, atMs)
  }

  weight(edge: NaiveEdge, atMs: number): number {
    return edge.weight * (edge.kind === 'co-accessed' ? 0.5 ** ((atMs - edge.atMs) / HALF_LIFE_MS) : 1)
  }

  around(key: string, atMs: number): { readonly name: string; readonly kind: EdgeKind; readonly weight: number }[] {
    return this.edges
      .filter((edge) => edge.from === key || edge.to === key)
      .map((edge) => {
        const [direction, other] = edge.from === key ? ['out', edge.to] : ['in', edge.from]
        const name = `${other} ${edge.kind} ${edge.kind === 'co-accessed' ? 'both' : direction}`
        return { name, kind: edge.kind, weight: this.weight(edge, atMs) }
      })
  }

  #drop(isIn: (edge: NaiveEdge) => boolean, max: number, atMs: number): void {
    const of = this.edges.filter(isIn)
    if (of.length <= max) return
    // Edges are in the order of their last change, and the sort keeps it.
    const weakest = of.toSorted((a, b) => this.weight(a, atMs) - this.weight(b, atMs))[0]
    this.edges = this.edges.filter((edge) => edge !== weakest)
  }
}

interface NaiveEdge {
  readonly from: string
  readonly to: string
  readonly kind: EdgeKind
  readonly weight: number
  readonly atMs: number
}

const key = fc.constantFrom(...KEYS)
const edge = fc.record({
  do: fc.constant('relate' as const),
  from: key,
  to: key,
  kind: fc.constantFrom(...EDGE_KINDS),
  weight: fc.integer({ min: 1, max: 5 }),
})
const step = fc.oneof(
  { weight: 1, arbitrary: fc.record({ do: fc.constant('insert' as const), key }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('remove' as const), key }) },
  { weight: 4, arbitrary: edge },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('access' as const), keys: fc.array(key, { maxLength: 6 }) }) },
)

test('the graph does what a list of edges does, whatever is done', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), fc.integer({ min: 1, max: 6 }), (steps, edgesMax) => {
      const [degreeMax, coAccessWindow] = [3, 2]
      const graph = graphOf(KEYS, { degreeMax, edgesMax, coAccessWindow })
      const naive = new NaiveGraph(degreeMax, edgesMax)
      for (const key of KEYS) naive.keys.add(key)
      let atMs = NOW_MS
      for (const done of steps) {
        // No number of such steps is a whole number of half-lives, so no two sums are equal but for rounding.
        atMs += 0.2718 * HALF_LIFE_MS
        if (done.do === 'insert') {
          graph.insert(done.key)
          naive.keys.add(done.key)
        } else if (done.do === 'remove') {
          graph.remove(done.key)
          naive.remove(done.key)
        } else if (done.do === 'relate') {
          graph.relate(done.from, done.to, done.kind, done.weight, atMs)
          naive.set(done.from, done.to, done.kind, done.weight, atMs, false)
        } else {
          graph.coAccessed(done.keys, atMs)
          const keys = [...new Set(done.keys)].filter((key) => naive.keys.has(key))
          for (const [index, from] of keys.entries()) {
            for (const distance of [1, 2]) {
              const to = keys[index + distance]
              if (to !== undefined) naive.set(from, to, 'co-accessed', 1 / distance, atMs, true)
            }
          }
        }
        for (const key of KEYS) {
          const byName = <One extends { name: string }>(list: One[]) => list.sort((a, b) => (a.name < b.name ? -1 : 1))
          const found = graph
            .neighbours(key, { limit: 99, atMs })
            .map((one) => ({ name: `${one.key} ${one.kind} ${one.direction}`, weight: one.weight }))
          const expected = naive
            .around(key, atMs)
            .map(({ name, weight }) => ({ name, weight: expect.closeTo(weight, 6) as number }))
          expect(byName(found)).toEqual(byName(expected))
          const value = naive
            .around(key, atMs)
            .reduce((sum, { kind, weight }) => sum + (kind === 'co-accessed' ? weight : 0), 0)
          expect(graph.coAccessValue(key, atMs)).toBeCloseTo(value, 5)
        }
      }
    }),
    { numRuns: runs(200) },
  )
})
