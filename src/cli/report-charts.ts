import type { TopLevelSpec } from 'vega-lite'
import {
  chartOf,
  dropLine,
  type Layer,
  label,
  line,
  markers,
  type Point,
  type SeriesStyle,
  STYLES,
} from './report-layers.ts'
import { short, significant, whole } from './report-numbers.ts'
import type { LatencyCurve, LatencySeries, RolesSeries, ThresholdMark, ThresholdSeries } from './report-series.ts'
import type { ChartSize } from './report-svg.ts'

/** The four charts of a report as data. What their marks mean is said by the figures around them. */

/** With more instances than this, markers would touch. */
const MARKERS_MAX = 24

/** Figure 5a: Lambda against N_p / N_d. */
export function rolesChart({ points, peak, instances }: RolesSeries, size: ChartSize): TopLevelSpec {
  const pointsOf = (value: (point: RolesSeries['peak']) => number): Point[] =>
    points.map((point) => ({ x: point.localPrefill, y: value(point) }))
  const series = (values: readonly Point[], style: SeriesStyle): Layer[] => [
    line(values, style),
    ...(values.length <= MARKERS_MAX ? [markers(values, style)] : []),
  ]
  const highest = Math.max(
    ...points.map((point) => Math.min(point.prefillBoundRps, 2 * peak.lambdaMaxRps)),
    ...points.map((p) => Math.min(p.decodeBoundRps, 2 * peak.lambdaMaxRps)),
  )
  const top: Point = { x: peak.localPrefill, y: peak.lambdaMaxRps }
  const xTicks = evenTicks(1, instances - 1, size === 'wide' ? 12 : 7)
  return chartOf(
    {
      title: 'N_p / N_d: local prefill / decode instances',
      min: 0.5,
      max: instances - 0.5,
      ticks: xTicks,
      label: `datum.value + '/' + (${instances} - datum.value)`,
    },
    { title: 'requests per second', max: 1.15 * highest },
    [
      ...series(
        pointsOf((point) => point.prefillBoundRps),
        STYLES.first,
      ),
      ...series(
        pointsOf((point) => point.decodeBoundRps),
        STYLES.second,
      ),
      ...series(
        pointsOf((point) => point.lambdaMaxRps),
        STYLES.result,
      ),
      dropLine(top),
      markers([top], STYLES.result, 'large'),
      lowLabel(top, [`${significant(peak.lambdaMaxRps)} req/s`, `at ${peak.localPrefill}/${peak.decode}`], {
        min: 0.5,
        max: instances - 0.5,
      }),
    ],
  )
}

function evenTicks(from: number, to: number, most: number): number[] {
  const step = Math.ceil((to - from + 1) / most)
  return Array.from({ length: Math.floor((to - from) / step) + 1 }, (_, k) => from + k * step)
}

/** Beside the foot of a drop line, where every curve is above it. */
function lowLabel(
  at: Point,
  lines: readonly string[],
  axis: { readonly min: number; readonly max: number; readonly side?: 'left' | 'right' },
): Layer {
  const isRight = axis.side === undefined ? (at.x - axis.min) / (axis.max - axis.min) < 0.6 : axis.side === 'right'
  return label({ x: at.x, y: 0.3 * at.y }, lines, { align: isRight ? 'left' : 'right', dx: isRight ? 8 : -8, dy: -8 })
}

/** Figure 5b: Lambda against the threshold. */
export function thresholdChart(series: ThresholdSeries, size: ChartSize): TopLevelSpec {
  const { points, axisTokensMax, axisRpsMax } = series
  const pointsOf = (value: (point: ThresholdSeries['points'][number]) => number | null): Point[] =>
    points.flatMap((point) => {
      const y = value(point)
      return y === null ? [] : [{ x: point.thresholdTokens, y }]
    })
  const isDecodeSeen = series.decodeBoundRps <= axisRpsMax
  return chartOf(
    {
      title: 'threshold t, uncached prompt tokens',
      max: axisTokensMax,
      label: "datum.value === 0 ? '0' : format(datum.value, '~s')",
    },
    { title: 'requests per second', max: axisRpsMax },
    [
      ...(isDecodeSeen
        ? [
            line(
              [0, axisTokensMax].map((x) => ({ x, y: series.decodeBoundRps })),
              STYLES.third,
            ),
          ]
        : []),
      line(
        pointsOf((point) => point.lambdaMaxRps),
        STYLES.result,
      ),
      line(
        pointsOf((point) => point.remoteBoundRps),
        STYLES.first,
      ),
      line(
        pointsOf((point) => point.localBoundRps),
        STYLES.second,
      ),
      ...thresholdMarks(series, size),
    ],
  )
}

