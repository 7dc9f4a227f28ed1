import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { allenCunneen, erlangB, erlangC, meanWaitSeconds, mg1WaitSeconds, type Wait, waitTail } from './queueing.ts'

/** The wait of a queue that keeps up. */
function waitOf(input: Parameters<typeof allenCunneen>[0]): Wait {
  const wait = allenCunneen(input)
  if (wait === null) throw new Error('saturated')
  return wait
}

describe('Erlang B', () => {
  // 1 / sum over k of (N! / k!) / a^(N - k), worked out with fractions.
  it.each([
    [1, 1, 1 / 2],
    [2, 1, 1 / 5],
    [3, 2, 4 / 19],
    [5, 3, 81 / 736],
    [10, 5, 0.018384570336648132],
    [100, 80, 0.003992],
  ])('of %d servers under %d erlangs', (servers, load, blocking) => {
    expect(erlangB(servers, load)).toBeCloseTo(blocking, servers === 100 ? 5 : 12)
  })

  it('blocks everything without servers and nothing without load', () => {
    expect([erlangB(0, 3), erlangB(4, 0)]).toEqual([1, 0])
  })

  it('does not overflow with thousands of servers', () => {
    expect(erlangB(4096, 4000)).toBeGreaterThan(0)
    expect(erlangB(4096, 4000)).toBeLessThan(0.01)
    expect(erlangB(4096, 10)).toBe(0)
  })
})

describe('Erlang C', () => {
  const RHO = [0.5, 0.7, 0.8, 0.9, 0.95]
  // C and Wq / E[S], PLANNER.md 4.2.
  const GOLDEN: readonly (readonly [number, readonly (readonly [string, string])[]])[] = [
    [
      1,
      [
        ['0.500000', '1.000000'],
        ['0.700000', '2.333333'],
        ['0.800000', '4.000000'],
        ['0.900000', '9.000000'],
        ['0.950000', '19.000000'],
      ],
    ],
    [
      2,
      [
        ['0.333333', '0.333333'],
        ['0.576471', '0.960784'],
        ['0.711111', '1.777778'],
        ['0.852632', '4.263158'],
        ['0.925641', '9.256410'],
      ],
    ],
    [
      3,
      [
        ['0.236842', '0.157895'],
        ['0.492344', '0.547049'],
        ['0.647191', '1.078652'],
        ['0.817061', '2.723537'],
        ['0.907009', '6.046723'],
      ],
    ],
    [
      4,
      [
        ['0.173913', '0.086957'],
        ['0.428654', '0.357212'],
        ['0.596432', '0.745541'],
        ['0.787753', '1.969383'],
        ['0.891419', '4.457095'],
      ],
    ],
    [
      8,
      [
        ['0.059044', '0.014761'],
        ['0.270603', '0.112751'],
        ['0.457645', '0.286028'],
        ['0.701533', '0.876916'],
        ['0.844169', '2.110422'],
      ],
    ],
    [
      100,
      [
        ['0.000000', '0.000000'],
        ['0.000459', '0.000015'],
        ['0.019646', '0.000982'],
        ['0.216940', '0.021694'],
        ['0.506457', '0.101291'],
      ],
    ],
  ]

  it.each(GOLDEN)('of %d servers gives the golden probabilities and mean waits', (servers, row) => {
    for (const [k, [probability, wait]] of row.entries()) {
      const load = servers * (RHO[k] ?? 0)
      expect(erlangC(servers, load).toFixed(6)).toBe(probability)
      const mmc = waitOf({ servers, rateRps: load / 3, meanSeconds: 3, secondMoment: 18, burstiness: 1 })
      expect((meanWaitSeconds(mmc) / 3).toFixed(6)).toBe(wait)
    }
  })

  it('is certain at and above saturation', () => {
    expect([erlangC(4, 4), erlangC(4, 5), erlangC(0, 0)]).toEqual([1, 1, 1])
  })

  it('rises with the load and falls with the servers', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 60 }), fc.double({ min: 0.01, max: 0.98, noNaN: true }), (servers, rho) => {
        const load = rho * servers
        expect(erlangC(servers, load)).toBeLessThanOrEqual(erlangC(servers, Math.min(servers, load * 1.01)))
        expect(erlangC(servers + 1, load)).toBeLessThanOrEqual(erlangC(servers, load))
        expect(erlangC(servers, load)).toBeGreaterThanOrEqual(erlangB(servers, load))
      }),
    )
  })
})

