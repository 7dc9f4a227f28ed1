import type { Command } from 'commander'
import { assert } from '../core/errors.ts'
import { gbpsFromBytesPerSecond } from '../core/units.ts'
import { analyzeScenario } from '../planner/analysis.ts'
import { type Deployment, type Optimization, optimize } from '../planner/optimize.ts'
import { PAPER_EXTRAPOLATIONS, PAPER_TABLE_6, type PaperDeployment } from '../planner/paper.ts'
import { preset } from '../planner/presets.ts'
import { kvRateBytesPerSecond } from '../planner/profile.ts'
import { buildScenario } from '../planner/scenario.ts'
import { minimumEgressBytesPerSecond } from '../planner/throughput.ts'
import { type DemoLoad, demoLoadText, simulateDemo } from './demo-load.ts'
import { checkOutputs, saveOutput } from './output-file.ts'
import { dim, figure, heading, printJson, printText, table } from './print.ts'
import { section } from './print-optimization.ts'
import { DEFAULT_REPORT_FILE } from './report.ts'
import { type GlobalFlags, onRun, SELF } from './run-command.ts'

interface DemoFlags extends GlobalFlags {
  readonly out: string
}

/** The paper's results beside ours, each with the command that reproduces it. */
export function defineDemoPaper(command: Command): void {
  command
    .description("the paper's Table 6 and extrapolations beside ours, and an HTML report")
    .option('-o, --out <file>', 'where to write the report', DEFAULT_REPORT_FILE)
  onRun<DemoFlags>(command, async (flags) => {
    const file = { flag: '--out', path: flags.out }
    await checkOutputs([file])
    const comparison = comparePaper()
    const scenario = buildScenario(preset('case-study'))
    const analysis = analyzeScenario(scenario)
    const { renderReport } = await import('./report-html.ts')
    // Without the simulations of a report, which would keep a first look waiting.
    const reportCommand = `${SELF} report --preset case-study --no-load`
    await saveOutput(file, await renderReport({ scenario, analysis, command: reportCommand }))
    const underLoad = await simulateDemo(scenario, analysis)
    if (flags.json === true) printJson({ ...comparison, underLoad, report: flags.out })
    else
      printText(
        [
          ...comparisonText(comparison, underLoad),
          `${heading('Report')}: ${flags.out}  ${dim(`(${reportCommand} --out ${flags.out})`)}`,
        ].join('\n\n'),
      )
  })
}

interface ComparedValue {
  readonly deployment: string
  readonly quantity: string
  readonly unit: string
  readonly paper: number
  /** With the calibrated profile, and with the printed rows of Table 5 alone. */
  readonly calibrated: number
  readonly table5: number
}

interface ComparedEgress {
  readonly preset: string
  readonly gpus: number
  readonly tokens: number
  readonly claim: string
  readonly gbps: number
  readonly command: string
}

interface PaperComparison {
  readonly table6: readonly ComparedValue[]
  readonly extrapolations: readonly ComparedEgress[]
  readonly equalCostRatio: number | null
  readonly egressGbps: number
}

function comparePaper(): PaperComparison {
  const calibrated = optimize(preset('case-study'))
  const table5 = optimize(preset('case-study-table5'))
  const priced = preset('case-study')
  // ASSUMPTION: price-ratio.
  const { verdict } = analyzeScenario(
    buildScenario({
      ...priced,
      remote: { ...priced.remote, pricePerGpuHour: 2 },
      local: { ...priced.local, pricePerGpuHour: 1 },
    }),
  )
  return {
    table6: PAPER_TABLE_6.flatMap((paper, k) => comparedValues(paper, calibrated, table5, k)),
    extrapolations: PAPER_EXTRAPOLATIONS.map(({ preset: name, gpus, tokens, claim }) => {
      const profile = preset(name).remote.profile
      const kvBytesPerSecond = kvRateBytesPerSecond(profile, tokens)
      const bytes = minimumEgressBytesPerSecond({ gpus, gpusPerInstance: profile.gpusPerInstance, kvBytesPerSecond })
      return {
        preset: name,
        gpus,
        tokens,
        claim,
        gbps: gbpsFromBytesPerSecond(bytes),
        command: `${SELF} egress --preset ${name} --gpus ${gpus} --tokens ${tokens}`,
      }
    }),
    equalCostRatio: verdict.overHomogeneousAtEqualCost,
    egressGbps: calibrated.deployments[0]?.egressGbps ?? Number.NaN,
  }
}

