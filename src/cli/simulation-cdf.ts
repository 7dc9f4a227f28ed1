import type { LatencySummary, SimulationResult } from '../planner/simulation-result.ts'
import { legendOf } from './report-figure.ts'
import { type AxisOptions, chartOf, type Layer, line, markers } from './report-layers.ts'
import { type Html, html } from './report-markup.ts'
import { short, significant } from './report-numbers.ts'
import { ABSENT, table } from './report-table.ts'
import { logAxis } from './simulation-axis.ts'
import type { Panel, PanelFigure } from './simulation-figure.ts'
import { horizontalLine, verticalLine } from './simulation-layers.ts'
import type { SimulatedRun, SimulationPage } from './simulation-page.ts'
import { GIVEN_STYLE, runStyle } from './simulation-style.ts'
import { thinDistribution } from './simulation-thin.ts'

/** How latencies are distributed: one panel a latency, on common axes. */

const PANELS = [
  { latency: 'ttft', name: 'TTFT (KV complete)', summary: 'ttftSeconds' },
  { latency: 'firstToken', name: 'First token', summary: 'firstTokenSeconds' },
  { latency: 'e2e', name: 'End to end', summary: 'e2eSeconds' },
] as const satisfies readonly {
  readonly latency: string
  readonly name: string
  readonly summary: keyof SimulationResult
}[]

/** What lies below is a curve's long foot, which would take the room of the rest. */
const FOOT_SHARE = 0.005

const POINTS = 220

/** Null when no latency above 0 was observed. */
export function cdfFigure({ runs, sloTtftSecondsP90 }: SimulationPage): PanelFigure | null {
  const x = commonAxis(runs)
  if (x === null) return null
  const p90s = runs.map(({ name, result }) => `${name} ${significant(result.ttftSeconds.p90)} s`)
  const slo =
    sloTtftSecondsP90 === null ? '' : ` The red line is the SLO: P90 TTFT of at most ${short(sloTtftSecondsP90)} s.`
  return {
    id: 'figure-cdf',
    title: 'Share of requests that are served within a time',
    legend: legendOf(
      runs.map(({ name }, k) => ({ name, style: runStyle(k) })),
      true,
    ),
    panels: PANELS.map(({ latency, name, summary }) => {
      const quantiles = runs.map(({ name: run, result }) => `${run}: ${quantilesText(result[summary])}`)
      return {
        id: `cdf-${latency}`,
        name,
        unit: '% of requests',
        text: `Cumulative distribution of ${name}. ${quantiles.join('; ')}.`,
        chart: () => cdfChart(x, runs, { latency, summary, sloTtftSecondsP90 }),
      } satisfies Panel
    }),
    frames: { width: 350, height: 270, bottom: 44 },
    caption: html`Further left is faster; marks stand at P50, P90 and P99. All panels have the same axes, so a curve that moves to the right from the first panel to the second waits for a decode slot, and from the second to the third it decodes. P90 TTFT: ${p90s.join(', ')}.${slo}`,
    numbers: cdfNumbers(runs),
  }
}

function commonAxis(runs: readonly SimulatedRun[]): AxisOptions | null {
  const ends = runs.flatMap(({ curves: { cdf } }) =>
    PANELS.flatMap(({ latency }) => {
      const points = cdf[latency].filter(({ value }) => value > 0)
      const foot = points.find(({ share }) => share >= FOOT_SHARE)
      const last = points.at(-1)
      return foot === undefined || last === undefined ? [] : [foot.value, last.value]
    }),
  )
  return ends.length === 0 ? null : logAxis('seconds', ends, 6)
}

interface CdfPanel {
  readonly latency: (typeof PANELS)[number]['latency']
  readonly summary: (typeof PANELS)[number]['summary']
  readonly sloTtftSecondsP90: number | null
}

function cdfChart(x: AxisOptions, runs: readonly SimulatedRun[], panel: CdfPanel): ReturnType<typeof chartOf> {
  const { latency, summary, sloTtftSecondsP90 } = panel
  const y: AxisOptions = { title: '', max: 103, ticks: [0, 25, 50, 75, 90, 100] }
  const range = { count: POINTS, min: x.min ?? 1, max: x.max }
  const curves = runs.flatMap(({ curves: { cdf }, result }, k): Layer[] => {
    const { p50, p90, p99 } = result[summary]
    const marks = [
      { x: p50, y: 50 },
      { x: p90, y: 90 },
      { x: p99, y: 99 },
    ].filter((point) => point.x >= range.min)
    return [line(thinDistribution(cdf[latency], range), runStyle(k)), markers(marks, runStyle(k))]
  })
  const isBounded = latency === 'ttft' && sloTtftSecondsP90 !== null
  return chartOf(x, y, [
    ...(isBounded ? [verticalLine(sloTtftSecondsP90, y, { ...GIVEN_STYLE, color: 'var(--loss)' })] : []),
    ...(isBounded ? [horizontalLine(90, x, { ...GIVEN_STYLE, dash: [1, 3] })] : []),
    ...curves,
  ])
}

function quantilesText({ p50, p90, p99 }: LatencySummary): string {
  return `P50 ${significant(p50)} s, P90 ${significant(p90)} s, P99 ${significant(p99)} s`
}

const SHARES = [0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999]

function cdfNumbers(runs: readonly SimulatedRun[]): Html {
  const columns = PANELS.flatMap(({ latency, name }) => runs.map((run) => ({ latency, name, run })))
  return table({
    caption: html`Seconds within which a share of the requests is served; rounded up by less than 1 %.`,
    columns: [
      { name: 'Share, %', isNumber: true },
      ...columns.map(({ name, run }) => ({ name: `${name}, ${run.name}, s`, isNumber: true })),
    ],
    rows: SHARES.map((share) => [
      short(share * 100),
      ...columns.map(({ latency, run }) => {
        const found = run.curves.cdf[latency].find((point) => point.share >= share - 1e-9)
        return found === undefined ? ABSENT : significant(found.value)
      }),
    ]),
  })
}
