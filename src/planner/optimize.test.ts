import { describe, expect, it } from 'vitest'
import { MembraneError } from '../core/errors.ts'
import { assumption } from './assumptions.ts'
import { logNormalLengths } from './log-normal.ts'
import { optimize, type Deployment } from './optimize.ts'
import { PAPER_TABLE_6 } from './paper.ts'
import { preset } from './presets.ts'
import type { LatencyProfileData } from './profile.ts'
import type { ScenarioSpec } from './scenario.ts'
import { DEPLOYMENT_NAMES } from './search.ts'

const caseStudy = preset('case-study')

function deploymentsOf(spec: ScenarioSpec): readonly [Deployment, Deployment, Deployment] {
  const [membrane, homogeneous, naive] = optimize(spec).deployments
  if (membrane === undefined || homogeneous === undefined || naive === undefined) throw new Error('three deployments')
  return [membrane, homogeneous, naive]
}

/** The code and message of what is thrown. */
function failureOf(spec: ScenarioSpec): MembraneError {
  try {
    optimize(spec)
  } catch (error) {
    if (error instanceof MembraneError) return error
    throw error
  }
  throw new Error('expected an error')
}

function slowed(profile: ScenarioSpec['remote']['profile'], factor: number): LatencyProfileData {
  if (profile.kind !== 'latency') throw new Error('a latency profile')
  const points = profile.prefill.points.map((point) => ({ ...point, seconds: point.seconds * factor }))
  return { ...profile, name: `${profile.name}-slowed`, prefill: { ...profile.prefill, points } }
}

describe('the case study', () => {
  const { deployments, ratios } = optimize(caseStudy)

  it.each([0, 1, 2])('is Table 6 of the paper to one in 200, column %d', (column) => {
    const [found, printed] = [deployments[column], PAPER_TABLE_6[column]]
    if (found === undefined || printed === undefined) throw new Error('a column is missing')
    expect(found.name).toBe(printed.name)
    expect(found.instances).toEqual(printed.instances)
    const pairs: readonly (readonly [number | null, number | null])[] = [
      [found.throughputRps.remotePrefill, printed.throughputRps.remotePrefill],
      [found.throughputRps.localPrefill, printed.throughputRps.localPrefill],
      [found.throughputRps.decode, printed.throughputRps.decode],
      [found.lambdaMaxRps, printed.lambdaMaxRps],
      [found.ttftSeconds.mean, printed.ttftSeconds.mean],
      [found.ttftSeconds.p90, printed.ttftSeconds.p90],
      [found.lambdaMaxRps / (deployments[1]?.lambdaMaxRps ?? 1), printed.ratioOverHomogeneous],
    ]
    for (const [value, wanted] of pairs) {
      if (wanted === null) expect(value).toBeNull()
      else expect(Math.abs((value ?? 0) / wanted - 1)).toBeLessThan(0.005)
    }
  })

  it('is paper.md 7.5 to three decimals', () => {
    const [membrane, homogeneous, naive] = deploymentsOf(caseStudy)
    const wanted: readonly (readonly [number | null, number])[] = [
      [membrane.throughputRps.remotePrefill, 1.607],
      [membrane.throughputRps.localPrefill, 1.635],
      [membrane.throughputRps.decode, 3.909],
      [membrane.lambdaMaxRps, 3.242],
      [membrane.ttftSeconds.mean, 2.231],
      [membrane.ttftSeconds.p90, 3.51],
      [homogeneous.throughputRps.localPrefill, 2.11],
      [homogeneous.throughputRps.decode, 2.345],
      [homogeneous.lambdaMaxRps, 2.11],
      [homogeneous.ttftSeconds.mean, 4.44],
      [homogeneous.ttftSeconds.p90, 9.73],
      [naive.throughputRps.remotePrefill, 2.453],
      [naive.throughputRps.decode, 6.254],
      [naive.lambdaMaxRps, 2.453],
      [naive.ttftSeconds.mean, 1.737],
      [naive.ttftSeconds.p90, 3.51],
      [ratios.overHomogeneous, 1.537],
      [ratios.overNaive, 1.322],
    ]
    for (const [value, expected] of wanted) expect(Math.abs((value ?? 0) - expected)).toBeLessThan(0.0006)
  })

  it('offloads above 19,405 tokens, 49.6 % of requests and 12.35 Gbps', () => {
    const [membrane] = deploymentsOf(caseStudy)
    expect(membrane.thresholdTokens).toBe(19_405)
    expect(Math.abs((membrane.thresholdTokens ?? 0) - 19_400)).toBeLessThan(100)
    expect(membrane.offloadedRatio).toBeCloseTo(0.496, 3)
    expect(membrane.egressGbps).toBeCloseTo(12.35, 1)
    expect(membrane.bindingConstraint).toBe('remote-prefill')
    expect(membrane.sloFeasibleRps).toBeNull()
  })

  it('has baselines without a threshold', () => {
    const [, homogeneous, naive] = deploymentsOf(caseStudy)
    expect([homogeneous.thresholdTokens, naive.thresholdTokens]).toEqual([null, null])
    expect([homogeneous.offloadedRatio, homogeneous.egressGbps, naive.offloadedRatio]).toEqual([0, 0, 1])
    expect([homogeneous.bindingConstraint, naive.bindingConstraint]).toEqual(['local-prefill', 'remote-prefill'])
  })

  it('lists the deployments in the order of their names, and what they rest on', () => {
    const { assumptions, warnings } = optimize(caseStudy)
    expect(deployments.map((deployment) => deployment.name)).toEqual(DEPLOYMENT_NAMES)
    expect(assumptions).toContainEqual(assumption('h200-knots'))
    expect(assumptions).toContainEqual(assumption('tie-rule'))
    expect(new Set(assumptions.map(({ id }) => id)).size).toBe(assumptions.length)
    expect(warnings).toHaveLength(2)
  })
})

