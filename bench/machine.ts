/** Where the figures come from, and how fast the machine was just then. */
import { availableParallelism, cpus, loadavg, totalmem } from 'node:os'

export interface Machine {
  readonly cpu: string
  readonly cores: number
  readonly memoryGib: number
  readonly platform: string
  readonly node: string
  /** Runnable processes, mean over the last minute: above 0 before a run, others are at work too. */
  readonly load1Minute: number
}

export function describeMachine(): Machine {
  return {
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: availableParallelism(),
    memoryGib: Math.round(totalmem() / 2 ** 30),
    platform: `${process.platform} ${process.arch}`,
    node: process.version,
    load1Minute: Number((loadavg()[0] ?? 0).toFixed(2)),
  }
}

const STEPS = 20_000_000

/**
 * A fixed loop of integer and floating-point steps that depend on each other, in milliseconds. Held against the same
 * figure of another machine, or of this one at another time, it says how much of a difference is the machine's.
 */
export function calibrationMs(): number {
  const start = performance.now()
  let bits = 1
  let sum = 0
  for (let step = 0; step < STEPS; step++) {
    bits ^= bits << 13
    bits ^= bits >>> 17
    bits ^= bits << 5
    sum = sum * 0.999 + bits
  }
  if (!Number.isFinite(sum)) throw new Error('The calibration loop went wrong.')
  return performance.now() - start
}
