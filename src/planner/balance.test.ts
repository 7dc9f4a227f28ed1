import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { bytesPerSecondFromGbps } from '../core/units.ts'
import { bestThreshold, candidate, isBetter, scanThresholds } from './balance.ts'
import { conditionalMean } from './lengths.ts'
import { optimize } from './optimize.ts'
import { preset } from './presets.ts'
import type { LatencyProfileData } from './profile.ts'
import { buildScenario, type InputSpec, type Scenario, type ScenarioSpec } from './scenario.ts'
import { splitTraffic, stageRates } from './split.ts'
import { lambdaMaxRps, localBoundRps, remoteBoundRps } from './throughput.ts'

const caseStudy = preset('case-study')

/** Equation (6) from the distribution and the curves alone, for every N_p at once: the oracle shares no formula with the planner. */
function bestOverRoles(scenario: Scenario, threshold: number): number {
  const { lengths, remote, local, link, decodeBatch, outputTokens } = scenario
  const share = lengths.mass(threshold, lengths.maxTokens)
  const long = conditionalMean(lengths, threshold, lengths.maxTokens)
  const short = conditionalMean(lengths, 0, threshold)
  const instanceRps = decodeBatch.batch / (decodeBatch.stepSeconds * outputTokens)
  let best = 0
  for (let prefill = 0; prefill < local.instances; prefill++) {
    const bounds = [(local.instances - prefill) * instanceRps]
    if (long !== null) {
      bounds.push(
        remote.instances / remote.profile.prefillSeconds.at(long) / share,
        bytesPerSecondFromGbps(link.gbps) / remote.profile.kvBytes.at(long) / share,
      )
    }
    if (short !== null) bounds.push(prefill / local.profile.prefillSeconds.at(short) / (1 - share))
    best = Math.max(best, Math.min(...bounds))
  }
  return best
}

/** The exhaustive search of the paper: a coarse scan of all whole thresholds, then every one, or 400, around its best. */
function exhaustive(scenario: Scenario): number {
  const { lengths } = scenario
  const most = Math.ceil(lengths.maxTokens)
  const scan = (from: number, to: number, points: number): readonly [number, number] => {
    let best: readonly [number, number] = [0, from]
    for (let k = 0; k <= points; k++) {
      const threshold = Math.round(from + ((to - from) * k) / points)
      const rps = bestOverRoles(scenario, threshold)
      if (rps > best[0]) best = [rps, threshold]
    }
    return best
  }
  const quantiles = Array.from({ length: 400 }, (_, k) => Math.round(lengths.quantile((k + 0.5) / 400)))
  const coarse = [
    scan(0, most, 1200),
    ...quantiles.map((t): readonly [number, number] => [bestOverRoles(scenario, t), t]),
  ]
  const [, around] = coarse.reduce((a, b) => (b[0] > a[0] ? b : a))
  const reach = Math.max(100, Math.ceil(most / 600))
  return Math.max(
    ...coarse.map(([rps]) => rps),
    scan(Math.max(0, around - reach), Math.min(most, around + reach), 400)[0],
  )
}

const logNormal = fc
  .record({
    mu: fc.double({ min: 6, max: 11, noNaN: true }),
    sigma: fc.double({ min: 0.2, max: 2, noNaN: true }),
  })
  .map(({ mu, sigma }): InputSpec => ({ kind: 'log-normal', mu, sigma, minTokens: 64, maxTokens: 131_072 }))
const samples = fc
  .array(fc.integer({ min: 1, max: 130_000 }), { minLength: 1, maxLength: 40 })
  .map((tokens): InputSpec => ({ kind: 'samples', tokens, source: 'test' }))
const mixture = fc
  .array(fc.record({ weight: fc.integer({ min: 1, max: 9 }), input: logNormal }), { minLength: 2, maxLength: 3 })
  .map((components): InputSpec => ({ kind: 'mixture', components }))

const LATENCY_TOKENS = [1000, 8000, 32_000, 128_000]

