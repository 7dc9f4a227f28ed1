import type { TopLevelSpec } from 'vega-lite'

/** The pieces that the charts are put together from. Every series differs in dash and marker, not in colour alone. */

export interface Point {
  readonly x: number
  readonly y: number
}

export interface SeriesStyle {
  /** A CSS variable of the page. */
  readonly color: string
  readonly dash: readonly number[]
  readonly width: number
  readonly marker: 'circle' | 'square' | 'triangle-up' | 'diamond'
}

export const STYLES = {
  result: { color: 'var(--ink)', dash: [], width: 3, marker: 'diamond' },
  first: { color: 'var(--first)', dash: [7, 4], width: 2, marker: 'circle' },
  second: { color: 'var(--second)', dash: [2, 3], width: 2.5, marker: 'square' },
  third: { color: 'var(--third)', dash: [9, 3, 2, 3], width: 2, marker: 'triangle-up' },
  plan: { color: 'var(--first)', dash: [], width: 3, marker: 'circle' },
} as const satisfies Readonly<Record<string, SeriesStyle>>

type LayeredSpec = Extract<TopLevelSpec, { layer: unknown }>
export type Layer = LayeredSpec['layer'][number]

export interface AxisOptions {
  readonly title: string
  readonly max: number
  readonly min?: number
  readonly ticks?: readonly number[] | undefined
  /** A Vega expression over `datum.value`. Never from outside text. */
  readonly label?: string
  /** `symlog` is logarithmic with room for 0. */
  readonly scale?: 'linear' | 'log' | 'symlog'
}

/** A chart of points (x, y) on given axes. What leaves them is cut off. */
export function chartOf(x: AxisOptions, y: AxisOptions, layer: readonly Layer[]): TopLevelSpec {
  return {
    encoding: { x: { field: 'x', ...axisOf(x) }, y: { field: 'y', ...axisOf(y) } },
    layer: [...layer],
    data: { values: [] },
  }
}

function axisOf({ title, max, min = 0, ticks, label, scale = 'linear' }: AxisOptions): object {
  const axis = {
    title,
    ...(ticks === undefined ? { tickCount: 5 } : { values: ticks }),
    ...(label === undefined ? {} : { labelExpr: label }),
  }
  // The library warns of `zero` on logarithmic scales.
  const kind = scale === 'log' ? { type: scale } : { ...(scale === 'linear' ? {} : { type: scale }), zero: false }
  return { type: 'quantitative', scale: { ...kind, domain: [min, max], nice: false }, axis }
}

export function line(points: readonly Point[], { color, dash, width }: SeriesStyle): Layer {
  const mark = { type: 'line', color, strokeDash: [...dash], strokeWidth: width, clip: true } as const
  return { data: { values: [...points] }, mark } as Layer
}

export function markers(
  points: readonly Point[],
  { color, marker }: SeriesStyle,
  kind: 'filled' | 'hollow' | 'large' = 'filled',
): Layer {
  const size = { filled: 40, hollow: 70, large: 130 }[kind]
  const mark = {
    type: 'point',
    shape: marker,
    size,
    opacity: 1,
    filled: true,
    fill: kind === 'hollow' ? 'var(--card)' : color,
    stroke: kind === 'large' ? 'var(--card)' : color,
    strokeWidth: kind === 'filled' ? 0 : 2,
    clip: kind === 'filled',
  }
  return { data: { values: [...points] }, mark } as Layer
}

/** From a point down to the x axis. */
export function dropLine({ x, y }: Point): Layer {
  const mark = { type: 'rule', color: 'var(--soft)', strokeWidth: 1, strokeDash: [3, 3] }
  return { data: { values: [{ x, y, end: 0 }] }, mark, encoding: { y2: { field: 'end' } } } as Layer
}

/** Of labels, pixels. */
export const LINE_HEIGHT = 16

export interface LabelOptions {
  readonly align?: 'left' | 'center' | 'right'
  readonly dx?: number
  readonly dy?: number
  readonly color?: string
}

/** Text on a halo of the background, readable over lines. */
export function label(
  at: Point,
  lines: readonly string[],
  { align = 'left', dx = 0, dy = 0, color = 'var(--ink)' }: LabelOptions = {},
): Layer {
  const text = {
    type: 'text',
    text: [...lines],
    align,
    dx,
    dy,
    baseline: 'middle',
    fontSize: 12,
    lineHeight: LINE_HEIGHT,
    clip: false,
  }
  const halo = { mark: { ...text, color: 'var(--card)', stroke: 'var(--card)', strokeWidth: 4, strokeJoin: 'round' } }
  return { data: { values: [{ ...at }] }, layer: [halo, { mark: { ...text, color, fontWeight: 600 } }] } as Layer
}