function comparedValues(
  paper: PaperDeployment,
  calibrated: Optimization,
  table5: Optimization,
  index: number,
): ComparedValue[] {
  const [ours, alone] = [calibrated.deployments[index], table5.deployments[index]]
  const homogeneous = [calibrated, table5].map(({ deployments }) => deployments[1]?.lambdaMaxRps ?? Number.NaN)
  assert(ours !== undefined && alone !== undefined, 'every deployment of the table is there')
  const value = (
    quantity: string,
    unit: string,
    inPaper: number | null,
    read: (deployment: Deployment) => number | null,
  ): ComparedValue[] => {
    const [a, b] = [read(ours), read(alone)]
    return inPaper === null || a === null || b === null
      ? []
      : [{ deployment: paper.name, quantity, unit, paper: inPaper, calibrated: a, table5: b }]
  }
  return [
    ...value('threshold t', 'tokens', paper.thresholdTokens, (d) => d.thresholdTokens),
    ...value('N_prfaas', 'instances', paper.instances.remotePrefill, (d) => d.instances.remotePrefill),
    ...value('N_p', 'instances', paper.instances.localPrefill, (d) => d.instances.localPrefill),
    ...value('N_d', 'instances', paper.instances.decode, (d) => d.instances.decode),
    ...value('TTFT mean', 's', paper.ttftSeconds.mean, (d) => d.ttftSeconds.mean),
    ...value('TTFT P90', 's', paper.ttftSeconds.p90, (d) => d.ttftSeconds.p90),
    ...value('Theta_prfaas', 'req/s', paper.throughputRps.remotePrefill, (d) => d.throughputRps.remotePrefill),
    ...value('Theta_pd-p', 'req/s', paper.throughputRps.localPrefill, (d) => d.throughputRps.localPrefill),
    ...value('Theta_pd-d', 'req/s', paper.throughputRps.decode, (d) => d.throughputRps.decode),
    ...value('Lambda_max', 'req/s', paper.lambdaMaxRps, (d) => d.lambdaMaxRps),
    {
      deployment: paper.name,
      quantity: 'over homogeneous',
      unit: 'x',
      paper: paper.ratioOverHomogeneous,
      calibrated: ours.lambdaMaxRps / (homogeneous[0] ?? Number.NaN),
      table5: alone.lambdaMaxRps / (homogeneous[1] ?? Number.NaN),
    },
  ]
}

function comparisonText(
  { table6, extrapolations, equalCostRatio, egressGbps }: PaperComparison,
  underLoad: DemoLoad,
): string[] {
  const off = (ours: number, paper: number): string => {
    const percentOff = ((ours / paper - 1) * 100).toFixed(2).replace('-0.00', '0.00')
    return ours === paper ? 'exact' : `${Number(percentOff) > 0 ? '+' : ''}${percentOff} %`
  }
  const worst = (read: (row: ComparedValue) => number): string =>
    `${(Math.max(...table6.map((row) => Math.abs(read(row) / row.paper - 1))) * 100).toFixed(2)} %`
  return [
    section(
      'Table 6 of arXiv:2604.15039v2, side by side',
      `calibrated: ${SELF} optimize --preset case-study; Table 5 alone: ${SELF} optimize --preset case-study-table5`,
      table(
        ['deployment', 'quantity', 'paper', 'calibrated', 'off by', 'Table 5 alone', 'off by'],
        table6.map((row) => [
          row.deployment,
          `${row.quantity} (${row.unit})`,
          figure(row.paper),
          figure(row.calibrated),
          off(row.calibrated, row.paper),
          figure(row.table5),
          off(row.table5, row.paper),
        ]),
      ),
    ),
    `Largest deviation: ${worst((row) => row.calibrated)} calibrated, ${worst((row) => row.table5)} with Table 5 alone.`,
    `${demoLoadText(underLoad)} ${dim(`(${underLoad.command})`)}`,
    section(
      'Sections 2.3 and 4.4: bandwidth of whole prefill clusters',
      'Eq. (2)',
      table(
        ['GPUs', 'paper', 'ours (Gbps)', 'command'],
        extrapolations.map(({ gpus, claim, gbps, command }) => [figure(gpus), claim, figure(gbps), command]),
      ),
    ),
    `Egress at the optimum: ${egressGbps.toFixed(2)} Gbps = Lambda x p x S_kv(l_long). The paper's text says about 13, which is 4 x Phi_kv(32K) = 12.8: a rate of four instances at 32K, not of the offloaded mix. ${dim(`(${SELF} optimize --preset case-study)`)}`,
    `At equal cost, with an H200 hour at 2.0 H20 hours (inferred): ${equalCostRatio === null ? '-' : equalCostRatio.toFixed(2)}x; the paper says about 1.15x. ${dim(`(${SELF} optimize --preset case-study --remote-price 2 --local-price 1)`)}`,
  ]
}
