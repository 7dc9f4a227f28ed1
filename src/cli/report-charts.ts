import type { TopLevelSpec } from 'vega-lite'
import type { RolesPoint } from '../planner/figures.ts'
import {
  chartOf,
  dropLine,
  type Layer,
  LINE_HEIGHT,
  label,
  line,
  markers,
  type Point,
  type SeriesStyle,
  STYLES,
} from './report-layers.ts'
import { significant, whole } from './report-numbers.ts'
import type { RolesSeries, ThresholdMark, ThresholdSeries } from './report-series.ts'
import type { ChartSize } from './report-svg.ts'

/** The paper's Figure 5 as data for the chart library; what the marks mean is said by the figures around them. */

/** With more instances than this, markers would touch. */
const MARKERS_MAX = 24

/** Figure 5a: Lambda against N_p / N_d. */
export function rolesChart(roles: RolesSeries, size: ChartSize): TopLevelSpec {
  const { points, peak, instances } = roles
  const most = 2 * peak.lambdaMaxRps
  const highest = Math.max(
    ...points.map(({ prefillBoundRps, decodeBoundRps }) => Math.min(most, Math.max(prefillBoundRps, decodeBoundRps))),
  )
  const seriesOf = (style: SeriesStyle, value: (point: RolesPoint) => number): Layer[] => {
    const values = points.map((point) => ({ x: point.localPrefill, y: value(point) }))
    return [line(values, style), ...(values.length <= MARKERS_MAX ? [markers(values, style)] : [])]
  }
  return chartOf(
    {
      title: 'N_p / N_d: local prefill / decode instances',
      min: 0.5,
      max: instances - 0.5,
      ticks: evenTicks(1, instances - 1, size === 'wide' ? 9 : 7),
      label: `datum.value + '/' + (${instances} - datum.value)`,
    },
    { title: 'requests per second', max: 1.15 * highest },
    [
      ...seriesOf(STYLES.first, (point) => point.prefillBoundRps),
      ...seriesOf(STYLES.second, (point) => point.decodeBoundRps),
      ...seriesOf(STYLES.result, (point) => point.lambdaMaxRps),
      ...roleMarks(roles),
    ],
  )
}

/** The peak, and the plan where queueing moved it elsewhere. */
function roleMarks({ peak, chosen, instances }: RolesSeries): Layer[] {
  const axis = { min: 0.5, max: instances - 0.5 }
  const marked = (point: RolesPoint, kind: 'large' | 'hollow', side: 'left' | 'right'): Layer[] => {
    const at = { x: point.localPrefill, y: point.lambdaMaxRps }
    const lines = [
      ...(kind === 'hollow' ? ['planned'] : []),
      `${significant(point.lambdaMaxRps)} req/s`,
      `at ${point.localPrefill}/${point.decode}`,
    ]
    return [dropLine(at), markers([at], STYLES.result, kind), lowLabel(at, lines, { ...axis, side })]
  }
  if (chosen === null || chosen === peak) return marked(peak, 'large', 'right')
  const isRight = chosen.localPrefill > peak.localPrefill
  return [...marked(peak, 'large', isRight ? 'left' : 'right'), ...marked(chosen, 'hollow', isRight ? 'right' : 'left')]
}

function evenTicks(from: number, to: number, most: number): number[] {
  const step = Math.ceil((to - from + 1) / most)
  return Array.from({ length: Math.floor((to - from) / step) + 1 }, (_, k) => from + k * step)
}

/** Beside the foot of a drop line, just above the axis, where every curve is above it; never past an end of the axis. */
function lowLabel(
  at: Point,
  lines: readonly string[],
  axis: { readonly min: number; readonly max: number; readonly side?: 'left' | 'right' },
): Layer {
  const place = (at.x - axis.min) / (axis.max - axis.min)
  const isFree = place > 0.25 && place < 0.75
  const isRight = isFree && axis.side !== undefined ? axis.side === 'right' : place < 0.6
  return label({ x: at.x, y: 0 }, lines, {
    align: isRight ? 'left' : 'right',
    dx: isRight ? 8 : -8,
    dy: 6 - LINE_HEIGHT * lines.length,
  })
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
  const isSame = crossing !== null && isSamePlace(crossing, chosen, axisTokensMax)
  const axis = { min: 0, max: axisTokensMax }
  const rate = (mark: ThresholdMark): string => `${significant(mark.rateRps)} req/s`
  const threshold = (mark: ThresholdMark): string => `t = ${whole(mark.thresholdTokens)}`
  const chosenLines = [isSame ? 'bounds cross: chosen' : 'chosen', threshold(chosen), rate(chosen)]
  const chosenMarks = [dropLine(pointOf(chosen)), markers([pointOf(chosen)], STYLES.result, 'large')]
  if (crossing === null || isSame) return [...chosenMarks, lowLabel(pointOf(chosen), chosenLines, axis)]
  const isRight = chosen.thresholdTokens > crossing.thresholdTokens
  const name = size === 'wide' ? 'bounds cross' : 'cross'
  const crossingLines = [
    name,
    ...(crossing.thresholdTokens === chosen.thresholdTokens ? [] : [threshold(crossing)]),
    rate(crossing),
  ]
  return [
    dropLine(pointOf(crossing)),
    markers([pointOf(crossing)], STYLES.result, 'hollow'),
    ...chosenMarks,
    lowLabel(pointOf(chosen), chosenLines, { ...axis, side: isRight ? 'right' : 'left' }),
    lowLabel(pointOf(crossing), crossingLines, { ...axis, side: isRight ? 'left' : 'right' }),
  ]
}

function isSamePlace(a: ThresholdMark, b: ThresholdMark, axisTokensMax: number): boolean {
  return (
    Math.abs(a.thresholdTokens - b.thresholdTokens) < 0.01 * axisTokensMax &&
    Math.abs(a.rateRps - b.rateRps) < 0.01 * a.rateRps
  )
}
