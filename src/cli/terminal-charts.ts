import type { Analysis } from '../planner/analysis.ts'
import type { RolesPoint, ThresholdPoint } from '../planner/figures.ts'
import type { Scenario } from '../planner/scenario.ts'
import { gainText, hasChanged, requestsPerSecond, short, significant, whole } from './report-numbers.ts'
import {
  type LatencyMark,
  type LatencySeries,
  latencySeries,
  type RolesSeries,
  rolesSeries,
  type ThresholdSeries,
  thresholdSeries,
} from './report-series.ts'
import { renderBars } from './terminal-bars.ts'
import { type Ink, padded } from './terminal-ink.ts'
import { type Plot, type PlotMark, type PlotPoint, renderPlot } from './terminal-plot.ts'

export interface TerminalChartsInput {
  readonly scenario: Scenario
  readonly analysis: Analysis
  /** Columns of the terminal; below `WIDTH_MIN` the charts are drawn at that. */
  readonly width: number
  readonly color: boolean
}

/** Narrower than this axes and names leave no room for what they are about. */
const WIDTH_MIN = 60

/** From here on two charts stand side by side: longer lines are hard to follow. */
const SIDE_BY_SIDE_WIDTH = 140
const GAP = 4

const THRESHOLDS_DRAWN = 200
const RATES_DRAWN = 60

/** The figures of the report for a terminal: Figure 5b, Figure 5a, rate against P90 TTFT, and what one more unit buys. */
export function terminalCharts({ scenario, analysis, width: columns, color }: TerminalChartsInput): string {
  const width = Math.max(WIDTH_MIN, columns)
  const isWide = width >= SIDE_BY_SIDE_WIDTH
  const options = { width: isWide ? Math.floor((width - GAP) / 2) : width, color }
  const bars = analysis.shadowPrices.map((price) => ({
    name: price.change,
    value: hasChanged(price) ? price.gainRps : 0,
    text: gainText(price),
  }))
  const charts = [
    renderPlot(thresholdPlot(thresholdSeries(scenario, analysis, THRESHOLDS_DRAWN)), options),
    renderPlot(rolesPlot(rolesSeries(scenario, analysis)), options),
    renderPlot(latencyPlot(latencySeries(scenario, analysis, RATES_DRAWN)), options),
    renderBars('What one more unit buys', bars, options),
  ]
  const blocks = isWide ? pairs(charts, options.width) : charts
  return blocks.map((lines) => lines.map((line) => line.trimEnd()).join('\n')).join('\n\n')
}

function pairs(charts: readonly (readonly string[])[], width: number): string[][] {
  return Array.from({ length: Math.ceil(charts.length / 2) }, (_, k) => {
    const [left, right] = [charts[2 * k] ?? [], charts[2 * k + 1] ?? []]
    return Array.from(
      { length: Math.max(left.length, right.length) },
      (_, row) => padded(left[row] ?? '', width + GAP) + (right[row] ?? ''),
    )
  })
}

const BOUND_GLYPHS = { first: '+', second: 'x', third: '-', result: '●' } as const

/** Figure 5b. */
function thresholdPlot({
  points,
  chosen,
  crossing,
  decodeBoundRps,
  axisTokensMax,
  axisRpsMax,
  roles,
}: ThresholdSeries): Plot {
  const series = (
    name: string,
    style: 'first' | 'second' | 'third' | 'result',
    value: (point: ThresholdPoint) => number | null,
  ): Plot['series'][number] => ({
    name,
    glyph: BOUND_GLYPHS[style],
    ink: style === 'result' ? 'bold' : style,
    points: points.flatMap((point) => {
      const y = value(point)
      return y === null ? [] : [{ x: point.thresholdTokens, y }]
    }),
  })
  const crossingMark: PlotMark[] =
    crossing === null ||
    (crossing.thresholdTokens === chosen.thresholdTokens && crossing.rateRps <= chosen.rateRps * 1.01)
      ? []
      : [
          {
            at: { x: crossing.thresholdTokens, y: crossing.rateRps },
            glyph: '◇',
            ink: 'plain',
            text: `bounds cross at t = ${whole(crossing.thresholdTokens)} tokens, ${requestsPerSecond(crossing.rateRps)}`,
          },
        ]
  const isCrossing = crossing !== null && crossingMark.length === 0 ? ', where the bounds cross' : ''
  return {
    title: `Figure 5b: rate against the threshold, ${roles.localPrefill} local prefill and ${roles.decode} decode`,
    x: { title: 'threshold t, uncached prompt tokens', min: 0, max: axisTokensMax, format: thousands },
    y: { title: 'req/s', min: 0, max: axisRpsMax },
    series: [
      ...(decodeBoundRps <= axisRpsMax ? [series('decode bound', 'third', () => decodeBoundRps)] : []),
      series('remote bound', 'first', (point) => point.remoteBoundRps),
      series('local bound', 'second', (point) => point.localBoundRps),
      series('Lambda_max', 'result', (point) => point.lambdaMaxRps),
    ],
    marks: [
      ...crossingMark,
      {
        at: { x: chosen.thresholdTokens, y: chosen.rateRps },
        glyph: '◆',
        ink: 'gain',
        text: `chosen: t = ${whole(chosen.thresholdTokens)} tokens, ${requestsPerSecond(chosen.rateRps)}${isCrossing}`,
      },
    ],
    notes: [],
  }
}

