import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { Page } from 'playwright-core'
import { beforeAll, describe, expect, test } from 'vitest'
import { renderReport } from '../../src/cli/report-html.ts'
import { simulateLoad } from '../../src/cli/report-load-run.ts'
import { analyzeScenario } from '../../src/planner/analysis.ts'
import { preset } from '../../src/planner/presets.ts'
import { buildScenario, type ScenarioSpec } from '../../src/planner/scenario.ts'
import { chromiumPath, withPage } from '../chromium.ts'
import { openCommand } from './command.ts'
import { openPage, textOutsideCharts } from './page.ts'

const { folder, write, membrane, json } = openCommand('report')

const COMMAND = "membrane report --preset case-study --slo-ttft-p90 '8'"
const BYTES_MAX = 400_000

function priced(name: string): ScenarioSpec {
  const spec = preset(name)
  return {
    ...spec,
    remote: { ...spec.remote, pricePerGpuHour: 2 },
    local: { ...spec.local, pricePerGpuHour: 1 },
    link: { ...spec.link, pricePerGigabyte: 0.001 },
  }
}

const CASES: readonly {
  readonly spec: ScenarioSpec
  readonly isSimulated: boolean
  readonly says: readonly string[]
}[] = [
  {
    isSimulated: true,
    spec: { ...priced('case-study'), slo: { ttftSecondsP90: 12 } },
    says: [
      'Remote prefill pays',
      'SLO-feasible rate',
      'P90 TTFT ≤ 12 s',
      '4x8 + 8x8 = 96',
      'homogeneous-pd',
      's that contain no queueing',
      "At the planner's SLO-feasible rate",
      'The link falls from 100 to 10 Gbps for',
      'report-load',
      'scheduler-clock',
    ],
  },
  {
    isSimulated: false,
    spec: priced('minimax-m2.5'),
    says: [
      'Remote prefill does not pay',
      '3.91',
      '0.75x',
      '0.45x at equal cost',
      '83.5 Gbps',
      'the link is full',
      '--no-load',
    ],
  },
]

async function render(spec: ScenarioSpec): Promise<string> {
  const scenario = buildScenario(spec)
  return renderReport({ scenario, analysis: analyzeScenario(scenario), command: COMMAND })
}

