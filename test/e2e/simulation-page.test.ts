import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterAll, describe, expect, test } from 'vitest'
import { simulationPage } from '../../src/cli/simulation-html.ts'
import type { SimulatedRun } from '../../src/cli/simulation-page.ts'
import { assumption } from '../../src/planner/assumptions.ts'
import { SCHEDULERS, type SimulationOptions } from '../../src/planner/sim-options.ts'
import { simulateBatch } from '../../src/planner/sim-run.ts'
import { curvesOf, summarize } from '../../src/planner/simulation-result.ts'
import { CASE_STUDY, PLANNED } from '../case-study.ts'
import { chromiumPath, withPage } from '../chromium.ts'
import { openPage, textOutsideCharts } from './page.ts'

const FOLDER = mkdtempSync(join(tmpdir(), 'membrane-simulation-'))
afterAll(() => rmSync(FOLDER, { recursive: true, force: true }))

/** A curve of the knee, three distributions and eleven panels over time. */
const PICTURES = 15

function simulated(name: string, more: Partial<SimulationOptions>): SimulatedRun {
  const options: SimulationOptions = {
    ...PLANNED,
    rateRps: 2.6,
    requests: 5000,
    ...more,
  }
  const data = [simulateBatch(CASE_STUDY, options)]
  return { name, options, result: summarize(CASE_STUDY, options, data), curves: curvesOf(data) }
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
      const { problems, requests } = await openPage(page, url)
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
      expect(await textOutsideCharts(page)).toEqual([])
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
