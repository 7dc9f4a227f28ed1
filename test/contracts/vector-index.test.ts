/** What every vector index promises, whoever finds the neighbours. */
import fc from 'fast-check'
import { describe, expect, test, vi } from 'vitest'
import type { VectorIndexFactory } from '../../src/core/ports.ts'
import { type Random, seededRandom, standardNormal } from '../../src/core/random.ts'
import { simHashVectors } from '../../src/indices/sim-hash.ts'
import { bruteForceVectors } from '../../src/vectors/brute-force.ts'
import { loadUsearch } from '../../src/vectors/usearch.ts'
import { runs } from '../effort.ts'

const FACTORIES: readonly (readonly [string, VectorIndexFactory])[] = [
  ['brute force', bruteForceVectors],
  ['SimHash of 64 bits', simHashVectors({ bits: 64, keptRatio: 0.2 })],
  ['SimHash of 128 bits', simHashVectors({ keptRatio: 0.1 })],
  ['USearch', await loadUsearch()],
]

function randomVector(random: Random, dimensions: number): Float32Array {
  return new Float32Array(dimensions).map(() => standardNormal(random))
}

/** Points around 50 centres, as embeddings of texts are. */
function clusteredVectors(random: Random, count: number, dimensions: number): Float32Array[] {
  const centres = Array.from({ length: 50 }, () => randomVector(random, dimensions))
  return Array.from({ length: count }, () => {
    const centre = centres[Math.floor(random() * centres.length)]
    return randomVector(random, dimensions).map((value, k) => 0.7 * value + (centre?.[k] ?? 0))
  })
}

describe.each(FACTORIES)('%s', (_, create) => {
  test('finds nothing where nothing is', () => {
    expect(create(3).search(Float32Array.of(1, 0, 0), 5)).toEqual([])
  })

  test('finds a vector by itself, whatever its length, and gives it back with length 1', () => {
    const index = create(2)
    index.add(7, Float32Array.of(3e30, 4e30))
    index.add(0, Float32Array.of(-1e-30, 0))
    const found = index.search(Float32Array.of(3e-20, 4e-20), 5)
    expect(found.map(({ id }) => id)).toEqual([7, 0])
    expect(found.map(({ similarity }) => similarity)).toEqual([expect.closeTo(1, 6), expect.closeTo(-0.6, 6)])
    expect([...(index.vector(7) ?? [])]).toEqual([expect.closeTo(0.6, 6), expect.closeTo(0.8, 6)])
    expect(index.vector(1)).toBeNull()
  })

  test('does not find what was removed, and takes its id again', () => {
    const index = create(2)
    index.add(0, Float32Array.of(1, 0))
    index.add(1, Float32Array.of(0, 1))
    expect([index.remove(0), index.remove(0), index.count]).toEqual([true, false, 1])
    expect(index.search(Float32Array.of(1, 0), 5).map(({ id }) => id)).toEqual([1])
    index.add(0, Float32Array.of(-1, 0))
    expect(index.search(Float32Array.of(-1, 0), 1)).toEqual([{ id: 0, similarity: 1 }])
    for (const id of [0, 1]) index.remove(id)
    expect([index.count, index.search(Float32Array.of(1, 0), 5)]).toEqual([0, []])
  })

  test('refuses a vector without a direction or of another length', () => {
    const index = create(2)
    for (const vector of [
      [0, 0],
      [Number.NaN, 1],
      [1, 2, 3],
    ]) {
      expect(() => index.add(0, Float32Array.from(vector))).toThrow(
        expect.objectContaining({ code: 'INVALID_REQUEST' }),
      )
      expect(() => index.search(Float32Array.from(vector), 1)).toThrow(
        expect.objectContaining({ code: 'INVALID_REQUEST' }),
      )
    }
    expect(index.count).toBe(0)
    expect(() => create(0)).toThrow(expect.objectContaining({ code: 'INVALID_REQUEST' }))
  })

  test('answers in order, with true similarities, only what is there', () => {
    const change = fc.record({ id: fc.nat({ max: 40 }), seed: fc.nat() })
    fc.assert(
      fc.property(fc.array(change, { minLength: 1, maxLength: 80 }), (changes) => {
        const index = create(8)
        const held = new Map<number, Float32Array>()
        for (const { id, seed } of changes) {
          const vector = randomVector(seededRandom(seed), 8)
          if (held.delete(id)) expect(index.remove(id)).toBe(true)
          else {
            index.add(id, vector)
            held.set(id, vector)
          }
          const found = index.search(vector, 5)
          expect(found.map(({ similarity }) => similarity)).toEqual(
            found.map(({ similarity }) => similarity).toSorted((a, b) => b - a),
          )
          expect(new Set(found.map((one) => one.id)).size).toBe(Math.min(5, held.size))
          for (const one of found) expect(one.similarity).toBeCloseTo(cosine(vector, held.get(one.id)), 5)
        }
        expect(index.count).toBe(held.size)
      }),
      { numRuns: runs(40) },
    )
  })

  test('finds at least 95 of 100 of the true five nearest, after as many removals as are left', () => {
    const random = seededRandom(5)
    const vectors = clusteredVectors(random, 4000, 48)
    const [index, exact] = [create(48), bruteForceVectors(48)]
    for (const [id, vector] of vectors.entries()) index.add(id, vector)
    for (let id = 0; id < vectors.length; id += 2) index.remove(id)
    for (const [id, vector] of vectors.entries()) if (id % 2 === 1) exact.add(id, vector)
    let found = 0
    const questions = clusteredVectors(seededRandom(5), 200, 48)
    for (const question of questions) {
      const ids = new Set(exact.search(question, 5).map(({ id }) => id))
      found += index.search(question, 5).filter(({ id }) => ids.has(id)).length
    }
    expect(found / (5 * questions.length)).toBeGreaterThanOrEqual(0.95)
  })
})

test('settings that make no sense are refused', async () => {
  const refused = expect.objectContaining({ code: 'INVALID_CONFIG' })
  expect(() => simHashVectors({ keptRatio: 0 })).toThrow(refused)
  expect(() => simHashVectors({ keptMin: 0.5 })).toThrow(refused)
  await expect(loadUsearch({ connectivity: 0 })).rejects.toThrow(refused)
})

test('a package that is not there is an error that names what to install', async () => {
  vi.doMock('usearch', () => {
    throw new Error('not there')
  })
  try {
    await expect(loadUsearch()).rejects.toMatchObject({
      code: 'MISSING_PACKAGE',
      remedy: expect.stringContaining('npm install usearch'),
    })
  } finally {
    vi.doUnmock('usearch')
  }
})

function cosine(a: Float32Array, b: Float32Array = new Float32Array(a.length)): number {
  const dot = (x: Float32Array, y: Float32Array) => x.reduce((sum, value, k) => sum + value * (y[k] ?? 0), 0)
  return dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b))
}
