/**
 * HOT: the scheduler of one engine replica, deciding as vLLM V1 does: an iteration has a budget of tokens; running
 * sequences come first, in the order in which they were admitted, with one token each or with the next piece of their
 * prompt; then waiting ones, first come first served, while slots, budget and KV blocks are left. A prompt is cut where
 * the budget ends. Budget: about 10 ns for each running sequence and iteration; nothing is allocated.
 */
import type { EngineJobs } from './engine-jobs.ts'
import { ENGINE_BLOCK_TOKENS, type EngineLimits } from './engine-options.ts'

/** What a replica computes in one iteration. */
export interface ReplicaStep {
  decodes: number
  /** Tokens of context that the decoding sequences read. */
  contextTokens: number
  prefillTokens: number
  /** Pairs of a prompt token and a token before it (or itself) that it attends to. */
  prefillPairs: number
  /** The requests that get a token at its end: the first `emitCount` rows. */
  readonly emits: Int32Array
  emitCount: number
}

export function emptyStep(limits: EngineLimits): ReplicaStep {
  const emits = new Int32Array(limits.sequencesMax)
  return { decodes: 0, contextTokens: 0, prefillTokens: 0, prefillPairs: 0, emits, emitCount: 0 }
}

export class EngineReplica {
  readonly #jobs: EngineJobs
  readonly #limits: EngineLimits
  /** First come first served: those from `#waitingHead` on. */
  readonly #waiting: number[] = []
  #waitingHead = 0
  /** Go before the waiting ones, the last first: those that lost their KV blocks. */
  readonly #preempted: number[] = []
  /** In order of admission. */
  readonly #running: Int32Array
  #runningCount = 0
  readonly #isKvBounded: boolean
  #blocksLeft: number

  constructor(jobs: EngineJobs, limits: EngineLimits) {
    this.#jobs = jobs
    this.#limits = limits
    this.#running = new Int32Array(limits.sequencesMax)
    this.#isKvBounded = limits.kvTokensMax !== null
    this.#blocksLeft = Math.floor((limits.kvTokensMax ?? 0) / ENGINE_BLOCK_TOKENS)
  }

  get waitingCount(): number {
    return this.#waiting.length - this.#waitingHead + this.#preempted.length
  }

  get runningCount(): number {
    return this.#runningCount
  }

  enqueue(job: number): void {
    this.#waiting.push(job)
  }

  /** Decides one iteration from all that is known now, and says how many tokens it computes. `complete` hands them out. */
  schedule(step: ReplicaStep): number {
    step.decodes = 0
    step.contextTokens = 0
    step.prefillTokens = 0
    step.prefillPairs = 0
    step.emitCount = 0
    const preemptedBefore = this.#preempted.length
    let budget = this.#limits.batchTokensMax
    for (let place = 0; place < this.#runningCount && budget > 0; place++) {
      const job = this.#running[place] ?? -1
      const tokens = Math.min(this.#jobs.pendingTokens(job), budget)
      if (tokens === 0 || !this.#makeRoom(job, tokens, place)) continue
      this.#compute(job, tokens, step)
      budget -= tokens
    }
    // An iteration that took blocks from somebody gives none to newcomers.
    if (this.#preempted.length === preemptedBefore) this.#admit(budget, step)
    return step.decodes + step.prefillTokens
  }

  #admit(budgetTokens: number, step: ReplicaStep): void {
    let budget = budgetTokens
    while (budget > 0 && this.#runningCount < this.#limits.sequencesMax && this.waitingCount > 0) {
      const job = this.#preempted.at(-1) ?? this.#waiting[this.#waitingHead] ?? -1
      const tokens = Math.min(this.#jobs.pendingTokens(job), budget)
      if (this.#blocksFor(job, tokens) > this.#blocksLeft) return
      if (this.#preempted.length > 0) this.#preempted.pop()
      else this.#waitingHead += 1
      this.#running[this.#runningCount] = job
      this.#runningCount += 1
      this.#compute(job, tokens, step)
      budget -= tokens
    }
  }

  /** Takes blocks from the youngest sequences until the job's fit; false when it lost its own. */
  #makeRoom(job: number, tokens: number, place: number): boolean {
    while (this.#blocksFor(job, tokens) > this.#blocksLeft) {
      let victim = this.#runningCount - 1
      // One whose last token is on its way frees its blocks by itself.
      while (victim > place && this.#jobs.pendingTokens(this.#running[victim] ?? -1) === 0) victim -= 1
      this.#preempt(victim)
      if (victim === place) return false
    }
    return true
  }

  #preempt(place: number): void {
    const job = this.#running[place] ?? -1
    this.#blocksLeft += blocksOf(this.#jobs.computedTokens(job))
    this.#jobs.forgetComputed(job)
    this.#running.copyWithin(place, place + 1, this.#runningCount)
    this.#runningCount -= 1
    this.#preempted.push(job)
  }

  #blocksFor(job: number, tokens: number): number {
    if (!this.#isKvBounded) return 0
    const computed = this.#jobs.computedTokens(job)
    return blocksOf(computed + tokens) - blocksOf(computed)
  }

  #compute(job: number, tokens: number, step: ReplicaStep): void {
    const jobs = this.#jobs
    const before = jobs.computedTokens(job)
    if (this.#isKvBounded) this.#blocksLeft -= blocksOf(before + tokens) - blocksOf(before)
    if (tokens === 1 && jobs.hasOutput(job)) {
      step.decodes += 1
      step.contextTokens += before + 1
    } else {
      step.prefillTokens += tokens
      step.prefillPairs += tokens * before + (tokens * (tokens + 1)) / 2
    }
    if (jobs.advance(job, tokens)) {
      step.emits[step.emitCount] = job
      step.emitCount += 1
    }
  }

  /** The iteration is over: its tokens are out, and finished sequences give their slots and blocks back. */
  complete(step: ReplicaStep, atSeconds: number): void {
    let isAnyFinished = false
    for (let index = 0; index < step.emitCount; index++) {
      if (this.#jobs.emit(step.emits[index] ?? -1, atSeconds)) isAnyFinished = true
    }
    if (!isAnyFinished) return
    let kept = 0
    for (let place = 0; place < this.#runningCount; place++) {
      const job = this.#running[place] ?? -1
      if (this.#jobs.isFinished(job)) this.#blocksLeft += blocksOf(this.#jobs.computedTokens(job))
      else {
        this.#running[kept] = job
        kept += 1
      }
    }
    this.#runningCount = kept
  }
}

function blocksOf(tokens: number): number {
  return Math.ceil(tokens / ENGINE_BLOCK_TOKENS)
}
