import { describe, expect, it } from 'vitest'
import { MembraneError } from '../core/errors.ts'
import { decodeStepSeconds } from './decode.ts'
import { meanTokens } from './lengths.ts'
import { preset } from './presets.ts'
import { buildScenario, scenarioWarnings, type InputSpec, type ScenarioSpec } from './scenario.ts'

const caseStudy = preset('case-study')

function errorOf(spec: ScenarioSpec): MembraneError {
  try {
    buildScenario(spec)
  } catch (error) {
    if (error instanceof MembraneError) return error
    throw error
  }
  throw new Error('expected an error')
}

function withWorkload(change: Partial<ScenarioSpec['workload']>): ScenarioSpec {
  return { ...caseStudy, workload: { ...caseStudy.workload, ...change } }
}

function withInput(input: InputSpec): ScenarioSpec {
  return withWorkload({ input })
}

function withRemote(change: Partial<ScenarioSpec['remote']>): ScenarioSpec {
  return { ...caseStudy, remote: { ...caseStudy.remote, ...change } }
}

function withLocal(change: Partial<ScenarioSpec['local']>): ScenarioSpec {
  return { ...caseStudy, local: { ...caseStudy.local, ...change } }
}

const LOG_NORMAL = { kind: 'log-normal', mu: 9.9, sigma: 1, minTokens: 128, maxTokens: 131_072 } as const
const POSITIVE = 'must be a number above 0'

describe('a scenario that cannot be', () => {
  it.each<readonly [string, ScenarioSpec, string]>([
    ['no link', { ...caseStudy, link: { gbps: 0 } }, `link.gbps ${POSITIVE}, found 0.`],
    ['a negative link', { ...caseStudy, link: { gbps: -1 } }, `link.gbps ${POSITIVE}, found -1.`],
    ['a NaN link', { ...caseStudy, link: { gbps: Number.NaN } }, `link.gbps ${POSITIVE}, found NaN.`],
    ['an endless link', { ...caseStudy, link: { gbps: Number.POSITIVE_INFINITY } }, `link.gbps ${POSITIVE}`],
    [
      'a negative egress price',
      { ...caseStudy, link: { gbps: 1, pricePerGigabyte: -0.1 } },
      'link.pricePerGigabyte must be a finite number of at least 0, found -0.1.',
    ],
    ['a NaN egress price', { ...caseStudy, link: { gbps: 1, pricePerGigabyte: Number.NaN } }, 'found NaN'],
    [
      'no remote instance',
      withRemote({ instances: 0 }),
      'remote.instances must be a whole number from 1 to 4096, found 0.',
    ],
    ['half an instance', withRemote({ instances: 1.5 }), 'found 1.5'],
    ['NaN instances', withRemote({ instances: Number.NaN }), 'found NaN'],
    ['too many instances', withRemote({ instances: 4097 }), 'found 4097'],
    [
      'one local instance',
      withLocal({ instances: 1 }),
      'local.instances must be a whole number from 2 (one that decodes and one more) to 4096, found 1.',
    ],
    [
      'a homogeneous baseline of one',
      { ...caseStudy, homogeneousInstances: 1 },
      'homogeneousInstances must be a whole number from 2',
    ],
    ['a free GPU', withRemote({ pricePerGpuHour: 0 }), `remote.pricePerGpuHour ${POSITIVE}, found 0.`],
    ['a negative price', withLocal({ pricePerGpuHour: -1 }), `local.pricePerGpuHour ${POSITIVE}, found -1.`],
    ['no output', withWorkload({ outputTokens: 0 }), `workload.outputTokens ${POSITIVE}, found 0.`],
    ['no burstiness', withWorkload({ burstiness: 0 }), `workload.burstiness ${POSITIVE}, found 0.`],
    ['NaN burstiness', withWorkload({ burstiness: Number.NaN }), `workload.burstiness ${POSITIVE}, found NaN.`],
    ['a negative mean prompt', withWorkload({ promptTokensMean: -1 }), `workload.promptTokensMean ${POSITIVE}`],
    [
      'every prompt wholly cached',
      withWorkload({ prefixHitRatio: 1 }),
      'workload.prefixHitRatio must be a share from 0 to below 1, found 1.',
    ],
    ['less than nothing cached', withWorkload({ prefixHitRatio: -0.1 }), 'found -0.1'],
    ['NaN hits', withWorkload({ prefixHitRatio: Number.NaN }), 'found NaN'],
    ['a bound of zero', { ...caseStudy, slo: { ttftSecondsP90: 0 } }, `slo.ttftSecondsP90 ${POSITIVE}, found 0.`],
    ['a negative bound', { ...caseStudy, slo: { tpotSeconds: -1 } }, `slo.tpotSeconds ${POSITIVE}, found -1.`],
    [
      'min above max',
      withInput({ ...LOG_NORMAL, minTokens: 200_000 }),
      'needs 0 < minTokens < maxTokens, found 200000 and 131072',
    ],
    ['no spread', withInput({ ...LOG_NORMAL, sigma: 0 }), 'a sigma above 0'],
    [
      'endless lengths',
      withInput({ ...LOG_NORMAL, maxTokens: Number.POSITIVE_INFINITY }),
      'workload.input.maxTokens must be at most 100000000 tokens',
    ],
    [
      'too long a length',
      withInput({ kind: 'fixed', tokens: 1e9 }),
      'workload.input.tokens must be at most 100000000 tokens, found 1000000000.',
    ],
    ['a NaN length', withInput({ kind: 'fixed', tokens: Number.NaN }), 'found NaN'],
    ['a length of zero', withInput({ kind: 'fixed', tokens: 0 }), 'must be above 0 and finite'],
    ['no samples', withInput({ kind: 'samples', tokens: [], source: 'x' }), 'at least one length, found none'],
    ['a mixture of nothing', withInput({ kind: 'mixture', components: [] }), 'at least one component'],
    [
      'a weight of zero',
      withInput({ kind: 'mixture', components: [{ weight: 0, input: LOG_NORMAL }] }),
      'a weight above 0',
    ],
  ])('with %s says which value, what was expected and what was found', (_, spec, message) => {
    const error = errorOf(spec)
    expect(error.code).toBe('INVALID_CONFIG')
    expect(error.message).toContain(message)
  })

  it.each([
    [{ batchMax: 0 }, 'batchMax must be a whole number of at least 1, found 0'],
    [{ batchMax: 1.5 }, 'found 1.5'],
    [
      { stepSeconds: { fixed: -1, perSequence: 0, perContextToken: 0 } },
      'stepSeconds.fixed must be at least 0, found -1',
    ],
    [
      { stepSeconds: { fixed: Number.NaN, perSequence: 0, perContextToken: 0 } },
      'stepSeconds.fixed must be at least 0, found NaN',
    ],
    [{ stepSeconds: { fixed: 0, perSequence: 0, perContextToken: 0 } }, 'a step must take at least 1e-12 s'],
  ])('with a decode profile of %o is INVALID_PROFILE', (change, message) => {
    const error = errorOf(withLocal({ decode: { ...caseStudy.local.decode, ...change } }))
    expect(error.code).toBe('INVALID_PROFILE')
    expect(error.message).toContain(message)
  })

  it('on rates alone is OUT_OF_DOMAIN', () => {
    expect(errorOf(preset('kimi-linear')).code).toBe('OUT_OF_DOMAIN')
  })
})

