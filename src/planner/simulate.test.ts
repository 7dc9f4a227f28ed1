import { beforeAll, describe, expect, it } from 'vitest'
import { CASE_STUDY as scenario, CASE_STUDY_PLAN, PLANNED } from '../../test/case-study.ts'
import { optimize } from './optimize.ts'
import { requestCapacity } from './request-capacity.ts'
import { buildScenario, type Scenario } from './scenario.ts'
import type { SimulationOptions, TransferOptions } from './sim-options.ts'
import { simulateBatch } from './sim-run.ts'
import { type SimulationResult, summarize } from './simulation-result.ts'
import { ttftQuantile, ttftWithoutQueues } from './ttft.ts'

const { spec } = scenario
const planned: SimulationOptions = { ...PLANNED, requests: 20_000 }

function simulate(change: Partial<SimulationOptions>, of: Scenario = scenario): SimulationResult {
  const options = { ...planned, ...change }
  return summarize(of, options, [simulateBatch(of, options)])
}

/** A mean lies within two widths of its 95 % interval, four standard errors, of what theory says. */
function expectMean({ mean, meanHalfWidth95 }: SimulationResult['ttftSeconds'], theory: number): void {
  expect(Math.abs(mean - theory)).toBeLessThan(2 * (meanHalfWidth95 ?? 0))
}

describe('without load', () => {
  const zero = { rateRps: 0.001, requests: 60_000 }

  it('the TTFT is that of the closed form: mean, P50 and P90', () => {
    const { ttftSeconds, firstTokenSeconds, tpotSeconds } = simulate(zero)
    const theory = ttftWithoutQueues(scenario, planned.thresholdTokens)
    expectMean(ttftSeconds, theory.mean)
    expect(Math.abs(ttftSeconds.p50 / ttftQuantile(scenario, planned.thresholdTokens, 0.5) - 1)).toBeLessThan(0.02)
    expect(Math.abs(ttftSeconds.p90 / theory.p90 - 1)).toBeLessThan(0.02)
    // The first token follows one decode step after the KV, and so does every other.
    const step = spec.local.decode.stepSeconds.fixed
    expect(firstTokenSeconds.mean - ttftSeconds.mean).toBeCloseTo(step, 8)
    expect(tpotSeconds.mean).toBeCloseTo(step, 8)
  })

  it('a layer-wise transfer ends with the later of prefill and stream, and the last layer; a round trip comes on top', () => {
    const fixed = buildScenario({ ...spec, workload: { ...spec.workload, input: { kind: 'fixed', tokens: 40_000 } } })
    const { prefillSeconds, kvBytes } = fixed.remote.profile
    const [prefill, bytes] = [prefillSeconds.at(40_000), kvBytes.at(40_000)]
    const of = (gbps: number, transfer: Partial<TransferOptions>): number => {
      const linked = buildScenario({ ...fixed.spec, link: { gbps } })
      const whole = { mode: 'layerwise' as const, layers: 60, rttSeconds: 0, flowGbpsMax: null, ...transfer }
      return simulate({ rateRps: 0.001, requests: 50, transfer: whole }, linked).ttftSeconds.mean
    }
    const seconds = (gbps: number): number => (bytes * 8) / (gbps * 1e9)
    const layerwise = (gbps: number): number => Math.max(prefill, (seconds(gbps) * 59) / 60) + seconds(gbps) / 60
    for (const gbps of [100, 10, 2, 0.5]) expect(of(gbps, {})).toBeCloseTo(layerwise(gbps), 6)
    expect(of(10, { rttSeconds: 0.25 })).toBeCloseTo(layerwise(10) + 0.25, 6)
    expect(of(100, { flowGbpsMax: 2 })).toBeCloseTo(layerwise(2), 6)
    expect(of(10, { mode: 'after-prefill', rttSeconds: 0.25 })).toBeCloseTo(prefill + seconds(10) + 0.25, 6)
    // One layer is the whole, after the prefill.
    expect(of(10, { layers: 1 })).toBeCloseTo(prefill + seconds(10), 6)
  })

  it('is as fast with layer-wise transfer as the lengths say, on average', () => {
    const { ttftSeconds } = simulate({
      ...zero,
      transfer: { mode: 'layerwise', layers: 60, rttSeconds: 0.04, flowGbpsMax: null },
    })
    // At 100 Gbps every stream ends before its prefill does.
    const { lengths, remote, local, link } = scenario
    const t = planned.thresholdTokens
    const theory =
      lengths.expect(local.profile.prefillSeconds, 1, 0, t) +
      lengths.expect(remote.profile.prefillSeconds, 1, t, lengths.maxTokens) +
      lengths.expect(remote.profile.kvBytes, 1, t, lengths.maxTokens) / link.bytesPerSecond / 60 +
      0.04 * lengths.mass(t, lengths.maxTokens)
    expectMean(ttftSeconds, theory)
  })
})