function thousands(tokens: number): string {
  return tokens >= 1000 ? `${short(tokens / 1000)}k` : short(tokens)
}

/** Figure 5a. */
function rolesPlot({ points, peak, chosen, instances, thresholdTokens }: RolesSeries): Plot {
  const most = Math.max(...points.map((point) => Math.max(point.prefillBoundRps, point.decodeBoundRps)))
  const pointsOf = (value: (point: RolesPoint) => number): PlotPoint[] =>
    points.map((point) => ({ x: point.localPrefill, y: value(point) }))
  const mark = (point: RolesPoint, name: string, glyph: string): PlotMark => ({
    at: { x: point.localPrefill, y: point.lambdaMaxRps },
    glyph,
    ink: 'gain',
    text: `${name}: ${point.localPrefill}/${point.decode}, ${requestsPerSecond(point.lambdaMaxRps)}`,
  })
  const step = Math.ceil((instances - 1) / 8)
  return {
    title: `Figure 5a: rate against the split of the local cluster, t = ${whole(thresholdTokens)} tokens`,
    x: {
      title: 'N_p/N_d, local prefill/decode instances',
      min: 0.5,
      max: instances - 0.5,
      ticks: Array.from({ length: Math.ceil((instances - 1) / step) }, (_, k) => 1 + k * step),
      format: (localPrefill) => `${localPrefill}/${instances - localPrefill}`,
    },
    y: { title: 'req/s', min: 0, max: Math.min(1.1 * most, 2 * peak.lambdaMaxRps) },
    series: [
      {
        name: 'prefill bound',
        glyph: BOUND_GLYPHS.first,
        ink: 'first',
        points: pointsOf((point) => point.prefillBoundRps),
      },
      {
        name: 'decode bound',
        glyph: BOUND_GLYPHS.second,
        ink: 'second',
        points: pointsOf((point) => point.decodeBoundRps),
      },
      { name: 'Lambda_max', glyph: BOUND_GLYPHS.result, ink: 'bold', points: pointsOf((point) => point.lambdaMaxRps) },
    ],
    marks: [...(chosen === null || chosen === peak ? [] : [mark(chosen, 'planned', '◇')]), mark(peak, 'peak', '◆')],
    notes: [],
  }
}

const DEPLOYMENT_GLYPHS: Readonly<
  Record<LatencySeries['curves'][number]['name'], { readonly glyph: string; readonly ink: Ink }>
> = {
  'membrane-pd': { glyph: '●', ink: 'first' },
  'homogeneous-pd': { glyph: 'x', ink: 'second' },
  'naive-heterogeneous-pd': { glyph: '+', ink: 'third' },
}

function latencyPlot({ curves, boundSeconds, axisRpsMax, axisSecondsMax }: LatencySeries): Plot {
  const pointOf = ({ rateRps, ttftSecondsP90 }: LatencyMark): PlotPoint => ({ x: rateRps, y: ttftSecondsP90 })
  const bound =
    boundSeconds === null
      ? []
      : [
          {
            name: `SLO, ${short(boundSeconds)} s`,
            glyph: '-',
            ink: 'loss',
            points: [0, axisRpsMax].map((x) => ({ x, y: boundSeconds })),
          } as const,
        ]
  const marks = curves.flatMap(({ name, operating, withoutQueues }): PlotMark[] => [
    { at: pointOf(withoutQueues), glyph: '◇', ink: DEPLOYMENT_GLYPHS[name].ink, text: '' },
    ...(operating === null || name !== 'membrane-pd'
      ? []
      : [
          {
            at: pointOf(operating),
            glyph: '◆',
            ink: 'gain',
            text: `chosen: ${requestsPerSecond(operating.rateRps)} at a P90 TTFT of ${significant(operating.ttftSecondsP90)} s`,
          } as const,
        ]),
  ])
  return {
    title: 'Rate against P90 TTFT, with queueing',
    x: { title: 'req/s', min: 0, max: axisRpsMax },
    y: { title: 'P90 TTFT, s', min: 0, max: axisSecondsMax },
    series: [
      ...bound,
      ...curves
        .toReversed()
        .map(({ name, points }) => ({ name, ...DEPLOYMENT_GLYPHS[name], points: points.map(pointOf) })),
    ],
    marks,
    notes: ['◇ Lambda_max of each, with the TTFT of the paper, which contains no queueing.'],
  }
}
