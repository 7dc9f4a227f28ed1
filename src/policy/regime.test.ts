import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { runs } from '../../test/effort.ts'
import { DEFAULT_REGIME_BOUNDS, nextRegime } from './regime.ts'
import type { Regime } from './regime.ts'

const { abundantBelow, scarceAbove } = DEFAULT_REGIME_BOUNDS

describe('the regime', () => {
  it.each<[Regime, number, Regime]>([
    ['bandwidth-scarce', 0.1, 'bandwidth-abundant'],
    ['bandwidth-scarce', abundantBelow, 'bandwidth-scarce'],
    ['bandwidth-scarce', 0.5, 'bandwidth-scarce'],
    ['bandwidth-abundant', 0.5, 'bandwidth-abundant'],
    ['bandwidth-abundant', scarceAbove, 'bandwidth-abundant'],
    ['bandwidth-abundant', 0.71, 'bandwidth-scarce'],
    ['bandwidth-scarce', 1, 'bandwidth-scarce'],
    ['bandwidth-abundant', 0, 'bandwidth-abundant'],
  ])('%s at a utilisation of %d is followed by %s', (current, utilisation, next) => {
    expect(nextRegime(current, utilisation, DEFAULT_REGIME_BOUNDS)).toBe(next)
  })

  it('changes at most once while the utilisation stays within a band narrower than the bounds', () => {
    const width = scarceAbove - abundantBelow
    const first = fc.constantFrom<Regime>('bandwidth-scarce', 'bandwidth-abundant')
    fc.assert(
      fc.property(
        first,
        fc.double({ min: 0, max: 1 - width, noNaN: true }),
        fc.array(fc.double({ min: 0, max: 1, noNaN: true })),
        (start, low, path) => {
          let [regime, changes] = [start, 0]
          for (const place of path) {
            const next = nextRegime(regime, low + 0.999 * width * place, DEFAULT_REGIME_BOUNDS)
            if (next !== regime) changes += 1
            regime = next
          }
          expect(changes).toBeLessThanOrEqual(1)
        },
      ),
      { numRuns: runs(100) },
    )
  })
})