describe('the case study from the four rows of Table 5 alone', () => {
  it('is within 3 % of Table 6, with its roles, and a threshold within 5 %', () => {
    const found = deploymentsOf(preset('case-study-table5'))
    for (const [column, printed] of PAPER_TABLE_6.entries()) {
      const deployment = found[column]
      expect(deployment?.instances).toEqual(printed.instances)
      expect(Math.abs((deployment?.lambdaMaxRps ?? 0) / printed.lambdaMaxRps - 1)).toBeLessThan(0.03)
      expect(Math.abs((deployment?.ttftSeconds.mean ?? 0) / printed.ttftSeconds.mean - 1)).toBeLessThan(0.03)
      expect(Math.abs((deployment?.ttftSeconds.p90 ?? 0) / printed.ttftSeconds.p90 - 1)).toBeLessThan(0.03)
    }
    expect(Math.abs((found[0].thresholdTokens ?? 0) / 19_400 - 1)).toBeLessThan(0.05)
  })

  it('is paper.md 7.5: 3.241 at 19,400 and 3/5, Theta_prfaas 1.607, naive 2.465, homogeneous 2.110', () => {
    const [membrane, homogeneous, naive] = deploymentsOf(preset('case-study-table5'))
    expect(membrane.lambdaMaxRps).toBeCloseTo(3.241, 2)
    expect(membrane.throughputRps.remotePrefill).toBeCloseTo(1.607, 2)
    expect(Math.abs((membrane.thresholdTokens ?? 0) - 19_400)).toBeLessThan(50)
    expect(naive.lambdaMaxRps).toBeCloseTo(2.465, 3)
    expect(homogeneous.lambdaMaxRps).toBeCloseTo(2.11, 3)
  })
})

