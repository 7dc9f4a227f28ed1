import type { SeriesStyle } from './report-layers.ts'
import { type Html, html, trusted } from './report-markup.ts'
import { CHART_SIZES, type ChartSize, type Picture, type Renderer } from './report-svg.ts'
import type { Column } from './report-table.ts'

/** What every figure is made of: title, legend, picture, caption and the numbers it is drawn from. */

/** Pixels for the numbers and the title of a y axis. */
const AXIS_WIDTH = 58

export interface Figure {
  readonly id: string
  readonly title: string
  readonly chart: (size: ChartSize) => Picture['spec']
  readonly left?: number
  readonly text: string
  readonly legend: Html
  readonly caption: Html
  readonly numbers: Html
}

export async function figureMarkup(
  { id, title, chart, left = AXIS_WIDTH, text, legend, caption, numbers }: Figure,
  render: Renderer,
): Promise<Html> {
  const sizes = Object.keys(CHART_SIZES) as ChartSize[]
  const pictures = await Promise.all(sizes.map((size) => render({ id, size, text, left, spec: chart(size) })))
  return html`<figure id="${id}" aria-labelledby="${id}-title">
<h3 id="${id}-title">${title}</h3>
${legend}
${trusted(pictures.join('\n'))}
<figcaption>${caption}</figcaption>
<details><summary>Numbers of this figure</summary>
${numbers}
</details>
</figure>`
}

interface LegendEntry {
  readonly name: Html | string
  readonly style: SeriesStyle
}

const MARKER_SHAPES: Readonly<Record<SeriesStyle['marker'], string>> = {
  circle: '<circle cx="17" cy="6" r="3.5"/>',
  square: '<path d="M14 3h6v6h-6z"/>',
  'triangle-up': '<path d="M17 2l4 7h-8z"/>',
  diamond: '<path d="M17 1.5l3.5 4.5l-3.5 4.5l-3.5-4.5z"/>',
}

export function legendOf(entries: readonly LegendEntry[], hasMarkers: boolean): Html {
  const items = entries.map(({ name, style: { color, dash, width, marker } }) => {
    const shape = hasMarkers ? `<g fill="${color}">${MARKER_SHAPES[marker]}</g>` : ''
    const stroke = `<path d="M0 6h34" stroke="${color}" stroke-width="${width}" stroke-dasharray="${dash.join(' ')}"/>`
    return html`<li>${trusted(`<svg width="34" height="12" aria-hidden="true">${stroke}${shape}</svg>`)}${name}</li>`
  })
  return html`<ul class="legend">${items}</ul>`
}

/** Enough to follow a curve by its numbers. */
export const ROWS_SHOWN = 24

export function numberColumns(names: readonly string[]): Column[] {
  return names.map((name) => ({ name, isNumber: true }))
}

/** About `ROWS_SHOWN` rows, evenly spaced, with those that must not be missing. */
export function thinned<T>(items: readonly T[], isKept: (item: T) => boolean): readonly T[] {
  const stride = Math.ceil(items.length / ROWS_SHOWN)
  return items.filter((item, k) => k % stride === 0 || k === items.length - 1 || isKept(item))
}
