import type { TopLevelSpec } from 'vega-lite'
import type { Analysis } from '../planner/analysis.ts'
import { roundTicks } from './report-axis.ts'
import { gainText } from './report-numbers.ts'
import { type ChartSize, plotWidth } from './report-svg.ts'

type ShadowPrices = Analysis['shadowPrices']

/** Pixels for the names at the left and for the longest value, which browsers measure and this program cannot. */
export const NAME_WIDTH = 128
const VALUE_WIDTH: Readonly<Record<ChartSize, number>> = { wide: 158, narrow: 92 }

/** What one more unit buys, as bars from zero. Values stand to the right of zero also for losses, so one side needs room. */
export function shadowPriceChart(prices: ShadowPrices, size: ChartSize): TopLevelSpec {
  const gains = prices.map((price) => price.gainRps)
  const [least, most] = [Math.min(0, ...gains), Math.max(0, ...gains)]
  const span = most - least > 1e-9 ? most - least : 1
  const barWidth = plotWidth(size, NAME_WIDTH) - VALUE_WIDTH[size]
  const domain = [least - 0.02 * span, most + (span * VALUE_WIDTH[size]) / barWidth]
  const x = {
    field: 'gain',
    type: 'quantitative',
    scale: { domain, nice: false },
    axis: {
      title: 'change of the rate, req/s',
      values: roundTicks(least, least + span, size === 'wide' ? 4 : 2),
      domain: false,
    },
  }
  const y = {
    field: 'change',
    type: 'nominal',
    sort: null,
    axis: {
      title: null,
      grid: false,
      labelColor: 'var(--ink)',
      labelLimit: 400,
    },
  }
  return { data: { values: rowsOf(prices, size) }, encoding: { x, y }, layer: layersOf() } as TopLevelSpec
}

function rowsOf(prices: ShadowPrices, size: ChartSize): object[] {
  return prices.map((price) => ({
    change: price.change,
    gain: price.gainRps,
    // A phone has no room for one line.
    text: size === 'wide' ? gainText(price) : gainText(price).split(/ (?=\()/),
    textFrom: Math.max(0, price.gainRps),
    color: price.gainRps < 0 ? 'var(--loss)' : 'var(--gain)',
  }))
}

function layersOf(): object[] {
  const text = {
    type: 'text',
    baseline: 'middle',
    fontSize: 12,
    color: 'var(--ink)',
    align: 'left',
    dx: 6,
    lineHeight: 14,
  }
  return [
    {
      mark: { type: 'bar', height: { band: 0.6 } },
      encoding: { color: { field: 'color', type: 'nominal', scale: null } },
    },
    {
      mark: { type: 'rule', color: 'var(--axis)', strokeWidth: 1.5 },
      data: { values: [{ gain: 0 }] },
      encoding: { y: null },
    },
    { mark: text, encoding: { x: { field: 'textFrom', type: 'quantitative' }, text: { field: 'text' } } },
  ]
}

export function shadowPriceText(prices: ShadowPrices): string {
  return prices.map((price) => `${price.change}: ${gainText(price)}`).join('; ')
}
