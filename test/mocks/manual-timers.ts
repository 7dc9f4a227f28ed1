import type { Alarm } from '../../src/core/ports.ts'

/** Timers that a test fires. Nothing waits for real time. */
export interface ManualTimers extends Alarm {
  /** Of every timer that was set, in order. */
  readonly setMs: readonly number[]
  /** How many are set and neither fired nor cancelled. */
  readonly pending: number
  /** Fires those of so many milliseconds; from now on such ones fire as soon as they are set. */
  fire(ms: number): void
}

/** Those for which `isAtOnce` holds fire by themselves. */
export function manualTimers(isAtOnce: (ms: number) => boolean = () => false): ManualTimers {
  const waiting = new Set<{ readonly ms: number; readonly call: () => void }>()
  const setMs: number[] = []
  const fired = new Set<number>()
  return {
    setMs,
    get pending() {
      return waiting.size
    },
    after: (seconds, call) => {
      const ms = Math.round(seconds * 1000)
      setMs.push(ms)
      const timer = { ms, call }
      waiting.add(timer)
      if (isAtOnce(ms) || fired.has(ms)) {
        setImmediate(() => {
          if (waiting.delete(timer)) call()
        })
      }
      return () => void waiting.delete(timer)
    },
    fire: (ms) => {
      fired.add(ms)
      for (const timer of Array.from(waiting).filter((one) => one.ms === ms)) {
        if (waiting.delete(timer)) timer.call()
      }
    },
  }
}
