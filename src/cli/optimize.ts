import type { Command } from 'commander'
import type { Analysis } from '../planner/analysis.ts'
import { analyzeScenario } from '../planner/analysis.ts'
import { optimizeScenario } from '../planner/optimize.ts'
import { buildScenario, type Scenario } from '../planner/scenario.ts'
import { dim, heading, isColorful, printJson, printNotes, printText, printWarnings, table } from './print.ts'
import { analysisText, deploymentTable, verdictText } from './print-optimization.ts'
import { addScenarioFlags, type ScenarioFlags } from './scenario-flags.ts'
import { type GlobalFlags, onRun } from './run-command.ts'
import { printConfigIfAsked } from './print-config.ts'
import { loadScenario } from './scenario-load.ts'

interface OptimizeFlags extends ScenarioFlags, GlobalFlags {
  readonly details?: boolean
  readonly charts?: boolean
  readonly assumptions?: boolean
}

export function defineOptimize(command: Command): void {
  addScenarioFlags(command.description('best threshold, split and rates for given hardware, beside the baselines'))
    .option('--details', 'with --json: add the verdict, slack, shadow prices, alternatives and variants')
    .option('--charts', 'draw the figures in the terminal')
    .option('--assumptions', 'list every assumption with its origin and reason')
  onRun<OptimizeFlags>(command, async (flags) => {
    const loaded = await loadScenario(flags)
    if (await printConfigIfAsked(loaded.config, flags)) return
    const scenario = buildScenario(loaded.spec)
    if (flags.json === true && flags.details !== true) {
      const { warnings, ...answer } = optimizeScenario(scenario).optimization
      printNotes(loaded.notes)
      printWarnings(warnings)
      printJson(answer)
      return
    }
    const analysis = analyzeScenario(scenario)
    const { warnings, ...answer } = analysis.optimization
    printNotes(loaded.notes)
    printWarnings(warnings)
    if (flags.json === true) printJson({ ...answer, analysis: { ...analysis, optimization: undefined } })
    else await printAnswer(scenario, analysis, flags)
  })
}

async function printAnswer(scenario: Scenario, analysis: Analysis, flags: OptimizeFlags): Promise<void> {
  const { assumptions } = analysis.optimization
  const parts = [heading(scenario.name), verdictText(analysis), deploymentTable(analysis), analysisText(analysis)]
  if (flags.charts === true) {
    const { terminalCharts } = await import('./terminal-charts.ts')
    parts.push(
      terminalCharts({
        scenario,
        analysis,
        width: process.stdout.columns ?? 80,
        color: isColorful(),
      }),
    )
  }
  parts.push(
    flags.assumptions === true
      ? `${heading('Assumptions')}\n${table(
          ['id', 'origin', 'statement', 'reason'],
          assumptions.map((a) => [a.id, a.origin, a.statement, a.reason]),
        )}`
      : dim(`Rests on ${assumptions.length} assumptions; --assumptions lists them with their reasons.`),
  )
  printText(parts.join('\n\n'))
}
