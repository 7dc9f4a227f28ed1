import type { TopLevelSpec } from 'vega-lite'
import { escapeText } from './report-markup.ts'

/**
 * Turns a chart into static SVG without any program in it. Colours are CSS variables of the page, so that one
 * picture serves both themes.
 */

/** A picture for wide columns and one for phones: scaling the first down would make its text unreadable. */
export const CHART_SIZES = { wide: { width: 560, height: 330 }, narrow: { width: 350, height: 300 } } as const
export type ChartSize = keyof typeof CHART_SIZES

export interface Picture {
  readonly spec: TopLevelSpec
  /** Names the picture within the page. */
  readonly id: string
  /** What a reader who does not see it should know. */
  readonly text: string
  readonly size: ChartSize
}

export type Renderer = (picture: Picture) => Promise<string>

const FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif'

const CONFIG = {
  background: 'transparent',
  font: FONT,
  aria: false,
  view: { stroke: null },
  axis: {
    domainColor: 'var(--axis)',
    tickColor: 'var(--axis)',
    gridColor: 'var(--grid)',
    labelColor: 'var(--soft)',
    titleColor: 'var(--ink)',
    labelFontSize: 12,
    titleFontSize: 12,
    titleFontWeight: 'normal',
    titlePadding: 8,
    labelPadding: 4,
  },
  axisX: { grid: false },
  axisY: { domain: false, ticks: false },
} as const

/** Loads the chart library, which takes a fifth of a second: only a report pays for it. */
export async function loadRenderer(): Promise<Renderer> {
  const [vega, { compile }] = await Promise.all([import('vega'), import('vega-lite')])
  return async ({ spec, id, text, size }) => {
    const sized = {
      ...spec,
      ...CHART_SIZES[size],
      autosize: { type: 'fit', contains: 'padding' },
      padding: 4,
    } as TopLevelSpec
    const view = new vega.View(vega.parse(compile(sized, { config: CONFIG }).spec), { renderer: 'none' })
    try {
      return forPage(await view.toSVG(), { id: `${id}-${size}`, text, size })
    } finally {
      view.finalize()
    }
  }
}

/** Names, sizes and describes the picture, keeps its inner ids apart from other pictures', and drops digits that no screen shows. */
function forPage(
  svg: string,
  { id, text, size }: { readonly id: string; readonly text: string; readonly size: ChartSize },
): string {
  const { width, height } = CHART_SIZES[size]
  return svg
    .replace(
      /^<svg[^>]*>/,
      `<svg class="chart ${size}" viewBox="0 0 ${width} ${height}" role="img" aria-label="${escapeText(text)}" xmlns="http://www.w3.org/2000/svg">`,
    )
    .replace(/ id="(\w+)"/g, ` id="${id}-$1"`)
    .replace(/url\(#(\w+)\)/g, `url(#${id}-$1)`)
    .replace(/ font-family="[^"]*"/g, '')
    .replace(/ class="(?:mark|role|axis|background|foreground)[^"]*"/g, '')
    .replace(/ (d|transform|x|y|x1|x2|y1|y2|width|height)="[^"]*"/g, (attribute) =>
      attribute.replace(/-?\d+\.\d{2,}(?:e-\d+)?/g, (digits) => String(Number(Number(digits).toFixed(1)))),
    )
}
