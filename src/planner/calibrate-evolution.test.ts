import { expect, it } from 'vitest'
import { minimizeByEvolution } from './calibrate-evolution.ts'

const OPTIONS = { evaluationsMax: 1500, population: 16, spread: 0.5, seed: 1 }

it('finds the minimum of a curved valley', () => {
  const rosenbrock = ([x = 0, y = 0]: readonly number[]) => (1 - x) ** 2 + 100 * (y - x * x) ** 2
  const { at, value } = minimizeByEvolution(rosenbrock, [-1.2, 1], OPTIONS)
  expect(at[0]).toBeCloseTo(1, 3)
  expect(at[1]).toBeCloseTo(1, 3)
  expect(value).toBe(rosenbrock(at))
})

it('finds the minimum of a long bowl in six dimensions, with steps in its walls', () => {
  const bowl = (at: readonly number[]) => at.reduce((sum, x, axis) => sum + 4 ** axis * (x - axis / 5) ** 2, 0)
  const stepped = (at: readonly number[]) => bowl(at) + (Math.floor(40 * (at[0] ?? 0)) % 2 === 0 ? 0 : 0.001)
  const { at } = minimizeByEvolution(stepped, [1, 0, 1, 0, 1, 0], { ...OPTIONS, evaluationsMax: 4000 })
  for (const [axis, x] of at.entries()) expect(x).toBeCloseTo(axis / 5, 1)
})

it('never ends above its start, and asks as often as it may', () => {
  let calls = 0
  const steep = ([x = 0]: readonly number[]) => {
    calls += 1
    return x === 0 ? 1 : 2 + Math.abs(x)
  }
  expect(minimizeByEvolution(steep, [0], { ...OPTIONS, evaluationsMax: 100 })).toEqual({ at: [0], value: 1 })
  expect(calls).toBeGreaterThanOrEqual(100)
  expect(calls).toBeLessThan(100 + OPTIONS.population)
})

it('repeats itself with the same seed, and goes another way with another', () => {
  const bowl = ([x = 0, y = 0]: readonly number[]) => x * x + 3 * y * y
  const run = (seed: number) => minimizeByEvolution(bowl, [1, 1], { ...OPTIONS, evaluationsMax: 100, seed })
  expect(run(1)).toEqual(run(1))
  expect(run(2)).not.toEqual(run(1))
})