describe('one server', () => {
  it('waits by Pollaczek-Khinchine: M/D/1 half as long as M/M/1', () => {
    const [rateRps, meanSeconds] = [0.4, 2]
    const exponential = mg1WaitSeconds({ rateRps, meanSeconds, secondMoment: 8 })
    const constant = mg1WaitSeconds({ rateRps, meanSeconds, secondMoment: 4 })
    expect(exponential).toBeCloseTo(8, 12) // rho / (mu - lambda) = 0.8 / 0.1
    expect(constant).toBeCloseTo(exponential / 2, 12)
    // M/H2/1: half the requests take 1 s, half 3 s, each exponential: E[S^2] = (2 + 18) / 2.
    expect(mg1WaitSeconds({ rateRps, meanSeconds, secondMoment: 10 })).toBeCloseTo(10, 12)
    expect(mg1WaitSeconds({ rateRps: 0.5, meanSeconds, secondMoment: 8 })).toBe(Number.POSITIVE_INFINITY)
  })

  it('is what Allen and Cunneen give for one server and Poisson arrivals', () => {
    fc.assert(
      fc.property(
        fc.double({ min: 0.01, max: 0.99, noNaN: true }),
        fc.double({ min: 0.1, max: 10, noNaN: true }),
        fc.double({ min: 0, max: 30, noNaN: true }),
        (rho, meanSeconds, variation) => {
          const input = { rateRps: rho / meanSeconds, meanSeconds, secondMoment: meanSeconds ** 2 * (1 + variation) }
          const wait = waitOf({ ...input, servers: 1, burstiness: 1 })
          expect(meanWaitSeconds(wait) / mg1WaitSeconds(input)).toBeCloseTo(1, 9)
        },
      ),
    )
  })
})

describe('Allen and Cunneen', () => {
  it('scale the mean wait of M/M/c by (1 + scv) / 2 and leave the chance of waiting, for Poisson arrivals', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 40 }),
        fc.double({ min: 0.05, max: 0.99, noNaN: true }),
        fc.double({ min: 0, max: 10, noNaN: true }),
        (servers, rho, variation) => {
          const meanSeconds = 1.7
          const load = rho * servers
          const input = { servers, rateRps: load / meanSeconds, meanSeconds, burstiness: 1 }
          const wait = waitOf({ ...input, secondMoment: meanSeconds ** 2 * (1 + variation) })
          const chance = erlangC(servers, load)
          const mean = ((chance * meanSeconds) / (servers * (1 - rho))) * ((1 + variation) / 2)
          expect(wait.probability).toBeCloseTo(chance, 12)
          expect(meanWaitSeconds(wait) / mean).toBeCloseTo(1, 8)
        },
      ),
    )
  })

  it('are exact for gamma arrivals at one exponential server: P(wait) = sigma, E[W] = sigma E[S] / (1 - sigma)', () => {
    for (const burstiness of [0.25, 0.5, 4, 10]) {
      for (const rho of [0.3, 0.7, 0.95]) {
        const wait = waitOf({ servers: 1, rateRps: rho / 2, meanSeconds: 2, secondMoment: 8, burstiness })
        // The root by plain iteration, which needs no bracket.
        let sigma = 0.5
        for (let step = 0; step < 20_000; step++) sigma = (1 + (burstiness * (1 - sigma)) / rho) ** (-1 / burstiness)
        expect(wait.probability).toBeCloseTo(sigma, 9)
        expect(meanWaitSeconds(wait)).toBeCloseTo((2 * sigma) / (1 - sigma), 5)
      }
    }
  })

  it('make bursty arrivals wait more often and longer, and even ones less', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 12 }),
        fc.double({ min: 0.1, max: 0.95, noNaN: true }),
        fc.double({ min: 0.05, max: 20, noNaN: true }),
        (servers, rho, burstiness) => {
          const input = { servers, rateRps: rho * servers, meanSeconds: 1, secondMoment: 2 }
          const [lower, higher] = [waitOf({ ...input, burstiness }), waitOf({ ...input, burstiness: burstiness * 1.5 })]
          expect(higher.probability).toBeGreaterThanOrEqual(lower.probability)
          expect(meanWaitSeconds(higher)).toBeGreaterThan(meanWaitSeconds(lower))
        },
      ),
    )
  })

  it('have the exponential tail of M/M/c, C exp(-(c mu - lambda) x)', () => {
    const wait = waitOf({ servers: 4, rateRps: 1.5, meanSeconds: 2, secondMoment: 8, burstiness: 1 })
    for (const seconds of [0, 0.5, 2, 10]) {
      expect(waitTail(wait, seconds)).toBeCloseTo(erlangC(4, 3) * Math.exp(-(4 / 2 - 1.5) * seconds), 12)
    }
    expect(waitTail(wait, -1e-9)).toBe(1)
  })

  it('have a mean that is the integral of the tail', () => {
    const wait = waitOf({ servers: 3, rateRps: 0.8, meanSeconds: 3, secondMoment: 12, burstiness: 2.5 })
    let sum = 0
    for (let seconds = 0.0005; seconds < 200; seconds += 0.001) sum += waitTail(wait, seconds) * 0.001
    expect(sum).toBeCloseTo(meanWaitSeconds(wait), 4)
  })

  it('say null at saturation', () => {
    const input = { servers: 2, meanSeconds: 2, secondMoment: 8, burstiness: 1 }
    expect(allenCunneen({ ...input, rateRps: 1 })).toBeNull()
    expect(allenCunneen({ ...input, rateRps: 1.5 })).toBeNull()
    expect(allenCunneen({ ...input, rateRps: 0.999_999 })).not.toBeNull()
  })

  it('take a second moment that rounding left below the square of the mean as no variation', () => {
    const wait = waitOf({ servers: 1, rateRps: 0.5, meanSeconds: 1, secondMoment: 1 - 1e-12, burstiness: 1 })
    expect(meanWaitSeconds(wait)).toBeCloseTo(0.5, 9)
  })
})
