import { describe, expect, test } from 'vitest'
import { CASE_STUDY as SCENARIO, PLANNED } from '../../test/case-study.ts'
import { assumption } from '../planner/assumptions.ts'
import type { SimulationOptions } from '../planner/sim-options.ts'
import { simulateBatch } from '../planner/sim-run.ts'
import { curvesOf, type SimulationResult, summarize } from '../planner/simulation-result.ts'
import { simulationPage } from './simulation-html.ts'
import type { SimulatedRun, SimulationPage } from './simulation-page.ts'

const BYTES_MAX = 2_000_000

function simulated(name: string, more: Partial<SimulationOptions>, replications = 1): SimulatedRun {
  const options: SimulationOptions = { ...PLANNED, rateRps: 2.6, requests: 2000, ...more }
  const data = Array.from({ length: replications }, (_, k) => simulateBatch(SCENARIO, { ...options, seed: 1 + k }))
  return { name, options, result: summarize(SCENARIO, options, data), curves: curvesOf(data) }
}

const EVENTS = [
  { kind: 'link', atSeconds: 200, gbps: 8 },
  { kind: 'link', atSeconds: 500, gbps: 100 },
  { kind: 'lose', atSeconds: 550, pool: 'remotePrefill', instances: 1 },
] as const

const SCHEDULERS = [
  ['scheduler on', 'on'],
  ['fixed t', 'fixed'],
  ['off', 'off'],
] as const
const THREE = SCHEDULERS.map(([name, scheduler]) =>
  simulated(name, { scheduler, seriesSeconds: 1, events: EVENTS }, scheduler === 'fixed' ? 4 : 1),
)

const PAGE: SimulationPage = {
  title: 'Link drops to a tenth',
  command: "membrane simulate --preset case-study --rate '2.6'",
  lead: ['The scheduler keeps up.', 'A fixed threshold does not.'],
  runs: THREE,
  knee: [3.4, 0.5, 2, 2.8].map((rateRps) => ({ rateRps, result: simulated('', { rateRps }, 4).result })),
  quoted: { ttftSecondsP90: 7.38, lambdaMaxRps: 3.24 },
  sloTtftSecondsP90: 12,
  assumptions: [assumption('steady-state')],
  warnings: ['A prompt is longer than was measured.'],
}
const PLAIN: SimulationPage = {
  ...PAGE,
  runs: [simulated('alone', { events: EVENTS })],
  knee: null,
  quoted: null,
  sloTtftSecondsP90: null,
  assumptions: [],
  warnings: [],
}

/** What a reader reads: no markup, no style, no script; what those who do not see a picture are told is kept. */
function textOf(page: string): string {
  return page
    .replace(/<(style|script)[^>]*>.*?<\/\1>/gs, '')
    .replace(/<svg[^>]*aria-label="([^"]*)"[^>]*>/g, '>$1 ')
    .replace(/<[^>]*>/g, ' ')
    .replaceAll('\u00a0', ' ')
    .replace(/\s+/g, ' ')
}

test('says that the knee curve leaves out events and other schedulers, where there are some', async () => {
  const note = /The curve is of the steady deployment, with a fixed t, a constant rate and no events/
  expect(textOf(await simulationPage(PAGE))).toMatch(note)
  const steady = await simulationPage({ ...PAGE, runs: [simulated('fixed', {})] })
  expect(textOf(steady)).not.toMatch(note)
})

const sectionIds = (page: string): string[] =>
  [...page.matchAll(/<section id="([\w-]+)"/g)].map((match) => match[1] ?? '')

