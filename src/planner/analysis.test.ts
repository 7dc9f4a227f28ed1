import { describe, expect, it } from 'vitest'
import { analyze, type Analysis } from './analysis.ts'
import { costAt, gpuCount, terabytesPerMonth } from './cost.ts'
import { optimize } from './optimize.ts'
import { preset } from './presets.ts'
import type { LatencyProfileData } from './profile.ts'
import { buildScenario, type ScenarioSpec } from './scenario.ts'

const caseStudy = preset('case-study')
const priced: ScenarioSpec = {
  ...caseStudy,
  remote: { ...caseStudy.remote, pricePerGpuHour: 2 },
  local: { ...caseStudy.local, pricePerGpuHour: 1 },
}

function rateOf(spec: ScenarioSpec): number {
  const [membrane] = optimize(spec).deployments
  return membrane?.sloFeasibleRps ?? membrane?.lambdaMaxRps ?? Number.NaN
}

function priceOf(analysis: Analysis, change: string): Analysis['shadowPrices'][number] {
  const found = analysis.shadowPrices.find((price) => price.change === change)
  if (found === undefined) throw new Error(`no shadow price of ${change}`)
  return found
}

const bounded: ScenarioSpec = { ...caseStudy, slo: { ttftSecondsP90: 6 } }

describe('shadow prices', () => {
  it.each([
    ['without a bound', caseStudy],
    ['with a bound on TTFT', bounded],
    ['on a thin link', { ...caseStudy, link: { gbps: 5 } }],
    ['with hits', { ...caseStudy, workload: { ...caseStudy.workload, prefixHitRatio: 0.4 } }],
  ] as const)('%s are what the changed scenario serves when it is optimized anew', (_, spec: ScenarioSpec) => {
    const analysis = analyze(spec)
    const base = rateOf(spec)
    const hits = spec.workload.prefixHitRatio ?? 0
    // The homogeneous size is fixed, so that only one thing changes.
    const changed: Readonly<Record<string, ScenarioSpec>> = {
      '+1 remote instance': { ...spec, remote: { ...spec.remote, instances: 5 } },
      '+1 local instance': { ...spec, local: { ...spec.local, instances: 9 } },
      '+10 Gbps': { ...spec, link: { ...spec.link, gbps: spec.link.gbps + 10 } },
      '+10 % prefix hits': { ...spec, workload: { ...spec.workload, prefixHitRatio: hits + 0.1 } },
    }
    for (const [change, other] of Object.entries(changed)) {
      const price = priceOf(analysis, change)
      expect(price.rateRps, change).toBeCloseTo(rateOf(other), 9)
      expect(price.gainRps).toBeCloseTo(rateOf(other) - base, 9)
      expect(price.gainRatio).toBeCloseTo(rateOf(other) / base - 1, 9)
      expect(price.gainRps).toBeGreaterThanOrEqual(-2e-3 * base)
    }
  })

  it('of moving the threshold are losses at the optimum', () => {
    const analysis = analyze(caseStudy)
    expect(priceOf(analysis, 't +10 %').gainRps).toBeLessThan(0)
    expect(priceOf(analysis, 't -10 %').gainRps).toBeLessThan(0)
    // Eq. (6) at 1.1 x 19,405: the local bound falls to 3 / T(l_short) / (1 - p).
    expect(priceOf(analysis, 't +10 %').rateRps).toBeCloseTo(2.849, 2)
  })

  it('of hits stop below a whole prompt', () => {
    const spec = { ...caseStudy, workload: { ...caseStudy.workload, prefixHitRatio: 0.95 } }
    expect(analyze(spec).shadowPrices.some(({ change }) => change.includes('hits'))).toBe(false)
  })
})

