import type { EventSchedule } from './event-schedule.ts'
import { JobQueue } from './job-queue.ts'
import { TimeAverage } from './time-average.ts'

export interface PoolOptions {
  readonly schedule: EventSchedule
  /** The servers' event sources are firstSource, firstSource + 1, ... */
  readonly firstSource: number
  readonly servers: number
  /** Servers that take no job until `open` is called for them: the last ones. Default 0. */
  readonly closed?: number
}

const NO_JOB = -1

/**
 * HOT: servers with one first-come-first-served queue: a prefill pool. A job is a number; how long it takes is asked
 * when it starts, so that the caller keeps the columns. Servers can be closed (they finish what they do), opened again,
 * and lost (what they did is lost too). Budget: about 100 ns for an arrival and its completion.
 */
export class ServerPool {
  readonly inSystem = new TimeAverage()
  readonly busy = new TimeAverage()
  /** Servers that take jobs. */
  readonly open = new TimeAverage()
  /** Service that the queue will ask for, seconds; kept by the caller, who knows it. */
  queuedWorkSeconds = 0
  readonly #schedule: EventSchedule
  readonly #firstSource: number
  /** The job of each server, or none. */
  readonly #jobs: Int32Array
  readonly #isOpen: Uint8Array
  readonly #idle: Int32Array
  #idleCount = 0
  readonly #queue = new JobQueue()

  constructor({ schedule, firstSource, servers, closed = 0 }: PoolOptions) {
    this.#schedule = schedule
    this.#firstSource = firstSource
    this.#jobs = new Int32Array(servers).fill(NO_JOB)
    this.#isOpen = new Uint8Array(servers)
    this.#idle = new Int32Array(servers)
    for (let server = servers - closed - 1; server >= 0; server--) this.openServer(server, 0)
  }

  get waiting(): number {
    return this.#queue.count
  }

  get openServers(): number {
    return this.open.value
  }

  /** How long a job that arrives now waits for a server: exact for one server, the work before it over the servers for more. */
  waitSeconds(nowSeconds: number): number {
    if (this.#idleCount > 0) return 0
    let seconds = this.queuedWorkSeconds
    for (let server = 0; server < this.#jobs.length; server++) {
      const endsSeconds = this.#schedule.secondsOf(this.#firstSource + server)
      if (this.isServing(server) && endsSeconds !== Number.POSITIVE_INFINITY) seconds += endsSeconds - nowSeconds
    }
    return seconds / Math.max(1, this.openServers)
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
    const job = this.#release(server, nowSeconds)
    this.inSystem.add(-1, nowSeconds)
    return job
  }

  /** The job whose service ends with this source's event. */
  jobOf(source: number): number {
    return this.#jobs[source - this.#firstSource] ?? NO_JOB
  }

  /** The job is done but has nowhere to go: its server stays busy, with no event, until `finish`. */
  block(source: number): void {
    this.#schedule.set(source, Number.POSITIVE_INFINITY)
  }

  /** The job to start next, after one finished: the head of the queue, or -1. */
  nextWaiting(): number {
    return this.#queue.count > 0 && this.#idleCount > 0 ? this.#queue.shift() : NO_JOB
  }

  /** Takes the head of the queue out of the pool, to serve it elsewhere; -1 when nothing waits. */
  withdraw(nowSeconds: number): number {
    if (this.#queue.count === 0) return NO_JOB
    this.inSystem.add(-1, nowSeconds)
    return this.#queue.shift()
  }

  isServing(server: number): boolean {
    return (this.#jobs[server] ?? NO_JOB) !== NO_JOB
  }

  openServer(server: number, nowSeconds: number): void {
    if (this.#isOpen[server] === 1) return
    this.#isOpen[server] = 1
    this.open.add(1, nowSeconds)
    if (!this.isServing(server)) this.#addIdle(server)
  }

  /** Takes no further job; one that it has is finished. */
  closeServer(server: number, nowSeconds: number): void {
    if (this.#isOpen[server] === 0) return
    this.#isOpen[server] = 0
    this.open.add(-1, nowSeconds)
    if (this.isServing(server)) return
    const place = this.#idle.indexOf(server)
    this.#idle.copyWithin(place, place + 1, this.#idleCount)
    this.#idleCount -= 1
  }

  /** The server is gone: the job that it had leaves the pool unfinished (-1: it had none). */
  lose(server: number, nowSeconds: number): number {
    this.closeServer(server, nowSeconds)
    if (!this.isServing(server)) return NO_JOB
    const job = this.#release(server, nowSeconds)
    this.inSystem.add(-1, nowSeconds)
    return job
  }

  #release(server: number, nowSeconds: number): number {
    const job = this.#jobs[server] ?? NO_JOB
    this.#jobs[server] = NO_JOB
    if (this.#isOpen[server] === 1) this.#addIdle(server)
    // With a queue there is no other idle server, so the next job starts on this one and sets its event anew.
    if (this.#isOpen[server] === 0 || this.#queue.count === 0)
      this.#schedule.set(this.#firstSource + server, Number.POSITIVE_INFINITY)
    this.busy.add(-1, nowSeconds)
    return job
  }

  #addIdle(server: number): void {
    this.#idle[this.#idleCount] = server
    this.#idleCount += 1
  }
}