describe('the page of three runs', async () => {
  const page = await simulationPage(PAGE)
  const text = textOf(page)

  test('has each section, described figures and the command', () => {
    expect(sectionIds(page)).toEqual([
      'knee',
      'latencies',
      'time',
      'load',
      'setup',
      'warnings',
      'assumptions',
      'reproduce',
    ])
    expect(page.match(/<figure /g)).toHaveLength(3)
    expect(page.match(/<figcaption>/g)).toHaveLength(3)
    expect(page.match(/<details>/g)).toHaveLength(3)
    for (const label of page.matchAll(/role="img" aria-label="([^"]*)"/g)) expect(label[1]?.length).toBeGreaterThan(40)
    for (const part of ['The scheduler keeps up.', 'A fixed threshold does not.', 'A prompt is longer', 'steady-state'])
      expect(text).toContain(part)
    expect(page).toContain('--rate &#39;2.6&#39;')
  })

  test('writes no number that is none', () => {
    expect(text).not.toMatch(/NaN|undefined|Infinity|\bnull\b|\[object/)
    expect(page).not.toMatch(/="[^"]*(?:NaN|undefined|Infinity)/)
  })

  test('names nothing to load', () => {
    expect(page.match(/<(?:link|img|iframe|object)[^>]*(?:src|href)="(?!data:)/)).toBeNull()
    expect(page.match(/<script[^>]+src|@import|url\((?!#)/)).toBeNull()
    expect(page.replaceAll('xmlns="http://www.w3.org/2000/svg"', '').match(/https?:\/\/\S*/)).toBeNull()
  })

  test('gives numbers of all runs with their units', () => {
    for (const { name, result } of THREE) {
      expect(text).toContain(name)
      expect(text).toMatch(new RegExp(`${name} ${number(result.ttftSeconds.p90)} s`))
    }
    expect(text).toMatch(/P90 TTFT [\d.,]+ s misses the SLO of 12 s; quoted without queueing: 7\.38 s/)
    expect(text).toMatch(/TTFT P90 ?, s/)
    expect(text).toMatch(/TPOT mean ?, ms/)
    expect(text).toMatch(/[\d.]+ ± [\d.]+/)
    expect(text).toMatch(/capacity by request, 3\.16 req\/s/)
    expect(text).toMatch(/Eq\. \(6\), 3\.24 req\/s/)
    expect(text).toMatch(/Egress [\d.]+ Gbps/)
  })

  test('says what happened when, and where the knee is', () => {
    expect(text).toContain('(1) 3.33 min: the link has 8 Gbps')
    expect(text).toContain('(3) 9.17 min: 1 remote prefill lost')
    expect(text).toMatch(/fixed t: the longest queue was [\d,]+ for a/)
    expect(text).toMatch(/P90 TTFT is [\d.]+ s at 0\.500 req\/s and has doubled between [\d.]+ and [\d.]+ req\/s/)
    expect(text).toContain('overloaded')
  })

  test('is the same for the same input, and rates may come in any order', async () => {
    const again = await simulationPage({ ...PAGE, knee: [...(PAGE.knee ?? [])].reverse() })
    expect(again === page).toBe(true)
  })
})

describe('a page of less', () => {
  test('leaves out what was not simulated, and says so', async () => {
    const page = await simulationPage(PLAIN)
    expect(sectionIds(page)).toEqual(['latencies', 'load', 'setup', 'warnings', 'assumptions', 'left-out', 'reproduce'])
    const text = textOf(page)
    expect(text).toContain('only one rate was simulated')
    expect(text).toContain('no time series was recorded')
    expect(text).toContain('Events: (1) 3.33 min: the link has 8 Gbps')
    expect(text).not.toMatch(/NaN|undefined|Infinity|\bnull\b|SLO|quoted/)
  })

  test('names the runs that have no series beside those that have', async () => {
    const page = await simulationPage({ ...PLAIN, runs: [...THREE.slice(0, 1), simulated('without', {})] })
    expect(sectionIds(page)).toContain('time')
    expect(textOf(page)).toContain('No curves over time of without:')
  })

  test('copes with a run that observed nothing but 0', async () => {
    const [run] = PLAIN.runs
    if (run === undefined) throw new Error('Bug: no run')
    const none = {
      mean: 0,
      p50: 0,
      p90: 0,
      p99: 0,
      meanHalfWidth95: null,
      p50HalfWidth95: null,
      p90HalfWidth95: null,
      p99HalfWidth95: null,
    }
    const result: SimulationResult = { ...run.result, ttftSeconds: none, firstTokenSeconds: none, e2eSeconds: none }
    const cdf = { ttft: [], firstToken: [], tpot: [], e2e: [] }
    const knee = [1, 2].map((rateRps) => ({ rateRps, result }))
    const page = await simulationPage({ ...PLAIN, knee, runs: [{ ...run, result, curves: { ...run.curves, cdf } }] })
    expect(textOf(page)).toContain('No distributions')
    expect(page).not.toMatch(/NaN|Infinity/)
  })
})

describe('any page', () => {
  test('shows hostile names as text', async () => {
    const name = `</title><script>alert(1)</script>"><img src=x onerror='alert(2)'>`
    const runs = THREE.map((run) => ({ ...run, name }))
    const page = await simulationPage({ ...PAGE, title: name, command: name, lead: [name], warnings: [name], runs })
    expect(page.match(/<script/g)).toHaveLength(1)
    expect(page.match(/<img[^>]*/)).toBeNull()
  })

  test('stays small with a hundred thousand points', async () => {
    const [run] = THREE
    const series = run?.curves.series ?? null
    if (run === undefined || series === null) throw new Error('Bug: no series')
    const long = Object.fromEntries(
      Object.entries(series).map(([key, values]) => [
        key,
        Array.from({ length: 100_000 }, (_, k) => (key === 'endSeconds' ? k + 1 : (values[k % values.length] ?? null))),
      ]),
    ) as unknown as typeof series
    const runs = ['a', 'b', 'c', 'd', 'e'].map((name) => ({ ...run, name, curves: { ...run.curves, series: long } }))
    expect(Buffer.byteLength(await simulationPage({ ...PAGE, runs }))).toBeLessThan(BYTES_MAX)
  })
})

function number(value: number): string {
  return new Intl.NumberFormat('en-US', { minimumSignificantDigits: 3, maximumSignificantDigits: 3 }).format(value)
}
