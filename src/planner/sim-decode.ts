import { assert } from '../core/errors.ts'
import type { DecodeProfile } from './decode.ts'
import type { EventSchedule } from './event-schedule.ts'
import { KeyHeap } from './key-heap.ts'
import { TimeAverage } from './time-average.ts'

export interface DecodeOptions {
  readonly schedule: EventSchedule
  readonly source: number
  readonly decode: DecodeProfile
  /** A job's first token is out. Called before the job finishes, not necessarily at that time. */
  readonly onFirstToken: (job: number, atSeconds: number) => void
}

/**
 * HOT: one decode instance with continuous batching, exact to the iteration without stepping through it. All sequences
 * of a batch advance together, one token a step, so between two changes of the batch n steps take
 * n (fixed + perSequence b) + perContextToken (n K + b n (n - 1) / 2) seconds, with b sequences and K tokens of context
 * at the start. A job joins at the first step boundary at or after its arrival and leaves at the boundary that ends its
 * last step. Budget: about 200 ns for a job.
 */
export class DecodeInstance {
  readonly active = new TimeAverage()
  readonly #options: DecodeOptions
  /** Steps done, and when the last of them ended: the boundary from which everything is counted. */
  #steps = 0
  #boundarySeconds = 0
  #batch = 0
  #contextTokens = 0
  /** Jobs by the step after which they leave. */
  readonly #leave = new KeyHeap()
  /** Jobs that joined at the boundary and have no token yet. */
  readonly #fresh: number[] = []

  constructor(options: DecodeOptions) {
    this.#options = options
  }

  get batch(): number {
    return this.#batch
  }

  get hasRoom(): boolean {
    return this.#batch < this.#options.decode.batchMax
  }

  /** A sequence of `promptTokens` of context joins and leaves after `outputTokens` steps (at least 1). */
  join(job: number, load: { readonly promptTokens: number; readonly outputTokens: number }, nowSeconds: number): void {
    assert(this.hasRoom, 'a job joins a batch that has room')
    this.#advanceTo(nowSeconds)
    this.#batch += 1
    this.#contextTokens += load.promptTokens
    this.active.add(1, nowSeconds)
    this.#leave.push(this.#steps + load.outputTokens, job)
    this.#fresh.push(job)
    this.#plan()
  }

  /** The instance's event fires: the job that leaves, and the context that it takes along. */
  finish(nowSeconds: number, contextTokensOf: (job: number) => number): number {
    this.#advance(this.#leave.minKey() - this.#steps)
    // The event's time is the boundary; equal but for rounding.
    this.#boundarySeconds = nowSeconds
    const job = this.#leave.pop()
    this.#batch -= 1
    this.#contextTokens = this.#batch === 0 ? 0 : this.#contextTokens - contextTokensOf(job)
    this.active.add(-1, nowSeconds)
    this.#plan()
    return job
  }

  /** Moves on to the first boundary at or after a time. An idle instance starts a step whenever it is asked to. */
  #advanceTo(nowSeconds: number): void {
    if (this.#batch === 0) {
      this.#boundarySeconds = nowSeconds
      return
    }
    const elapsedSeconds = nowSeconds - this.#boundarySeconds
    if (elapsedSeconds <= 0) return
    // No sequence leaves before `now`: its event would have fired.
    this.#advance(Math.min(this.#stepsWithin(elapsedSeconds), this.#leave.minKey() - this.#steps))
  }

  #advance(steps: number): void {
    if (steps <= 0) return
    const firstTokenSeconds = this.#boundarySeconds + this.#secondsOf(1)
    for (const job of this.#fresh) this.#options.onFirstToken(job, firstTokenSeconds)
    this.#fresh.length = 0
    this.#boundarySeconds += this.#secondsOf(steps)
    this.#steps += steps
    this.#contextTokens += steps * this.#batch
  }

  #secondsOf(steps: number): number {
    const { fixed, perSequence, perContextToken } = this.#options.decode.stepSeconds
    const tokensRead = steps * this.#contextTokens + (this.#batch * steps * (steps - 1)) / 2
    return steps * (fixed + perSequence * this.#batch) + perContextToken * tokensRead
  }

  /** The fewest steps that take at least this long: the root of the quadratic, then the whole number beside it. */
  #stepsWithin(seconds: number): number {
    const { fixed, perSequence, perContextToken } = this.#options.decode.stepSeconds
    const bend = (perContextToken * this.#batch) / 2
    const slope = fixed + perSequence * this.#batch + perContextToken * this.#contextTokens - bend
    const root = bend === 0 ? seconds / slope : (2 * seconds) / (slope + Math.sqrt(slope * slope + 4 * bend * seconds))
    let steps = Math.max(0, Math.floor(root) - 1)
    while (this.#secondsOf(steps) < seconds * (1 - 1e-12)) steps += 1
    return steps
  }

  #plan(): void {
    const { schedule, source } = this.#options
    const steps = this.#leave.minKey() - this.#steps
    schedule.set(source, this.#batch === 0 ? Number.POSITIVE_INFINITY : this.#boundarySeconds + this.#secondsOf(steps))
  }
}
