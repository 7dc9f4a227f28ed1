/** Time that passes only when it is told to. */
import type { Alarm, Clock } from '../../src/core/ports.ts'

interface Waiting {
  readonly dueMs: number
  readonly call: () => void
}

export class VirtualTimers implements Clock, Alarm {
  #nowMs = Date.UTC(2026, 0, 1)
  readonly #waiting = new Set<Waiting>()

  nowMs(): number {
    return this.#nowMs
  }

  after(seconds: number, call: () => void): () => void {
    const waiting = { dueMs: this.#nowMs + Math.round(seconds * 1000), call }
    this.#waiting.add(waiting)
    return () => {
      this.#waiting.delete(waiting)
    }
  }

  /** Timers of a machine that is off do not ring. */
  forgetAll(): void {
    this.#waiting.clear()
  }

  /** Each timer rings at its time, and what it starts has ended before the next one. Time stops when `isOver` says so. */
  async advance(ms: number, isOver: () => boolean): Promise<void> {
    const endMs = this.#nowMs + ms
    for (;;) {
      const next = [...this.#waiting].sort((a, b) => a.dueMs - b.dueMs)[0]
      if (next === undefined || next.dueMs > endMs) break
      this.#waiting.delete(next)
      this.#nowMs = Math.max(this.#nowMs, next.dueMs)
      next.call()
      await settle()
      if (isOver()) return
    }
    this.#nowMs = endMs
  }
}

/** Lets all that waits for no timer go on. Everything in these tests takes a few turns at most. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 4; turn++) await new Promise(setImmediate)
}
