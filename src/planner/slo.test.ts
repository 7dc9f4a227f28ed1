import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type Random, seededRandom } from '../core/random.ts'
import { lengthCells } from './cells.ts'
import { type Deployment, optimize } from './optimize.ts'
import { preset } from './presets.ts'
import type { LatencyProfileData } from './profile.ts'
import { allenCunneen, waitTail } from './queueing.ts'
import { buildScenario, type InputSpec, type Scenario, type ScenarioSpec } from './scenario.ts'
import { viewOf } from './search.ts'
import { queuedTtftP90 } from './slo.ts'
import type { Roles } from './split.ts'

const caseStudy = preset('case-study')

function withSlo(spec: ScenarioSpec, ttftSecondsP90: number, burstiness = 1): ScenarioSpec {
  return { ...spec, slo: { ttftSecondsP90 }, workload: { ...spec.workload, burstiness } }
}

function deployment(spec: ScenarioSpec, name: Deployment['name']): Deployment {
  const found = optimize(spec).deployments.find((one) => one.name === name)
  if (found === undefined) throw new Error(`no ${name}`)
  return found
}

/** Erlang C from the definition, sums of powers over factorials: nothing shared with the recursion of the planner. */
function waitProbability(servers: number, load: number): number {
  if (load >= servers) return 1
  let [term, below] = [1, 0]
  for (let k = 0; k < servers; k++) {
    below += term
    term *= load / (k + 1)
  }
  const full = term / (1 - load / servers)
  return full / (below + full)
}

/** The rate at which a rising function of the rate reaches a bound. */
function rateAt(bound: number, most: number, share: (rateRps: number) => number, steps = 60): number {
  let [low, high] = [0, most]
  for (let step = 0; step < steps; step++) {
    const middle = (low + high) / 2
    if (share(middle) <= bound) low = middle
    else high = middle
  }
  return low
}

/** A latency of exactly `secondsPerToken` a token, and KV that weighs nothing. */
function proportional(secondsPerToken: number): LatencyProfileData {
  return {
    ...(caseStudy.remote.profile as LatencyProfileData),
    name: 'proportional',
    kv: { fixedBytes: 0, bytesPerToken: 1e-9 },
    prefill: {
      points: [
        { tokens: 1, seconds: secondsPerToken },
        { tokens: 100_000, seconds: secondsPerToken * 100_000 },
      ],
      interpolation: 'linear',
      below: 'extrapolate',
      above: 'extrapolate',
    },
  }
}

function simple(input: InputSpec, servers: number): ScenarioSpec {
  return {
    ...caseStudy,
    remote: { profile: proportional(0.001), instances: servers },
    local: { ...caseStudy.local, profile: proportional(0.001), instances: 2 },
    workload: { input, outputTokens: 1 },
    homogeneousInstances: 2,
  }
}

