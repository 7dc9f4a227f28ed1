import { describe, expect, it } from 'vitest'
import { quantileOfSorted } from '../core/quantile.ts'
import { preset } from './presets.ts'
import { buildScenario, type InputSpec, type ScenarioSpec } from './scenario.ts'
import { ttftQuantile, ttftWithoutQueues } from './ttft.ts'

const caseStudy = buildScenario(preset('case-study'))
/** Above every length: nothing is offloaded. */
const LOCAL = 131_072

describe('TTFT without queueing', () => {
  // Table 6 beside paper.md 7.5.
  it.each([
    ['membrane-pd', 19_405, 2.22, 3.51, 2.231, 3.51],
    ['homogeneous-pd', LOCAL, 4.44, 9.73, 4.44, 9.73],
    ['naive-heterogeneous-pd', 0, 1.74, 3.51, 1.737, 3.51],
  ])(
    'of %s is Table 6 within 0.5 %, and paper.md to its digits',
    (_, threshold, printedMean, printedP90, mean, p90) => {
      const ttft = ttftWithoutQueues(caseStudy, threshold)
      expect(Math.abs(ttft.mean / printedMean - 1)).toBeLessThan(0.005)
      expect(Math.abs(ttft.p90 / printedP90 - 1)).toBeLessThan(0.005)
      expect(Math.abs(ttft.mean - mean)).toBeLessThan(0.0006)
      expect(Math.abs(ttft.p90 - p90)).toBeLessThan(0.0006)
    },
  )

  const samples: InputSpec = {
    kind: 'samples',
    tokens: Array.from({ length: 997 }, (_, k) => 100 + k * k),
    source: 'test',
  }
  const withInput = (spec: ScenarioSpec, input: InputSpec): ScenarioSpec => ({
    ...spec,
    workload: { ...spec.workload, input },
  })
  const mixed: InputSpec = {
    kind: 'mixture',
    components: [
      { weight: 1, input: { kind: 'fixed', tokens: 30_000 } },
      { weight: 4, input: { kind: 'log-normal', mu: 8, sigma: 0.8, minTokens: 64, maxTokens: 60_000 } },
    ],
  }

  it.each([
    ['the case study', preset('case-study'), 0.9],
    ['the case study', preset('case-study'), 0.5],
    ['a curve in logarithms', preset('case-study-table5'), 0.9],
    ['a profile that falls before it rises', preset('llama2-70b'), 0.9],
    ['a profile that falls before it rises', preset('llama2-70b'), 0.1],
    ['a dense model', preset('minimax-m2.5'), 0.99],
    ['a thin link', { ...preset('llama2-70b'), link: { gbps: 2 } }, 0.9],
    ['samples', { ...withInput(preset('case-study'), samples), name: 'samples' }, 0.9],
    ['a mixture with an atom', { ...withInput(preset('case-study'), mixed), name: 'mixture' }, 0.9],
  ] as const)('of %s (%#) has the quantile and mean of as many equally likely requests as fit', (_, spec, share) => {
    const scenario = buildScenario(spec)
    const { lengths, local, remoteTtftSeconds } = scenario
    const count = spec.name === 'case-study' || spec.name === 'llama2-70b' ? 200_000 : 20_000
    const tokens = Float64Array.from(
      { length: count },
      (_, k) => Math.round(lengths.quantile((k + 0.5) / count) * 1e3) / 1e3,
    )
    for (const threshold of [
      0,
      Math.round(lengths.quantile(0.3)),
      Math.round(lengths.quantile(0.8)),
      lengths.maxTokens,
    ]) {
      // A request of exactly the threshold stays.
      const seconds = tokens.map((l) => (l > threshold ? remoteTtftSeconds.at(l) : local.profile.prefillSeconds.at(l)))
      const mean = seconds.reduce((sum, value) => sum + value, 0) / count
      expect(ttftWithoutQueues(scenario, threshold).mean / mean).toBeCloseTo(1, 3)
      expect(ttftQuantile(scenario, threshold, share) / quantileOfSorted(seconds.sort(), share)).toBeCloseTo(1, 3)
    }
  })

  it('rises with the share asked for, from the fastest request to the slowest', () => {
    const seconds = [0, 0.1, 0.5, 0.9, 0.99, 1].map((share) => ttftQuantile(caseStudy, 19_405, share))
    expect(seconds).toEqual(seconds.toSorted((a, b) => a - b))
    expect(seconds[5]).toBeCloseTo(caseStudy.remoteTtftSeconds.at(131_072), 6)
  })

  it('of one length is that length, with the transfer when it is offloaded', () => {
    const scenario = buildScenario(withInput(preset('case-study'), { kind: 'fixed', tokens: 32_000 }))
    const transfer = (173.925 * 2 ** 20 + 17_280 * 32_000) / 12.5e9
    expect(ttftWithoutQueues(scenario, 31_999).p90).toBeCloseTo(1.8431 + transfer, 8)
    expect(ttftWithoutQueues(scenario, 31_999).mean).toBeCloseTo(1.8431 + transfer, 12)
    expect(ttftWithoutQueues(scenario, 32_000).p90).toBeCloseTo(4.901, 8)
  })
})
