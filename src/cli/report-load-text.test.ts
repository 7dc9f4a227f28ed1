import { describe, expect, test } from 'vitest'
import { CASE_STUDY as SCENARIO, CASE_STUDY_PLAN as PLAN } from '../../test/case-study.ts'
import { buildScenario } from '../planner/scenario.ts'
import { simulateBatch } from '../planner/sim-run.ts'
import { type SimulationResult, summarize } from '../planner/simulation-result.ts'
import { loadSection } from './report-load-section.ts'
import { capacitySentence, disturbanceSentence, extentText, loadSentence, sloSentence } from './report-load-text.ts'
import { loadAsJson, type ReportLoad, type SimulatedLoad, steadyLoad } from './report-load.ts'
import { loadRenderer } from './report-svg.ts'

const OPTIONS = steadyLoad(SCENARIO, PLAN, { rateRps: 2.7864, requests: 400 })
const SIMULATED = summarize(SCENARIO, OPTIONS, [simulateBatch(SCENARIO, OPTIONS)])

/** With numbers of our choice, so that every digit can be foreseen. */
const RESULT: SimulationResult = {
  ...SIMULATED,
  ttftSeconds: {
    mean: 4.5,
    p50: 3.6,
    p90: 8.4,
    p99: 15.8,
    meanHalfWidth95: 0.14,
    p50HalfWidth95: 0.1,
    p90HalfWidth95: 0.44,
    p99HalfWidth95: 1,
  },
  capacityRps: { ...SIMULATED.capacityRps, sustainableRps: 3.16, equation6Rps: 3.24 },
  verdict: 'stable',
  requests: 200_000,
  replications: 8,
}
const LOAD: SimulatedLoad = {
  kind: 'simulated',
  options: OPTIONS,
  result: RESULT,
  lambdaMaxRps: 3.24,
  quoted: { mean: 2.25, p90: 3.5, p99: 7.9 },
  knee: [
    { rateRps: 1, result: RESULT },
    { rateRps: 2.7864, result: RESULT },
  ],
  slo: null,
  disturbances: {
    kind: 'simulated',
    rateRps: 2.37,
    seconds: 7200,
    replications: 8,
    rows: [
      {
        name: 'link-drop',
        what: 'The link falls',
        fixed: RESULT,
        scheduled: RESULT,
        gain: { mean: 0.364, halfWidth95: 0.063 },
      },
      {
        name: 'bursts',
        what: 'Bursts',
        fixed: RESULT,
        scheduled: RESULT,
        gain: { mean: -0.12, halfWidth95: 0.051 },
      },
    ],
  },
  assumptions: [],
}

/** What is read, with plain spaces. */
function textOf(markup: string): string {
  return markup
    .replace(/<svg.*?<\/svg>/gs, '')
    .replace(/<[^>]*>/g, '')
    .replaceAll('\u00a0', ' ')
    .replace(/\s+/g, ' ')
    .trim()
}

const withResult = (more: Partial<SimulationResult>): SimulatedLoad => ({ ...LOAD, result: { ...RESULT, ...more } })

describe('the sentence at 86 % of Lambda_max', () => {
  test('gives rate, P90 with its interval, and how many times the quoted one that is', () => {
    expect(textOf(loadSentence(LOAD).markup)).toBe(
      'At 86 % of Λmax (2.79 req/s) P90 TTFT is 8.40 ± 0.44 s, 2.40 times the 3.50 s that contain no queueing.',
    )
  })

  test('says so where the plan does not keep up', () => {
    const overloaded = withResult({
      verdict: 'overloaded',
      capacityRps: { ...RESULT.capacityRps, sustainableRps: 2.5 },
    })
    expect(textOf(loadSentence(overloaded).markup)).toContain(
      'That is more than the 2.50 req/s that the plan sustains by request',
    )
    expect(textOf(loadSentence(withResult({ verdict: 'backlogged' })).markup)).toContain('A queue was still growing')
  })
})

test('both capacities are given with what lies between them, once where they agree', () => {
  expect(capacitySentence(LOAD)).toBe(
    'Counted request by request the plan sustains 3.16 req/s; Eq. (6), which replaces lengths by their means, says 3.24 req/s, 2.53 % more.',
  )
  const same = withResult({ capacityRps: { ...RESULT.capacityRps, sustainableRps: 3.24 } })
  expect(capacitySentence(same)).toBe('Counted request by request the plan sustains 3.24 req/s, as Eq. (6) has it.')
})

