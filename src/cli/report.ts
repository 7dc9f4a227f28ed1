import type { Command } from 'commander'
import { type Analysis, analyzeScenario } from '../planner/analysis.ts'
import { buildScenario, type Scenario } from '../planner/scenario.ts'
import { checkOutputs, saveOutput } from './output-file.ts'
import { dim, isColorful, printJson, printNotes, printText, printWarnings } from './print.ts'
import { printConfigIfAsked } from './print-config.ts'
import { verdictText } from './print-optimization.ts'
import { loadAsJson, type ReportLoad } from './report-load.ts'
import { type GlobalFlags, onRun, SELF } from './run-command.ts'
import { addScenarioFlags, type ScenarioFlags } from './scenario-flags.ts'
import { loadScenario } from './scenario-load.ts'

export const DEFAULT_REPORT_FILE = 'membrane-report.html'

interface ReportFlags extends ScenarioFlags, GlobalFlags {
  readonly out: string
  readonly terminal?: boolean
  /** False with --no-load. */
  readonly load: boolean
}

export function defineReport(command: Command): void {
  addScenarioFlags(command.description('one self-contained HTML page: verdict, figures, shadow prices, assumptions'))
    .option('-o, --out <file>', 'where to write it', DEFAULT_REPORT_FILE)
    .option('--terminal', 'draw the figures in the terminal too')
    .option('--no-load', 'do not simulate the plan under load, which takes some seconds')
  onRun<ReportFlags>(command, async (flags) => {
    const loaded = await loadScenario(flags)
    if (await printConfigIfAsked(loaded.config, flags)) return
    const file = { flag: '--out', path: flags.out }
    await checkOutputs([file])
    const scenario = buildScenario(loaded.spec)
    const analysis = analyzeScenario(scenario)
    printNotes(loaded.notes)
    printWarnings(analysis.optimization.warnings)
    const load = flags.load ? await simulated(scenario, analysis) : LEFT_OUT
    const { renderReport } = await import('./report-html.ts')
    const html = await renderReport({ scenario, analysis, load, command: commandLine() })
    await saveOutput(file, html)
    if (flags.json === true) {
      const { verdict } = analysis
      printJson({ file: flags.out, bytes: Buffer.byteLength(html), verdict, underLoad: loadAsJson(load) })
      return
    }
    if (flags.terminal === true) {
      const { terminalCharts } = await import('./terminal-charts.ts')
      printText(`${terminalCharts({ scenario, analysis, width: process.stdout.columns ?? 80, color: isColorful() })}\n`)
    }
    printText(`${verdictText(analysis)}\n\n${flags.out} ${dim('(open it in a browser; it needs no network)')}`)
  })
}

const LEFT_OUT: ReportLoad = { kind: 'left-out' }

async function simulated(scenario: Scenario, analysis: Analysis): Promise<ReportLoad> {
  const { simulateLoad } = await import('./report-load-run.ts')
  return simulateLoad(scenario, analysis)
}

/** What the user typed, so that the page says how to make it again. */
function commandLine(): string {
  const quoted = process.argv
    .slice(2)
    .map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`))
  return [SELF, ...quoted].join(' ')
}