describe('above its capacity', () => {
  let overloaded: SimulationResult
  beforeAll(() => {
    overloaded = simulate({ rateRps: 4.5, requests: 60_000 })
  })

  it('a deployment completes the request-level capacity, which is under Eq. (6) by 1.3 %', () => {
    const { completedRps, capacityRps } = overloaded
    expect(capacityRps.saturatedRps).toBeCloseTo(3.2, 3)
    expect(capacityRps.equation6Rps / capacityRps.saturatedRps).toBeCloseTo(1.013, 3)
    expect(Math.abs(completedRps / capacityRps.saturatedRps - 1)).toBeLessThan(0.01)
    expect(capacityRps.sustainableRps).toBeLessThan(capacityRps.saturatedRps)
  })

  it('it is overloaded, and says since when there were too many', () => {
    const { verdict, inSystem } = overloaded
    expect(verdict).toBe('overloaded')
    // It fills at about 4.5 - 3.2 requests a second.
    expect(inSystem.boundPassedSeconds).toBeGreaterThan((0.8 * inSystem.bound) / 1.3)
    expect(inSystem.boundPassedSeconds).toBeLessThan((1.2 * inSystem.bound) / 1.3)
    expect(inSystem.max).toBeGreaterThan(inSystem.bound)
    expect(simulate({}).inSystem.boundPassedSeconds).toBeNull()
    expect(simulate({ queueBoundRequests: 20 }).inSystem.boundPassedSeconds).toBeGreaterThan(0)
  })

  it.each([
    ['prefill', 100, 19_405, CASE_STUDY_PLAN.roles, 40_000],
    ['local prefill', 100, 19_405, CASE_STUDY_PLAN.roles, 12_000],
    ['decode', 100, 19_405, { remotePrefill: 4, localPrefill: 6, decode: 2 }, 12_000],
  ])('with constant lengths it completes what Eq. (6) says, bound by %s', (_, gbps, thresholdTokens, roles, tokens) => {
    const fixed = buildScenario({
      ...spec,
      link: { gbps },
      workload: { ...spec.workload, input: { kind: 'fixed', tokens } },
    })
    const { saturatedRps, sustainableRps, equation6Rps } = requestCapacity(fixed, {
      roles,
      thresholdTokens,
      rateRps: 1,
    })
    expect(saturatedRps / equation6Rps).toBeCloseTo(1, 9)
    expect(sustainableRps / equation6Rps).toBeCloseTo(1, 9)
    const { completedRps } = simulate({ roles, thresholdTokens, rateRps: 1.4 * equation6Rps, requests: 6000 }, fixed)
    expect(Math.abs(completedRps / equation6Rps - 1)).toBeLessThan(0.01)
  })

  it('bound by a link that all transfers share it completes less than Eq. (6), as theory has it', () => {
    const input = { kind: 'fixed' as const, tokens: 40_000 }
    const fixed = buildScenario({ ...spec, link: { gbps: 2 }, workload: { ...spec.workload, input } })
    const { equation6Rps } = requestCapacity(fixed, planned)
    const below = simulate({ rateRps: 0.9 * equation6Rps, requests: 6000 }, fixed)
    expect(below.completedRps / (0.9 * equation6Rps)).toBeCloseTo(1, 1)
    expect(below.verdict).toBe('stable')
    // Ever more transfers share the link: their number grows as q t, with q = rho (1 - exp(-q)), and those of before
    // t exp(-q) are done, which is rho exp(-q) of the capacity.
    const rho = 1.4
    let q = 1
    for (let step = 0; step < 100; step++) q = rho * (1 - Math.exp(-q))
    const above = simulate({ rateRps: rho * equation6Rps, requests: 20_000 }, fixed)
    expect(Math.abs(above.completedRps / equation6Rps / (rho * Math.exp(-q)) - 1)).toBeLessThan(0.02)
    expect(above.verdict).toBe('overloaded')
  })
})