/** The crossing and the chosen threshold; one label when they are the same point. */
function thresholdMarks({ crossing, chosen, axisTokensMax }: ThresholdSeries, size: ChartSize): Layer[] {
  const pointOf = (mark: ThresholdMark): Point => ({ x: mark.thresholdTokens, y: mark.rateRps })
  const textOf = (name: string, mark: ThresholdMark): string[] => [
    name,
    `t = ${whole(mark.thresholdTokens)}`,
    `${significant(mark.rateRps)} req/s`,
  ]
  const isSame = crossing !== null && isSamePlace(crossing, chosen, axisTokensMax)
  const axis = { min: 0, max: axisTokensMax }
  if (crossing === null || isSame) {
    const name = isSame ? 'bounds cross: chosen' : 'chosen'
    return [
      dropLine(pointOf(chosen)),
      markers([pointOf(chosen)], STYLES.result, 'large'),
      lowLabel(pointOf(chosen), textOf(name, chosen), axis),
    ]
  }
  const chosenSide = chosen.thresholdTokens < crossing.thresholdTokens ? 'left' : 'right'
  const crossingSide = chosenSide === 'left' ? 'right' : 'left'
  return [
    dropLine(pointOf(crossing)),
    dropLine(pointOf(chosen)),
    markers([pointOf(crossing)], STYLES.result, 'hollow'),
    markers([pointOf(chosen)], STYLES.result, 'large'),
    lowLabel(pointOf(chosen), textOf('chosen', chosen), { ...axis, side: chosenSide }),
    lowLabel(pointOf(crossing), textOf(size === 'wide' ? 'bounds cross' : 'cross', crossing), {
      ...axis,
      side: crossingSide,
    }),
  ]
}

function isSamePlace(a: ThresholdMark, b: ThresholdMark, axisTokensMax: number): boolean {
  return (
    Math.abs(a.thresholdTokens - b.thresholdTokens) < 0.01 * axisTokensMax &&
    Math.abs(a.rateRps - b.rateRps) < 0.01 * a.rateRps
  )
}

export const LATENCY_STYLES: Readonly<Record<LatencyCurve['name'], SeriesStyle>> = {
  'membrane-pd': STYLES.plan,
  'homogeneous-pd': STYLES.second,
  'naive-heterogeneous-pd': STYLES.third,
}

/** P90 TTFT with queueing against the rate, up to Lambda_max. */
export function latencyChart(
  { curves, boundSeconds, axisRpsMax, axisSecondsMax }: LatencySeries,
  size: ChartSize,
): TopLevelSpec {
  const isOnChart = ({ y }: Point): boolean => y <= axisSecondsMax
  const layers = curves.flatMap(({ name, points, withoutQueues, operating }) => {
    const style = LATENCY_STYLES[name]
    const pointOf = (point: LatencyCurve['withoutQueues']): Point => ({ x: point.rateRps, y: point.ttftSecondsP90 })
    return [
      line(upToAxis(points.map(pointOf), axisSecondsMax), style),
      markers([pointOf(withoutQueues)].filter(isOnChart), { ...style, marker: 'diamond' }, 'hollow'),
      ...(operating === null ? [] : [markers([pointOf(operating)].filter(isOnChart), style, 'large')]),
    ]
  })
  return chartOf(
    { title: 'requests per second', max: axisRpsMax },
    { title: 'P90 TTFT, seconds', max: axisSecondsMax },
    [
      ...(boundSeconds === null ? [] : boundLayers(boundSeconds, axisRpsMax)),
      ...layers,
      ...operatingLabel(curves, { axisRpsMax, axisSecondsMax, size }),
    ],
  )
}

/** All points on the chart and the first one beyond it, so that the line reaches the edge. */
function upToAxis(points: readonly Point[], most: number): readonly Point[] {
  const beyond = points.findIndex(({ y }) => y > most)
  return beyond < 0 ? points : points.slice(0, beyond + 1)
}

function boundLayers(boundSeconds: number, axisRpsMax: number): Layer[] {
  const ends = [0, axisRpsMax].map((x) => ({ x, y: boundSeconds }))
  return [
    line(ends, { color: 'var(--loss)', dash: [], width: 1.5, marker: 'circle' }),
    label({ x: 0, y: boundSeconds }, [`SLO: ${short(boundSeconds)} s`], { dx: 6, dy: -10, color: 'var(--loss)' }),
  ]
}

function operatingLabel(
  curves: readonly LatencyCurve[],
  axes: { readonly axisRpsMax: number; readonly axisSecondsMax: number; readonly size: ChartSize },
): Layer[] {
  const plan = curves.find(({ name }) => name === 'membrane-pd')
  if (plan === undefined) return []
  const mark = plan.operating ?? plan.withoutQueues
  if (mark.ttftSecondsP90 > axes.axisSecondsMax) return []
  const rate = `${significant(mark.rateRps)} req/s`
  const lines = plan.operating === null ? [rate, 'without queueing'] : ['chosen:', rate]
  const isRight = mark.rateRps < 0.55 * axes.axisRpsMax
  const at = { x: mark.rateRps, y: mark.ttftSecondsP90 }
  return [label(at, lines, { align: isRight ? 'left' : 'right', dx: isRight ? 12 : -12, dy: 14 })]
}
