import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { countAxis, linearAxis, logAxis, logTicks, timeAxis, timeText } from './simulation-axis.ts'

const positive = fc.double({ min: 1e-3, max: 1e6, noNaN: true })

describe('ticks of a logarithmic axis', () => {
  test('rise, lie within it and are at least two but not many', () => {
    fc.assert(
      fc.property(
        positive,
        fc.double({ min: 1.3, max: 1e6, noNaN: true }),
        fc.integer({ min: 4, max: 8 }),
        (from, ratio, count) => {
          const ticks = logTicks(from, from * ratio, count)
          expect(ticks.length).toBeGreaterThanOrEqual(ratio < 2 ? 1 : 2)
          expect(ticks.length).toBeLessThanOrEqual(count + 1)
          ticks.forEach((tick, k) => {
            expect(tick).toBeGreaterThan(ticks[k - 1] ?? 0)
            expect(tick).toBeGreaterThanOrEqual(from * 0.999)
            expect(tick).toBeLessThanOrEqual(from * ratio * 1.001)
          })
        },
      ),
    )
  })

  test('are round', () => {
    expect(logTicks(0.4, 60, 8)).toEqual([0.5, 1, 2, 5, 10, 20, 50])
    expect(logTicks(0.4, 60, 6)).toEqual([1, 3, 10, 30])
    expect(logTicks(0.4, 60_000, 6)).toEqual([1, 10, 100, 1000, 10_000])
  })
})

describe('axes', () => {
  test('hold all values', () => {
    fc.assert(
      fc.property(fc.array(positive, { minLength: 1 }), (values) => {
        for (const axis of [linearAxis('', values), logAxis('', values, 5), countAxis('', values)]) {
          expect(axis.max).toBeGreaterThanOrEqual(Math.max(...values))
          expect(axis.min ?? 0).toBeLessThanOrEqual(Math.min(...values))
        }
      }),
    )
  })

  test('exist where every value is 0', () => {
    expect(linearAxis('', [0, 0])).toMatchObject({ max: 1 })
  })

  test('of time have the unit that people would use', () => {
    const units = [120, 5400, 86_400, 7 * 86_400].map((seconds) => timeText(seconds, seconds))
    expect(units).toEqual(['120 s', '90 min', '24 h', '7 d'])
    expect(timeAxis(5400, 6).ticks).toEqual([0, 1200, 2400, 3600, 4800])
  })
})
