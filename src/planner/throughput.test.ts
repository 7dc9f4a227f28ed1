import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { bytesFromMib, bytesPerSecondFromGbps, gbpsFromBytesPerSecond } from '../core/units.ts'
import {
  decodeRps,
  kvThroughputBytesPerSecond,
  lambdaMaxRps,
  localBoundRps,
  localPrefillRps,
  minimumEgressBytesPerSecond,
  remoteBoundRps,
  remotePrefillRps,
  roleImbalanceRps,
  type StageRates,
  thresholdImbalanceRps,
} from './throughput.ts'

describe('units', () => {
  it('are 2^20 bytes for MiB and 10^9 bits for Gbps', () => {
    expect(bytesFromMib(1)).toBe(1_048_576)
    expect(bytesPerSecondFromGbps(100)).toBe(12_500_000_000)
    expect(gbpsFromBytesPerSecond(12_500_000_000)).toBe(100)
  })
})

describe('equation (1), Phi_kv = S_kv / T_prefill', () => {
  it.each([
    [190.8, 0.4434, '3.61'],
    [308.9, 0.7218, '3.59'],
    [701.3, 1.8431, '3.19'],
    [2316.3, 7.4036, '2.62'],
  ])('turns the %d MiB and %d s of Table 5 into %s Gbps', (mib, prefillSeconds, printed) => {
    const rate = kvThroughputBytesPerSecond({ kvBytes: bytesFromMib(mib), prefillSeconds })
    expect(gbpsFromBytesPerSecond(rate).toFixed(2)).toBe(printed)
  })
})

describe('equation (2), B_out >= (N / P) Phi_kv', () => {
  it('asks 3,835 Gbps of 512 GPUs in instances of 8 at 59.93 Gbps each', () => {
    expect(minimumEgressBytesPerSecond({ gpus: 512, gpusPerInstance: 8, kvBytesPerSecond: 59.93 })).toBeCloseTo(
      3835.52,
      10,
    )
  })
})

describe('equation (3), Theta_prfaas', () => {
  const stage = { instances: 4, prefillSeconds: 2.5, kvBytes: 1e9, egressBytesPerSecond: 12.5e9 }

  it('is what the instances compute when the link has room', () => {
    expect(remotePrefillRps(stage)).toBe(1.6)
  })

  it('is what the link carries when it has none', () => {
    expect(remotePrefillRps({ ...stage, egressBytesPerSecond: 1e9 })).toBe(1)
    expect(remotePrefillRps({ ...stage, egressBytesPerSecond: 1.6e9 })).toBe(1.6)
  })
})

describe('equations (4) and (5)', () => {
  it('divide instances by the time that a request takes one of them', () => {
    expect(localPrefillRps({ instances: 3, prefillSeconds: 1.5 })).toBe(2)
    // 5 x 20 sequences, 25 ms a step, 1,000 steps a request.
    expect(decodeRps({ instances: 5, batch: 20, stepSeconds: 0.025, outputTokens: 1000 })).toBeCloseTo(4, 12)
    expect(decodeRps({ instances: 3, batch: 20, stepSeconds: 0.024984, outputTokens: 1024 })).toBeCloseTo(2.34525, 5)
  })
})