describe('defaults', () => {
  it('are Poisson arrivals, no hits, no bound, no prices, and both clusters as the baseline', () => {
    const scenario = buildScenario(caseStudy)
    expect(scenario.burstiness).toBe(1)
    expect(scenario.slo).toEqual({ ttftSecondsP90: null, tpotSeconds: null })
    expect(scenario.homogeneousInstances).toBe(12)
    expect([scenario.remote.pricePerGpuHour, scenario.link.pricePerGigabyte]).toEqual([null, null])
    expect(scenario.promptTokensMean).toBeCloseTo(27_486, -1)
  })
})

describe('prefix hits', () => {
  it('shorten what is prefilled, and leave the context that decode reads', () => {
    const [whole, hit] = [buildScenario(caseStudy), buildScenario(withWorkload({ prefixHitRatio: 0.75 }))]
    expect(meanTokens(hit.lengths) / meanTokens(whole.lengths)).toBeCloseTo(0.25, 12)
    expect(hit.lengths.quantile(0.9) / whole.lengths.quantile(0.9)).toBeCloseTo(0.25, 9)
    expect(hit.promptTokensMean).toBe(whole.promptTokensMean)
  })

  it('shorten samples and mixtures too', () => {
    const samples = buildScenario({
      ...withInput({ kind: 'samples', tokens: [1000, 3000], source: 'x' }),
      workload: { input: { kind: 'samples', tokens: [1000, 3000], source: 'x' }, outputTokens: 1, prefixHitRatio: 0.5 },
    })
    expect([samples.lengths.minTokens, samples.lengths.maxTokens, meanTokens(samples.lengths)]).toEqual([
      500, 1500, 1000,
    ])
    const mixed: InputSpec = {
      kind: 'mixture',
      components: [
        { weight: 1, input: { kind: 'fixed', tokens: 100 } },
        { weight: 1, input: { kind: 'fixed', tokens: 300 } },
      ],
    }
    expect(
      meanTokens(
        buildScenario({ ...withInput(mixed), workload: { input: mixed, outputTokens: 1, prefixHitRatio: 0.5 } })
          .lengths,
      ),
    ).toBeCloseTo(100, 9)
  })

  it('given as uncached lengths with the mean of whole prompts count once', () => {
    const scenario = buildScenario(withWorkload({ promptTokensMean: 50_000 }))
    expect(scenario.promptTokensMean).toBe(50_000)
    expect(meanTokens(scenario.lengths)).toBeCloseTo(27_486, -1)
  })
})