describe('the SLO-feasible rate of one length', () => {
  it.each([
    [1, 3, 1],
    [4, 3, 1],
    [4, 2.2, 1],
    [4, 3, 0.01],
    [4, 3, 8],
    [16, 2.5, 2],
  ])(
    'on %d servers with 2 s of service and a bound of %d s is that of M/D/c with squared variation %d',
    (servers, bound, burstiness) => {
      // All requests take 2 s and their wait decays by (c - a) / (2 s / 2) with Poisson arrivals.
      const spec = withSlo(simple({ kind: 'fixed', tokens: 2000 }, servers), bound, burstiness)
      const expected = rateAt(0.1, servers / 2, (rateRps) => {
        const load = rateRps * 2
        if (burstiness === 1) return waitProbability(servers, load) * Math.exp(-(servers - load) * (bound - 2))
        const wait = allenCunneen({ servers, rateRps, meanSeconds: 2, secondMoment: 4, burstiness })
        return wait === null ? 1 : waitTail(wait, bound - 2)
      })
      const { sloFeasibleRps, lambdaMaxRps } = deployment(spec, 'naive-heterogeneous-pd')
      expect((sloFeasibleRps ?? 0) / expected).toBeCloseTo(1, 5)
      expect(lambdaMaxRps).toBeCloseTo(servers / 2, 9)
    },
  )

  it('of the homogeneous baseline is the same queue, on as many instances as decode leaves', () => {
    const base = simple({ kind: 'fixed', tokens: 2000 }, 4)
    const spec = withSlo({ ...base, homogeneousInstances: 6 }, 3)
    const expected = rateAt(0.1, 2.5, (rateRps) => waitProbability(5, 2 * rateRps) * Math.exp(-(5 - 2 * rateRps) * 1))
    const found = deployment(spec, 'homogeneous-pd')
    expect(found.instances).toEqual({ remotePrefill: null, localPrefill: 5, decode: 1 })
    expect((found.sloFeasibleRps ?? 0) / expected).toBeCloseTo(1, 5)
  })

  it('sees a share of a bursty stream as less bursty: 1 + p (c - 1)', () => {
    // Half of the prompts take 2 s remotely and 100 s locally; the others, 10 ms locally, never wait.
    const input: InputSpec = { kind: 'samples', tokens: [10, 2000], source: 'test' }
    const base = simple(input, 4)
    const slow = proportional(0.05)
    const points = [
      { tokens: 10, seconds: 0.01 },
      { tokens: 2000, seconds: 100 },
    ]
    const local = { ...slow, name: 'local', prefill: { ...slow.prefill, points, below: 'hold' as const } }
    const spec = withSlo({ ...base, local: { ...base.local, profile: local, instances: 40 } }, 3, 9)
    const expected = rateAt(0.2, 4, (rateRps) => {
      const wait = allenCunneen({ servers: 4, rateRps: rateRps / 2, meanSeconds: 2, secondMoment: 4, burstiness: 5 })
      return wait === null ? 1 : waitTail(wait, 1)
    })
    const found = deployment(spec, 'membrane-pd')
    expect(found.offloadedRatio).toBe(0.5)
    expect((found.sloFeasibleRps ?? 0) / expected).toBeCloseTo(1, 4)
  })

  it('counts the transfer on a link that others use: processor sharing stretches it by 1 / (1 - load)', () => {
    // 1,000 servers never queue; 1 GB on 8 Gbps takes 1 s alone, and 1.5 s at a load of one third.
    const heavy = { ...proportional(0.001), kv: { fixedBytes: 1e9, bytesPerToken: 0 } }
    const base = simple({ kind: 'fixed', tokens: 1000 }, 1000)
    const spec = withSlo({ ...base, remote: { profile: heavy, instances: 1000 }, link: { gbps: 8 } }, 2.5)
    expect(deployment(spec, 'naive-heterogeneous-pd').sloFeasibleRps).toBeCloseTo(1 / 3, 4)
  })
})

describe('the SLO-feasible rate of exponential service', () => {
  it.each([
    [1, 6],
    [4, 5],
    [12, 4],
  ])('on %d servers with a mean of 1 s and a bound of %d s is that of M/M/c', (servers, bound) => {
    const count = 4000
    const tokens = Array.from({ length: count }, (_, k) => -1000 * Math.log(1 - (k + 0.5) / count))
    const spec = withSlo(simple({ kind: 'samples', tokens, source: 'test' }, servers), bound)
    const expected = rateAt(0.1, servers, (load) => {
      // P(W + S > x): S alone, or a wait of rate c - a and then S.
      const [wait, gap] = [waitProbability(servers, load), servers - 1 - load]
      const both =
        Math.abs(gap) < 1e-9 ? bound * Math.exp(-bound) : (Math.exp(-bound) - Math.exp(-(servers - load) * bound)) / gap
      return (1 - wait) * Math.exp(-bound) + wait * (Math.exp(-(servers - load) * bound) + both * (servers - load))
    })
    const found = deployment(spec, 'naive-heterogeneous-pd').sloFeasibleRps ?? 0
    expect(Math.abs(found / expected - 1)).toBeLessThan(0.005)
  })
})

/** P(W + S <= x) is met by what the simulation of the next test finds, so the two agree on the plainest queue first. */
function simulatedP90(
  scenario: Scenario,
  threshold: number,
  roles: Roles,
  rateRps: number,
  random: Random,
  gap: (random: Random) => number = (uniform) => -Math.log(1 - uniform()),
): number {
  const count = 60_000
  const free = { remote: new Float64Array(roles.remotePrefill), local: new Float64Array(roles.localPrefill) }
  const ttft = new Float64Array(count)
  let now = 0
  for (let k = 0; k < count; k++) {
    now += gap(random) / rateRps
    const tokens = scenario.lengths.quantile(1 - random())
    const isOffloaded = tokens > threshold
    const servers = isOffloaded ? free.remote : free.local
    const profile = isOffloaded ? scenario.remote.profile : scenario.local.profile
    let first = 0
    for (let s = 1; s < servers.length; s++) if ((servers[s] ?? 0) < (servers[first] ?? 0)) first = s
    const start = Math.max(now, servers[first] ?? 0)
    const end = start + profile.prefillSeconds.at(tokens)
    servers[first] = end
    // The link is at one eighth of its rate here: a transfer takes hardly longer than alone.
    ttft[k] = end - now + (isOffloaded ? (profile.kvBytes.at(tokens) * 8) / (scenario.link.gbps * 1e9) : 0)
  }
  return ttft.sort()[Math.ceil(0.9 * count) - 1] ?? Number.NaN
}

