import { describe, expect, test } from 'vitest'
import { analyzeScenario } from '../planner/analysis.ts'
import { preset } from '../planner/presets.ts'
import { buildScenario, type ScenarioSpec } from '../planner/scenario.ts'
import { type TerminalChartsInput, terminalCharts } from './terminal-charts.ts'

const CASE_STUDY = preset('case-study')

const WITH_SLO: ScenarioSpec = { ...CASE_STUDY, slo: { ttftSecondsP90: 8 } }

const SPECS: Readonly<Record<string, ScenarioSpec>> = {
  'the case study': CASE_STUDY,
  'the case study with an SLO': WITH_SLO,
  'a full link': preset('minimax-m2.5'),
  'the smallest clusters': {
    ...CASE_STUDY,
    remote: { ...CASE_STUDY.remote, instances: 1 },
    local: { ...CASE_STUDY.local, instances: 2 },
  },
  'many instances': { ...CASE_STUDY, local: { ...CASE_STUDY.local, instances: 300 } },
  'lengths all alike': {
    ...CASE_STUDY,
    workload: { ...CASE_STUDY.workload, input: { kind: 'fixed', tokens: 20_000 } },
  },
}

/** An analysis with an SLO takes half a second, and is the same for every width. */
const answers = new Map<ScenarioSpec, Pick<TerminalChartsInput, 'scenario' | 'analysis'>>()

function draw(spec: ScenarioSpec, width: number, color = false): string {
  const scenario = buildScenario(spec)
  const answer = answers.get(spec) ?? { scenario, analysis: analyzeScenario(scenario) }
  answers.set(spec, answer)
  return terminalCharts({ ...answer, width, color })
}

const ESCAPE = String.fromCharCode(27)
const ESCAPES = new RegExp(`${ESCAPE}\\[\\d+m`, 'g')

describe.each(Object.entries(SPECS))('the charts of %s', (_, spec) => {
  test.each([60, 80, 139, 140, 200])('fit into %i columns', (width) => {
    const widths = draw(spec, width)
      .split('\n')
      .map((line) => Array.from(line).length)
    expect(Math.max(...widths)).toBeLessThanOrEqual(width)
  })

  test('show numbers only', () => {
    expect(draw(spec, 80)).not.toMatch(/NaN|undefined|Infinity|null/)
  })

  test('say in legends what their glyphs are, and name axes with their units', () => {
    const text = draw(spec, 80)
    for (const name of ['remote bound', 'local bound', 'prefill bound', 'decode bound', 'Lambda_max', 'membrane-pd']) {
      expect(text).toContain(name)
    }
    for (const title of ['req/s', 'P90 TTFT, s', 'uncached prompt tokens', 'local prefill/decode instances']) {
      expect(text).toContain(title)
    }
  })
})

test('the crossing, the peak and the shadow prices carry the numbers of the answer', () => {
  const text = draw(CASE_STUDY, 80)
  expect(text).toContain('chosen: t = 19,405 tokens, 3.24 req/s, where the bounds cross')
  expect(text).toContain('peak: 3/5, 3.24 req/s')
  expect(text).toMatch(/\+1 remote instance +│█+ +\+0\.626 req\/s \(\+19\.3 %\)/)
  expect(text).toMatch(/t \+10 % +▒+│ +-0\.393 req\/s/)
})

test('an SLO is a line, and the rate that meets it is marked', () => {
  const text = draw(WITH_SLO, 80)
  expect(text).toContain('--- SLO, 8 s')
  expect(text).toMatch(/chosen: 2\.97 req\/s at a P90 TTFT of 8\.00 s/)
})

test('colour changes nothing but colour', () => {
  const colored = draw(CASE_STUDY, 80, true)
  expect(colored).toContain(ESCAPE)
  expect(colored.replace(ESCAPES, '')).toBe(draw(CASE_STUDY, 80))
})

test('two charts stand side by side where there is room', () => {
  const [first] = draw(CASE_STUDY, 200).split('\n')
  expect(first).toMatch(/Figure 5b.*Figure 5a/)
})
