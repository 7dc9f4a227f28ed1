import type { EventSchedule } from './event-schedule.ts'
import { JobQueue } from './job-queue.ts'
import { TimeAverage } from './time-average.ts'

export interface PoolOptions {
  readonly schedule: EventSchedule
  /** The servers' event sources are firstSource, firstSource + 1, ... */
  readonly firstSource: number
  readonly servers: number
}

/**
 * HOT: servers with one first-come-first-served queue: a prefill pool. A job is a number; how long it takes is asked
 * when it starts, so that the caller keeps the columns. Budget: about 100 ns for an arrival and its completion.
 */
export class ServerPool {
  readonly inSystem = new TimeAverage()
  readonly busy = new TimeAverage()
  readonly #schedule: EventSchedule
  readonly #firstSource: number
  readonly #jobs: Int32Array
  readonly #idle: Int32Array
  #idleCount: number
  readonly #queue = new JobQueue()

  constructor({ schedule, firstSource, servers }: PoolOptions) {
    this.#schedule = schedule
    this.#firstSource = firstSource
    this.#jobs = new Int32Array(servers).fill(-1)
    this.#idle = Int32Array.from({ length: servers }, (_, k) => servers - 1 - k)
    this.#idleCount = servers
  }

  get waiting(): number {
    return this.#queue.count
  }

  /** A job arrives; true when it starts at once, and then `start` must be called for it. */
  arrive(job: number, nowSeconds: number): boolean {
    this.inSystem.add(1, nowSeconds)
    if (this.#idleCount > 0) return true
    this.#queue.push(job)
    return false
  }

  /** Puts a job on an idle server for `serviceSeconds`. */
  start(job: number, serviceSeconds: number, nowSeconds: number): void {
    this.#idleCount -= 1
    const server = this.#idle[this.#idleCount] ?? 0
    this.#jobs[server] = job
    this.busy.add(1, nowSeconds)
    this.#schedule.set(this.#firstSource + server, nowSeconds + serviceSeconds)
  }

  /** The event of a source fires: frees its server and gives the job that is done. */
  finish(source: number, nowSeconds: number): number {
    const server = source - this.#firstSource
    const job = this.#jobs[server] ?? -1
    this.#jobs[server] = -1
    this.#idle[this.#idleCount] = server
    this.#idleCount += 1
    this.#schedule.set(source, Number.POSITIVE_INFINITY)
    this.inSystem.add(-1, nowSeconds)
    this.busy.add(-1, nowSeconds)
    return job
  }

  /** The job to start next, after one finished: the head of the queue, or -1. */
  nextWaiting(): number {
    return this.#queue.count > 0 && this.#idleCount > 0 ? this.#queue.shift() : -1
  }
}