test.each([
  [8, 'which the noise does not tell apart from the SLO of 8 s'],
  [7, '20.0 % above the SLO of 7 s'],
  [12, '30.0 % below the SLO of 12 s'],
])('an SLO of %i s is judged with the noise in mind', (boundSeconds, judged) => {
  const sentence = sloSentence({ boundSeconds, feasibleRps: 2.9, result: RESULT }).replaceAll('\u00a0', ' ')
  expect(sentence).toBe(
    `At the planner's SLO-feasible rate of 2.90 req/s simulated P90 TTFT is 8.40 ± 0.44 s, ${judged}.`,
  )
})

test('a short simulation is said to be short', () => {
  expect(extentText(LOAD).replaceAll('\u00a0', ' ')).toBe('200,000 requests in 8 replications of 2.49 h each')
  const quick = { ...LOAD, options: { ...OPTIONS, rateRps: 325 } }
  expect(extentText(quick).replaceAll('\u00a0', ' ')).toContain('of 76.9 s each, which start empty')
})

test.each([
  [0.364, 0.063, /36\.4 ± 6\.3 % below that of the fixed threshold\.$/],
  [0.042, 0.071, /4\.2 ± 7\.1 % below that of the fixed threshold, which is within the noise\.$/],
  [-0.12, 0.051, /12\.0 ± 5\.1 % above that of the fixed threshold\.$/],
  [0, 0, /^The scheduler changes nothing/],
])('a gain of %d ± %d is told as it is', (mean, halfWidth95, told) => {
  expect(disturbanceSentence({ gain: { mean, halfWidth95 } })).toMatch(told)
})

describe('the section', async () => {
  const render = await loadRenderer()
  const contentOf = async (load: ReportLoad, slo?: number): Promise<string> => {
    const scenario = buildScenario({ ...SCENARIO.spec, slo: { ttftSecondsP90: slo } })
    const { content } = await loadSection(scenario, load, render)
    return content.map(({ markup }) => markup).join(' ')
  }

  test('has the table, the curve and the disturbances', async () => {
    const text = textOf(await contentOf(LOAD))
    for (const part of [
      '4.50 ± 0.14',
      '2.40',
      '2.00',
      '15.8',
      '36.4 ± 6.3',
      '-12.0 ± 5.1',
      'for 2 h in 8 replications',
    ])
      expect(text).toContain(part)
    expect(text).not.toContain('SLO')
    expect(text).not.toMatch(/NaN|undefined|Infinity|\bnull\b/)
  })

  test('shows the rate that the planner allows under an SLO', async () => {
    const slo = { boundSeconds: 8, feasibleRps: 2.5, result: RESULT }
    const markup = await contentOf({ ...LOAD, slo }, 8)
    expect(textOf(markup)).toContain('SLO-feasible rate, 2.50 req/s')
    const rulesOf = (page: string): number => page.match(/stroke="var\(--loss\)"/g)?.length ?? 0
    // A line for the bound and a rule for the rate, in two sizes.
    expect(rulesOf(markup.replace(/<ul.*?<\/ul>/gs, ''))).toBe(4)
  })

  test('says what is missing and why', async () => {
    const left = { ...LOAD, disturbances: { kind: 'left-out', reason: 'Too many requests' } } as const
    expect(textOf(await contentOf(left))).toContain('Disturbances were not simulated: Too many requests.')
    expect(textOf(await contentOf({ kind: 'left-out' }))).toContain('nothing on this page is simulated')
    expect(textOf(await contentOf({ kind: 'impossible', reason: 'No <b>slot</b>.' }))).toContain(
      'cannot be simulated: No &lt;b&gt;slot&lt;/b&gt;.',
    )
  })
})

test('programs get the same numbers', () => {
  expect(loadAsJson(LOAD)).toMatchObject({
    shareOfLambdaMax: 0.86,
    ttftRatios: { mean: 2, p90: 2.4, p99: 2 },
    capacityRps: { sustainableRps: 3.16, equation6Rps: 3.24 },
    disturbances: { rows: [{ p90TtftGain: { mean: 0.364, halfWidth95: 0.063 } }, { name: 'bursts' }] },
  })
  expect(loadAsJson({ kind: 'left-out' })).toEqual({ kind: 'left-out' })
})