describe('the link', () => {
  it('binds below about 12.4 Gbps in the case study (paper.md 7.6)', () => {
    const binding = (gbps: number): string => deploymentsOf({ ...caseStudy, link: { gbps } })[0].bindingConstraint
    expect([5, 8, 12].map(binding)).toEqual(['egress', 'egress', 'egress'])
    expect([12.6, 20, 1000].map(binding)).toEqual(['remote-prefill', 'remote-prefill', 'remote-prefill'])
  })

  it('never carries more than it has, and more of it never serves less', () => {
    let previous = 0
    for (const gbps of [0.01, 0.1, 0.5, 1, 2, 5, 8, 10, 12, 15, 50, 1000]) {
      const [membrane, , naive] = deploymentsOf({ ...caseStudy, link: { gbps } })
      expect(membrane.egressGbps).toBeLessThanOrEqual(gbps * (1 + 1e-9))
      expect(naive.egressGbps).toBeLessThanOrEqual(gbps * (1 + 1e-9))
      expect(membrane.lambdaMaxRps).toBeGreaterThanOrEqual(previous * (1 - 1e-4))
      previous = membrane.lambdaMaxRps
    }
  })

  it('is not used when it is hopeless: then the local cluster serves what it can alone', () => {
    const [membrane] = deploymentsOf({ ...caseStudy, link: { gbps: 1e-9 } })
    const alone = deploymentsOf({ ...caseStudy, homogeneousInstances: 8 })[1]
    expect([membrane.offloadedRatio, membrane.egressGbps]).toEqual([0, 0])
    expect(membrane.lambdaMaxRps).toBeCloseTo(alone.lambdaMaxRps, 9)
    expect(membrane.ttftSeconds).toEqual(alone.ttftSeconds)
    expect(membrane.throughputRps.remotePrefill).toBeNull()
  })

  it.each(['minimax-m2.5', 'qwen3-235b', 'llama2-70b'])(
    'of 100 Gbps limits the naive deployment of the dense model %s',
    (name) => {
      const [, , naive] = deploymentsOf(preset(name))
      expect(naive.bindingConstraint).toBe('egress')
      expect(naive.egressGbps).toBeCloseTo(100, 6)
    },
  )

  it.each(['case-study', 'mimo-v2-flash', 'qwen3.5-397b'])('of 100 Gbps does not limit the hybrid model %s', (name) => {
    const [membrane, , naive] = deploymentsOf(preset(name))
    expect([membrane.bindingConstraint, naive.bindingConstraint]).not.toContain('egress')
  })
})

describe('other hardware', () => {
  it('a remote cluster ten thousand times slower changes next to nothing', () => {
    const remote = { ...caseStudy.remote, profile: slowed(caseStudy.remote.profile, 1e4) }
    const [membrane] = deploymentsOf({ ...caseStudy, remote })
    const alone = deploymentsOf({ ...caseStudy, homogeneousInstances: 8 })[1]
    expect(membrane.lambdaMaxRps / alone.lambdaMaxRps).toBeLessThan(1.001)
    expect(membrane.lambdaMaxRps).toBeGreaterThanOrEqual(alone.lambdaMaxRps)
    expect(membrane.offloadedRatio).toBeLessThan(0.001)
  })

  it('a remote cluster a thousand times faster takes everything that decode leaves it', () => {
    const remote = { ...caseStudy.remote, profile: slowed(caseStudy.remote.profile, 1e-3) }
    const [membrane, , naive] = deploymentsOf({ ...caseStudy, remote })
    expect(membrane.instances).toEqual({ remotePrefill: 4, localPrefill: null, decode: 8 })
    expect(membrane.lambdaMaxRps).toBe(naive.lambdaMaxRps)
    expect(membrane.bindingConstraint).toBe('decode')
  })

  it('one remote and two local instances still have a best plan', () => {
    const [membrane, homogeneous] = deploymentsOf({
      ...caseStudy,
      remote: { ...caseStudy.remote, instances: 1 },
      local: { ...caseStudy.local, instances: 2 },
    })
    expect(membrane.instances).toEqual({ remotePrefill: 1, localPrefill: 1, decode: 1 })
    expect(homogeneous.instances).toEqual({ remotePrefill: null, localPrefill: 2, decode: 1 })
    expect(membrane.lambdaMaxRps).toBeCloseTo(0.78175, 4)
  })

  it('a homogeneous baseline of two is one that prefills and one that decodes', () => {
    const [, homogeneous] = deploymentsOf({ ...caseStudy, homogeneousInstances: 2 })
    expect(homogeneous.instances).toEqual({ remotePrefill: null, localPrefill: 1, decode: 1 })
  })

  it('ten times of everything serves ten times as much, with the same threshold', () => {
    const [membrane] = deploymentsOf(caseStudy)
    const [tenfold] = deploymentsOf({
      ...caseStudy,
      remote: { ...caseStudy.remote, instances: 40 },
      local: { ...caseStudy.local, instances: 80 },
      link: { gbps: 1000 },
    })
    // The split of 80 can be finer than that of 8.
    expect(tenfold.lambdaMaxRps).toBeGreaterThanOrEqual(10 * membrane.lambdaMaxRps * (1 - 1e-4))
    expect(tenfold.lambdaMaxRps).toBeLessThan(11.5 * membrane.lambdaMaxRps)
  })

  it('of thousands of instances is answered, without NaN', () => {
    const [membrane] = deploymentsOf({
      ...caseStudy,
      remote: { ...caseStudy.remote, instances: 1000 },
      local: { ...caseStudy.local, instances: 1000 },
    })
    expect(membrane.bindingConstraint).toBe('egress')
    expect(membrane.lambdaMaxRps).toBeGreaterThan(190)
    expect(membrane.egressGbps).toBeLessThanOrEqual(100 * (1 + 1e-9))
  })
})