/** Latencies that grow with each step by any factor up to eight, from `least` (below 1 they may fall): concave, convex, or both. */
function profiles(least: number): fc.Arbitrary<LatencyProfileData> {
  return fc
    .tuple(
      fc.double({ min: 0.05, max: 1, noNaN: true }),
      fc.array(fc.double({ min: least, max: 8, noNaN: true }), { minLength: 3, maxLength: 3 }),
      fc.constantFrom('linear' as const, 'monotone-cubic' as const),
    )
    .map(([first, factors, interpolation]): LatencyProfileData => {
      let seconds = first
      const rest = factors.map((factor) => (seconds *= factor))
      return {
        ...(caseStudy.remote.profile as LatencyProfileData),
        prefill: {
          points: [first, ...rest].map((value, k) => ({ tokens: LATENCY_TOKENS[k] ?? 0, seconds: value })),
          interpolation,
          below: 'hold',
          above: 'hold',
        },
      }
    })
}

function scenarioOf(
  input: fc.Arbitrary<InputSpec>,
  curves: fc.Arbitrary<LatencyProfileData>,
): fc.Arbitrary<ScenarioSpec> {
  return fc
    .record({
      input,
      remote: curves,
      local: curves,
      remoteInstances: fc.integer({ min: 1, max: 8 }),
      localInstances: fc.integer({ min: 2, max: 8 }),
      gbps: fc.constantFrom(0.1, 1, 10, 100, 1000),
      outputTokens: fc.constantFrom(32, 256, 1024),
    })
    .map(({ input: lengths, remote, local, remoteInstances, localInstances, gbps, outputTokens }) => ({
      ...caseStudy,
      remote: { profile: { ...remote, name: 'remote' }, instances: remoteInstances },
      local: { ...caseStudy.local, profile: { ...local, name: 'local' }, instances: localInstances },
      link: { gbps },
      workload: { input: lengths, outputTokens },
    }))
}