describe('equations (6) to (8)', () => {
  const rates: StageRates = { remotePrefillRps: 1.6, localPrefillRps: 1.5, decodeRps: 3.9, offloadedRatio: 0.5 }

  it('take the tightest of three bounds', () => {
    expect([remoteBoundRps(rates), localBoundRps(rates), lambdaMaxRps(rates)]).toEqual([3.2, 3, 3])
    expect(lambdaMaxRps({ ...rates, offloadedRatio: 0.8 })).toBe(2)
    expect(lambdaMaxRps({ ...rates, decodeRps: 1.25 })).toBe(1.25)
  })

  it('measure how far threshold and roles are from balance', () => {
    expect(thresholdImbalanceRps(rates)).toBeCloseTo(0.2, 12)
    expect(thresholdImbalanceRps({ ...rates, localPrefillRps: 1.6 })).toBe(0)
    expect(roleImbalanceRps(rates)).toBeCloseTo(-0.8, 12)
    expect(roleImbalanceRps({ ...rates, decodeRps: 3.1 })).toBeCloseTo(0, 12)
  })

  it('leave out the remote stage when nothing is offloaded', () => {
    const none: StageRates = { remotePrefillRps: null, localPrefillRps: 1.5, decodeRps: 3.9, offloadedRatio: 0 }
    expect([remoteBoundRps(none), localBoundRps(none), lambdaMaxRps(none)]).toEqual([
      Number.POSITIVE_INFINITY,
      1.5,
      1.5,
    ])
    expect(thresholdImbalanceRps(none)).toBe(Number.POSITIVE_INFINITY)
    expect(roleImbalanceRps(none)).toBeCloseTo(-2.4, 12)
  })

  it('leave out the local stage when everything is offloaded', () => {
    const all: StageRates = { remotePrefillRps: 2.45, localPrefillRps: null, decodeRps: 6.25, offloadedRatio: 1 }
    expect([remoteBoundRps(all), localBoundRps(all), lambdaMaxRps(all)]).toEqual([2.45, Number.POSITIVE_INFINITY, 2.45])
    expect(thresholdImbalanceRps(all)).toBe(Number.NEGATIVE_INFINITY)
  })

  it('serve nothing when requests go where there is no instance', () => {
    expect(lambdaMaxRps({ ...rates, remotePrefillRps: null })).toBe(0)
    expect(lambdaMaxRps({ ...rates, localPrefillRps: null })).toBe(0)
  })
})

describe('laws of the equations', () => {
  const positive = fc.double({ min: 1e-3, max: 1e3, noNaN: true })

  it('more bytes on a link as much wider change nothing', () => {
    fc.assert(
      fc.property(positive, positive, positive, positive, positive, (n, prefillSeconds, kvBytes, egress, factor) => {
        const stage = { instances: n, prefillSeconds, kvBytes, egressBytesPerSecond: egress }
        const scaled = { ...stage, kvBytes: kvBytes * factor, egressBytesPerSecond: egress * factor }
        expect(remotePrefillRps(scaled) / remotePrefillRps(stage)).toBeCloseTo(1, 12)
      }),
    )
  })

  it('twice of everything is twice the rate', () => {
    fc.assert(
      fc.property(positive, positive, positive, positive, (n, prefillSeconds, kvBytes, egress) => {
        const stage = { instances: n, prefillSeconds, kvBytes, egressBytesPerSecond: egress }
        const twice = { ...stage, instances: 2 * n, egressBytesPerSecond: 2 * egress }
        expect(remotePrefillRps(twice)).toBe(2 * remotePrefillRps(stage))
        expect(localPrefillRps({ instances: 2 * n, prefillSeconds })).toBe(
          2 * localPrefillRps({ instances: n, prefillSeconds }),
        )
        const decode = { instances: n, batch: 20, stepSeconds: prefillSeconds, outputTokens: 512 }
        expect(decodeRps({ ...decode, instances: 2 * n })).toBe(2 * decodeRps(decode))
      }),
    )
  })

  it('at the balance of (7) the two prefill stages together serve the bound', () => {
    fc.assert(
      fc.property(positive, positive, (remote, local) => {
        const rates = {
          remotePrefillRps: remote,
          localPrefillRps: local,
          decodeRps: 1e9,
          offloadedRatio: remote / (remote + local),
        }
        expect(lambdaMaxRps(rates) / (remote + local)).toBeCloseTo(1, 8)
        expect(Math.abs(thresholdImbalanceRps(rates))).toBeLessThan(
          1e-9 * (remote + local) * (remote / local + local / remote),
        )
      }),
    )
  })
})