describe('odd workloads', () => {
  const withInput = (input: ScenarioSpec['workload']['input']): ScenarioSpec => ({
    ...caseStudy,
    workload: { ...caseStudy.workload, input },
  })

  it.each([
    ['one length', { kind: 'fixed', tokens: 20_000 }],
    ['one token', { kind: 'fixed', tokens: 1 }],
    ['a hundred million tokens', { kind: 'fixed', tokens: 1e8 }],
    ['hardly any spread', { kind: 'log-normal', mu: 9.9, sigma: 0.01, minTokens: 128, maxTokens: 131_072 }],
    ['a sigma of 4', { kind: 'log-normal', mu: 9.9, sigma: 4, minTokens: 1, maxTokens: 1e8 }],
    ['two far apart', { kind: 'samples', tokens: [1, 130_000], source: 'test' }],
  ] as const)('%s: all figures are finite and no stage is above its capacity', (_, input) => {
    for (const deployment of deploymentsOf(withInput(input))) {
      const { lambdaMaxRps, throughputRps, ttftSeconds, egressGbps, offloadedRatio } = deployment
      const { remotePrefill, localPrefill, decode } = throughputRps
      const numbers = [lambdaMaxRps, decode ?? 0, ttftSeconds.mean, ttftSeconds.p90, egressGbps, offloadedRatio]
      expect(numbers.every((value) => Number.isFinite(value))).toBe(true)
      expect(lambdaMaxRps).toBeGreaterThan(0)
      expect(lambdaMaxRps * offloadedRatio).toBeLessThanOrEqual((remotePrefill ?? 0) * (1 + 1e-9))
      expect(lambdaMaxRps * (1 - offloadedRatio)).toBeLessThanOrEqual((localPrefill ?? 0) * (1 + 1e-9))
      expect(lambdaMaxRps).toBeLessThanOrEqual((decode ?? 0) * (1 + 1e-9))
    }
  })

  it('one length goes wholly to the faster place', () => {
    const [membrane] = deploymentsOf(withInput({ kind: 'fixed', tokens: 20_000 }))
    expect([0, 1]).toContain(membrane.offloadedRatio)
    // 4 instances of 0.7218 + (20,000 - 8,192) x (1.8431 - 0.7218) / 23,808 seconds.
    expect(membrane.lambdaMaxRps).toBeCloseTo(4 / 1.27793, 3)
  })

  it('a hundred thousand samples give what their distribution gives', () => {
    const { input } = caseStudy.workload
    if (input.kind !== 'log-normal') throw new Error('the case study is log-normal')
    const lengths = logNormalLengths(input)
    const tokens = Float64Array.from({ length: 100_000 }, (_, k) => lengths.quantile((k + 0.5) / 100_000))
    const [sampled] = deploymentsOf(withInput({ kind: 'samples', tokens, source: 'test' }))
    expect(sampled.lambdaMaxRps).toBeCloseTo(3.2424, 3)
    expect(Math.abs((sampled.thresholdTokens ?? 0) - 19_405)).toBeLessThan(5)
  })
})