describe('the slack of each stage', () => {
  it('is 0 where the stage binds, and 8-fold on the link (paper.md 7.6)', () => {
    const slack = new Map(analyze(caseStudy).stages.map(({ stage, slackRatio }) => [stage, slackRatio]))
    expect(slack.get('remote-prefill')).toBeCloseTo(0, 3)
    expect(slack.get('local-prefill')).toBeCloseTo(0, 3)
    expect(slack.get('decode')).toBeCloseTo(3.909 / 3.242 - 1, 3)
    expect((slack.get('egress') ?? 0) + 1).toBeCloseTo(8.1, 0)
  })

  it('leaves out stages that have no work', () => {
    const stages = analyze({ ...caseStudy, link: { gbps: 1e-9 } }).stages.map(({ stage }) => stage)
    expect(stages).toEqual(['local-prefill', 'decode'])
  })

  it('says how far the plan is from Eq. (7) and (8)', () => {
    const { balance } = analyze(caseStudy)
    expect(Math.abs(balance.thresholdImbalanceRps ?? 1)).toBeLessThan(0.001)
    expect(balance.roleImbalanceRps).toBeCloseTo(1.607 + 1.635 - 3.909, 2)
    expect(analyze({ ...caseStudy, link: { gbps: 1e-9 } }).balance.thresholdImbalanceRps).toBeNull()
  })
})

describe('alternatives', () => {
  it('are the other splits, best first, each with a reason', () => {
    const { alternatives } = analyze(caseStudy)
    expect(alternatives).toHaveLength(7)
    const ratios = alternatives.map(({ ratioToBest }) => ratioToBest)
    expect(ratios).toEqual(ratios.toSorted((a, b) => b - a))
    expect(alternatives[0]).toMatchObject({
      roles: { remotePrefill: 4, localPrefill: 4, decode: 4 },
      reason: 'decode is full',
    })
    expect(alternatives[0]?.rateRps).toBeCloseTo(3.127, 3)
    const fewer = alternatives.find(({ roles }) => roles.localPrefill === 1)
    expect(fewer?.reason).toBe('prefill is full')
  })

  it('that miss the bound say so', () => {
    const reasons = analyze({ ...bounded, slo: { ttftSecondsP90: 3.6 } }).alternatives.map(({ reason }) => reason)
    expect(reasons.some((reason) => reason.includes('queues too long'))).toBe(true)
  })
})

describe('variants', () => {
  const variantOf = (spec: ScenarioSpec, name: string): Analysis['variants'][number] | undefined =>
    analyze(spec).variants.find((variant) => variant.name === name)

  it('lose what is lost, and win some of it back when everything is chosen anew', () => {
    for (const spec of [caseStudy, bounded]) {
      const base = rateOf(spec)
      for (const { asPlannedRps, reoptimizedRps } of analyze(spec).variants) {
        expect(asPlannedRps).toBeLessThanOrEqual(reoptimizedRps * (1 + 2e-3))
        expect(reoptimizedRps).toBeLessThanOrEqual(base * (1 + 2e-3))
        expect(asPlannedRps).toBeGreaterThan(0)
      }
    }
  })

  it('of one remote instance less are the optimum of the smaller cluster', () => {
    const variant = variantOf(caseStudy, 'one remote prefill instance lost')
    expect(variant?.reoptimizedRps).toBeCloseTo(
      rateOf({ ...caseStudy, remote: { ...caseStudy.remote, instances: 3 } }),
      9,
    )
    expect(variant?.asPlannedRps).toBeCloseTo(0.75 * 3.2424, 3)
  })

  it('of the only remote instance leave what the local cluster serves alone', () => {
    const single = { ...caseStudy, remote: { ...caseStudy.remote, instances: 1 } }
    const variant = variantOf(single, 'one remote prefill instance lost')
    const alone = optimize({ ...caseStudy, homogeneousInstances: 8 }).deployments[1]?.lambdaMaxRps ?? 0
    expect(variant?.asPlannedRps).toBe(0)
    expect(variant?.reoptimizedRps).toBeCloseTo(alone, 9)
  })

  it('of the last local instances name no role that is not there', () => {
    const two = { ...caseStudy, local: { ...caseStudy.local, instances: 2 } }
    const names = analyze(two).variants.map(({ name }) => name)
    expect(names).toEqual([
      'one remote prefill instance lost',
      'one decode instance lost',
      'link at half its bandwidth',
    ])
    expect(JSON.stringify(analyze(two))).not.toMatch(/NaN|Infinity/)
    const three = { ...two, remote: { ...two.remote, instances: 1 } }
    expect(analyze(three).variants.map(({ name }) => name)).toEqual([
      'one remote prefill instance lost',
      'one local prefill instance lost',
      'link at half its bandwidth',
    ])
  })

  it('of half the link change nothing when the link has room, and halve a rate that it binds', () => {
    expect(variantOf(caseStudy, 'link at half its bandwidth')?.asPlannedRps).toBeCloseTo(3.2424, 3)
    const thin = variantOf({ ...caseStudy, link: { gbps: 5 } }, 'link at half its bandwidth')
    expect(thin?.reoptimizedRps).toBeCloseTo(rateOf({ ...caseStudy, link: { gbps: 2.5 } }), 9)
    const [, , naive] = optimize({ ...caseStudy, link: { gbps: 2 } }).deployments
    expect(naive?.lambdaMaxRps).toBeCloseTo(
      2 * (optimize({ ...caseStudy, link: { gbps: 1 } }).deployments[2]?.lambdaMaxRps ?? 0),
      9,
    )
  })
})

