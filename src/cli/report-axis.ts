/** Where axes end and which numbers stand on them. */

const ROUND_STEPS = [1, 1.2, 1.5, 2, 2.5, 3, 3.5, 4, 5, 6, 7, 8, 10]

/** The next round number at or above a value above 0, for the end of an axis. */
export function roundUp(value: number): number {
  const unit = 10 ** Math.floor(Math.log10(value))
  return (ROUND_STEPS.find((step) => step * unit >= value * (1 - 1e-9)) ?? 10) * unit
}

const TICK_STEPS = [1, 2, 5, 10]

/** At most `count` + 1 round numbers within [from, to]. */
export function roundTicks(from: number, to: number, count: number): number[] {
  const unit = 10 ** Math.floor(Math.log10((to - from) / count))
  const step = (TICK_STEPS.find((size) => size * unit * count >= (to - from) * (1 - 1e-9)) ?? 10) * unit
  const first = Math.ceil(from / step - 1e-9)
  const last = Math.floor(to / step + 1e-9)
  return Array.from({ length: last - first + 1 }, (_, k) => Number(((first + k) * step).toPrecision(12)))
}