describe('a bound that cannot be met', () => {
  it('on TPOT names decode, what one sequence takes, and the excess', () => {
    const error = failureOf({ ...caseStudy, slo: { tpotSeconds: 0.02 } })
    expect(error.code).toBe('INFEASIBLE')
    expect(error.message).toBe(
      'The TPOT bound of 0.02 s cannot be met: decode takes 0.0250 s a step for one sequence, 0.00498 s too long.',
    )
    expect(error.details).toEqual({ stage: 'decode', boundSeconds: 0.02, reachedSeconds: 0.024984 })
  })

  it('on TTFT names the stage, the best that an empty system reaches, and the excess', () => {
    const error = failureOf({ ...caseStudy, slo: { ttftSecondsP90: 3 } })
    expect(error.code).toBe('INFEASIBLE')
    expect(error.message).toContain('The P90 TTFT bound of 3 s cannot be met at any rate: remote-prefill is too slow')
    expect(error.message).toContain('reaches 3.51 s on an empty system, 0.510 s over')
    expect(error.details['stage']).toBe('remote-prefill')
    expect(error.remedy).toContain('--slo-ttft-p90')
  })

  it('names the link when only the transfer is too slow', () => {
    const local = { ...caseStudy.local, profile: slowed(caseStudy.local.profile, 100) }
    const error = failureOf({ ...caseStudy, local, link: { gbps: 1 }, slo: { ttftSecondsP90: 4.5 } })
    expect(error.code).toBe('INFEASIBLE')
    expect(error.details['stage']).toBe('egress')
  })

  it('names local prefill when the remote cluster is the slower one', () => {
    const remote = { ...caseStudy.remote, profile: slowed(caseStudy.remote.profile, 100) }
    expect(failureOf({ ...caseStudy, remote, slo: { ttftSecondsP90: 5 } }).details['stage']).toBe('local-prefill')
  })
})

describe('what once went wrong', () => {
  it('the scan finds a peak between two scan points', () => {
    const profile = (name: string, s: readonly number[]) =>
      ({
        ...preset('case-study').remote.profile,
        name,
        prefill: {
          points: [1000, 8000, 32_000, 128_000].map((tokens, k) => ({ tokens, seconds: s[k] ?? 1 })),
          interpolation: 'monotone-cubic',
          below: 'hold',
          above: 'hold',
        },
      }) as never
    const spec = {
      ...preset('case-study'),
      remote: { profile: profile('r', [1, 8, 7.5718, 17.2919]), instances: 7 },
      local: { ...preset('case-study').local, profile: profile('l', [0.3314, 0.1653, 1.1679, 1.3859]), instances: 5 },
      link: { gbps: 1000 },
      workload: {
        input: { kind: 'log-normal' as const, mu: 7.7588, sigma: 1.8524, minTokens: 64, maxTokens: 131_072 },
        outputTokens: 32,
      },
    }
    expect(optimize(spec).deployments[0]?.lambdaMaxRps).toBeGreaterThan(24.32) // 24.02 found
  })

  it('equal SLO rates go by the tie rule, not by the noise of a bisection', () => {
    const [membrane] = optimize({
      ...preset('case-study'),
      slo: { ttftSecondsP90: 6 },
      workload: {
        ...preset('case-study').workload,
        input: { kind: 'log-normal', mu: 9.9, sigma: 1e-6, minTokens: 128, maxTokens: 131_072 },
      },
    }).deployments
    expect(membrane?.lambdaMaxRps).toBeGreaterThan(3.13) // 4 idle local prefill instances, 3.127, instead of 3.138
  })

  it('a TTFT bound that only the link keeps out of reach names egress', () => {
    // At 100 Gbps the same bound is met (3.51 s); the message says local-prefill and "faster prefill hardware".
    let stage: unknown
    try {
      optimize({ ...preset('case-study'), link: { gbps: 1 }, slo: { ttftSecondsP90: 4.5 } })
    } catch (e) {
      stage = (e as { details: { stage: unknown } }).details.stage
    }
    expect(stage).toBe('egress')
  })
})
