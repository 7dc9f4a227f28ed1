import type { Analysis } from '../planner/analysis.ts'
import type { Scenario } from '../planner/scenario.ts'
import { rolesChart, thresholdChart } from './report-charts.ts'
import { type Figure, figureMarkup, legendOf, numberColumns, ROWS_SHOWN, thinned } from './report-figure.ts'
import { LATENCY_STYLES, latencyChart } from './report-latency-chart.ts'
import { STYLES } from './report-layers.ts'
import { type Html, html, NOTHING } from './report-markup.ts'
import { requestsPerSecond, short, signed, significant, whole } from './report-numbers.ts'
import {
  type LatencySeries,
  latencySeries,
  type RolesSeries,
  rolesSeries,
  type ThresholdSeries,
  thresholdSeries,
} from './report-series.ts'
import type { Renderer } from './report-svg.ts'
import { LAMBDA_MAX } from './report-symbols.ts'
import { NAME_WIDTH, shadowPriceChart, shadowPriceText } from './report-shadow-prices.ts'
import { ABSENT, table } from './report-table.ts'

/** The four figures with captions, legends and the numbers they are drawn from. */

const THRESHOLDS_DRAWN = 120
const RATES_DRAWN = 160

export async function figures(scenario: Scenario, analysis: Analysis, render: Renderer): Promise<Html[]> {
  const all = [
    rolesFigure(rolesSeries(scenario, analysis)),
    thresholdFigure(thresholdSeries(scenario, analysis, THRESHOLDS_DRAWN)),
    latencyFigure(latencySeries(scenario, analysis, RATES_DRAWN)),
    shadowPriceFigure(analysis.shadowPrices),
  ]
  return Promise.all(all.map((figure) => figureMarkup(figure, render)))
}

function rolesFigure(series: RolesSeries): Figure {
  const { peak, chosen, thresholdTokens } = series
  const best = `${requestsPerSecond(peak.lambdaMaxRps)} with ${peak.localPrefill} local prefill and ${peak.decode} decode instances`
  const other =
    chosen === null
      ? ' The plan itself has no local prefill instance.'
      : chosen === peak
        ? ''
        : ` The plan has ${chosen.localPrefill}/${chosen.decode}, which queueing favours.`
  return {
    id: 'figure-5a',
    title: 'Rate against the split of the local cluster (Figure 5a)',
    chart: (size) => rolesChart(series, size),
    text: `Line chart of the prefill bound, the decode bound and the smaller of the two against local prefill over decode instances. The peak is ${best}.`,
    legend: legendOf(
      [
        { name: 'prefill bound', style: STYLES.first },
        { name: 'decode bound', style: STYLES.second },
        { name: html`${LAMBDA_MAX}`, style: STYLES.result },
      ],
      series.points.length <= ROWS_SHOWN,
    ),
    caption: html`At the planned threshold of ${whole(thresholdTokens)} tokens more prefill instances leave fewer to decode. ${LAMBDA_MAX} is the lower of the two bounds and peaks at ${best}.${other}`,
    numbers: rolesNumbers(series),
  }
}

function rolesNumbers({ points, peak }: RolesSeries): Html {
  return table({
    caption: html`Rates in requests per second.`,
    columns: [
      { name: 'Local prefill / decode, instances' },
      ...numberColumns(['Prefill bound, req/s', 'Decode bound, req/s', 'Lambda_max, req/s']),
    ],
    rows: thinned(points, (point) => point === peak).map((point) => [
      `${point.localPrefill} / ${point.decode}`,
      significant(point.prefillBoundRps),
      significant(point.decodeBoundRps),
      significant(point.lambdaMaxRps),
    ]),
  })
}

function thresholdFigure(series: ThresholdSeries): Figure {
  const { roles, chosen, crossing, decodeBoundRps, axisRpsMax } = series
  const crossed =
    crossing === null
      ? 'The two prefill bounds do not cross here.'
      : `The prefill bounds cross at t = ${whole(crossing.thresholdTokens)} tokens and ${requestsPerSecond(crossing.rateRps)}.`
  const planned = `The plan takes t = ${whole(chosen.thresholdTokens)} tokens for ${requestsPerSecond(chosen.rateRps)}.`
  return {
    id: 'figure-5b',
    title: 'Rate against the threshold (Figure 5b)',
    chart: (size) => thresholdChart(series, size),
    text: `Line chart of the remote bound, which rises with the threshold, the local bound, which falls, and the rate. ${crossed} ${planned}`,
    legend: legendOf(
      [
        { name: 'remote bound', style: STYLES.first },
        { name: 'local bound', style: STYLES.second },
        ...(decodeBoundRps <= axisRpsMax ? [{ name: 'decode bound', style: STYLES.third }] : []),
        { name: html`${LAMBDA_MAX}`, style: STYLES.result },
      ],
      false,
    ),
    caption: html`With ${roles.localPrefill} local prefill and ${roles.decode} decode instances. A higher threshold offloads fewer prompts: the remote bound rises, the local bound falls. ${crossed} ${planned} Bounds above ${short(axisRpsMax)} req/s are cut off.`,
    numbers: thresholdNumbers(series),
  }
}

