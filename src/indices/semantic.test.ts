import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { runs } from '../../test/effort.ts'
import { DEFAULT_TENANT, parseModelFingerprint, parseTenantId } from '../core/ids.ts'
import { seededRandom, standardNormal } from '../core/random.ts'
import { bruteForceVectors } from '../vectors/brute-force.ts'
import { SemanticIndex } from './semantic.ts'

const MODEL = parseModelFingerprint('a'.repeat(64))
const OTHER_MODEL = parseModelFingerprint('b'.repeat(64))
const OTHER_TENANT = parseTenantId('other')
const HERE = { tenant: DEFAULT_TENANT, model: MODEL }

const at = (degrees: number) =>
  Float32Array.of(Math.cos((degrees * Math.PI) / 180), Math.sin((degrees * Math.PI) / 180))
const exact = (bounds: { entriesMax?: number; scopesMax?: number } = {}) =>
  new SemanticIndex({ vectors: bruteForceVectors, ...bounds })
const keysNear = (index: SemanticIndex, degrees: number, where = HERE) =>
  index.nearest({ ...where, vector: at(degrees), limit: 10, similarityMin: 0.5 }).map(({ key }) => key)

describe('the semantic index', () => {
  test('finds the nearest first, and none below the threshold', () => {
    const index = exact()
    for (const degrees of [0, 10, 30, 80]) index.insert({ ...HERE, key: `${degrees}`, vector: at(degrees) })
    const found = index.nearest({ ...HERE, vector: at(12), limit: 3, similarityMin: Math.cos(Math.PI / 12) })
    expect(found).toEqual([
      { key: '10', similarity: expect.closeTo(Math.cos((2 * Math.PI) / 180), 6) },
      { key: '0', similarity: expect.closeTo(Math.cos((12 * Math.PI) / 180), 6) },
    ])
  })

  test('keeps tenants and models apart', () => {
    const index = exact()
    index.insert({ ...HERE, key: 'mine', vector: at(0) })
    index.insert({ ...HERE, tenant: OTHER_TENANT, key: 'theirs', vector: at(0) })
    index.insert({ ...HERE, model: OTHER_MODEL, key: 'of another model', vector: at(0) })
    expect(keysNear(index, 0)).toEqual(['mine'])
    expect(keysNear(index, 0, { ...HERE, tenant: OTHER_TENANT })).toEqual(['theirs'])
    expect(keysNear(index, 0, { tenant: OTHER_TENANT, model: OTHER_MODEL })).toEqual([])
  })

  test('has one entry a key, the last', () => {
    const index = exact()
    expect(index.insert({ ...HERE, key: 'a', vector: at(0) })).toBe('inserted')
    expect(index.insert({ ...HERE, key: 'a', vector: at(90) })).toBe('replaced')
    expect([index.count, keysNear(index, 0), keysNear(index, 90)]).toEqual([1, [], ['a']])
    expect(index.insert({ ...HERE, model: OTHER_MODEL, key: 'a', vector: at(90) })).toBe('replaced')
    expect([index.count, index.scopeCount, keysNear(index, 90)]).toEqual([1, 1, []])
  })

  test('frees a scope with its last entry, which may then have vectors of another length', () => {
    const index = exact()
    index.insert({ ...HERE, key: 'a', vector: at(0) })
    expect(() => index.insert({ ...HERE, key: 'b', vector: Float32Array.of(1, 2, 3) })).toThrow('has 2 dimensions')
    expect([index.remove('a'), index.remove('a'), index.scopeCount]).toEqual([true, false, 0])
    expect(index.insert({ ...HERE, key: 'b', vector: Float32Array.of(1, 2, 3) })).toBe('inserted')
  })

  test.each([
    [Float32Array.of(0, 0)],
    [Float32Array.of(Number.NaN, 1)],
    [Float32Array.of(Number.POSITIVE_INFINITY, 1)],
  ])('refuses %o and keeps what it had', (vector) => {
    const index = exact()
    index.insert({ ...HERE, key: 'a', vector: at(0) })
    expect(() => index.insert({ ...HERE, key: 'a', vector })).toThrow('finite and not zero')
    expect(() => index.insert({ ...HERE, model: OTHER_MODEL, key: 'b', vector })).toThrow('finite and not zero')
    expect([keysNear(index, 0), index.scopeCount]).toEqual([['a'], 1])
  })

  test('refuses a question without sense', () => {
    const ask = (limit: number, similarityMin: number) =>
      exact().nearest({ ...HERE, vector: at(0), limit, similarityMin })
    expect(() => ask(0, 0)).toThrow('limit')
    expect(() => ask(5000, 0)).toThrow('limit')
    expect(() => ask(5, 1.5)).toThrow('cosine')
    expect(() => ask(5, Number.NaN)).toThrow('cosine')
  })

  test('when it is full, the oldest of the largest scope leaves', () => {
    const index = exact({ entriesMax: 4 })
    index.insert({ ...HERE, tenant: OTHER_TENANT, key: 'theirs', vector: at(0) })
    for (const key of ['a', 'b', 'c', 'd']) index.insert({ ...HERE, key, vector: at(0) })
    expect([index.has('a'), index.has('theirs'), index.count, index.evictedEntries]).toEqual([false, true, 4, 1])
    index.insert({ ...HERE, key: 'b', vector: at(0) })
    index.insert({ ...HERE, key: 'e', vector: at(0) })
    expect([index.has('b'), index.has('c')]).toEqual([true, false])
  })

  test('refuses a scope too many', () => {
    const index = exact({ scopesMax: 1 })
    index.insert({ ...HERE, key: 'a', vector: at(0) })
    expect(index.insert({ ...HERE, model: OTHER_MODEL, key: 'a', vector: at(0) })).toBe('refused')
    expect([index.count, keysNear(index, 0)]).toEqual([1, ['a']])
  })
})

