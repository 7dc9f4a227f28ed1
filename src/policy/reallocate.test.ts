import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { runs } from '../../test/effort.ts'
import { decideReallocation, DEFAULT_REALLOCATION_RULES, type ReallocationQuestion } from './reallocate.ts'

const question: ReallocationQuestion = {
  current: { ttftSecondsP90: 10, headroom: 1.5 },
  proposed: { ttftSecondsP90: 5, headroom: 1.6 },
  isSameRoles: false,
  secondsSinceRolesChanged: 10_000,
  drainSeconds: 60,
}
const decide = (change: Partial<ReallocationQuestion>): string =>
  decideReallocation({ ...question, ...change }, DEFAULT_REALLOCATION_RULES)

describe('a reallocation', () => {
  it.each<[string, Partial<ReallocationQuestion>, 'roles' | 'threshold']>([
    ['a clear gain', {}, 'roles'],
    ['the same roles', { isSameRoles: true }, 'threshold'],
    ['a gain of less than the least', { proposed: { ttftSecondsP90: 8.6, headroom: 1.6 } }, 'threshold'],
    ['exactly the least gain', { proposed: { ttftSecondsP90: 8.5, headroom: 1.6 } }, 'roles'],
    ['a loss', { proposed: { ttftSecondsP90: 11, headroom: 1.6 } }, 'threshold'],
    ['little headroom', { current: { ttftSecondsP90: 5.1, headroom: 1.05 } }, 'roles'],
    ['a plan that cannot keep up today', { current: { ttftSecondsP90: null, headroom: 0.9 } }, 'roles'],
    [
      'neither keeps up, but one carries more',
      { current: { ttftSecondsP90: null, headroom: 0.5 }, proposed: { ttftSecondsP90: null, headroom: 0.9 } },
      'roles',
    ],
    [
      'neither keeps up and they are about the same',
      { current: { ttftSecondsP90: null, headroom: 0.8 }, proposed: { ttftSecondsP90: null, headroom: 0.9 } },
      'threshold',
    ],
    ['a change just before', { secondsSinceRolesChanged: 299 }, 'threshold'],
    ['five drains after the last change', { secondsSinceRolesChanged: 300 }, 'roles'],
    ['no change before', { secondsSinceRolesChanged: Number.POSITIVE_INFINITY }, 'roles'],
  ])('with %s: %j', (_, change, expected) => {
    expect(decide(change)).toBe(expected)
  })

  const predictions = fc.record({
    ttftSecondsP90: fc.option(fc.double({ min: 0.1, max: 1000, noNaN: true })),
    headroom: fc.double({ min: 0, max: 10, noNaN: true }),
  })

  it('never changes roles before the drains that must lie between have passed, nor to the same roles', () => {
    fc.assert(
      fc.property(
        predictions,
        predictions,
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.boolean(),
        (current, proposed, share, isSameRoles) => {
          const secondsSinceRolesChanged = share * 0.999 * DEFAULT_REALLOCATION_RULES.drainsBetween * 60
          expect(decide({ current, proposed, secondsSinceRolesChanged })).toBe('threshold')
          if (isSameRoles) expect(decide({ current, proposed, isSameRoles })).toBe('threshold')
        },
      ),
      { numRuns: runs(100) },
    )
  })

  it('does not go back and forth between two plans', () => {
    // With headroom to spare, whoever changed for a gain would have to lose it to change back.
    const roomy = fc.record({
      ttftSecondsP90: fc.double({ min: 0.1, max: 1000, noNaN: true }),
      headroom: fc.double({ min: 1.1, max: 10, noNaN: true }),
    })
    fc.assert(
      fc.property(roomy, roomy, (one, other) => {
        const there = decide({ current: one, proposed: other })
        const back = decide({ current: other, proposed: one })
        expect([there, back]).not.toEqual(['roles', 'roles'])
      }),
      { numRuns: runs(100) },
    )
  })
})