function thresholdNumbers({ points, chosen, crossing }: ThresholdSeries): Html {
  const isMarked = (tokens: number): boolean =>
    tokens === chosen.thresholdTokens || tokens === crossing?.thresholdTokens
  const bound = (rateRps: number | null): Html | string => (rateRps === null ? ABSENT : significant(rateRps))
  return table({
    caption: html`A dash is a bound that does not exist: nothing is left on that side.`,
    columns: [
      { name: 'Threshold, tokens', isNumber: true },
      ...numberColumns(['Offloaded, %', 'Remote bound, req/s', 'Local bound, req/s', 'Lambda_max, req/s']),
    ],
    rows: thinned(points, (point) => isMarked(point.thresholdTokens)).map((point) => [
      whole(point.thresholdTokens),
      significant(point.offloadedRatio * 100),
      bound(point.remoteBoundRps),
      bound(point.localBoundRps),
      significant(point.lambdaMaxRps),
    ]),
  })
}

function latencyFigure(series: LatencySeries): Figure {
  const { curves, boundSeconds, axisSecondsMax } = series
  const points = curves.map(({ name, operating, withoutQueues }) =>
    operating === null
      ? `${name}: at most ${requestsPerSecond(withoutQueues.rateRps)}`
      : `${name}: ${requestsPerSecond(operating.rateRps)} at a P90 TTFT of ${significant(operating.ttftSecondsP90)} s`,
  )
  const bound =
    boundSeconds === null
      ? 'No SLO was given.'
      : `The red line is the SLO of ${short(boundSeconds)} s; filled marks are the largest rates that meet it.`
  return {
    id: 'figure-latency',
    title: 'Rate against P90 TTFT, with queueing',
    chart: () => latencyChart(series),
    text: `Line chart of P90 time to first token against the rate; it stays flat and then rises steeply towards saturation. ${points.join('; ')}.`,
    legend: legendOf(
      curves.map(({ name }) => ({ name, style: LATENCY_STYLES[name] })),
      true,
    ),
    caption: html`${bound} Hollow diamonds stand at ${LAMBDA_MAX} with the TTFT of the paper, which contains no queueing; the curves add it in closed form (assumption <code>queue-waits</code>). They end at ${LAMBDA_MAX} or where prefill saturates, and are cut off at ${short(axisSecondsMax)} s. ${points.join('; ')}.`,
    numbers: latencyNumbers(series),
  }
}

function latencyNumbers({ curves }: LatencySeries): Html {
  const shares = Array.from({ length: 10 }, (_, k) => (k + 1) / 10)
  return table({
    caption: html`P90 TTFT in seconds, at shares of each deployment's own ${LAMBDA_MAX}; a dash is past saturation.`,
    columns: [
      { name: html`Share of ${LAMBDA_MAX}, %`, isNumber: true },
      ...curves.flatMap(({ name }) => numberColumns([`${name}, req/s`, 'P90 TTFT, s'])),
    ],
    rows: shares.map((share) => [
      significant(share * 100),
      ...curves.flatMap(({ points, withoutQueues }) => {
        const rateRps = share * withoutQueues.rateRps
        const point = points.find((near) => Math.abs(near.rateRps - rateRps) < 1e-6 * rateRps)
        return [significant(rateRps), point === undefined ? ABSENT : significant(point.ttftSecondsP90)]
      }),
    ]),
  })
}

function shadowPriceFigure(prices: Analysis['shadowPrices']): Figure {
  return {
    id: 'figure-shadow-prices',
    title: 'What one more unit buys',
    chart: (size) => shadowPriceChart(prices, size),
    left: NAME_WIDTH,
    text: `Bar chart of what a change does to the planned rate. ${shadowPriceText(prices)}.`,
    legend: NOTHING,
    caption: html`The change of the planned rate when one thing is changed and, for hardware, link and hits, threshold and roles are chosen anew. Bars to the right are gains, bars to the left losses.`,
    numbers: table({
      caption: html`Rates in requests per second.`,
      columns: [{ name: 'Change' }, ...numberColumns(['Rate then, req/s', 'Gain, req/s', 'Gain, %'])],
      rows: prices.map(({ change, rateRps, gainRps, gainRatio }) => [
        change,
        significant(rateRps),
        signed(gainRps),
        signed(gainRatio * 100),
      ]),
    }),
  }
}
