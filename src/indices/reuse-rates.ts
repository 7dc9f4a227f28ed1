/**
 * At which rate things of a group come again, by their age since the last use: uses that came, divided by the time for
 * which things were of that age. What is still waiting counts with the time it has waited, so what never comes back is
 * not forgotten (a survival curve with piecewise constant hazard).
 */
import { assert } from '../core/errors.ts'

/** Ages begin here: 0, 1 s, then two an octave up to 24 h; the last has no end. */
export const AGE_STARTS_MS: readonly number[] = [
  0,
  ...Array.from({ length: 33 }, (_, step) => 1000 * 2 ** (step / 2)),
  24 * 3_600_000,
]

/**
 * A group that has seen so many uses at an age counts as much as the wider group that it belongs to.
 * Assumed: any number from 1 to 20 gave the same Brier score to within 1 % on synthetic sessions.
 */
const PRIOR_USES = 4

export class ReuseRates {
  /** Of each group and age: uses that came, and milliseconds that were waited, by what waits no more. */
  readonly #uses: Float64Array
  readonly #waitedMs: Float64Array
  /** What waits: how many, and the sum of the times when they began to. */
  readonly #waiting: Float64Array
  readonly #beganMs: Float64Array

  constructor(groups: number) {
    const cells = groups * AGE_STARTS_MS.length
    this.#uses = new Float64Array(cells)
    this.#waitedMs = new Float64Array(cells)
    this.#waiting = new Float64Array(cells)
    this.#beganMs = new Float64Array(cells)
  }

  begin(group: number, age: number, atMs: number): void {
    const cell = cellOf(group, age)
    this.#waiting[cell] = (this.#waiting[cell] ?? 0) + 1
    this.#beganMs[cell] = (this.#beganMs[cell] ?? 0) + atMs
  }

  /** One stops waiting that began at `beganMs`: it was used, is of another age or group now, or is gone. */
  end(group: number, age: number, beganMs: number, atMs: number): void {
    const cell = cellOf(group, age)
    const waiting = this.#waiting[cell] ?? 0
    assert(waiting > 0, 'what ends has begun')
    this.#waiting[cell] = waiting - 1
    this.#beganMs[cell] = waiting === 1 ? 0 : (this.#beganMs[cell] ?? 0) - beganMs
    this.#waitedMs[cell] = (this.#waitedMs[cell] ?? 0) + atMs - beganMs
  }

  use(group: number, age: number): void {
    const cell = cellOf(group, age)
    this.#uses[cell] = (this.#uses[cell] ?? 0) + 1
  }

  /** Uses per millisecond of waiting; `groups` from the narrowest to the widest. */
  rate(groups: readonly number[], age: number, atMs: number): number {
    let rate = 0
    for (const group of groups.toReversed()) {
      const cell = cellOf(group, age)
      const waitedMs =
        (this.#waitedMs[cell] ?? 0) + Math.max(0, (this.#waiting[cell] ?? 0) * atMs - (this.#beganMs[cell] ?? 0))
      const uses = this.#uses[cell] ?? 0
      if (rate === 0) rate = uses === 0 ? 0 : uses / Math.max(1, waitedMs)
      else rate = (uses + PRIOR_USES) / (waitedMs + PRIOR_USES / rate)
    }
    return rate
  }

  /** Makes the past count so much, 0 to 1. */
  fade(ratio: number): void {
    for (const past of [this.#uses, this.#waitedMs])
      for (const [cell, value] of past.entries()) past[cell] = value * ratio
  }
}

export function ageEndMs(age: number): number {
  return AGE_STARTS_MS[age + 1] ?? Number.POSITIVE_INFINITY
}

function cellOf(group: number, age: number): number {
  return group * AGE_STARTS_MS.length + age
}
