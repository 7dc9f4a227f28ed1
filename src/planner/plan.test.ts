import { describe, expect, it } from 'vitest'
import { MembraneError } from '../core/errors.ts'
import { plan, type Layout, type PlanRequest } from './plan.ts'
import { preset } from './presets.ts'
import { buildScenario, type Scenario, type ScenarioSpec } from './scenario.ts'
import { objectiveRps, searchDeployment } from './search.ts'

const caseStudy = preset('case-study')
const priced: ScenarioSpec = {
  ...caseStudy,
  remote: { ...caseStudy.remote, pricePerGpuHour: 2 },
  local: { ...caseStudy.local, pricePerGpuHour: 1 },
}

function errorOf(request: PlanRequest): MembraneError {
  try {
    plan(request)
  } catch (error) {
    if (error instanceof MembraneError) return error
    throw error
  }
  throw new Error('expected an error')
}

/** The least weight of any numbers of instances whose optimum serves the rate: every combination is optimised. */
function leastWeight(spec: ScenarioSpec, rateRps: number, remoteWeight: number, most: number): number {
  const scenario = buildScenario(spec)
  const serves = (of: Scenario, remote: number, local: number): boolean => {
    const resized = {
      ...of,
      remote: { ...of.remote, instances: remote },
      local: { ...of.local, instances: local },
    }
    const [best] = searchDeployment(resized, 'membrane-pd')
    return best !== undefined && objectiveRps(best) >= rateRps * (1 - 1e-9)
  }
  // What does not serve the rate at all does not serve it within a bound, and is quicker to tell.
  const unbounded = { ...scenario, slo: { ttftSecondsP90: null, tpotSeconds: null } }
  let least = Number.POSITIVE_INFINITY
  for (let remote = 0; remote * remoteWeight <= most; remote++) {
    for (let local = 1; remote * remoteWeight + local <= Math.min(most, least - 1); local++) {
      if (serves(unbounded, remote, local) && serves(scenario, remote, local)) least = remote * remoteWeight + local
    }
  }
  return least
}

function servedRps({ deployment }: Layout): number {
  return deployment.sloFeasibleRps ?? deployment.lambdaMaxRps
}

function instancesOf({ deployment: { instances } }: Layout): number {
  return (instances.remotePrefill ?? 0) + (instances.localPrefill ?? 0) + (instances.decode ?? 0)
}

describe('the least layout', () => {
  it.each([0.3, 1, 2, 3, 3.5])(
    'for %d requests a second has as few GPUs as the best of all combinations',
    (rateRps) => {
      const { best, minimized } = plan({ spec: caseStudy, rateRps })
      expect(minimized).toBe('gpus')
      expect(best.gpus.total).toBe(8 * leastWeight(caseStudy, rateRps, 1, 15))
      expect(best.deployment.lambdaMaxRps).toBeGreaterThanOrEqual(rateRps * (1 - 1e-9))
    },
  )

  it.each([0.5, 1.5])(
    'for %d requests a second within 6 s has as few GPUs as the best of all combinations',
    (rateRps) => {
      const spec = { ...caseStudy, slo: { ttftSecondsP90: 6 } }
      const { best } = plan({ spec, rateRps })
      expect(best.gpus.total).toBe(8 * leastWeight(spec, rateRps, 1, 13))
      expect(servedRps(best)).toBeGreaterThanOrEqual(rateRps * (1 - 1e-3))
    },
  )

  it.each([0.5, 2, 3])('for %d requests a second costs as little as the best of all combinations', (rateRps) => {
    const { best, minimized } = plan({ spec: priced, rateRps })
    expect(minimized).toBe('cost')
    expect(best.cost?.perHour).toBeCloseTo(8 * leastWeight(priced, rateRps, 2, 16), 9)
  })

  it('is the least of the layouts beside it, which all serve the load', () => {
    for (const spec of [caseStudy, { ...caseStudy, slo: { ttftSecondsP90: 8 } }, preset('minimax-m2.5')]) {
      const { best, layouts, localOnly } = plan({ spec, rateRps: 2.5 })
      expect(layouts).toContain(best)
      for (const layout of layouts) {
        expect(layout.gpus.total).toBeGreaterThanOrEqual(best.gpus.total)
        expect(layout.gpus.total).toBe(8 * instancesOf(layout))
        expect(servedRps(layout)).toBeGreaterThanOrEqual(2.5 * (1 - 1e-3))
        expect(layout.deployment.ttftSeconds.p90).toBeLessThanOrEqual(
          spec.slo?.ttftSecondsP90 ?? Number.POSITIVE_INFINITY,
        )
      }
      if (localOnly !== null) expect(localOnly.deployment.offloadedRatio).toBe(0)
    }
  })

  it('has no local-only rival when only the remote cluster meets the bound', () => {
    expect(plan({ spec: { ...caseStudy, slo: { ttftSecondsP90: 6 } }, rateRps: 1 }).localOnly).toBeNull()
    expect(plan({ spec: caseStudy, rateRps: 1 }).localOnly?.deployment.instances.remotePrefill).toBeNull()
  })

  it('moves to local instances when remote ones cost too much', () => {
    const dear = { ...priced, remote: { ...priced.remote, pricePerGpuHour: 1000 } }
    const answer = plan({ spec: dear, rateRps: 2 })
    expect(answer.best).toBe(answer.localOnly)
    expect(answer.best.cost?.egressPerHour).toBe(0)
  })

  it('counts what leaves the link at the rate asked for, and its price', () => {
    const spec = { ...priced, link: { gbps: 100, pricePerGigabyte: 0.001 } }
    const { best } = plan({ spec, rateRps: 2 })
    expect(best.deployment.offloadedRatio).toBeGreaterThan(0)
    expect(best.egressGbps).toBeLessThan(best.deployment.egressGbps * 1.0001)
    // Gbps / 8 = 10^9 bytes a second.
    expect(best.cost?.egressPerHour).toBeCloseTo((best.egressGbps / 8) * 3600 * 0.001, 9)
    expect(best.cost?.perHour).toBeCloseTo(best.gpus.remote * 2 + best.gpus.local + (best.cost?.egressPerHour ?? 0), 9)
  })
})

