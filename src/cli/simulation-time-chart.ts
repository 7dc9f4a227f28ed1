import type { TopLevelSpec } from 'vega-lite'
import type { SimulationSeries } from '../planner/sim-series.ts'
import { type AxisOptions, chartOf, type Layer, line, type Point, type SeriesStyle } from './report-layers.ts'
import type { ChartSize } from './report-svg.ts'
import { countAxis, linearAxis, logAxis, timeAxis } from './simulation-axis.ts'
import { steps, timeMarks, timeNumbers } from './simulation-layers.ts'
import { GIVEN_STYLE, SAME_STYLE } from './simulation-style.ts'
import { pointsOf, type TimePanel } from './simulation-time-panels.ts'

/** A run that has a series, with how it looks in all figures. */
export interface TimedRun {
  readonly name: string
  readonly style: SeriesStyle
  readonly series: SimulationSeries
}

export interface TimeChart {
  readonly panel: TimePanel
  readonly runs: readonly TimedRun[]
  readonly endSeconds: number
  readonly markSeconds: readonly number[]
}

/** About two pixels a point. */
export const POINTS: Readonly<Record<ChartSize, number>> = { wide: 240, narrow: 140 }

export function timeChart({ panel, runs, endSeconds, markSeconds }: TimeChart, size: ChartSize): TopLevelSpec {
  const lines = distinct(
    runs.map(({ style, series }) => ({ style, points: pointsOf(panel, panel.column(series), POINTS[size]) })),
    SAME_STYLE,
  )
  const { given } = panel
  const behind =
    given === undefined
      ? []
      : distinct(
          runs.map(({ series }) => ({ style: GIVEN_STYLE, points: pointsOf(panel, given(series), POINTS[size]) })),
          GIVEN_STYLE,
        )
  const y = valueAxis(
    panel,
    lines.map(({ points }) => points),
    behind.flatMap(({ points }) => points.map((point) => point.y)),
  )
  return chartOf({ ...timeAxis(endSeconds, size === 'wide' ? 8 : 5) }, y, [
    ...timeMarks(markSeconds, y),
    ...behind.map(({ points, style }) => steps(points, style)),
    ...lines.map(({ points, style }) => (panel.isStepped === true ? steps(points, style) : line(points, style))),
    ...timeNumbers(markSeconds, y),
  ] satisfies Layer[])
}

interface Line {
  readonly points: readonly Point[]
  readonly style: SeriesStyle
}

/** Where all runs are the same, one line in a colour of its own. */
function distinct(lines: readonly Line[], style: SeriesStyle): readonly Line[] {
  const longest = lines.reduce((best, next) => (next.points.length > best.points.length ? next : best))
  const isSame = lines.length > 1 && lines.every(({ points }) => isStartOf(points, longest.points))
  return isSame ? [{ points: longest.points, style }] : lines
}

/** The last point is not compared: runs end within an interval. */
function isStartOf(points: readonly Point[], all: readonly Point[]): boolean {
  return points.length > 2 && points.slice(0, -1).every(({ x, y }, k) => x === all[k]?.x && y === all[k]?.y)
}

/** When the largest run is so many times the smallest, a linear axis would show the largest only. */
const SPREAD_RATIO = 20
/** A queue this short is nothing to zoom in on. */
const QUEUE_SHORT = 5

function valueAxis({ spread }: TimePanel, lines: readonly (readonly Point[])[], given: readonly number[]): AxisOptions {
  const all = lines.flatMap((points) => points.map(({ y }) => y))
  const largest = lines.map((points) => Math.max(0, ...points.map(({ y }) => y)))
  if (spread === 'count' && Math.max(...largest) > SPREAD_RATIO * Math.max(QUEUE_SHORT, Math.min(...largest)))
    return countAxis('', all)
  const positive = all.filter((value) => value > 0)
  if (spread === 'positive' && Math.max(...positive) > SPREAD_RATIO * Math.min(...positive))
    return logAxis('', positive, 5)
  return linearAxis('', [...all, ...given], 3)
}
