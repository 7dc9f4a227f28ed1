import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { CASE_STUDY as SCENARIO, CASE_STUDY_PLAN as PLAN } from '../../test/case-study.ts'
import { disturbanceQuestions } from './report-load-disturbances.ts'

describe('disturbances', () => {
  test('of the case study last two hours in eight replications, at three quarters of what it sustains', () => {
    const asked = disturbanceQuestions(SCENARIO, PLAN, 3.2)
    if (asked.kind === 'left-out') throw new Error(asked.reason)
    expect(asked).toMatchObject({ seconds: 7200, replications: 8 })
    expect(asked.rateRps).toBeCloseTo(2.4, 12)
    const [calm, drop, bursts] = asked.questions
    expect(calm?.fixed.events).toBeUndefined()
    expect(drop?.fixed.events).toEqual([
      { kind: 'link', atSeconds: 1800, gbps: 10 },
      { kind: 'link', atSeconds: 5400, gbps: 100 },
    ])
    const { stepSeconds = 0, factors = [] } = bursts?.fixed.curve ?? {}
    expect(stepSeconds * factors.length).toBe(900)
    expect(factors.at(-1)).toBeCloseTo(2 * (factors.at(0) ?? 0), 12)
  })

  test('give both schedulers the same load, within bounds, at any rate', () => {
    fc.assert(
      fc.property(fc.double({ min: 1e-3, max: 1e3, noNaN: true }), (sustainableRps) => {
        const asked = disturbanceQuestions(SCENARIO, PLAN, sustainableRps)
        if (asked.kind === 'left-out') {
          expect(asked.reason).toMatch(/too (?:many|few)/)
          return
        }
        expect(asked.seconds).toBeGreaterThanOrEqual(900)
        expect(asked.seconds).toBeLessThanOrEqual(7200)
        expect(asked.replications).toBeGreaterThanOrEqual(4)
        for (const { fixed, scheduled } of asked.questions) {
          expect(scheduled).toEqual({ ...fixed, scheduler: 'on' })
          expect(fixed.scheduler).toBe('fixed')
          expect(fixed.requests).toBeLessThanOrEqual(160_008)
          expect(fixed.requests / asked.replications).toBeGreaterThanOrEqual(100)
        }
      }),
    )
  })

  test.each([
    [1e-3, 'too few'],
    [300, 'too many'],
  ])('are left out at %d req/s: %s requests', (sustainableRps, why) => {
    const asked = disturbanceQuestions(SCENARIO, PLAN, sustainableRps)
    expect(asked.kind === 'left-out' && asked.reason).toContain(why)
  })
})