test('clusters are what paths of similar entries join', () => {
  const index = exact()
  for (const degrees of [0, 8, 16, 60, 65, 120]) index.insert({ ...HERE, key: `${degrees}`, vector: at(degrees) })
  index.insert({ ...HERE, tenant: OTHER_TENANT, key: 'theirs', vector: at(4) })
  const similarityMin = Math.cos((10 * Math.PI) / 180)
  const { clusters, leftOut } = index.clusters({ ...HERE, similarityMin, entriesMax: 100 })
  expect([clusters, leftOut]).toEqual([
    [
      ['0', '8', '16'],
      ['60', '65'],
    ],
    0,
  ])
  expect(index.clusters({ ...HERE, similarityMin, entriesMax: 3 })).toEqual({ clusters: [['60', '65']], leftOut: 3 })
  expect(index.clusters({ ...HERE, model: OTHER_MODEL, similarityMin, entriesMax: 100 })).toEqual({
    clusters: [],
    leftOut: 0,
  })
  expect(() => index.clusters({ ...HERE, similarityMin, entriesMax: 0 })).toThrow('A clustering takes')
})

const change = fc.oneof(
  fc.record({
    do: fc.constant('insert' as const),
    key: fc.integer({ min: 0, max: 12 }),
    model: fc.constantFrom(MODEL, OTHER_MODEL),
    seed: fc.nat(),
  }),
  fc.record({ do: fc.constant('remove' as const), key: fc.integer({ min: 0, max: 12 }) }),
)

test('it answers as a list does that is sorted by cosine, whatever was inserted, replaced and removed', () => {
  const random = (seed: number) => {
    const next = seededRandom(seed)
    return new Float32Array(6).map(() => standardNormal(next))
  }
  const cosine = (a: Float32Array, b: Float32Array) => {
    const dot = (x: Float32Array, y: Float32Array) => x.reduce((sum, value, k) => sum + value * (y[k] ?? 0), 0)
    return dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b))
  }
  fc.assert(
    fc.property(fc.array(change, { maxLength: 60 }), (changes) => {
      const index = exact()
      const list = new Map<string, { model: string; vector: Float32Array }>()
      for (const { key: number, ...done } of changes) {
        const key = `k${number}`
        if (done.do === 'remove') expect(index.remove(key)).toBe(list.delete(key))
        else {
          const vector = random(done.seed)
          index.insert({ ...HERE, model: done.model, key, vector })
          list.set(key, { model: done.model, vector })
        }
        const vector = random(number)
        const found = index.nearest({ ...HERE, vector, limit: 4, similarityMin: 0 })
        const expected = Array.from(list, ([key, entry]) => ({
          key,
          ...entry,
          similarity: cosine(entry.vector, vector),
        }))
          .filter(({ model, similarity }) => model === MODEL && similarity >= 0)
          .sort((a, b) => b.similarity - a.similarity)
          .slice(0, 4)
        expect(found.map(({ similarity }) => similarity)).toEqual(
          expected.map(({ similarity }) => expect.closeTo(similarity, 5)),
        )
        expect(index.count).toBe(list.size)
      }
    }),
    { numRuns: runs(100) },
  )
})
