import type { TopLevelSpec } from 'vega-lite'
import { escapeText } from './report-markup.ts'

/**
 * Turns a chart into static SVG without any program in it. Colours are CSS variables of the page, so that one
 * picture serves both themes.
 */

/** A picture for wide columns and one for phones: scaling the first down would make its text unreadable. */
export const CHART_SIZES = { wide: { width: 560, height: 330 }, narrow: { width: 350, height: 300 } } as const
export type ChartSize = keyof typeof CHART_SIZES

/** The picture's own size, pixels, with what its x axis takes of the height. */
export interface Frame {
  readonly width: number
  readonly height: number
  readonly bottom: number
}

export interface Picture {
  readonly spec: TopLevelSpec
  /** Names the picture within the page. */
  readonly id: string
  /** What a reader who does not see it should know. */
  readonly text: string
  /** The screens it is for. */
  readonly size: ChartSize | 'every'
  /** Pixels left of the plot, for the labels of its y axis. */
  readonly left: number
  /** By default what `size` says. */
  readonly frame?: Frame
}

export type Renderer = (picture: Picture) => Promise<string>

/** Fixed, because only a browser can measure text: guessed widths would shrink the plots. */
const MARGINS = { right: 14, top: 10, bottom: 44 } as const

/** Of the plot itself. */
export function plotWidth(size: ChartSize, left: number): number {
  return CHART_SIZES[size].width - left - MARGINS.right
}

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
  axisY: { domain: false, ticks: false, titleX: -44 },
} as const

/** Loads the chart library, which takes a fifth of a second: only a report pays for it. */
export async function loadRenderer(): Promise<Renderer> {
  const [vega, { compile }] = await Promise.all([import('vega'), import('vega-lite')])
  return async ({ spec, id, text, size, left, frame = frameOf(size) }) => {
    const sized = {
      ...spec,
      width: frame.width - left - MARGINS.right,
      height: frame.height - MARGINS.top - frame.bottom,
      padding: { ...MARGINS, left, bottom: frame.bottom },
      autosize: 'none',
    } as TopLevelSpec
    const view = new vega.View(vega.parse(compile(sized, { config: CONFIG }).spec), { renderer: 'none' })
    try {
      return forPage(await view.toSVG(), { id: `${id}-${size}`, text, size, frame })
    } finally {
      view.finalize()
    }
  }
}

interface Identity {
  readonly id: string
  readonly text: string
  readonly size: Picture['size']
  readonly frame: Frame
}

function frameOf(size: Picture['size']): Frame {
  return { ...CHART_SIZES[size === 'every' ? 'narrow' : size], bottom: MARGINS.bottom }
}

/** What the picture's own role replaces, and what says nothing. */
const NEEDLESS =
  / (?:font-family|class|role|aria-roledescription|aria-hidden|pointer-events)="[^"]*"| opacity="1"| stroke-dasharray=""/g

/** Names, sizes and describes the picture, keeps its inner ids apart from other pictures', and drops digits that no screen shows. */
function forPage(svg: string, { id, text, size, frame: { width, height } }: Identity): string {
  const inside = svg
    .replace(/^<svg[^>]*>/, '')
    .replace(NEEDLESS, '')
    .replace(/ (d|transform|x|y|x1|x2|y1|y2|width|height)="[^"]*"/g, (attribute) =>
      attribute.replace(/-?\d+\.\d{2,}(?:e-\d+)?/g, (digits) => String(Number(Number(digits).toFixed(1)))),
    )
  const head = `<svg class="chart ${size}" viewBox="0 0 ${width} ${height}" role="img" aria-label="${escapeText(text)}" xmlns="http://www.w3.org/2000/svg">`
  return head + withOwnIds(inside, id)
}

/** The library counts its ids up over all pictures that a process has drawn; here they start again. */
function withOwnIds(svg: string, id: string): string {
  const names = new Map<string, string>()
  const nameOf = (old: string): string => {
    const name = names.get(old) ?? `${id}-${names.size}`
    names.set(old, name)
    return name
  }
  return svg
    .replace(/ id="(\w+)"/g, (_, old: string) => ` id="${nameOf(old)}"`)
    .replace(/url\(#(\w+)\)/g, (_, old: string) => `url(#${nameOf(old)})`)
}