describe('the decode batch', () => {
  const decode = {
    ...caseStudy.local.decode,
    batchMax: 64,
    stepSeconds: { fixed: 0.01, perSequence: 1e-4, perContextToken: 1e-8 },
  }
  const spec: ScenarioSpec = {
    ...caseStudy,
    local: { ...caseStudy.local, decode },
    workload: { input: { kind: 'fixed', tokens: 10_000 }, outputTokens: 1000 },
  }

  it('takes a step at the mean context: the prompt and half of the output', () => {
    expect(decodeStepSeconds(decode, 64, 10_500)).toBeCloseTo(0.01 + 64 * (1e-4 + 1.05e-4), 12)
    expect(buildScenario(spec).decodeBatch).toEqual({ batch: 64, stepSeconds: decodeStepSeconds(decode, 64, 10_500) })
  })

  it('is the largest whose step meets the TPOT bound', () => {
    const batchAt = (tpotSeconds: number): number => buildScenario({ ...spec, slo: { tpotSeconds } }).decodeBatch.batch
    expect([1, 0.0232, 0.0231, 0.010_206, 0.010_204].map(batchAt)).toEqual([64, 64, 63, 1, 0])
    for (const tpotSeconds of [0.011, 0.015, 0.02]) {
      expect(decodeStepSeconds(decode, batchAt(tpotSeconds), 10_500)).toBeLessThanOrEqual(tpotSeconds * (1 + 1e-9))
      expect(decodeStepSeconds(decode, batchAt(tpotSeconds) + 1, 10_500)).toBeGreaterThan(tpotSeconds)
    }
  })
})

describe('warnings about lengths that were not measured', () => {
  it('name the profile, the rule, the share and the source', () => {
    const warnings = scenarioWarnings(buildScenario(caseStudy))
    expect(warnings).toHaveLength(2)
    expect(warnings[0]).toContain('profile "hybrid-1t-h200" was measured from 1024 to 130000 tokens')
    expect(warnings[0]).toContain('of requests are shorter than 1024 tokens (rule below: extrapolate)')
    expect(warnings[0]).toContain('are longer than 130000 (rule above: extrapolate)')
    expect(warnings[0]).toContain('Source: arXiv:2604.15039v2, Table 5')
    expect(warnings[1]).toContain('profile "hybrid-1t-h20"')
  })

  it('are none when all lengths lie inside, the ends included', () => {
    const inside = (tokens: readonly number[]): string[] =>
      scenarioWarnings(buildScenario(withInput({ kind: 'samples', tokens, source: 'x' })))
    expect(inside([1024, 20_000, 130_000])).toEqual([])
    expect(inside([1024])).toEqual([])
    expect(inside([130_000])).toEqual([])
    expect(inside([130_001])).toHaveLength(2)
  })

  it('are one for a profile that both clusters use', () => {
    const spec = preset('llama2-70b')
    const long: InputSpec = { kind: 'fixed', tokens: 9000 }
    const warnings = scenarioWarnings(buildScenario({ ...spec, workload: { ...spec.workload, input: long } }))
    expect(warnings).toHaveLength(1)
    expect(warnings[0]).toContain('are longer than 8192')
  })
})

describe('what once went wrong', () => {
  it('warnings do not count lengths at the first point as shorter', () => {
    const [warning] = scenarioWarnings(
      buildScenario({
        ...preset('case-study'),
        workload: {
          ...preset('case-study').workload,
          input: { kind: 'samples', tokens: [1000, ...Array.from({ length: 999 }, () => 1024)], source: 'x' },
        },
      }),
    )
    expect(warning).toContain('0.10 % of requests are shorter')
  })

  it('all requests outside are "100 %", not "1.0e+2 %"', () => {
    const [warning] = scenarioWarnings(
      buildScenario({
        ...preset('case-study'),
        workload: { ...preset('case-study').workload, input: { kind: 'fixed', tokens: 10 } },
      }),
    )
    expect(warning).not.toContain('e+')
  })

  it('an infinite egress price is refused', () => {
    expect(() => buildScenario({ ...preset('case-study'), link: { gbps: 1, pricePerGigabyte: Infinity } })).toThrow(
      'pricePerGigabyte',
    )
  })
})
