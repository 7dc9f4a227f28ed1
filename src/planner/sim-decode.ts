import { assert } from '../core/errors.ts'
import type { DecodeProfile } from './decode.ts'
import type { EventSchedule } from './event-schedule.ts'
import { KeyHeap } from './key-heap.ts'
import { TimeAverage } from './time-average.ts'

export interface DecodeOptions {
  readonly schedule: EventSchedule
  readonly source: number
  readonly decode: DecodeProfile
  /** Where the time of a job's first token is written, by job; asked for anew each time, because the column grows. */
  readonly firstTokenSeconds: () => Float64Array
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
  readonly #schedule: EventSchedule
  readonly #source: number
  readonly #firstTokenSeconds: () => Float64Array
  readonly #batchMax: number
  readonly #kvTokensMax: number
  readonly #fixedSeconds: number
  readonly #perSequenceSeconds: number
  readonly #perContextTokenSeconds: number
  /** A step takes the same time whatever the batch. */
  readonly #isSteady: boolean
  /** Steps done, and when the last of them ended: the boundary from which everything is counted. */
  #steps = 0
  #boundarySeconds = 0
  #batch = 0
  #contextTokens = 0
  /** Tokens of context that the batch will hold when all its sequences are complete. */
  #reservedTokens = 0
  /** Jobs by the step after which they leave. */
  readonly #leave = new KeyHeap()
  /** Jobs that joined at the boundary and have no token yet. */
  readonly #fresh: Int32Array
  #freshCount = 0

  constructor({ schedule, source, decode, firstTokenSeconds }: DecodeOptions) {
    this.#schedule = schedule
    this.#source = source
    this.#firstTokenSeconds = firstTokenSeconds
    this.#batchMax = decode.batchMax
    this.#kvTokensMax = decode.kvTokensMax ?? Number.POSITIVE_INFINITY
    this.#fixedSeconds = decode.stepSeconds.fixed
    this.#perSequenceSeconds = decode.stepSeconds.perSequence
    this.#perContextTokenSeconds = decode.stepSeconds.perContextToken
    this.#isSteady = this.#perSequenceSeconds === 0 && this.#perContextTokenSeconds === 0
    this.#fresh = new Int32Array(decode.batchMax)
  }

  get batch(): number {
    return this.#batch
  }

  /** Whether a sequence that will hold `contextTokens` at its end can join. */
  hasRoom(contextTokens: number): boolean {
    return this.#batch < this.#batchMax && this.#reservedTokens + contextTokens <= this.#kvTokensMax
  }

  /** A sequence of `promptTokens` of context joins and leaves after `outputTokens` steps (at least 1). */
  join(job: number, promptTokens: number, outputTokens: number, nowSeconds: number): void {
    assert(this.hasRoom(promptTokens + outputTokens), 'a job joins a batch that has room')
    this.#advanceTo(nowSeconds)
    this.#batch += 1
    this.#contextTokens += promptTokens
    this.#reservedTokens += promptTokens + outputTokens
    this.active.add(1, nowSeconds)
    this.#leave.push(this.#steps + outputTokens, job)
    this.#fresh[this.#freshCount] = job
    this.#freshCount += 1
    // Where a step takes as long with one sequence more, who leaves next does so when it was going to.
    if (!this.#isSteady || this.#leave.minValue() === job) this.#plan()
  }

  /** The job whose last step ends at the instance's next event. */
  nextToLeave(): number {
    return this.#leave.minValue()
  }

  /** The instance's event fires: `nextToLeave` leaves and takes its context along. */
  finish(contextTokens: number, nowSeconds: number): void {
    this.#advance(this.#leave.minKey() - this.#steps)
    // The event's time is the boundary; equal but for rounding.
    this.#boundarySeconds = nowSeconds
    this.#drop(contextTokens, contextTokens, nowSeconds)
    this.#plan()
  }

  /** The instance is gone: `nextToLeave` breaks off; gives the tokens that it had. Its last step, if unfinished, counts as done. */
  breakOff(promptTokens: number, outputTokens: number, nowSeconds: number): number {
    this.#advanceTo(nowSeconds)
    const tokensDone = outputTokens - (this.#leave.minKey() - this.#steps)
    this.#drop(promptTokens + tokensDone, promptTokens + outputTokens, nowSeconds)
    this.#plan()
    return tokensDone
  }

  #drop(contextTokens: number, reservedTokens: number, nowSeconds: number): void {
    this.#leave.pop()
    this.#batch -= 1
    this.#contextTokens = this.#batch === 0 ? 0 : this.#contextTokens - contextTokens
    // Who joined at a boundary that never came gets no token here.
    if (this.#batch === 0) this.#freshCount = 0
    this.#reservedTokens -= reservedTokens
    this.active.add(-1, nowSeconds)
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
    const steps = this.#stepsWithin(elapsedSeconds)
    const stepsLeft = this.#leave.minKey() - this.#steps
    this.#advance(steps < stepsLeft ? steps : stepsLeft)
  }

  #advance(steps: number): void {
    if (steps <= 0) return
    if (this.#freshCount > 0) this.#writeFirstTokens()
    this.#boundarySeconds += this.#secondsOf(steps)
    this.#steps += steps
    this.#contextTokens += steps * this.#batch
  }

  #writeFirstTokens(): void {
    const column = this.#firstTokenSeconds()
    const atSeconds = this.#boundarySeconds + this.#secondsOf(1)
    for (let k = 0; k < this.#freshCount; k++) column[this.#fresh[k] ?? 0] = atSeconds
    this.#freshCount = 0
  }

  #secondsOf(steps: number): number {
    const batch = this.#batch
    const seconds = steps * (this.#fixedSeconds + this.#perSequenceSeconds * batch)
    if (this.#perContextTokenSeconds === 0) return seconds
    const tokensRead = steps * this.#contextTokens + (batch * steps * (steps - 1)) / 2
    return seconds + this.#perContextTokenSeconds * tokensRead
  }

  /** The fewest steps that take at least this long: the root of the quadratic, then the whole number beside it. */
  #stepsWithin(seconds: number): number {
    const bend = (this.#perContextTokenSeconds * this.#batch) / 2
    const flat = this.#fixedSeconds + this.#perSequenceSeconds * this.#batch
    const slope = flat + this.#perContextTokenSeconds * this.#contextTokens - bend
    const root = bend === 0 ? seconds / slope : (2 * seconds) / (slope + Math.sqrt(slope * slope + 4 * bend * seconds))
    const steps = Math.floor(root)
    const enough = seconds * (1 - 1e-12)
    if (steps > 0 && this.#secondsOf(steps - 1) >= enough) return steps - 1
    if (this.#secondsOf(steps) >= enough) return steps
    return this.#secondsOf(steps + 1) >= enough ? steps + 1 : steps + 2
  }

  #plan(): void {
    const steps = this.#leave.minKey() - this.#steps
    this.#schedule.set(
      this.#source,
      this.#batch === 0 ? Number.POSITIVE_INFINITY : this.#boundarySeconds + this.#secondsOf(steps),
    )
  }
}