describe('the best threshold and roles', () => {
  it.each([
    ['log-normal', logNormal, 0.4, 40],
    ['samples', samples, 0.4, 60],
    ['mixture', mixture, 1.01, 20],
  ] as const)('of %s lengths are as good as an exhaustive search finds, to 1e-4', (_, input, leastFactor, numRuns) => {
    fc.assert(
      fc.property(scenarioOf(input, profiles(leastFactor)), (spec) => {
        const found = optimize(spec).deployments[0]?.lambdaMaxRps ?? 0
        const oracle = exhaustive(buildScenario(spec))
        expect(found).toBeGreaterThanOrEqual(oracle * (1 - 1e-4))
      }),
      { numRuns, seed: 5 },
    )
  })

  it.each([
    'case-study',
    'case-study-table5',
    'mimo-v2-flash',
    'qwen3.5-397b',
    'minimax-m2.5',
    'qwen3-235b',
    'llama2-70b',
  ])('of the preset %s are as good as an exhaustive search finds', (name) => {
    const found = optimize(preset(name)).deployments[0]?.lambdaMaxRps ?? 0
    expect(found).toBeGreaterThanOrEqual(exhaustive(buildScenario(preset(name))) * (1 - 1e-4))
  })

  // Latencies that fall somewhere: the maximum lies where no bounds cross, or between two of several crossings.
  it.each<readonly [string, number, number, readonly [number, number], readonly number[], readonly number[]]>([
    ['a peak where no bounds cross', 7.7588, 1.8524, [7, 5], [1, 8, 7.5718, 17.2919], [0.3314, 0.1653, 1.1679, 1.3859]],
    ['a long flat rise', 6.4017, 2, [3, 8], [0.05, 0.167, 1.3363, 7.4247], [0.2508, 0.2865, 2.2923, 5.258]],
    ['a drop at the end', 9.7563, 2, [8, 4], [0.0536, 0.3289, 2.0514, 0.8444], [0.9543, 0.3817, 2.8805, 22.763]],
    ['a dip in the middle', 10.7692, 1.3255, [8, 2], [1, 0.4, 0.6923, 1.0307], [0.05, 0.1408, 0.0563, 0.1042]],
  ])('of %s are as good as an exhaustive search finds', (_, mu, sigma, [remote, local], far, near) => {
    const profileOf = (
      name: string,
      seconds: readonly number[],
      interpolation: 'linear' | 'monotone-cubic',
    ): LatencyProfileData => ({
      ...(caseStudy.remote.profile as LatencyProfileData),
      name,
      prefill: {
        points: LATENCY_TOKENS.map((tokens, k) => ({ tokens, seconds: seconds[k] ?? Number.NaN })),
        interpolation,
        below: 'hold',
        above: 'hold',
      },
    })
    const scenario: ScenarioSpec = {
      ...caseStudy,
      remote: { profile: profileOf('remote', far, 'monotone-cubic'), instances: remote },
      local: { ...caseStudy.local, profile: profileOf('local', near, 'linear'), instances: local },
      link: { gbps: 1000 },
      workload: { input: { kind: 'log-normal', mu, sigma, minTokens: 64, maxTokens: 131_072 }, outputTokens: 32 },
    }
    const found = optimize(scenario).deployments[0]?.lambdaMaxRps ?? 0
    expect(found).toBeGreaterThanOrEqual(exhaustive(buildScenario(scenario)) * (1 - 1e-4))
  })

  it.each([12_000, 17_000, 19_405, 20_000, 24_000, 30_000])(
    'of a third of all prompts at %d tokens are on the better side of the jump',
    (tokens) => {
      for (const instances of [5, 7, 8, 11]) {
        const input: InputSpec = {
          kind: 'mixture',
          components: [
            { weight: 2, input: caseStudy.workload.input },
            { weight: 1, input: { kind: 'fixed', tokens } },
          ],
        }
        const local = { ...caseStudy.local, instances }
        const spec = { ...caseStudy, local, workload: { ...caseStudy.workload, input } }
        const found = optimize(spec).deployments[0]?.lambdaMaxRps ?? 0
        expect(found).toBeGreaterThanOrEqual(exhaustive(buildScenario(spec)) * (1 - 1e-4))
      }
    },
  )

  it('with as many lengths as there are requests: an offloaded tail of one in a thousand is found', () => {
    // 999 short prompts and one that only the remote cluster can prefill in time.
    const input: InputSpec = {
      kind: 'samples',
      tokens: [...Array.from({ length: 999 }, () => 500), 130_000],
      source: 'test',
    }
    const spec = { ...caseStudy, workload: { ...caseStudy.workload, input } }
    const found = optimize(spec).deployments[0]?.lambdaMaxRps ?? 0
    expect(found).toBeGreaterThanOrEqual(exhaustive(buildScenario(spec)) * (1 - 1e-9))
  })
})

describe('the two prefill bounds', () => {
  it('rise and fall with the threshold when latency is a straight line: Eq. (7) has one solution', () => {
    const seconds = fc.record({
      fixed: fc.double({ min: 0.01, max: 1, noNaN: true }),
      slope: fc.double({ min: 1e-6, max: 1e-3, noNaN: true }),
    })
    const straight = seconds.map(
      ({ fixed, slope }): LatencyProfileData => ({
        ...(caseStudy.remote.profile as LatencyProfileData),
        prefill: {
          points: [
            { tokens: 1, seconds: fixed + slope },
            { tokens: 100_000, seconds: fixed + slope * 100_000 },
          ],
          interpolation: 'linear',
          below: 'extrapolate',
          above: 'extrapolate',
        },
      }),
    )
    fc.assert(
      fc.property(scenarioOf(logNormal, straight), (spec) => {
        const scenario = buildScenario(spec)
        const roles = { remotePrefill: 3, localPrefill: 2, decode: 1 }
        const bounds = Array.from({ length: 30 }, (_, k) => {
          const split = splitTraffic(scenario, Math.round(scenario.lengths.quantile((k + 1) / 31)))
          const { remotePrefill, localPrefill } = roles
          return {
            remote: remotePrefill / (split.long?.prefillSeconds ?? Number.NaN) / split.offloadedRatio,
            local: localPrefill / (split.short?.prefillSeconds ?? Number.NaN) / (1 - split.offloadedRatio),
          }
        })
        for (const [k, bound] of bounds.entries()) {
          const before = bounds[k - 1]
          if (before === undefined) continue
          expect(bound.remote).toBeGreaterThanOrEqual(before.remote * (1 - 1e-9))
          expect(bound.local).toBeLessThanOrEqual(before.local * (1 + 1e-9))
        }
      }),
      { numRuns: 40 },
    )
  })
})

