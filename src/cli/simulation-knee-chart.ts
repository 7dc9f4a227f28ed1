import type { TopLevelSpec } from 'vega-lite'
import type { LatencySummary } from '../planner/simulation-result.ts'
import { roundTicks } from './report-axis.ts'
import { type AxisOptions, chartOf, type Layer, line, markers, type SeriesStyle, STYLES } from './report-layers.ts'
import type { ChartSize } from './report-svg.ts'
import { linearAxis, logAxis } from './simulation-axis.ts'
import { horizontalLine, intervalBar, shading, verticalLine } from './simulation-layers.ts'
import type { KneePoint, QuotedPlan } from './simulation-page.ts'
import { GIVEN_STYLE } from './simulation-style.ts'

export const CAPACITY_STYLE: SeriesStyle = { ...GIVEN_STYLE, color: 'var(--ink)', width: 2 }
export const EQUATION6_STYLE: SeriesStyle = { ...GIVEN_STYLE, color: 'var(--ink)', dash: [5, 4] }
export const QUOTED_STYLE: SeriesStyle = { ...GIVEN_STYLE, color: 'var(--soft)', dash: [2, 3], width: 2 }
export const SLO_STYLE: SeriesStyle = { ...GIVEN_STYLE, color: 'var(--loss)' }

export interface KneeChart {
  /** By rate. */
  readonly knee: readonly KneePoint[]
  readonly sustainableRps: number | null
  readonly equation6Rps: number | null
  readonly quoted: QuotedPlan | null
  readonly sloTtftSecondsP90: number | null
}

export function kneeChart(chart: KneeChart, size: ChartSize): TopLevelSpec {
  const { sustainableRps, equation6Rps, quoted, sloTtftSecondsP90 } = chart
  const x = rateAxis(chart, size)
  const y = secondsAxis(chart)
  const across = (seconds: number | undefined | null, style: SeriesStyle): Layer[] =>
    typeof seconds === 'number' ? [horizontalLine(seconds, x, style)] : []
  const upright = (rateRps: number | null, style: SeriesStyle): Layer[] =>
    rateRps === null ? [] : [verticalLine(rateRps, y, style)]
  return chartOf(x, y, [
    ...(sustainableRps === null || sustainableRps >= x.max ? [] : [shading([sustainableRps, x.max], y, 'var(--loss)')]),
    ...upright(sustainableRps, CAPACITY_STYLE),
    ...upright(equation6Rps, EQUATION6_STYLE),
    ...across(quoted?.ttftSecondsP90, QUOTED_STYLE),
    ...across(sloTtftSecondsP90, SLO_STYLE),
    ...intervals(chart, y),
    ...curve(chart, STYLES.second, ({ p50 }) => p50),
    ...curve(chart, STYLES.third, ({ p99 }) => p99),
    ...curve(chart, STYLES.plan, ({ p90 }) => p90),
  ])
}

function curve({ knee }: KneeChart, style: SeriesStyle, of: (latency: LatencySummary) => number): Layer[] {
  const all = knee.map(({ rateRps, result }) => ({
    x: rateRps,
    y: of(result.ttftSeconds),
    isStable: result.verdict === 'stable',
  }))
  const points = all.filter(({ y }) => y > 0)
  return [
    line(points, style),
    markers(
      points.filter(({ isStable }) => isStable),
      style,
    ),
    markers(
      points.filter(({ isStable }) => !isStable),
      style,
      'hollow',
    ),
  ]
}

function intervals({ knee }: KneeChart, y: AxisOptions): Layer[] {
  return knee.flatMap(({ rateRps, result: { ttftSeconds } }) => {
    const { p90, p90HalfWidth95 } = ttftSeconds
    if (p90HalfWidth95 === null) return []
    return [intervalBar(rateRps, [Math.max(y.min ?? 0, p90 - p90HalfWidth95), p90 + p90HalfWidth95], STYLES.plan)]
  })
}

/** With all rates and both capacities, and a little room for what is beyond. */
function rateAxis({ knee, sustainableRps, equation6Rps }: KneeChart, size: ChartSize): AxisOptions {
  const rates = knee.map(({ rateRps }) => rateRps)
  const most = Math.max(...rates, sustainableRps ?? 0, equation6Rps ?? 0)
  const least = Math.min(...rates, sustainableRps ?? Number.POSITIVE_INFINITY)
  // From 0 on, unless that would push all rates into a corner.
  const min = least < most / 2 ? 0 : Math.max(0, least - 0.25 * (most - least))
  const max = most + 0.08 * (most - min)
  return {
    title: 'arrivals, requests per second',
    min,
    max,
    ticks: roundTicks(min, max, size === 'wide' ? 7 : 5),
    label: "format(datum.value, '~g')",
  }
}

/** Beyond this ratio of the largest value to the smallest a linear axis shows the largest only. */
const LOG_RATIO = 20

function secondsAxis({ knee, quoted, sloTtftSecondsP90 }: KneeChart): AxisOptions {
  const given = [quoted?.ttftSecondsP90 ?? 0, sloTtftSecondsP90 ?? 0]
  const values = [
    ...knee.flatMap(({ result: { ttftSeconds } }) => [ttftSeconds.p50, ttftSeconds.p90, ttftSeconds.p99]),
    ...given,
  ].filter((value) => value > 0)
  const isLog = values.length > 0 && Math.max(...values) > LOG_RATIO * Math.min(...values)
  return isLog ? logAxis('TTFT, seconds (logarithmic)', values, 6) : linearAxis('TTFT, seconds', values, 5)
}
