import type { SimulationSeries } from '../planner/sim-series.ts'
import { legendOf, numberColumns, ROWS_SHOWN } from './report-figure.ts'
import { type Html, html } from './report-markup.ts'
import { significant, whole } from './report-numbers.ts'
import { ABSENT, table } from './report-table.ts'
import { timeText } from './simulation-axis.ts'
import { eventsOf, eventsText } from './simulation-events.ts'
import type { PanelFigure } from './simulation-figure.ts'
import type { SimulatedRun } from './simulation-page.ts'
import { runStyle, SAME_STYLE } from './simulation-style.ts'
import { endOf, stretchesOf, thinColumn } from './simulation-thin.ts'
import { POINTS, type TimedRun, timeChart } from './simulation-time-chart.ts'
import { TIME_PANELS, type TimePanel } from './simulation-time-panels.ts'

/** How the runs went over time: small panels on one time axis. Null when no run recorded a series. */
export function timeFigure(all: readonly SimulatedRun[]): PanelFigure | null {
  const runs = all.flatMap(({ name, options, curves: { series } }, k) =>
    series === null || series.endSeconds.length === 0 ? [] : [{ name, options, series, style: runStyle(k) }],
  )
  if (runs.length === 0) return null
  const endSeconds = Math.max(...runs.map(({ series }) => endOf(series)))
  const events = eventsOf(runs)
  const markSeconds = events.map(({ atSeconds }) => atSeconds).filter((at) => at <= endSeconds)
  const panels = TIME_PANELS.flatMap((panel) => {
    const shown = runs.filter(({ options }) => panel.isThreshold !== true || options.scheduler !== 'off')
    const { id, name, unit } = panel
    if (shown.length === 0) return []
    const text = `${name}, ${unit}, over time. ${shown.map((run) => rangeText(panel, run)).join('; ')}.`
    return [{ id, name, unit, text, chart: chartOfSize(panel, shown, { endSeconds, markSeconds }) }]
  })
  return {
    id: 'figure-time',
    title: 'Load, queues and control on one time axis',
    legend: legendOf(
      [
        ...runs.map(({ name, style }) => ({ name, style })),
        ...(runs.length > 1 ? [{ name: 'where all runs are alike', style: SAME_STYLE }] : []),
      ],
      false,
    ),
    panels,
    frames: { wide: { width: 560, height: 150, bottom: 24 }, narrow: { width: 350, height: 140, bottom: 24 } },
    caption: html`${runs.map((run) => html`${longestQueueText(run, endSeconds)} `)}A queue that grows names the stage that cannot keep up; the link has no queue, its transfers get slower, which TTFT shows. Long runs are drawn with averages over stretches of time, queues with the most in each. ${events.length === 0 ? '' : `Dotted lines: ${eventsText(events, endSeconds)}`}`,
    numbers: html`${runs.map((run) => seriesTable(run, endSeconds))}`,
  }
}

function chartOfSize(
  panel: TimePanel,
  runs: readonly TimedRun[],
  axis: { readonly endSeconds: number; readonly markSeconds: readonly number[] },
): PanelFigure['panels'][number]['chart'] {
  return (size) => timeChart({ panel, runs, ...axis }, size)
}

function rangeText(panel: TimePanel, { name, series }: TimedRun): string {
  const values = thinColumn(panel.column(series), POINTS.wide).map(({ y }) => y)
  if (values.length === 0) return `${name}: nothing`
  return `${name}: from ${significant(Math.min(...values))} to ${significant(Math.max(...values))} ${panel.unit}`
}

const QUEUES = [
  { key: 'remoteQueue', place: 'a remote prefill instance' },
  { key: 'localQueue', place: 'a local prefill instance' },
  { key: 'slotQueue', place: 'a decode slot' },
] as const satisfies readonly { readonly key: keyof SimulationSeries; readonly place: string }[]

function longestQueueText({ name, series }: TimedRun, endSeconds: number): string {
  let [most, at, where] = [0, 0, '']
  for (const { key, place } of QUEUES) {
    series[key].forEach((count, k) => {
      if (count > most) [most, at, where] = [count, series.endSeconds[k] ?? 0, place]
    })
  }
  return most === 0
    ? `${name}: no queue at the end of any interval.`
    : `${name}: the longest queue was ${whole(most)} for ${where}, at ${timeText(at, endSeconds)}.`
}

function seriesTable({ name, series }: TimedRun, endSeconds: number): Html {
  const columns = TIME_PANELS.map((panel) => {
    return { panel, stretches: stretchesOf(panel.column(series), ROWS_SHOWN) }
  })
  return table({
    caption: html`${name}: each row is the time since the one above.`,
    columns: numberColumns(['Until', ...columns.map(({ panel }) => `${panel.name}, ${panel.unit}`)]),
    rows: (columns[0]?.stretches ?? []).map((stretch, row) => [
      timeText(stretch.endSeconds, endSeconds),
      ...columns.map(({ panel, stretches }) => {
        const value = stretches[row]?.value ?? null
        if (value === null) return ABSENT
        return panel.isThreshold === true ? whole(value) : significant(value)
      }),
    ]),
  })
}
