import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { Page } from 'playwright-core'
import { afterAll, describe, expect, test } from 'vitest'
import { simulationPage } from '../../src/cli/simulation-html.ts'
import type { SimulatedRun } from '../../src/cli/simulation-page.ts'
import { assumption } from '../../src/planner/assumptions.ts'
import { preset } from '../../src/planner/presets.ts'
import { buildScenario } from '../../src/planner/scenario.ts'
import { DEFAULT_SIMULATION, SCHEDULERS, type SimulationOptions } from '../../src/planner/sim-options.ts'
import { simulateBatch } from '../../src/planner/sim-run.ts'
import { curvesOf, summarize } from '../../src/planner/simulation-result.ts'
import { chromiumPath, withPage } from '../chromium.ts'

const FOLDER = mkdtempSync(join(tmpdir(), 'membrane-simulation-'))
afterAll(() => rmSync(FOLDER, { recursive: true, force: true }))

/** A curve of the knee, three distributions and eleven panels over time. */
const PICTURES = 15

function simulated(name: string, more: Partial<SimulationOptions>): SimulatedRun {
  const options: SimulationOptions = {
    ...DEFAULT_SIMULATION,
    roles: { remotePrefill: 4, localPrefill: 3, decode: 5 },
    thresholdTokens: 19_405,
    rateRps: 2.6,
    requests: 5000,
    seed: 1,
    ...more,
  }
  const scenario = buildScenario(preset('case-study'))
  const data = [simulateBatch(scenario, options)]
  return { name, options, result: summarize(scenario, options, data), curves: curvesOf(data) }
}

async function write(): Promise<string> {
  const events = [{ kind: 'link', atSeconds: 500, gbps: 8 }] as const
  const page = await simulationPage({
    title: 'Link drops to a tenth',
    command: 'membrane simulate --preset case-study --rate 2.6',
    lead: ['The link drops to 8 Gbps after 500 s.'],
    runs: SCHEDULERS.map((scheduler) => simulated(scheduler, { scheduler, events, seriesSeconds: 2 })),
    knee: [1, 2, 2.8, 3.3].map((rateRps) => ({ rateRps, result: simulated('', { rateRps }).result })),
    quoted: { ttftSecondsP90: 7.38, lambdaMaxRps: 3.24 },
    sloTtftSecondsP90: 12,
    assumptions: [assumption('steady-state')],
    warnings: [],
  })
  const path = join(FOLDER, 'simulation.html')
  writeFileSync(path, page)
  return pathToFileURL(path).href
}

describe.skipIf(chromiumPath() === null)('the page of a simulation in a browser', async () => {
  const url = await write()

  test('loads nothing and complains of nothing', async () => {
    await withPage(async (page) => {
      const [problems, requests]: [string[], string[]] = [[], []]
      page.on('console', (message) => problems.push(message.text()))
      page.on('pageerror', (error) => problems.push(error.message))
      page.on('request', (request) => requests.push(request.url()))
      await page.goto(url)
      expect(problems).toEqual([])
      expect(requests.filter((requested) => !requested.startsWith('data:'))).toEqual([url])
      expect(await page.locator('body').innerText()).not.toMatch(/NaN|undefined|Infinity|\bnull\b/)
    })
  })

  test.each([1280, 700, 400])('shows all pictures and does not scroll sideways at %i pixels', async (width) => {
    await withPage(async (page) => {
      await page.setViewportSize({ width, height: 844 })
      await page.goto(url)
      const charts = page.locator('svg[role=img]:visible')
      expect(await charts.count()).toBe(PICTURES)
      for (const chart of await charts.all()) {
        const box = await chart.boundingBox()
        expect(box?.width).toBeGreaterThan(250)
        expect(box?.height).toBeGreaterThan(100)
      }
      expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(width)
      expect(await textOutside(page)).toEqual([])
    })
  })

  test('has one time axis: the ticks of all panels stand below each other', async () => {
    await withPage(async (page) => {
      await page.setViewportSize({ width: 400, height: 844 })
      await page.goto(url)
      const axes = await page.evaluate<
        string[]
      >(`[...document.querySelectorAll('#figure-time svg.narrow')].map((chart) =>
        [...chart.querySelectorAll('text')]
          .filter((text) => text.textContent.endsWith(' min'))
          .map((text) => text.textContent + ' at ' + Math.round(text.getBoundingClientRect().left))
          .join(', '),
      )`)
      expect(axes).toHaveLength(11)
      expect(new Set(axes).size).toBe(1)
      expect(axes[0]).toMatch(/10 min at \d+/)
    })
  })
})

/** Text of a chart that leaves its picture, where it would be cut off. */
async function textOutside(page: Page): Promise<unknown> {
  return page.evaluate(`[...document.querySelectorAll('svg[role=img]')]
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
}
