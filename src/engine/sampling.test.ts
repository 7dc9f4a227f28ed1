import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { runs } from '../../test/effort.ts'
import { GREEDY, type Sampling } from '../core/compute.ts'
import { seededRandom } from '../core/random.ts'
import { exponentialOf } from './sampling-exponential.ts'
import { sample, TokenSampler } from './sampling.ts'

const ALL: Sampling = { temperature: 1, topK: 0, topP: 1, seed: 0 }
/** Few different values, so that many are equal. */
const someLogits = fc
  .array(fc.oneof(fc.integer({ min: -3, max: 3 }), fc.double({ min: -20, max: 20, noNaN: true })), {
    minLength: 1,
    maxLength: 40,
  })
  .map((values) => Float32Array.from(values))

/** What remains possible, by definition: sort everything, keep the first, then the fewest that reach `topP`. */
function possible(logits: Float32Array, { temperature, topK, topP }: Sampling): ReadonlyMap<number, number> {
  const sorted = [...logits.keys()].sort((a, b) => (logits[b] ?? 0) - (logits[a] ?? 0) || a - b)
  const first = sorted.slice(0, topK === 0 ? undefined : topK)
  const greatest = Math.max(...logits)
  const weightOf = (id: number): number => Math.exp(((logits[id] ?? 0) - greatest) / temperature)
  const total = first.reduce((sum, id) => sum + weightOf(id), 0)
  const kept: number[] = []
  let reached = 0
  for (const id of first) {
    // One more where sums of rounded numbers come within a billionth of the boundary.
    if (topP < 1 && reached >= topP * total * (1 + 1e-9)) break
    kept.push(id)
    reached += weightOf(id)
  }
  return new Map(kept.map((id) => [id, weightOf(id) / reached]))
}

/** How often each token was drawn. */
function counts(logits: Float32Array, sampling: Sampling, draws: number): ReadonlyMap<number, number> {
  const sampler = new TokenSampler(sampling)
  const drawn = new Map<number, number>()
  for (let n = 0; n < draws; n++) {
    const id = sampler.next(logits)
    drawn.set(id, (drawn.get(id) ?? 0) + 1)
  }
  return drawn
}

