import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { Page } from 'playwright-core'
import { afterAll, describe, expect, test } from 'vitest'
import { renderReport } from '../../src/cli/report-html.ts'
import { analyzeScenario } from '../../src/planner/analysis.ts'
import { preset } from '../../src/planner/presets.ts'
import { buildScenario, type ScenarioSpec } from '../../src/planner/scenario.ts'
import { chromiumPath, withPage } from '../chromium.ts'

const FOLDER = mkdtempSync(join(tmpdir(), 'membrane-report-'))
afterAll(() => rmSync(FOLDER, { recursive: true, force: true }))

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

const CASES: readonly { readonly spec: ScenarioSpec; readonly says: readonly string[] }[] = [
  {
    spec: { ...priced('case-study'), slo: { ttftSecondsP90: 12 } },
    says: ['Remote prefill pays', 'SLO-feasible rate', 'P90 TTFT ≤ 12 s', '4x8 + 8x8 = 96', 'homogeneous-pd'],
  },
  {
    spec: priced('minimax-m2.5'),
    says: ['Remote prefill does not pay', '3.91', '0.75x', '0.45x at equal cost', '83.5 Gbps', 'the link is full'],
  },
]

async function render(spec: ScenarioSpec): Promise<string> {
  const scenario = buildScenario(spec)
  return renderReport({ scenario, analysis: analyzeScenario(scenario), command: COMMAND })
}

function write(name: string, text: string): string {
  const path = join(FOLDER, `${name}.html`)
  writeFileSync(path, text)
  return pathToFileURL(path).href
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

/** Opens a page and says what went wrong while it was open. */
async function open(
  page: Page,
  url: string,
): Promise<{ readonly problems: readonly string[]; readonly requests: readonly string[] }> {
  const [problems, requests]: [string[], string[]] = [[], []]
  page.on('console', (message) => problems.push(message.text()))
  page.on('pageerror', (error) => problems.push(error.message))
  page.on('request', (request) => requests.push(request.url()))
  await page.goto(url)
  return { problems, requests }
}

async function backgroundOf(page: Page): Promise<string> {
  return page.evaluate<string>('getComputedStyle(document.body).backgroundColor')
}

describe.skipIf(chromiumPath() === null).each(CASES)('the report of $spec.name in a browser', ({ spec, says }) => {
  test('says what the verdict says, loads nothing and complains of nothing', async () => {
    const url = write(spec.name, await render(spec))
    await withPage(async (page) => {
      const { problems, requests } = await open(page, url)
      const text = await page.locator('body').innerText()
      for (const part of says) expect(text).toContain(part)
      const { sentence } = analyzeScenario(buildScenario(spec)).verdict
      for (const number of sentence.match(/\d[\d.,]*\d/g) ?? []) expect(text).toContain(number)
      expect(text).not.toMatch(/NaN|undefined|Infinity|\bnull\b/)
      expect(problems).toEqual([])
      expect(requests.filter((requested) => !requested.startsWith('data:'))).toEqual([url])
    })
  })

  test.each([1280, 390])('shows four described charts and does not scroll sideways at %i pixels', async (width) => {
    const url = write(`${spec.name}-${width}`, await render(spec))
    await withPage(async (page) => {
      await page.setViewportSize({ width, height: 844 })
      await page.goto(url)
      const charts = page.locator('svg[role=img]:visible')
      expect(await charts.count()).toBe(4)
      for (const chart of await charts.all()) {
        const box = await chart.boundingBox()
        expect(box?.width).toBeGreaterThan(280)
        expect(box?.height).toBeGreaterThan(200)
        expect((await chart.getAttribute('aria-label'))?.length).toBeGreaterThan(40)
      }
      expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(width)
      await expectTextInside(page)
    })
  })

  test('follows the system into the dark, and the button by keyboard', async () => {
    const url = write(`${spec.name}-theme`, await render(spec))
    await withPage(async (page) => {
      await page.emulateMedia({ colorScheme: 'light' })
      await page.goto(url)
      const light = { color: await backgroundOf(page), picture: await page.screenshot() }
      await page.emulateMedia({ colorScheme: 'dark' })
      const dark = { color: await backgroundOf(page), picture: await page.screenshot() }
      expect(dark.color).not.toBe(light.color)
      expect(dark.picture.equals(light.picture)).toBe(false)
      await page.locator('#theme').focus()
      await page.keyboard.press('Enter')
      expect(await backgroundOf(page)).toBe(light.color)
      await page.emulateMedia({ media: 'print' })
      expect(await page.locator('#theme').isVisible()).toBe(false)
    })
  })
})

/** No text of a chart leaves its picture, where it would be cut off. */
async function expectTextInside(page: Page): Promise<void> {
  const outside = await page.evaluate(`[...document.querySelectorAll('svg[role=img]')]
    .filter((chart) => chart.getBoundingClientRect().width > 0)
    .flatMap((chart) => {
      const frame = chart.getBoundingClientRect()
      return [...chart.querySelectorAll('text')]
        .filter((text) => {
          const box = text.getBoundingClientRect()
          return box.width > 0 && (box.left < frame.left - 1 || box.right > frame.right + 1 || box.top < frame.top - 1 || box.bottom > frame.bottom + 1)
        })
        .map((text) => text.textContent)
    })`)
  expect(outside).toEqual([])
}
