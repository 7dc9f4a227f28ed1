/** How busy this process is, as it was observed: no guess, no configured number. */
import { totalmem } from 'node:os'
import { type EventLoopUtilization, performance } from 'node:perf_hooks'

/** A shorter look says more about who looks. */
const WINDOW_MS_MIN = 250

/** Load and memory of the process. */
export interface ProcessLoad {
  /** Share of the time, 0 to 1, in which the event loop had work, since it was last asked, or since the start. */
  readonly eventLoopRatio: number
  /** Resident bytes of the process: payloads, contexts of the engine, code. */
  readonly memoryBytes: number
  /** What the process may take: its control group's bound, or the machine's memory. */
  readonly memoryBytesMax: number
}

/** Observes between one call and the next. */
export class NodeLoad {
  #since: EventLoopUtilization = performance.eventLoopUtilization()
  #sinceMs = performance.now()
  #ratio: number | null = null

  load(): ProcessLoad {
    const nowMs = performance.now()
    if (this.#ratio === null || nowMs - this.#sinceMs >= WINDOW_MS_MIN) {
      const now = performance.eventLoopUtilization()
      this.#ratio = Math.min(1, Math.max(0, performance.eventLoopUtilization(now, this.#since).utilization))
      this.#since = now
      this.#sinceMs = nowMs
    }
    const constrained = process.constrainedMemory()
    const total = totalmem()
    return {
      eventLoopRatio: this.#ratio,
      memoryBytes: process.memoryUsage.rss(),
      // Without a bound, systems say 0 or a number beyond any memory.
      memoryBytesMax: constrained > 0 ? Math.min(constrained, total) : total,
    }
  }
}
