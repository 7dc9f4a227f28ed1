import type { TimedEvent } from '../planner/sim-options.ts'
import type { SimulationSeries } from '../planner/sim-series.ts'
import { legendOf, numberColumns, ROWS_SHOWN } from './report-figure.ts'
import { type Html, html, NOTHING } from './report-markup.ts'
import { short, significant, whole } from './report-numbers.ts'
import { ABSENT, table } from './report-table.ts'
import { timeText } from './simulation-axis.ts'
import type { PanelFigure } from './simulation-figure.ts'
import { NUMBERED_MAX } from './simulation-layers.ts'
import type { SimulatedRun } from './simulation-page.ts'
import { runStyle } from './simulation-style.ts'
import { endOf, thinColumn } from './simulation-thin.ts'
import { type TimedRun, timeChart } from './simulation-time-chart.ts'
import { TIME_PANELS, type TimePanel } from './simulation-time-panels.ts'

/** How the runs went over time: small panels on one time axis. Null when no run recorded a series. */
export function timeFigure(all: readonly SimulatedRun[]): PanelFigure | null {
  const runs = all.flatMap(({ name, options, curves: { series } }, k) =>
    series === null || series.endSeconds.length === 0 ? [] : [{ name, options, series, style: runStyle(k) }],
  )
  if (runs.length === 0) return null
  const endSeconds = Math.max(...runs.map(({ series }) => endOf(series)))
  const events = eventsOf(runs.map(({ options }) => options.events ?? []))
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
      runs.map(({ name, style }) => ({ name, style })),
      false,
    ),
    panels,
    frames: { wide: { width: 560, height: 150, bottom: 24 }, narrow: { width: 350, height: 140, bottom: 24 } },
    caption: html`${runs.map((run) => html`${longestQueueText(run, endSeconds)} `)}A queue that grows names the stage that cannot keep up; the link has no queue, its transfers get slower, which TTFT shows. Long runs are drawn with averages over stretches of time, queues with the most in each. A black line is the same in all runs. ${eventsText(events, endSeconds)}`,
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
  const points = thinColumn(panel.column(series), series.endSeconds.length)
  const values = points.map(({ y }) => y)
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

/** Of all runs, each once, in order of time. */
function eventsOf(lists: readonly (readonly TimedEvent[])[]): readonly TimedEvent[] {
  const byText = new Map(lists.flat().map((event) => [JSON.stringify(event), event]))
  return [...byText.values()].sort((a, b) => a.atSeconds - b.atSeconds)
}

const POOLS = { remotePrefill: 'remote prefill', localPrefill: 'local prefill', decode: 'decode' } as const

function eventsText(events: readonly TimedEvent[], endSeconds: number): Html {
  if (events.length === 0) return NOTHING
  const texts = events.slice(0, NUMBERED_MAX).map((event, k) => {
    const what =
      event.kind === 'link'
        ? `the link has ${short(event.gbps)} Gbps`
        : `${whole(event.instances)} ${POOLS[event.pool]} ${event.kind === 'lose' ? 'lost' : 'back'}`
    return `(${k + 1}) ${timeText(event.atSeconds, endSeconds)}: ${what}`
  })
  const more = events.length > NUMBERED_MAX ? `; and ${whole(events.length - NUMBERED_MAX)} more` : ''
  return html`Dotted lines: ${texts.join('; ')}${more}.`
}

function seriesTable({ name, series }: TimedRun, endSeconds: number): Html {
  const columns = TIME_PANELS.map((panel) => {
    const column = panel.column(series)
    const points = thinColumn(column, ROWS_SHOWN)
    return { panel, values: new Map(points.map(({ x, y }) => [stretchOf(series, x), y])) }
  })
  const stride = Math.max(1, Math.ceil(series.endSeconds.length / ROWS_SHOWN))
  const ends = series.endSeconds.filter((_, k) => k % stride === stride - 1 || k === series.endSeconds.length - 1)
  return table({
    caption: html`${name}: each row is the time since the one above.`,
    columns: numberColumns(['Until', ...columns.map(({ panel }) => `${panel.name}, ${panel.unit}`)]),
    rows: ends.map((end, row) => [
      timeText(end, endSeconds),
      ...columns.map(({ panel, values }) => {
        const value = values.get(row)
        if (value === undefined) return ABSENT
        return panel.isThreshold === true ? whole(value) : significant(value)
      }),
    ]),
  })
}

/** The row of the table that a time belongs to. */
function stretchOf({ endSeconds }: SimulationSeries, seconds: number): number {
  const stride = Math.max(1, Math.ceil(endSeconds.length / ROWS_SHOWN))
  const interval = endSeconds.findIndex((end) => end >= seconds)
  return Math.floor((interval < 0 ? endSeconds.length - 1 : interval) / stride)
}
