import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { runs } from '../../test/effort.ts'
import { type Congestion, controlledThreshold, DEFAULT_THRESHOLD_CONTROL } from './threshold.ts'

const idle: Congestion = {
  plannedTokens: 20_000,
  egressUtilisation: 0,
  remoteDelaySeconds: 0,
  localDelaySeconds: 0,
  serviceSeconds: 2,
}
const threshold = (change: Partial<Congestion>): number =>
  controlledThreshold({ ...idle, ...change }, DEFAULT_THRESHOLD_CONTROL)

const seconds = fc.double({ min: 0, max: 1e5, noNaN: true })
const seen = fc.record({
  plannedTokens: fc.double({ min: 1, max: 1e6, noNaN: true }),
  egressUtilisation: fc.double({ min: 0, max: 1, noNaN: true }),
  remoteDelaySeconds: seconds,
  localDelaySeconds: seconds,
  serviceSeconds: fc.double({ min: 0.01, max: 100, noNaN: true }),
})

describe('the threshold under control', () => {
  it('is the planned one while nothing waits and the link has room, and when both sides wait as long', () => {
    expect(threshold({})).toBe(20_000)
    expect(threshold({ egressUtilisation: 0.85 })).toBe(20_000)
    expect(threshold({ remoteDelaySeconds: 30, localDelaySeconds: 30 })).toBe(20_000)
  })

  it('rises while the remote side is slower to reach, and falls while the local queue is', () => {
    expect(threshold({ remoteDelaySeconds: 10 })).toBeGreaterThan(20_000)
    expect(threshold({ localDelaySeconds: 10 })).toBeLessThan(20_000)
    expect(threshold({ remoteDelaySeconds: 10 }) * threshold({ localDelaySeconds: 10 })).toBeCloseTo(20_000 ** 2, 3)
  })

  it('rises with a link that fills up, whatever the queues say', () => {
    expect(threshold({ egressUtilisation: 0.9 })).toBeGreaterThan(20_000)
    expect(threshold({ egressUtilisation: 1 })).toBeCloseTo(20_000 * DEFAULT_THRESHOLD_CONTROL.egressFoldMax, 6)
    expect(threshold({ egressUtilisation: 1, localDelaySeconds: 5 })).toBeGreaterThan(
      threshold({ localDelaySeconds: 5 }),
    )
  })

  it('never moves by more than foldMax either way, and is always a number above 0', () => {
    const { foldMax } = DEFAULT_THRESHOLD_CONTROL
    fc.assert(
      fc.property(seen, (congestion) => {
        const fold = controlledThreshold(congestion, DEFAULT_THRESHOLD_CONTROL) / congestion.plannedTokens
        expect(fold).toBeLessThanOrEqual(foldMax * (1 + 1e-12))
        expect(fold).toBeGreaterThanOrEqual((1 - 1e-12) / foldMax)
      }),
      { numRuns: runs(200) },
    )
    expect(threshold({ remoteDelaySeconds: 1e12, egressUtilisation: 1 }) / 20_000).toBeCloseTo(foldMax, 6)
  })

  it('never falls when the remote delay grows, and never rises when the local delay does', () => {
    fc.assert(
      fc.property(seen, seconds, (congestion, more) => {
        const at = (change: Partial<Congestion>): number =>
          controlledThreshold({ ...congestion, ...change }, DEFAULT_THRESHOLD_CONTROL)
        const now = at({})
        const { remoteDelaySeconds, localDelaySeconds } = congestion
        expect(at({ remoteDelaySeconds: remoteDelaySeconds + more })).toBeGreaterThanOrEqual(now * (1 - 1e-12))
        expect(at({ localDelaySeconds: localDelaySeconds + more })).toBeLessThanOrEqual(now * (1 + 1e-12))
        expect(at({ egressUtilisation: 1 })).toBeGreaterThanOrEqual(now * (1 - 1e-12))
      }),
      { numRuns: runs(200) },
    )
  })
})