describe('cost', () => {
  const scenario = buildScenario({ ...priced, link: { gbps: 100, pricePerGigabyte: 0.01 } })
  const roles = { remotePrefill: 4, localPrefill: 3, decode: 5 }

  it('counts GPUs with the arithmetic that gives them', () => {
    expect(gpuCount(scenario, roles)).toEqual({ remote: 32, local: 64, total: 96, arithmetic: '4x8 + 8x8' })
    expect(gpuCount(scenario, { ...roles, remotePrefill: 0 })).toEqual({
      remote: 0,
      local: 64,
      total: 64,
      arithmetic: '8x8',
    })
  })

  it('is GPUs and egress by the hour, over the tokens of an hour', () => {
    const cost = costAt(scenario, roles, { rateRps: 2, egressGbps: 8 })
    // 32 x 2 + 64 x 1; 1 GB/s x 3,600 s x 0.01.
    expect(cost?.egressPerHour).toBeCloseTo(36, 9)
    expect(cost?.perHour).toBeCloseTo(128 + 36, 9)
    expect(cost?.perMillionTokens).toBeCloseTo((164 / (2 * 3600 * (scenario.promptTokensMean + 1024))) * 1e6, 9)
  })

  it('is null without the price of a pool in use, and needs none of a pool that is not', () => {
    const localOnly = buildScenario({ ...caseStudy, local: { ...caseStudy.local, pricePerGpuHour: 1 } })
    expect(costAt(localOnly, roles, { rateRps: 2, egressGbps: 0 })).toBeNull()
    expect(costAt(localOnly, { ...roles, remotePrefill: 0 }, { rateRps: 2, egressGbps: 0 })?.perHour).toBe(64)
    expect(costAt(scenario, roles, { rateRps: 0, egressGbps: 0 })).toBeNull()
    expect(analyze(caseStudy).cost).toBeNull()
  })

  it('of egress is what a steady rate moves in 30.4 days', () => {
    // 8 Gbps = 1 GB/s = 0.001 TB/s, 2,629,800 s.
    expect(terabytesPerMonth(8)).toBeCloseTo(2629.8, 6)
    const { egress } = analyze(caseStudy)
    expect(egress.gbps).toBeCloseTo(12.35, 1)
    expect(egress.linkShare).toBeCloseTo(egress.gbps / 100, 12)
    expect(egress.terabytesPerMonth).toBeCloseTo(egress.gbps * 328.725, 6)
  })

  it('at H200 = 2 x H20 gives +15 % at equal cost, as the paper says', () => {
    const { verdict, cost } = analyze(priced)
    expect(verdict.overHomogeneous).toBeCloseTo(1.537, 3)
    expect(verdict.overHomogeneousAtEqualCost).toBeCloseTo(1.15, 2)
    expect([cost?.membrane?.perHour, cost?.homogeneous?.perHour, cost?.naive?.perHour]).toEqual([128, 96, 128])
  })
})

