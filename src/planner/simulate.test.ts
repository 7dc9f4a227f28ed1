import { describe, expect, it } from 'vitest'
import { optimize } from './optimize.ts'
import { preset } from './presets.ts'
import { buildScenario } from './scenario.ts'
import { type SimulationResult, summarize } from './simulation-result.ts'
import { checkLaws } from './simulation-laws.ts'
import { Simulation, type SimulationOptions } from './simulate.ts'
import { ttftWithoutQueues } from './ttft.ts'
import { validationRows } from './validate.ts'

const scenario = buildScenario(preset('case-study'))
const planned: SimulationOptions = {
  roles: { remotePrefill: 4, localPrefill: 3, decode: 5 },
  thresholdTokens: 19_405,
  rateRps: 2.4,
  requests: 20_000,
  seed: 1,
}

function simulate(options: SimulationOptions): SimulationResult {
  const simulation = new Simulation(scenario, options)
  simulation.run(Number.POSITIVE_INFINITY)
  return summarize(scenario, options, simulation)
}

describe('a simulation of the case study', () => {
  it('without load has the TTFT of the closed form', () => {
    const { ttftSeconds, firstTokenSeconds } = simulate({ ...planned, rateRps: 0.001 })
    const theory = ttftWithoutQueues(scenario, planned.thresholdTokens)
    // Half a 95 % interval is two standard errors; four are allowed.
    expect(Math.abs(ttftSeconds.mean - theory.mean)).toBeLessThan(2 * (ttftSeconds.meanHalfWidth95 ?? 0))
    expect(ttftSeconds.p90 / theory.p90).toBeCloseTo(1, 1)
    // The first token follows one decode step after the KV.
    expect(firstTokenSeconds.mean - ttftSeconds.mean).toBeCloseTo(0.024984, 3)
  })

  it('says the same for the same seed, and other numbers for another', () => {
    expect(simulate(planned)).toEqual(simulate(planned))
    expect(simulate({ ...planned, seed: 2 }).ttftSeconds.mean).not.toBe(simulate(planned).ttftSeconds.mean)
  })

  it('meets the P90 TTFT for which the planner found its rate, within 10 %', () => {
    const [membrane] = optimize({ ...preset('case-study'), slo: { ttftSecondsP90: 6 } }).deployments
    const rateRps = membrane?.sloFeasibleRps ?? 0
    const roles = {
      remotePrefill: 4,
      localPrefill: membrane?.instances.localPrefill ?? 0,
      decode: membrane?.instances.decode ?? 0,
    }
    const { ttftSeconds } = simulate({
      ...planned,
      roles,
      thresholdTokens: membrane?.thresholdTokens ?? 0,
      rateRps,
      requests: 100_000,
    })
    expect(ttftSeconds.p90 / 6).toBeGreaterThan(0.9)
    expect(ttftSeconds.p90 / 6).toBeLessThan(1.1)
  })

  it('is stable below the capacity by request, which is under Eq. (6), and overloaded above', () => {
    const stable = simulate(planned)
    expect(stable.verdict).toBe('stable')
    expect(stable.capacityRps.perRequest).toBeLessThan(stable.capacityRps.equation6)
    expect(stable.offloadedRatio).toBeCloseTo(0.4956, 1)
    const overloaded = simulate({ ...planned, rateRps: 3.4 })
    expect(overloaded.verdict).toBe('overloaded')
    expect(overloaded.completedRps).toBeLessThan(3.3)
  })

  it('uses its stages as much as the load says', () => {
    const { stages } = simulate({ ...planned, requests: 100_000 })
    const used = Object.fromEntries(stages.map(({ name, utilisation }) => [name, utilisation]))
    // Lambda p E[T | L > t] / N, and so on.
    const { lengths, remote, local, link } = scenario
    const t = planned.thresholdTokens
    expect(used['remotePrefill']).toBeCloseTo(
      (2.4 * lengths.expect(remote.profile.prefillSeconds, 1, t, lengths.maxTokens)) / 4,
      1,
    )
    expect(used['localPrefill']).toBeCloseTo((2.4 * lengths.expect(local.profile.prefillSeconds, 1, 0, t)) / 3, 1)
    expect(used['link']).toBeCloseTo(
      (2.4 * lengths.expect(remote.profile.kvBytes, 1, t, lengths.maxTokens)) / link.bytesPerSecond,
      1,
    )
    expect(used['decode']).toBeCloseTo((2.4 * 1024 * 0.024984) / 100, 1)
  })

  it('breaks its laws when a number is not what happened', () => {
    const simulation = new Simulation(scenario, planned)
    simulation.run(Number.POSITIVE_INFINITY)
    expect(() => {
      checkLaws(simulation, planned)
    }).not.toThrow()
    simulation.record.bytesSent *= 1.001
    expect(() => {
      checkLaws(simulation, planned)
    }).toThrow('bytes over the link')
    expect(() => {
      checkLaws(simulation, { ...planned, requests: 20_001 })
    }).toThrow('injected = completed')
  })

  it.each([
    [{ rateRps: 0 }, 'rate'],
    [{ rateRps: Number.NaN }, 'rate'],
    [{ requests: 0 }, 'number of requests'],
    [{ requests: 1.5 }, 'number of requests'],
    [{ seed: 0.5 }, 'seed'],
    [{ seed: -1 }, 'seed'],
  ])('refuses %o with what was expected', (change, message) => {
    expect(() => simulate({ ...planned, ...change })).toThrow(message)
  })
})

describe('the simulator beside queueing theory', () => {
  it('is within four standard errors in every system', () => {
    const rows = validationRows({ seed: 7, arrivals: 60_000 })
    expect(rows.length).toBeGreaterThan(60)
    expect(rows.filter(({ z }) => !(Math.abs(z) < 4))).toEqual([])
  })
})
