import type { TopLevelSpec } from 'vega-lite'
import { chartOf, type Layer, label, line, markers, type Point, type SeriesStyle, STYLES } from './report-layers.ts'
import { short, significant } from './report-numbers.ts'
import type { LatencyCurve, LatencySeries } from './report-series.ts'

export const LATENCY_STYLES: Readonly<Record<LatencyCurve['name'], SeriesStyle>> = {
  'membrane-pd': STYLES.plan,
  'homogeneous-pd': STYLES.second,
  'naive-heterogeneous-pd': STYLES.third,
}

/** P90 TTFT with queueing against the rate, up to Lambda_max. */
export function latencyChart({ curves, boundSeconds, axisRpsMax, axisSecondsMax }: LatencySeries): TopLevelSpec {
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
      ...operatingLabel(curves, axisSecondsMax),
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

/** Above the point and to its left, where no curve that still rises can be. */
function operatingLabel(curves: readonly LatencyCurve[], axisSecondsMax: number): Layer[] {
  const plan = curves.find(({ name }) => name === 'membrane-pd')
  const mark = plan?.operating ?? plan?.withoutQueues
  if (plan === undefined || mark === undefined || mark.ttftSecondsP90 > axisSecondsMax) return []
  const rate = `${significant(mark.rateRps)} req/s`
  const at = { x: mark.rateRps, y: mark.ttftSecondsP90 }
  // The queueing curve passes above its own diamond, unless that is near the bottom of a high axis.
  const isLow = mark.ttftSecondsP90 < 0.16 * axisSecondsMax
  return plan.operating === null
    ? [label(at, [rate, 'no queueing'], { align: 'right', dx: 12, dy: isLow ? -32 : 18 })]
    : [label(at, ['chosen', rate], { align: 'right', dx: -6, dy: -30 })]
}
