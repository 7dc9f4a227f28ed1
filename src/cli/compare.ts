import type { Command } from 'commander'
import { assert } from '../core/errors.ts'
import { analyze, type Analysis } from '../planner/analysis.ts'
import { figure, heading, percent, printJson, printText, printNotes, printWarnings, table, tokens } from './print.ts'
import { layoutText, verdictText } from './print-optimization.ts'
import { type GlobalFlags, onRun } from './run-command.ts'
import { loadNamed } from './scenario-load.ts'

export function defineCompare(command: Command): void {
  command
    .description('two scenarios side by side')
    .argument('<a>', 'a preset or a scenario file')
    .argument('<b>', 'a preset or a scenario file')
  onRun<GlobalFlags>(command, async (flags, [first = '', second = '']) => {
    const [a, b] = [await loadNamed(first), await loadNamed(second)]
    const [left, right] = [analyze(a.spec), analyze(b.spec)]
    printNotes([...new Set([...a.notes, ...b.notes])])
    printWarnings([...new Set([...left.optimization.warnings, ...right.optimization.warnings])])
    const ratio = rateOf(right) / rateOf(left)
    if (flags.json === true) printJson({ a: left, b: right, ratio })
    else printText(comparisonText(left, right, ratio))
  })
}

/** What each is judged by: the rate within its SLO when it has one. */
function rateOf({ optimization: { deployments } }: Analysis): number {
  const [membrane] = deployments
  return membrane?.sloFeasibleRps ?? membrane?.lambdaMaxRps ?? 0
}

function comparisonText(a: Analysis, b: Analysis, ratio: number): string {
  const [left, right] = [a.optimization.deployments[0], b.optimization.deployments[0]]
  assert(left !== undefined && right !== undefined, 'an answer has membrane-pd')
  const row = (name: string, value: (analysis: Analysis) => string | number | null) => [name, value(a), value(b)]
  const membrane = (analysis: Analysis) => (analysis === a ? left : right)
  const over = (value: number | null): string => (value === null ? '-' : `${value.toFixed(2)}x`)
  return [
    `${heading(`${b.scenario} serves ${figure(ratio)} times the rate of ${a.scenario}`)} (${figure(rateOf(b))} against ${figure(rateOf(a))} req/s).`,
    table(
      ['', a.scenario, b.scenario],
      [
        row('Lambda_max (req/s)', (x) => membrane(x).lambdaMaxRps),
        row('SLO-feasible (req/s)', (x) => membrane(x).sloFeasibleRps),
        row('threshold t (tokens)', (x) => tokens(membrane(x).thresholdTokens)),
        row('N remote/local/decode', (x) => layoutText(membrane(x))),
        row('offloaded requests', (x) => percent(membrane(x).offloadedRatio)),
        row('egress (Gbps)', (x) => membrane(x).egressGbps),
        row('bound by', (x) => membrane(x).bindingConstraint),
        row(
          'TTFT mean / P90 (s)',
          (x) => `${figure(membrane(x).ttftSeconds.mean)} / ${figure(membrane(x).ttftSeconds.p90)}`,
        ),
        row('over homogeneous', (x) => over(x.optimization.ratios.overHomogeneous)),
        row('over naive', (x) => over(x.optimization.ratios.overNaive)),
        row('GPUs', (x) => `${x.gpus.membrane.total} (${x.gpus.membrane.arithmetic})`),
        row('cost / million tokens', (x) => x.cost?.membrane?.perMillionTokens ?? null),
      ],
    ),
    `${a.scenario}: ${verdictText(a)}`,
    `${b.scenario}: ${verdictText(b)}`,
  ].join('\n\n')
}