describe('a candidate', () => {
  it('is Eq. (3) to (6) of the functions that carry their names', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 140_000 }),
        fc.integer({ min: 0, max: 8 }),
        fc.integer({ min: 0, max: 8 }),
        fc.double({ min: 0.1, max: 1000, noNaN: true }),
        (threshold, remotePrefill, localPrefill, gbps) => {
          const scenario = buildScenario({ ...caseStudy, link: { gbps } })
          const roles = { remotePrefill, localPrefill, decode: 3 }
          const split = splitTraffic(scenario, threshold)
          const rates = stageRates(scenario, split, roles)
          const plan = candidate(scenario, roles, split)
          const bound = Math.min(remoteBoundRps(rates), localBoundRps(rates))
          expect(plan.lambdaMaxRps).toBeCloseTo(lambdaMaxRps(rates), 9)
          expect(plan.prefillBoundRps === bound || Math.abs(plan.prefillBoundRps / bound - 1) < 1e-12).toBe(true)
        },
      ),
    )
  })
})

describe('ties', () => {
  const scenario = buildScenario(caseStudy)
  const roles = { remotePrefill: 4, localPrefill: 4, decode: 4 }
  const at = (threshold: number) => candidate(scenario, roles, splitTraffic(scenario, threshold))

  it('where decode binds go to the larger prefill headroom', () => {
    const [near, far] = [at(22_000), at(24_000)]
    expect(near.lambdaMaxRps).toBe(far.lambdaMaxRps)
    const better = near.prefillBoundRps > far.prefillBoundRps ? near : far
    const worse = better === near ? far : near
    expect([isBetter(better, worse), isBetter(worse, better)]).toEqual([true, false])
  })

  it('of equal headroom go to less egress, then to the smaller threshold', () => {
    const plan = at(22_000)
    const heavier = { ...plan, split: { ...plan.split, offloadedRatio: plan.split.offloadedRatio * 1.1 } }
    const later = { ...plan, split: { ...plan.split, thresholdTokens: 22_001 } }
    expect([isBetter(plan, heavier), isBetter(heavier, plan)]).toEqual([true, false])
    expect([isBetter(plan, later), isBetter(later, plan)]).toEqual([true, false])
    expect(isBetter(plan, plan)).toBe(false)
  })

  it('to a billionth are ties, and more is not', () => {
    const plan = at(22_000)
    const hardlyMore = {
      ...plan,
      lambdaMaxRps: plan.lambdaMaxRps * (1 + 1e-10),
      prefillBoundRps: plan.prefillBoundRps * 0.9,
    }
    const more = { ...hardlyMore, lambdaMaxRps: plan.lambdaMaxRps * (1 + 1e-8) }
    expect([isBetter(hardlyMore, plan), isBetter(more, plan)]).toEqual([false, true])
  })

  it('on the plateau leave the balance point of Eq. (7), not its left edge', () => {
    const best = bestThreshold(scenario, roles, scanThresholds(scenario))
    const steps = [-2000, -500, -5, 5, 500, 2000].map((step) => at(best.split.thresholdTokens + step).prefillBoundRps)
    expect(Math.max(...steps)).toBeLessThan(best.prefillBoundRps)
    expect(best.lambdaMaxRps).toBeCloseTo(3.127, 3)
  })
})
