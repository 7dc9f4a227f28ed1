import { type AxisOptions, type Layer, label, type Point, type SeriesStyle } from './report-layers.ts'

/** Layers that only charts of simulations need. */

/** From the bottom to the top of a chart. */
export function verticalLine(x: number, y: AxisOptions, style: SeriesStyle): Layer {
  return ruleOf({ x, y: y.min ?? 0, xEnd: x, yEnd: y.max }, style)
}

/** From the left to the right of a chart. */
export function horizontalLine(y: number, x: AxisOptions, style: SeriesStyle): Layer {
  return ruleOf({ x: x.min ?? 0, y, xEnd: x.max, yEnd: y }, style)
}

/** What is known of a value: from low to high. */
export function intervalBar(x: number, [low, high]: readonly [number, number], style: SeriesStyle): Layer {
  return ruleOf({ x, y: low, xEnd: x, yEnd: high }, { ...style, dash: [], width: 1.5 })
}

interface Rule {
  readonly x: number
  readonly y: number
  readonly xEnd: number
  readonly yEnd: number
}

function ruleOf(rule: Rule, { color, dash, width }: SeriesStyle): Layer {
  const mark = { type: 'rule', color, strokeDash: [...dash], strokeWidth: width, clip: true }
  return { data: { values: [rule] }, mark, encoding: { x2: { field: 'xEnd' }, y2: { field: 'yEnd' } } } as Layer
}

/** Everything between two values of x. */
export function shading([from, to]: readonly [number, number], y: AxisOptions, color: string): Layer {
  const mark = { type: 'rect', color, opacity: 0.1, clip: true }
  const area: Rule = { x: from, y: y.min ?? 0, xEnd: to, yEnd: y.max }
  return { data: { values: [area] }, mark, encoding: { x2: { field: 'xEnd' }, y2: { field: 'yEnd' } } } as Layer
}

/** Each value holds from the point before it up to its own. */
export function steps(points: readonly Point[], { color, dash, width }: SeriesStyle): Layer {
  const mark = {
    type: 'line',
    interpolate: 'step-before',
    color,
    strokeDash: [...dash],
    strokeWidth: width,
    clip: true,
  }
  return { data: { values: [...points] }, mark } as Layer
}

/** Dotted lines at times that something happened. */
export function timeMarks(atSeconds: readonly number[], y: AxisOptions): Layer[] {
  return atSeconds.map((x) => verticalLine(x, y, { color: 'var(--soft)', dash: [1, 3], width: 1.5, marker: 'circle' }))
}

/** Their numbers, at the top. */
export function timeNumbers(atSeconds: readonly number[], y: AxisOptions): Layer[] {
  if (atSeconds.length > NUMBERED_MAX) return []
  return atSeconds.map((x, k) => label({ x, y: y.max }, [String(k + 1)], { dx: 4, dy: 6, color: 'var(--soft)' }))
}

/** More numbers would cover each other and the curves. */
export const NUMBERED_MAX = 8
