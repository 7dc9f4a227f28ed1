import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { thinColumn, thinDistribution } from './simulation-thin.ts'

const series = fc
  .array(
    fc.record({
      seconds: fc.double({ min: 0.1, max: 60, noNaN: true }),
      value: fc.double({ min: 0, max: 1000, noNaN: true }),
    }),
    {
      minLength: 1,
      maxLength: 400,
    },
  )
  .map((all) => {
    let now = 0
    return { endSeconds: all.map(({ seconds }) => (now += seconds)), values: all.map(({ value }) => value) }
  })
const counts = fc.integer({ min: 1, max: 50 })

describe('a thinned column', () => {
  test('has at most so many points, in order and within its time', () => {
    fc.assert(
      fc.property(
        series,
        counts,
        fc.constantFrom('mean' as const, 'most' as const, 'last' as const),
        (given, count, kind) => {
          const points = thinColumn({ ...given, kind }, count)
          expect(points.length).toBeLessThanOrEqual(count)
          expect(points.length).toBeGreaterThan(0)
          points.forEach(({ x }, k) => expect(x).toBeGreaterThan(points[k - 1]?.x ?? 0))
          expect(points.at(-1)?.x).toBeLessThanOrEqual(given.endSeconds.at(-1) ?? 0)
        },
      ),
    )
  })

  test('loses no peak and ends with the last value', () => {
    fc.assert(
      fc.property(series, counts, (given, count) => {
        const most = thinColumn({ ...given, kind: 'most' }, count).map(({ y }) => y)
        expect(Math.max(...most)).toBe(Math.max(...given.values))
        expect(thinColumn({ ...given, kind: 'last' }, count).at(-1)?.y).toBe(given.values.at(-1))
      }),
    )
  })

  test('as one mean is the mean over time, weighted', () => {
    fc.assert(
      fc.property(series, (given) => {
        const weights = given.values.map((_, k) => 1 + (k % 3))
        const [point] = thinColumn({ ...given, kind: 'mean', weights }, 1)
        const seconds = given.endSeconds.map((end, k) => end - (given.endSeconds[k - 1] ?? 0))
        const area = seconds.reduce((sum, length, k) => sum + length * (weights[k] ?? 0) * (given.values[k] ?? 0), 0)
        const total = seconds.reduce((sum, length, k) => sum + length * (weights[k] ?? 0), 0)
        expect(point?.y).toBeCloseTo(area / total, 6)
      }),
    )
  })

  test('leaves out times at which nothing was observed', () => {
    const column = { endSeconds: [1, 2, 3, 4], values: [null, null, 5, null], kind: 'mean' } as const
    expect(thinColumn(column, 2)).toEqual([{ x: 3, y: 5 }])
  })
})

describe('a thinned distribution', () => {
  test('rises to its last point with few points', () => {
    const points = Array.from({ length: 5000 }, (_, k) => ({ value: 1.002 ** k, share: (k + 1) / 5000 }))
    const max = points.at(-1)?.value ?? 0
    const thin = thinDistribution(points, { count: 100, min: 1, max })
    expect(thin.length).toBeLessThanOrEqual(202)
    expect(thin.at(-1)).toEqual({ x: max, y: 100 })
    thin.forEach(({ x, y }, k) => {
      expect(x).toBeGreaterThan(thin[k - 1]?.x ?? 0)
      expect(y).toBeGreaterThan(thin[k - 1]?.y ?? 0)
    })
  })
})
