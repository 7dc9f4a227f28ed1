/** Draws docs/images/report.png, the picture in the README: node scripts/readme-picture.ts */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { renderReport } from '../src/cli/report-html.ts'
import { analyzeScenario } from '../src/planner/analysis.ts'
import { preset } from '../src/planner/presets.ts'
import { buildScenario } from '../src/planner/scenario.ts'
import { withPage } from '../test/chromium.ts'

const folder = mkdtempSync(join(tmpdir(), 'membrane-picture-'))
try {
  const scenario = buildScenario(preset('case-study'))
  const page = join(folder, 'report.html')
  writeFileSync(
    page,
    await renderReport({
      scenario,
      analysis: analyzeScenario(scenario),
      command: 'membrane report --preset case-study',
    }),
  )
  await withPage(async (tab) => {
    await tab.setViewportSize({ width: 1200, height: 1900 })
    await tab.goto(pathToFileURL(page).href)
    await tab.screenshot({ path: 'docs/images/report.png' })
  })
} finally {
  rmSync(folder, { recursive: true, force: true })
}
