import { roundTicks, roundUp } from './report-axis.ts'
import type { AxisOptions } from './report-layers.ts'

/** Axes of simulated quantities: time in readable units, and scales that show small beside large. */

/** A Vega expression: a number as short as it can be. */
const SHORT_LABEL = "format(datum.value, ',~r')"

const TIME_UNITS = [
  { seconds: 1, name: 's', upTo: 300 },
  { seconds: 60, name: 'min', upTo: 4 * 3600 },
  { seconds: 3600, name: 'h', upTo: 4 * 86_400 },
  { seconds: 86_400, name: 'd', upTo: Number.POSITIVE_INFINITY },
] as const

function timeUnit(seconds: number): { readonly seconds: number; readonly name: string } {
  return TIME_UNITS.find(({ upTo }) => seconds <= upTo) ?? TIME_UNITS[0]
}

/** From 0, each tick with its unit. */
export function timeAxis(endSeconds: number, ticks: number): AxisOptions {
  const unit = timeUnit(endSeconds)
  const values = roundTicks(0, endSeconds / unit.seconds, ticks).map((value) => value * unit.seconds)
  const label = `datum.value === 0 ? '0' : format(datum.value / ${unit.seconds}, '~g') + ' ${unit.name}'`
  return { title: '', max: endSeconds, ticks: values, label }
}

/** A time on an axis that ends at `endSeconds`, in the unit of that axis. */
export function timeText(seconds: number, endSeconds: number): string {
  const unit = timeUnit(endSeconds)
  return `${Number((seconds / unit.seconds).toPrecision(3))} ${unit.name}`
}

/** From 0 to a round number above all values. */
export function linearAxis(title: string, values: readonly number[], ticks = 4): AxisOptions {
  const most = Math.max(...values, 0)
  const max = most > 0 ? roundUp(most * 1.02) : 1
  return { title, max, ticks: roundTicks(0, max, ticks), label: SHORT_LABEL }
}

/** Over values above 0, of which there must be one. */
export function logAxis(title: string, values: readonly number[], ticks: number): AxisOptions {
  const min = Math.min(...values) / 1.1
  const max = Math.max(...values) * 1.1
  return { title, min, max, ticks: logTicks(min, max, ticks), label: SHORT_LABEL, scale: 'log' }
}

/** Counts from 0 to thousands: about linear up to one, logarithmic from there. */
export function countAxis(title: string, values: readonly number[]): AxisOptions {
  const max = roundUp(Math.max(...values, 1) * 1.02)
  // 1 would touch 0.
  const decades = Array.from({ length: Math.floor(Math.log10(max)) }, (_, k) => 10 ** (k + 1))
  return { title, max, ticks: [0, ...decades], label: SHORT_LABEL, scale: 'symlog' }
}

const CUTS = [[1, 2, 5], [1, 3], [1]] as const

/** At most about `count` round numbers within [from, to], evenly spread over a logarithmic axis. */
export function logTicks(from: number, to: number, count: number): number[] {
  const first = Math.floor(Math.log10(from))
  const decades = Array.from({ length: Math.ceil(Math.log10(to)) - first + 1 }, (_, k) => first + k)
  const within = (cuts: readonly number[], stride: number): number[] =>
    decades
      .filter((decade) => decade % stride === 0)
      .flatMap((decade) => cuts.map((cut) => Number((cut * 10 ** decade).toPrecision(6))))
      .filter((value) => value >= from * (1 - 1e-9) && value <= to * (1 + 1e-9))
  const choices = [...CUTS.map((cuts) => within(cuts, 1)), within([1], 2), within([1], 3)]
  const isNarrow = (choices[0]?.length ?? 0) < 2
  return isNarrow
    ? roundTicks(from, to, count)
    : (choices.find(({ length }) => length <= count) ?? choices.at(-1) ?? [])
}