describe('under load', () => {
  it('meets the P90 TTFT for which the planner found its rate, within 10 %', () => {
    const [membrane] = optimize({ ...spec, slo: { ttftSecondsP90: 6 } }).deployments
    const roles = {
      remotePrefill: 4,
      localPrefill: membrane?.instances.localPrefill ?? 0,
      decode: membrane?.instances.decode ?? 0,
    }
    const rateRps = membrane?.sloFeasibleRps ?? 0
    const { ttftSeconds } = simulate({
      roles,
      thresholdTokens: membrane?.thresholdTokens ?? 0,
      rateRps,
      requests: 200_000,
    })
    expect(Math.abs(ttftSeconds.p90 / 6 - 1)).toBeLessThan(0.1)
  })

  it('has at 86 % of Lambda_max a P90 TTFT of more than twice that without queues', () => {
    const result = simulate({ rateRps: 0.86 * 3.242, requests: 100_000 })
    expect(ttftWithoutQueues(scenario, planned.thresholdTokens).p90).toBeCloseTo(3.51, 2)
    expect(result.ttftSeconds.p90).toBeGreaterThan(2 * 3.51)
    expect(result.verdict).toBe('stable')
  })

  it('uses its stages, its link and its cluster as much as the load says', () => {
    const { stages, egressGbps, offloadedRatio } = simulate({ requests: 100_000 })
    const used = Object.fromEntries(stages.map(({ name, utilisation }) => [name, utilisation]))
    // Lambda p E[T | L > t] / N, and so on.
    const { lengths, remote, local, link } = scenario
    const t = planned.thresholdTokens
    const remoteSeconds = lengths.expect(remote.profile.prefillSeconds, 1, t, lengths.maxTokens)
    const bytesPerSecond = 2.4 * lengths.expect(remote.profile.kvBytes, 1, t, lengths.maxTokens)
    expect((used['remotePrefill'] ?? 0) / ((2.4 * remoteSeconds) / 4)).toBeCloseTo(1, 1)
    const localSeconds = lengths.expect(local.profile.prefillSeconds, 1, 0, t)
    expect((used['localPrefill'] ?? 0) / ((2.4 * localSeconds) / 3)).toBeCloseTo(1, 1)
    expect((used['link'] ?? 0) / (bytesPerSecond / link.bytesPerSecond)).toBeCloseTo(1, 1)
    expect((used['decode'] ?? 0) / ((2.4 * 1024 * 0.024984) / 100)).toBeCloseTo(1, 1)
    expect(egressGbps / ((bytesPerSecond * 8) / 1e9)).toBeCloseTo(1, 1)
    expect(offloadedRatio).toBeCloseTo(lengths.mass(t, lengths.maxTokens), 1)
    expect(stages.map(({ servers }) => servers)).toEqual([4, 1, 3, 100])
  })

  it('waits less with more of everything, and more at a higher rate, on the same requests', () => {
    const base = simulate({}).ttftSeconds
    expect(simulate({ roles: { remotePrefill: 5, localPrefill: 4, decode: 5 } }).ttftSeconds.mean).toBeLessThan(
      base.mean,
    )
    expect(simulate({}, buildScenario({ ...spec, link: { gbps: 200 } })).ttftSeconds.mean).toBeLessThan(base.mean)
    expect(simulate({ rateRps: 2.6 }).ttftSeconds.mean).toBeGreaterThan(base.mean)
    expect(simulate({ arrivals: 'gamma', burstiness: 4 }).ttftSeconds.p90).toBeGreaterThan(base.p90)
  })

  it('is slower without a look at lengths, and still sends the share of the capacity', () => {
    const off = simulate({ scheduler: 'off', rateRps: 2 })
    expect(off.ttftSeconds.p90).toBeGreaterThan(simulate({ rateRps: 2 }).ttftSeconds.p90)
    const { lengths, remote, local } = scenario
    const rate = (instances: number, curve: typeof remote.profile.prefillSeconds): number =>
      instances / lengths.expect(curve, 1, 0, lengths.maxTokens)
    const remoteRate = rate(4, remote.profile.prefillSeconds)
    expect(off.offloadedRatio).toBeCloseTo(remoteRate / (remoteRate + rate(3, local.profile.prefillSeconds)), 1)
  })

  it('is faster where each request goes to the place that is ready first', () => {
    expect(simulate({ routing: 'latency' }).ttftSeconds.mean).toBeLessThan(simulate({}).ttftSeconds.mean)
  })

  it('waits for room where KV may only rest in little memory, and loses nothing', () => {
    const tight = simulate({ stagingBytesMax: 2e9, rateRps: 2 })
    expect(tight.requests).toBe(20_000)
    expect(tight.ttftSeconds.mean).toBeGreaterThan(simulate({ rateRps: 2 }).ttftSeconds.mean)
    expect(simulate({ stagingBytesMax: 1e15 }).ttftSeconds).toEqual(simulate({}).ttftSeconds)
  })
})

