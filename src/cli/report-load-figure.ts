import type { TopLevelSpec } from 'vega-lite'
import type { SimulatedLoad } from './report-load.ts'
import { type Figure, legendOf } from './report-figure.ts'
import type { SeriesStyle } from './report-layers.ts'
import { html } from './report-markup.ts'
import { requestsPerSecond } from './report-numbers.ts'
import { kneeFigure } from './simulation-knee.ts'
import { SLO_STYLE } from './simulation-knee-chart.ts'

/** The knee curve of a simulation's page, with the rate at which the planner expects the SLO to be met. */

const FEASIBLE_STYLE: SeriesStyle = { ...SLO_STYLE, dash: [5, 4] }

export function loadFigure({ knee, quoted, lambdaMaxRps, slo }: SimulatedLoad, boundSeconds: number | null): Figure {
  const figure = kneeFigure(knee, {
    quoted: { ttftSecondsP90: quoted.p90, lambdaMaxRps },
    sloTtftSecondsP90: boundSeconds,
  })
  if (slo === null) return figure
  const { feasibleRps } = slo
  const name = `SLO-feasible rate, ${requestsPerSecond(feasibleRps)}`
  return {
    ...figure,
    chart: (size) => withRule(figure.chart(size), feasibleRps),
    legend: html`${figure.legend}${legendOf([{ name, style: FEASIBLE_STYLE }], false)}`,
    text: `${figure.text} The planner's ${name}.`,
  }
}

/** From the bottom to the top, whatever the axis. */
function withRule(chart: TopLevelSpec, x: number): TopLevelSpec {
  const { color, dash, width } = FEASIBLE_STYLE
  const rule = {
    data: { values: [{ x }] },
    mark: { type: 'rule', color, strokeDash: [...dash], strokeWidth: width, clip: true },
    encoding: { y: { value: 0 }, y2: { value: 'height' } },
  }
  return 'layer' in chart ? ({ ...chart, layer: [rule, ...chart.layer] } as TopLevelSpec) : chart
}