describe('sample', () => {
  test('at temperature 0 takes the likeliest, of equals the smallest id, and draws nothing', () => {
    const random = (): number => {
      throw new Error('drawn')
    }
    fc.assert(
      fc.property(someLogits, (logits) => {
        expect(sample(logits, GREEDY, random)).toBe(logits.indexOf(Math.max(...logits)))
      }),
    )
  })

  test('of one token, or of a probability that the first has, is greedy', () => {
    fc.assert(
      fc.property(someLogits, fc.nat(), (logits, seed) => {
        const greedy = sample(logits, GREEDY, seededRandom(0))
        expect(sample(logits, { ...ALL, topK: 1 }, seededRandom(seed))).toBe(greedy)
        expect(sample(logits, { ...ALL, topP: 1e-9 }, seededRandom(seed))).toBe(greedy)
        expect(sample(logits, { ...ALL, temperature: 1e-300 }, seededRandom(seed))).toSatisfy(
          (id: number) => logits[id] === logits[greedy],
        )
      }),
      { numRuns: runs(100) },
    )
  })

  test('draws only what the definition leaves, and the whole range of it', () => {
    const cuts = fc.record({
      temperature: fc.constantFrom(0.5, 1, 2),
      topK: fc.nat(12),
      topP: fc.constantFrom(0.1, 0.37, 0.5, 0.73, 0.9, 0.99, 1),
      seed: fc.nat(),
    })
    fc.assert(
      fc.property(someLogits, cuts, (logits, sampling) => {
        const left = possible(logits, sampling)
        for (const u of [0, 0.25, 0.5, 0.75, 1 - 2 ** -53])
          expect([...left.keys()]).toContain(sample(logits, sampling, () => u))
        // Of what is in order of likelihood, the ends of the range give the first and the last that weighs anything.
        if (sampling.topK > 0 && sampling.topK < logits.length)
          expect(sample(logits, sampling, () => 0)).toBe([...left.keys()][0])
      }),
      { numRuns: runs(500) },
    )
  })

  test.each([
    [0.49, 1],
    [0.5, 1],
    [0.51, 2],
    [0.75, 2],
    [0.76, 3],
    [1, 4],
  ])('with top-p %d of 1/2, 1/4, 1/8, 1/8 leaves %d tokens', (topP, tokens) => {
    const logits = Float32Array.of(-0.125, 0.5, 0.25, 0.125).map((_, id) => [-2, 0, -1, -2][id] ?? 0)
    const drawn = counts(logits, { ...ALL, temperature: 1 / Math.LN2, topP, seed: 3 }, 500)
    expect([...drawn.keys()].sort((a, b) => a - b)).toEqual([1, 2, 0, 3].slice(0, tokens).sort((a, b) => a - b))
  })

  test.each([
    ALL,
    { ...ALL, temperature: 0.6 },
    { ...ALL, temperature: 1.7, topK: 5 },
    { ...ALL, topP: 0.8 },
    { ...ALL, topK: 6, topP: 0.9 },
  ])('draws as often as the softmax says: %o', (sampling) => {
    const logits = Float32Array.of(1, 0.5, -1, 2, 0.5, -3, 1.5, 0, -0.5, 0.2)
    const draws = runs(20_000, 500_000)
    const drawn = counts(logits, { ...sampling, seed: 11 }, draws)
    const expected = possible(logits, sampling)
    expect([...drawn.keys()].every((id) => expected.has(id))).toBe(true)
    let chiSquare = 0
    for (const [id, probability] of expected) {
      const mean = draws * probability
      chiSquare += ((drawn.get(id) ?? 0) - mean) ** 2 / mean
    }
    // At nine degrees of freedom, one in a million is above 45.
    expect(chiSquare).toBeLessThan(45)
  })

  test('gives the same tokens for the same seed, and others for another', () => {
    const logits = Float32Array.from({ length: 1000 }, (_, id) => Math.sin(id))
    const stream = (seed: number): number[] => {
      const sampler = new TokenSampler({ ...ALL, seed })
      return Array.from({ length: 20 }, () => sampler.next(logits))
    }
    expect(stream(5)).toEqual(stream(5))
    expect(stream(5)).not.toEqual(stream(6))
    // Written down: another machine draws these.
    expect(stream(2 ** 32 - 1).slice(0, 6)).toMatchInlineSnapshot(`
      [
        955,
        266,
        856,
        968,
        209,
        837,
      ]
    `)
  })

  test.each([
    ['a NaN', [0, Number.NaN, 1], 'token 1 is not a number'],
    ['an infinity', [0, Number.POSITIVE_INFINITY], 'token 1 is infinite'],
    ['no possible token', [Number.NEGATIVE_INFINITY, Number.NEGATIVE_INFINITY], 'every logit is minus infinity'],
  ])('refuses %s, greedy or not', (_, values, message) => {
    for (const sampling of [GREEDY, ALL, { ...ALL, topK: 1 }, { ...ALL, topP: 0.5 }])
      expect(() => sample(Float32Array.from(values), sampling, () => 0)).toThrow(
        expect.objectContaining({ code: 'COMPUTE_FAILED', message: expect.stringContaining(message) }),
      )
  })

  test('never draws a token of minus infinity', () => {
    const logits = Float32Array.of(Number.NEGATIVE_INFINITY, 1, Number.NEGATIVE_INFINITY, 1)
    for (const topK of [0, 3])
      for (const u of [0, 0.5, 1 - 2 ** -53]) expect([1, 3]).toContain(sample(logits, { ...ALL, topK }, () => u))
  })

  test.each([
    ['temperature', -1],
    ['temperature', Number.NaN],
    ['temperature', Number.POSITIVE_INFINITY],
    ['topK', -1],
    ['topK', 1.5],
    ['topP', 0],
    ['topP', 1.01],
    ['topP', Number.NaN],
    ['seed', -1],
    ['seed', 2 ** 32],
    ['seed', 0.5],
  ])('refuses %s of %d', (name, value) => {
    const wrong = expect.objectContaining({ code: 'INVALID_REQUEST', message: expect.stringContaining(name) })
    expect(() => sample(Float32Array.of(1, 2), { ...ALL, [name]: value }, () => 0)).toThrow(wrong)
    expect(() => new TokenSampler({ ...ALL, [name]: value })).toThrow(wrong)
  })
})

describe('the exponential', () => {
  test('is that of the mathematics library to two units in the last place', () => {
    fc.assert(
      fc.property(fc.double({ min: -707, max: 0, noNaN: true }), (x) => {
        const exact = Math.exp(x)
        expect(Math.abs(exponentialOf(x) - exact)).toBeLessThanOrEqual(exact * 2 ** -51)
      }),
      { numRuns: runs(2000, 200_000) },
    )
  })

  test('is 1 at 0, and 0 for what is less than any number', () => {
    expect(exponentialOf(0)).toBe(1)
    expect(exponentialOf(-0)).toBe(1)
    expect(exponentialOf(-709)).toBe(0)
    expect(exponentialOf(Number.NEGATIVE_INFINITY)).toBe(0)
  })
})
