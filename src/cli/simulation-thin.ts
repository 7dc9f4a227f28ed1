import type { SimulationSeries } from '../planner/sim-series.ts'
import type { Point } from './report-layers.ts'

/** Long series drawn with few points: no screen shows more, and a page would be large. */

/** One quantity of a series over time. */
export interface Column {
  readonly endSeconds: readonly number[]
  readonly values: readonly (number | null)[]
  /** `mean` of its time, weighted; `most` of it, so that no peak gets lost; `last` of it. */
  readonly kind: 'mean' | 'most' | 'last'
  /** What a second of an interval counts in a mean; 1 by default. */
  readonly weights?: readonly number[]
}

/** Consecutive intervals of a series as one. */
export interface Stretch {
  readonly startSeconds: number
  readonly endSeconds: number
  /** Null when nothing was observed. */
  readonly value: number | null
}

/** At most `count` stretches of as many intervals each; the last may have fewer. */
export function stretchesOf(column: Column, count: number): Stretch[] {
  const { endSeconds } = column
  const stride = Math.max(1, Math.ceil(endSeconds.length / count))
  return Array.from({ length: Math.ceil(endSeconds.length / stride) }, (_, k) => {
    const from = k * stride
    const to = Math.min(endSeconds.length, from + stride)
    return {
      startSeconds: endSeconds[from - 1] ?? 0,
      endSeconds: endSeconds[to - 1] ?? 0,
      value: valueOf(column, from, to),
    }
  })
}

/** At most `count` points. Means stand at the middle of their time, the others at its end. */
export function thinColumn(column: Column, count: number): Point[] {
  return stretchesOf(column, count).flatMap(({ startSeconds, endSeconds, value }) => {
    if (value === null) return []
    return [{ x: column.kind === 'mean' ? (startSeconds + endSeconds) / 2 : endSeconds, y: value }]
  })
}

function valueOf({ endSeconds, values, kind, weights }: Column, from: number, to: number): number | null {
  let [sum, total] = [0, 0]
  let most: number | null = null
  for (let k = from; k < to; k++) {
    const value = values[k] ?? null
    if (value === null) continue
    const weight = ((endSeconds[k] ?? 0) - (endSeconds[k - 1] ?? 0)) * (weights === undefined ? 1 : (weights[k] ?? 0))
    sum += weight * value
    total += weight
    most = most === null ? value : Math.max(most, value)
  }
  if (kind === 'most') return most
  if (kind === 'last') return values[to - 1] ?? null
  return total > 0 ? sum / total : null
}

/** Of a cumulative distribution: points that a screen of `count` steps a side tells apart, the last among them. */
export function thinDistribution(
  points: readonly { readonly value: number; readonly share: number }[],
  { count, min, max }: { readonly count: number; readonly min: number; readonly max: number },
): Point[] {
  const octaves = Math.log(max / min)
  const kept: Point[] = []
  points.forEach(({ value, share }, k) => {
    const last = kept.at(-1)
    const isFar =
      last === undefined ||
      Math.abs(Math.log(value / last.x)) * count >= octaves ||
      (share - last.y / 100) * count >= 1 ||
      k === points.length - 1
    if (isFar && value > 0) kept.push({ x: value, y: share * 100 })
  })
  return kept
}

/** The time that a series ends at. */
export function endOf({ endSeconds }: SimulationSeries): number {
  return endSeconds.at(-1) ?? 0
}