describe('headroom', () => {
  it('plans for more than the rate, and costs at the rate', () => {
    const [plain, roomy, larger] = [
      plan({ spec: priced, rateRps: 2 }),
      plan({ spec: priced, rateRps: 2, headroomRatio: 0.5 }),
      plan({ spec: priced, rateRps: 3 }),
    ]
    expect([plain.plannedRps, roomy.plannedRps]).toEqual([2, 3])
    expect(roomy.rateRps).toBe(2)
    expect(roomy.best.deployment.instances).toEqual(larger.best.deployment.instances)
    expect(roomy.best.egressGbps).toBeCloseTo((larger.best.egressGbps * 2) / 3, 9)
  })

  it('is what the answer advises when no bound on TTFT leaves any', () => {
    const ids = (spec: ScenarioSpec): string[] => plan({ spec, rateRps: 1 }).assumptions.map(({ id }) => id)
    expect(ids(caseStudy)).toContain('no-queue-headroom')
    expect(ids({ ...caseStudy, slo: { ttftSecondsP90: 8 } })).not.toContain('no-queue-headroom')
  })
})

describe('a load that no layout serves', () => {
  it.each([0, -1, Number.NaN, Number.POSITIVE_INFINITY])('at %d requests a second is refused as a rate', (rateRps) => {
    const error = errorOf({ spec: caseStudy, rateRps })
    expect(error.code).toBe('INVALID_CONFIG')
    expect(error.message).toContain(`must be above 0 requests per second, found ${rateRps}`)
  })

  it.each([-0.1, Number.NaN, Number.POSITIVE_INFINITY])('with a headroom of %d is refused', (headroomRatio) => {
    const error = errorOf({ spec: caseStudy, rateRps: 1, headroomRatio })
    expect(error.code).toBe('INVALID_CONFIG')
    expect(error.message).toContain('The headroom must be a share of at least 0')
  })

  it('names the link when the bound needs the remote cluster, and the width that would do', () => {
    const spec = { ...caseStudy, link: { gbps: 10 }, slo: { ttftSecondsP90: 6 } }
    const error = errorOf({ spec, rateRps: 50 })
    expect(error.code).toBe('INFEASIBLE')
    expect(error.details['stage']).toBe('egress')
    const needed = Number(error.details['neededGbps'])
    expect(error.message).toMatch(/egress is too slow, the link has 10 Gbps and needs about \S+, \S+ more/)
    expect(() => plan({ spec: { ...spec, link: { gbps: needed * 1.01 } }, rateRps: 50 })).not.toThrow()
    expect(errorOf({ spec: { ...spec, link: { gbps: needed * 0.97 } }, rateRps: 50 }).code).toBe('INFEASIBLE')
  })

  it('because of decode alone says how many instances that would take', () => {
    const error = errorOf({ spec: caseStudy, rateRps: 1e6 })
    expect(error.code).toBe('INFEASIBLE')
    expect(error.details['stage']).toBe('decode')
    expect(error.message).toContain('Decode alone needs 1279181 instances, more than 4096')
  })

  it('because of a bound that no system meets is the error of the optimizer', () => {
    expect(errorOf({ spec: { ...caseStudy, slo: { ttftSecondsP90: 1 } }, rateRps: 1 }).message).toContain(
      'The P90 TTFT bound of 1 s cannot be met at any rate',
    )
    expect(errorOf({ spec: { ...caseStudy, slo: { tpotSeconds: 0.001 } }, rateRps: 1 }).details['stage']).toBe('decode')
  })
})

describe('extreme loads', () => {
  it('a request a year needs one instance of each role that has work', () => {
    const { best } = plan({ spec: caseStudy, rateRps: 3e-8 })
    expect(instancesOf(best)).toBe(2)
  })

  it('hundreds of requests a second are planned with hundreds of instances', () => {
    const spec = { ...caseStudy, link: { gbps: 10_000 } }
    const { best, layouts } = plan({ spec, rateRps: 300 })
    expect(best.deployment.lambdaMaxRps).toBeGreaterThanOrEqual(300 * (1 - 1e-9))
    expect(layouts.length).toBeGreaterThan(10)
    // No fractions of an instance are left over: a hundred times 3 req/s, each within 9 instances.
    expect(instancesOf(best)).toBeLessThanOrEqual(900)
  })
})

describe('what once went wrong', () => {
  it('plan with an egress price finds the cheaper threshold', () => {
    const { best } = plan({
      rateRps: 1,
      spec: {
        ...preset('case-study'),
        remote: { ...preset('case-study').remote, pricePerGpuHour: 2 },
        local: { ...preset('case-study').local, pricePerGpuHour: 1 },
        link: { gbps: 100, pricePerGigabyte: 0.002 },
      },
    })
    expect(best.cost?.perHour).toBeLessThan(50.3) // 50.70 found, 50.24 possible at t = 37,372
  })
})