describe('the verdict', () => {
  const slower = (factor: number): ScenarioSpec => {
    const profile = caseStudy.local.profile as LatencyProfileData
    const points = profile.prefill.points.map((point) => ({ ...point, seconds: point.seconds * factor }))
    return {
      ...caseStudy,
      remote: { ...caseStudy.remote, profile: { ...profile, name: 'slow', prefill: { ...profile.prefill, points } } },
    }
  }

  it('says that remote prefill pays, and with which numbers', () => {
    const { verdict } = analyze(caseStudy)
    expect(verdict.sentence.startsWith(`${verdict.headline}: `)).toBe(true)
    expect(verdict.outcome).toBe('pays')
    expect(verdict.sentence).toBe(
      'Remote prefill pays: 3.24 req/s with 4 remote prefill, 3 local prefill and 5 decode instances, offloading the 49.6 % of prompts above 19,405 uncached tokens over 12.4 of 100 Gbps, 1.54x the 2.11 req/s of 12 local instances.',
    )
    expect(analyze(priced).verdict.sentence).toContain(
      '1.54x the 2.11 req/s of 12 local instances, and 1.15x the 2.81 req/s of the 16 that the same money buys.',
    )
  })

  it('says that it does not pay when the same instances serve more locally', () => {
    const { verdict } = analyze(slower(2))
    expect(verdict.outcome).toBe('loses')
    expect(verdict.sentence).toMatch(/^Remote prefill does not pay: /)
    expect(verdict.overHomogeneous).toBeLessThan(1)
  })

  it('says that it does not pay when the same money serves more locally', () => {
    const { verdict } = analyze({ ...priced, remote: { ...priced.remote, pricePerGpuHour: 5 } })
    expect(verdict.outcome).toBe('loses')
    expect(verdict.overHomogeneous).toBeGreaterThan(1.5)
    expect(verdict.sentence).toMatch(/^Remote prefill does not pay: /)
  })

  it('says that it makes no difference when both serve the same', () => {
    const { verdict } = analyze(preset('mimo-v2-flash'))
    expect(verdict.outcome).toBe('equal')
    expect(verdict.overHomogeneous).toBeCloseTo(1, 2)
    expect(verdict.sentence).toMatch(/^Remote prefill makes no difference: /)
  })

  it('says so when the baseline meets the bound at no rate', () => {
    const { verdict } = analyze(bounded)
    expect(verdict.outcome).toBe('pays')
    expect(verdict.overHomogeneous).toBeNull()
    expect(verdict.sentence).toContain('req/s within the SLO with')
    expect(verdict.sentence).toMatch(/where 12 local instances meet the SLO at no rate\.$/)
  })

  it('does not say that a remote cluster pays which nothing is sent to', () => {
    const { verdict } = analyze({ ...caseStudy, link: { gbps: 1e-9 }, homogeneousInstances: 4 })
    expect(verdict.overHomogeneous).toBeGreaterThan(1.5)
    expect(verdict.outcome).toBe('equal')
  })

  it('compares with the local cluster alone, too', () => {
    const alone = optimize({ ...caseStudy, homogeneousInstances: 8 }).deployments[1]?.lambdaMaxRps ?? 0
    expect(analyze(caseStudy).verdict.overLocalAlone).toBeCloseTo(3.2424 / alone, 3)
    const { verdict } = analyze({ ...caseStudy, link: { gbps: 1e-9 } })
    expect(verdict.overLocalAlone).toBeCloseTo(1, 9)
    expect(verdict.sentence).toContain('nothing offloaded')
  })
})
