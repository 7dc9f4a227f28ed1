import { assert } from '../core/errors.ts'
import type { EventSchedule } from './event-schedule.ts'
import { KeyHeap } from './key-heap.ts'
import { TimeAverage } from './time-average.ts'

export interface LinkOptions {
  readonly schedule: EventSchedule
  readonly source: number
  readonly bytesPerSecond: number
  /** One flow never gets more than this: a TCP connection, a NIC. Infinite by default. */
  readonly flowBytesPerSecondMax?: number | undefined
}

/**
 * HOT: a link that its flows share equally (processor sharing). Every flow gets the same rate, so one running total of
 * bytes served to each flow orders all completions: a flow ends when the total has grown by its size. Bandwidth may
 * change at any time; a rate of 0 stops everything and loses nothing.
 */
export class SharedLink {
  readonly flows = new TimeAverage()
  /** Bytes per second that the link carries, over time. */
  readonly carried = new TimeAverage()
  /** Bytes per second that it could carry, over time. */
  readonly capacity = new TimeAverage()
  /** 1 while any flow is there. */
  readonly busy = new TimeAverage()
  readonly #schedule: EventSchedule
  readonly #source: number
  readonly #flowMax: number
  /** Bytes per second of each flow since the last change; 0 without any. */
  #flowRate = 0
  #servedBytes = 0
  #servedAtSeconds = 0
  /** Of all flows so far, less what was broken off. */
  #startedBytes = 0
  readonly #finish = new KeyHeap()

  constructor({ schedule, source, bytesPerSecond, flowBytesPerSecondMax }: LinkOptions) {
    this.#schedule = schedule
    this.#source = source
    this.capacity.set(bytesPerSecond, 0)
    this.#flowMax = flowBytesPerSecondMax ?? Number.POSITIVE_INFINITY
  }

  get bytesPerSecond(): number {
    return this.capacity.value
  }

  /** Bytes in flight that are still to be carried. */
  backlogBytes(nowSeconds: number): number {
    return Math.max(0, this.#startedBytes - this.carried.area(nowSeconds))
  }

  start(job: number, bytes: number, nowSeconds: number): void {
    this.#startedBytes += bytes
    this.#serve(nowSeconds)
    if (this.#finish.count === 0) this.busy.add(1, nowSeconds)
    this.#finish.push(this.#servedBytes + bytes, job)
    this.flows.add(1, nowSeconds)
    this.#plan(nowSeconds)
  }

  /** The link's event fires: the flow that has all its bytes. */
  finish(nowSeconds: number): number {
    this.#serve(nowSeconds)
    // Rounding must not leave a flow a billionth of a byte short for ever.
    this.#servedBytes = Math.max(this.#servedBytes, this.#finish.minKey())
    const job = this.#finish.pop()
    this.#left(nowSeconds)
    return job
  }

  /** The jobs in flight, in no order. */
  jobsInFlight(): number[] {
    return this.#finish.values()
  }

  /** Breaks off a job's flow and gives the bytes that it still lacked; 0 when it has none. */
  breakOff(job: number, nowSeconds: number): number {
    this.#serve(nowSeconds)
    const key = this.#finish.remove(job)
    if (key === null) return 0
    const bytesLeft = Math.max(0, key - this.#servedBytes)
    this.#startedBytes -= bytesLeft
    this.#left(nowSeconds)
    return bytesLeft
  }

  #left(nowSeconds: number): void {
    this.flows.add(-1, nowSeconds)
    if (this.#finish.count === 0) {
      this.busy.add(-1, nowSeconds)
      // Starting from zero again keeps the totals small, and so exact.
      this.#servedBytes = 0
    }
    this.#plan(nowSeconds)
  }

  setBytesPerSecond(bytesPerSecond: number, nowSeconds: number): void {
    this.#serve(nowSeconds)
    this.capacity.set(bytesPerSecond, nowSeconds)
    this.#plan(nowSeconds)
  }

  #serve(nowSeconds: number): void {
    assert(nowSeconds >= this.#servedAtSeconds, 'time goes forward')
    this.#servedBytes += this.#flowRate * (nowSeconds - this.#servedAtSeconds)
    this.#servedAtSeconds = nowSeconds
  }

  #plan(nowSeconds: number): void {
    const flows = this.#finish.count
    const rate = flows === 0 ? 0 : Math.min(this.#flowMax, this.capacity.value / flows)
    this.#flowRate = rate
    const carried = rate * flows
    if (carried !== this.carried.value) this.carried.set(carried, nowSeconds)
    const leftBytes = Math.max(0, this.#finish.minKey() - this.#servedBytes)
    this.#schedule.set(this.#source, rate > 0 ? nowSeconds + leftBytes / rate : Number.POSITIVE_INFINITY)
  }
}