/** Gamma gaps of mean 1 with this squared variation (above 1), by Marsaglia and Tsang on the shape above it. */
function gammaGap(squaredVariation: number): (random: Random) => number {
  const shape = 1 / squaredVariation
  const d = shape + 2 / 3
  return (random) => {
    for (;;) {
      const x = Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random())
      const v = (1 + x / Math.sqrt(9 * d)) ** 3
      if (v > 0 && Math.log(1 - random()) < (x * x) / 2 + d - d * v + d * Math.log(v)) {
        return (d * v * (1 - random()) ** (1 / shape)) / shape
      }
    }
  }
}

describe('against a simulation of the two prefill queues', () => {
  it.each([4, 10])(
    'the case study under arrivals of squared variation %d is within 8 % of the rate that a simulation allows',
    (burstiness) => {
      const bursty = withSlo(caseStudy, 6, burstiness)
      const plan = deployment(bursty, 'membrane-pd')
      const scenario = buildScenario(bursty)
      const roles = {
        remotePrefill: 4,
        localPrefill: plan.instances.localPrefill ?? 0,
        decode: plan.instances.decode ?? 0,
      }
      const excess = (rateRps: number): number =>
        simulatedP90(scenario, plan.thresholdTokens ?? 0, roles, rateRps, seededRandom(11), gammaGap(burstiness)) - 6
      const simulated = rateAt(0, 3.2, excess, 12)
      expect(Math.abs((plan.sloFeasibleRps ?? 0) / simulated - 1)).toBeLessThan(0.08)
    },
  )

  const spec = withSlo(caseStudy, 6)
  const plan = deployment(spec, 'membrane-pd')
  const scenario = buildScenario(spec)
  const roles = { remotePrefill: 4, localPrefill: plan.instances.localPrefill ?? 0, decode: plan.instances.decode ?? 0 }
  const threshold = plan.thresholdTokens ?? 0

  it('the case study with a bound of 6 s is within 3 % of the rate that the simulation allows', () => {
    const excess = (rateRps: number): number => simulatedP90(scenario, threshold, roles, rateRps, seededRandom(11)) - 6
    const simulated = rateAt(0, 3.2, excess, 12)
    expect(Math.abs((plan.sloFeasibleRps ?? 0) / simulated - 1)).toBeLessThan(0.03)
  })

  it('P90 TTFT is within 5 % at half, 70 % and 85 % of Lambda_max', () => {
    const view = viewOf(lengthCells(scenario, 512, [threshold]), threshold)
    for (const share of [0.5, 0.7, 0.85]) {
      const rateRps = share * plan.lambdaMaxRps
      const p90 = simulatedP90(scenario, threshold, roles, rateRps, seededRandom(3))
      const found = queuedTtftP90(scenario, view, roles, rateRps) ?? Number.NaN
      expect(Math.abs(found / p90 - 1), `at ${share}`).toBeLessThan(0.05)
    }
  })

  it('without load it is the TTFT of Table 6', () => {
    const view = viewOf(lengthCells(scenario, 2048, [19_405]), 19_405)
    expect(queuedTtftP90(scenario, view, roles, 1e-9)).toBeCloseTo(3.5104, 2)
    expect(queuedTtftP90(scenario, view, { ...roles, remotePrefill: 0 }, 1)).toBeNull()
    expect(queuedTtftP90(scenario, view, roles, 100)).toBeNull()
  })
})