describe('a question that makes no sense', () => {
  it.each<[Partial<SimulationOptions>, RegExp]>([
    [{ rateRps: 0 }, /rate must be above 0.*found 0\.$/],
    [{ rateRps: -1 }, /rate must be above 0.*found -1/],
    [{ rateRps: Number.NaN }, /rate must be above 0.*found NaN/],
    [{ rateRps: Number.POSITIVE_INFINITY }, /rate must be above 0.*found Infinity/],
    [{ rateRps: 1e-320 }, /rate must be above 0/],
    [{ requests: 0 }, /number of requests must be a whole number from 1 .*found 0/],
    [{ requests: 1.5 }, /number of requests .*found 1\.5/],
    [{ seed: 0.5 }, /seed must be a whole number.*found 0\.5/],
    [{ seed: -1 }, /seed must be a whole number.*found -1/],
    [{ seed: Number.NaN }, /seed must be a whole number.*found NaN/],
    [{ roles: { remotePrefill: 4, localPrefill: 8, decode: 0 } }, /needs a decode instance/],
    [{ roles: { remotePrefill: 0, localPrefill: 0, decode: 8 } }, /needs an instance that prefills/],
  ])('is refused with what was expected: %o', (change, message) => {
    expect(() => simulate(change)).toThrow(message)
  })

  it('is refused when a request could never be decoded, cached context counted', () => {
    const decode = { ...spec.local.decode, kvTokensMax: 70_000 }
    const half = { ...spec.workload, prefixHitRatio: 0.5 }
    const cramped = buildScenario({ ...spec, local: { ...spec.local, decode }, workload: half })
    expect(() => simulate({}, cramped)).toThrow(/ends with 132\d{3} tokens of context.*70000 \(kvTokensMax\)/)
    const agents = {
      kind: 'agents' as const,
      systemTokens: 100,
      firstTokens: 9000,
      turnTokens: 3000,
      outputTokens: 3000,
      turnsMean: 4,
      turnGapSeconds: 10,
      blockTokens: 512,
      promptTokensMax: 69_000,
    }
    // The prompts fit, the longest answers to them do not.
    expect(() => simulate({ workload: agents }, cramped)).toThrow('kvTokensMax')
  })
})