describe('the page', () => {
  test('is one file of moderate size that names nothing to load', async () => {
    const page = await render(priced('case-study'))
    expect(Buffer.byteLength(page)).toBeLessThan(BYTES_MAX)
    // Not the whole page in a failure's message: what matched is enough.
    expect(page.match(/<(?:link|img|iframe|object)[^>]*(?:src|href)="(?!data:)/)).toBeNull()
    expect(page.match(/<script[^>]+src|@import|url\((?!#)/)).toBeNull()
  })

  test('is the same for the same input', async () => {
    const spec = priced('minimax-m2.5')
    expect((await render(spec)) === (await render(spec))).toBe(true)
  })

  test('shows hostile names as text', async () => {
    const name = `</title><script>alert(1)</script>"><img src=x onerror='alert(2)'>`
    const spec = preset('case-study')
    const { profile } = spec.remote
    const page = await render({
      ...spec,
      name,
      remote: { ...spec.remote, profile: { ...profile, name, model: name, source: name } },
    })
    expect(page.match(/<script/g)).toHaveLength(1)
    expect(page.match(/<img[^>]*/)).toBeNull()
    expect(page.includes('&lt;script&gt;alert(1)&lt;/script&gt;')).toBe(true)
  })

  test('has at most 400 kB with thousands of instances', async () => {
    const spec = preset('case-study')
    const many = { ...spec, remote: { ...spec.remote, instances: 900 }, local: { ...spec.local, instances: 2000 } }
    expect(Buffer.byteLength(await render(many))).toBeLessThan(BYTES_MAX)
  })
})

/** The built command, as a user runs it. */
function report(...words: readonly string[]): {
  readonly answer: ReturnType<typeof JSON.parse>
  readonly page: string
} {
  const answer = json('report', '--preset', 'case-study', '--out', 'command.html', ...words)
  return { answer, page: readFileSync(join(folder, 'command.html'), 'utf8') }
}

describe('membrane report', () => {
  // Once for two tests, because it takes seconds.
  let simulated: ReturnType<typeof report> = { answer: null, page: '' }
  beforeAll(() => {
    simulated = report()
  })

  test('says that at 86 % of Lambda_max the P90 TTFT of the case study is more than twice the quoted one', () => {
    const { answer, page } = simulated
    const { underLoad } = answer
    expect(underLoad.shareOfLambdaMax).toBeCloseTo(0.86, 6)
    expect(underLoad.ttftSecondsWithoutQueueing.p90).toBeCloseTo(3.51, 2)
    expect(underLoad.ttftSeconds.p90 - underLoad.ttftSeconds.p90HalfWidth95).toBeGreaterThan(
      2 * underLoad.ttftSecondsWithoutQueueing.p90,
    )
    expect(underLoad.ttftRatios.p90).toBeGreaterThan(2)
    expect(underLoad.requests).toBe(200_000)
    // Eq. (6) is up to 4 % above what is sustained by request.
    const { sustainableRps, equation6Rps } = underLoad.capacityRps
    expect(equation6Rps / sustainableRps).toBeGreaterThan(1.01)
    expect(equation6Rps / sustainableRps).toBeLessThan(1.04)
    const p90s = underLoad.knee.map((point: { ttftSeconds: { p90: number } }) => point.ttftSeconds.p90)
    expect(p90s).toEqual(p90s.toSorted((a: number, b: number) => a - b))
    expect(page).toContain(`${underLoad.ttftRatios.p90.toPrecision(3)} times the 3.51 s that contain no queueing`)
    expect(Buffer.byteLength(page)).toBeLessThan(BYTES_MAX)
  })

  test('says by how much the scheduler beats a fixed threshold when the link drops and in bursts, with its interval', () => {
    const { answer, page } = simulated
    const { rows } = answer.underLoad.disturbances
    expect(rows.map(({ name }: { name: string }) => name)).toEqual(['none', 'link-drop', 'bursts'])
    for (const { name, p90TtftGain } of rows) {
      expect(p90TtftGain.halfWidth95, name).toBeGreaterThan(0)
      expect(p90TtftGain.mean, name).toBeGreaterThan(p90TtftGain.halfWidth95)
      const text = `${(100 * p90TtftGain.mean).toFixed(1)} ± ${(100 * p90TtftGain.halfWidth95).toFixed(1)} % below`
      expect(page, name).toContain(text)
    }
  })

  test.each([
    ['report', '--preset', 'case-study'],
    ['demo', 'paper'],
  ])('%s says at once that its page cannot be written', (...words) => {
    const refused = membrane(...words, '--out', '/nonexist/x.html', '--json')
    expect(refused.code).toBe(1)
    expect(JSON.parse(refused.out).error).toMatchObject({
      message: expect.stringMatching(/\/nonexist\/x\.html cannot be written \(ENOENT\)/),
      remedy: 'Choose another place with --out.',
    })
    expect(JSON.parse(membrane(...words, '--out', '.', '--json').out).error.message).toBe(
      '. cannot be written (a directory).',
    )
  })

  test('gives a page without simulations when asked for one, and says so', () => {
    const { answer, page } = report('--no-load')
    expect(answer.underLoad).toEqual({ kind: 'left-out' })
    expect(page).toContain('nothing on this page is simulated')
    expect(page).not.toContain('figure-knee"')
  })

  test('gives a page of a plan that cannot be simulated, and says why', async () => {
    const spec = preset('case-study')
    const { local } = spec
    const scenario = buildScenario({ ...spec, local: { ...local, decode: { ...local.decode, kvTokensMax: 50_000 } } })
    const analysis = analyzeScenario(scenario)
    const load = await simulateLoad(scenario, analysis)
    expect(load.kind).toBe('impossible')
    const page = await renderReport({ scenario, analysis, load, command: COMMAND })
    expect(page).toContain('cannot be simulated: A request ends with 132096 tokens of context')
  })
})

/** Where a browser finds a page. */
function written(name: string, page: string): string {
  return pathToFileURL(write(`${name}.html`, page)).href
}

async function backgroundOf(page: Page): Promise<string> {
  return page.evaluate<string>('getComputedStyle(document.body).backgroundColor')
}

describe.skipIf(chromiumPath() === null).each(CASES)('the report of $spec.name in a browser', (one) => {
  const { spec, says, isSimulated } = one
  // Once for all tests, because it takes seconds.
  let page = ''
  beforeAll(async () => {
    const scenario = buildScenario(spec)
    const analysis = analyzeScenario(scenario)
    const load = isSimulated ? await simulateLoad(scenario, analysis) : ({ kind: 'left-out' } as const)
    page = await renderReport({ scenario, analysis, load, command: COMMAND })
  })

  test('says what the verdict says, loads nothing and complains of nothing', async () => {
    const url = written(spec.name, page)
    await withPage(async (tab) => {
      const { problems, requests } = await openPage(tab, url)
      const text = await tab.locator('body').innerText()
      for (const part of says) expect(text).toContain(part)
      const { sentence } = analyzeScenario(buildScenario(spec)).verdict
      for (const number of sentence.match(/\d[\d.,]*\d/g) ?? []) expect(text).toContain(number)
      expect(text).not.toMatch(/NaN|undefined|Infinity|\bnull\b/)
      expect(problems).toEqual([])
      expect(requests.filter((requested) => !requested.startsWith('data:'))).toEqual([url])
    })
  })

  test.each([1280, 390])('shows its described charts and does not scroll sideways at %i pixels', async (width) => {
    const url = written(`${spec.name}-${width}`, page)
    await withPage(async (tab) => {
      await tab.setViewportSize({ width, height: 844 })
      await tab.goto(url)
      const charts = tab.locator('svg[role=img]:visible')
      expect(await charts.count()).toBe(isSimulated ? 5 : 4)
      for (const chart of await charts.all()) {
        const box = await chart.boundingBox()
        expect(box?.width).toBeGreaterThan(280)
        expect(box?.height).toBeGreaterThan(200)
        expect((await chart.getAttribute('aria-label'))?.length).toBeGreaterThan(40)
      }
      expect(await tab.evaluate('document.documentElement.scrollWidth')).toBe(width)
      expect(await textOutsideCharts(tab)).toEqual([])
    })
  })

  test('follows the system into the dark, and the button by keyboard', async () => {
    const url = written(`${spec.name}-theme`, page)
    await withPage(async (tab) => {
      await tab.emulateMedia({ colorScheme: 'light' })
      await tab.goto(url)
      const light = { color: await backgroundOf(tab), picture: await tab.screenshot() }
      await tab.emulateMedia({ colorScheme: 'dark' })
      const dark = { color: await backgroundOf(tab), picture: await tab.screenshot() }
      expect(dark.color).not.toBe(light.color)
      expect(dark.picture.equals(light.picture)).toBe(false)
      await tab.locator('#theme').focus()
      await tab.keyboard.press('Enter')
      expect(await backgroundOf(tab)).toBe(light.color)
      await tab.emulateMedia({ media: 'print' })
      expect(await tab.locator('#theme').isVisible()).toBe(false)
    })
  })
})