describe('laws of the SLO-feasible rate', () => {
  const ratesOf = (spec: ScenarioSpec): readonly number[] =>
    optimize(spec).deployments.map(({ sloFeasibleRps }) => sloFeasibleRps ?? Number.NaN)
  const bound = fc.double({ min: 3.8, max: 20, noNaN: true })
  const burstiness = fc.double({ min: 0.01, max: 50, noNaN: true })
  /** The threshold is found on a grid, and the rate by bisection. */
  const SLACK = 2e-3

  it('is never above Lambda_max, never negative, never NaN', () => {
    fc.assert(
      fc.property(
        bound,
        burstiness,
        fc.integer({ min: 1, max: 6 }),
        fc.integer({ min: 2, max: 9 }),
        (seconds, ca2, remote, local) => {
          const spec = withSlo(
            {
              ...caseStudy,
              remote: { ...caseStudy.remote, instances: remote },
              local: { ...caseStudy.local, instances: local },
            },
            seconds,
            ca2,
          )
          for (const { sloFeasibleRps, lambdaMaxRps } of optimize(spec).deployments) {
            expect(sloFeasibleRps).toBeGreaterThanOrEqual(0)
            expect(sloFeasibleRps).toBeLessThanOrEqual(lambdaMaxRps)
          }
        },
      ),
      { numRuns: 12 },
    )
  })

  it('rises with the bound', () => {
    fc.assert(
      fc.property(bound, bound, burstiness, (a, b, ca2) => {
        const [tight, loose] = [
          ratesOf(withSlo(caseStudy, Math.min(a, b), ca2)),
          ratesOf(withSlo(caseStudy, Math.max(a, b), ca2)),
        ]
        for (const [k, rate] of tight.entries()) expect(loose[k]).toBeGreaterThanOrEqual(rate * (1 - SLACK))
      }),
      { numRuns: 8 },
    )
  })

  it('falls with the burstiness of the arrivals', () => {
    fc.assert(
      fc.property(bound, burstiness, burstiness, (seconds, a, b) => {
        const [even, bursty] = [
          ratesOf(withSlo(caseStudy, seconds, Math.min(a, b))),
          ratesOf(withSlo(caseStudy, seconds, Math.max(a, b))),
        ]
        for (const [k, rate] of bursty.entries()) expect(even[k]).toBeGreaterThanOrEqual(rate * (1 - SLACK))
      }),
      { numRuns: 8 },
    )
  })

  it('rises with one more instance on either side', () => {
    fc.assert(
      fc.property(bound, fc.integer({ min: 1, max: 6 }), fc.integer({ min: 2, max: 9 }), (seconds, remote, local) => {
        const rateOf = (remoteInstances: number, localInstances: number): number =>
          ratesOf(
            withSlo(
              {
                ...caseStudy,
                remote: { ...caseStudy.remote, instances: remoteInstances },
                local: { ...caseStudy.local, instances: localInstances },
              },
              seconds,
            ),
          )[0] ?? Number.NaN
        const base = rateOf(remote, local)
        expect(rateOf(remote + 1, local)).toBeGreaterThanOrEqual(base * (1 - SLACK))
        expect(rateOf(remote, local + 1)).toBeGreaterThanOrEqual(base * (1 - SLACK))
      }),
      { numRuns: 8 },
    )
  })

  it('is 0 for a baseline that cannot meet the bound even when idle', () => {
    const [membrane, homogeneous] = ratesOf(withSlo(caseStudy, 6))
    expect(homogeneous).toBe(0)
    expect(membrane).toBeGreaterThan(2)
    const { deployments, ratios } = optimize(withSlo(caseStudy, 6))
    expect(ratios.overHomogeneous).toBeNull()
    expect(deployments[0]?.bindingConstraint).toBe('slo')
  })

  it('of a bound that is never felt is the rate at which the first stage is full', () => {
    const [membrane = 0] = ratesOf(withSlo(caseStudy, 1e9))
    // 0 to 4 % below Eq. (6), which replaces lengths by their means (paper.md 7.6).
    expect(membrane).toBeGreaterThan(3.2424 * 0.96)
    expect(membrane).toBeLessThan(3.2424)
  })

  it('with a TPOT bound alone only the batch shrinks', () => {
    const decode = { ...caseStudy.local.decode, stepSeconds: { fixed: 0.005, perSequence: 0.001, perContextToken: 0 } }
    const spec = { ...caseStudy, local: { ...caseStudy.local, decode } }
    const decodeRpsOf = (tpotSeconds: number): number | null =>
      optimize({ ...spec, slo: { tpotSeconds } }).deployments[2]?.throughputRps.decode ?? null
    // 20 sequences take 25 ms, 10 take 15 ms: 8 instances of 10 / 15 ms / 1,024.
    expect(decodeRpsOf(0.025)).toBeCloseTo((8 * 20) / (0.025 * 1024), 9)
    expect(decodeRpsOf(0.0155)).toBeCloseTo((8 * 10) / (0.015 * 1024), 9)
    expect(() => decodeRpsOf(0.0059)).toThrow('decode takes 0.00600 s a step for one sequence')
  })
})
