import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { runs } from '../../test/effort.ts'
import { openSimulatedBackend, type SimulatedOptions } from '../compute/simulated.ts'
import { kullbackLeibler, labelApproximate } from './moved-divergence.ts'

const logits = (min: number, max: number): fc.Arbitrary<readonly number[]> =>
  fc.array(fc.float({ min: Math.fround(min), max: Math.fround(max), noNaN: true }), { minLength: 5, maxLength: 5 })

const kl = (p: readonly number[], q: readonly number[]): number =>
  kullbackLeibler(Float32Array.from(p), Float32Array.from(q))

describe('the Kullback-Leibler divergence', () => {
  test('is what its definition says', () => {
    fc.assert(
      fc.property(logits(-8, 8), logits(-8, 8), (p, q) => {
        const probabilities = (numbers: readonly number[]): readonly number[] => {
          const sum = numbers.reduce((total, number) => total + Math.exp(number), 0)
          return numbers.map((number) => Math.exp(number) / sum)
        }
        const ofQ = probabilities(q)
        const expected = probabilities(p).reduce(
          (sum, probability, index) => sum + probability * Math.log(probability / (ofQ[index] ?? 0)),
          0,
        )
        expect(kl(p, q)).toBeCloseTo(expected, 10)
      }),
      { numRuns: runs(300) },
    )
  })

  test('is never below 0, nor lost for logits of any size, and 0 for the same distribution', () => {
    fc.assert(
      fc.property(logits(-1e4, 1e4), logits(-1e4, 1e4), fc.integer({ min: -1000, max: 1000 }), (p, q, shift) => {
        const divergence = kl(p, q)
        expect(divergence).toBeGreaterThanOrEqual(0)
        expect(divergence).toBeLessThan(1e5)
        expect(kl(p, p)).toBe(0)
        const shifted = p.map((number) => Math.round(number) + shift)
        expect(kl(p.map(Math.round), shifted)).toBeLessThan(1e-12)
      }),
      { numRuns: runs(300) },
    )
  })

  test('tells small differences', () => {
    // Of two equal tokens, one a little likelier: x^2 / 8.
    for (const x of [2 ** -8, 2 ** -14, 2 ** -20]) expect(kl([1, 1], [1, 1 + x]) / (x ** 2 / 8)).toBeCloseTo(1, 2)
  })

  test('is infinite where the other excludes a token, and not where it is excluded itself', () => {
    const none = Number.NEGATIVE_INFINITY
    expect(kl([0, 0, 0], [0, none, 0])).toBe(Number.POSITIVE_INFINITY)
    expect(kl([0, none], [0, 0])).toBeCloseTo(Math.log(2), 12)
    expect(kl([0, none], [0, none])).toBe(0)
    expect(kl([0, -9e4], [-9e4, 0])).toBeCloseTo(9e4, 3)
  })

  test.each([
    [[0, 1], [0]],
    [[Number.NEGATIVE_INFINITY], [0]],
    [[Number.POSITIVE_INFINITY], [0]],
    [[], []],
  ])('is not defined for %j and %j', (p, q) => {
    expect(() => kl(p, q)).toThrow(expect.objectContaining({ code: 'INVALID_REQUEST' }))
  })
})

describe('an approximate answer', () => {
  const OPTIONS: SimulatedOptions = {
    name: 'small',
    layers: 1,
    kvHeads: 1,
    headDim: 4,
    dtype: 'F32',
    contextTokensMax: 20,
    prefillSeconds: () => 0,
    wait: async () => {},
  }
  const tokenIds = Uint32Array.of(5, 6, 7)

  test('is measured on the share of calls that chance picks', async () => {
    const engine = openSimulatedBackend(OPTIONS)
    const context = await engine.openContext(3)
    await context.prefill(0, tokenIds)
    const right = context.logits().slice()
    const label = (random: number, logits: Float32Array) =>
      labelApproximate(engine, { tokenIds, logits }, { share: 0.5, random: () => random })
    expect(await label(0.4, right)).toEqual({ sampled: true, klNats: 0 })
    expect((await label(0.4, right.toReversed())).klNats).toBeGreaterThan(1)
    expect(await label(0.5, right)).toEqual({ sampled: false, klNats: null })
  })

  test('is not measured where there is no room for a second context, and leaves none behind', async () => {
    const engine = openSimulatedBackend({ ...OPTIONS, memoryBytesMax: 3 * 32 })
    const sampling = { share: 1, random: () => 0 }
    const answer = { tokenIds, logits: new Float32Array(512) }
    for (let round = 0; round < 3; round++)
      expect(await labelApproximate(engine, answer, sampling)).toMatchObject({ sampled: true })
    const context = await engine.openContext(1)
    expect(await labelApproximate(engine, answer, sampling)).toEqual({ sampled: false, klNats: null })
    await context.close()
    const signal = AbortSignal.abort()
    await expect(labelApproximate(engine, answer, { ...sampling, signal })).rejects.toMatchObject({ code: 'ABORTED' })
    expect(await labelApproximate(engine, answer, sampling)).toMatchObject({ sampled: true })
  })
})
