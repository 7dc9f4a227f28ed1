/**
 * HOT: replicas whose iterations begin and end together (one replica alone, or several in lockstep), and the iterations
 * in flight. With asynchronous scheduling the next iteration is decided when the running one begins, so what arrives
 * meanwhile waits for one iteration more, and a slot that is given back stays empty for one.
 */
import { assert } from '../core/errors.ts'
import type { EngineJobs } from './engine-jobs.ts'
import type { EngineOptions } from './engine-options.ts'
import { EngineReplica, emptyStep, type ReplicaStep } from './engine-replica.ts'
import { STEP_TERMS, termsOf } from './engine-step.ts'

export interface EngineGroupOptions {
  readonly jobs: EngineJobs
  readonly options: EngineOptions
  /** Coefficients in the order of STEP_TERMS. */
  readonly weights: Float64Array
  readonly replicas: number
}

/** ASSUMPTION: replica-choice. A waiting request counts as much as four running ones, as in vLLM's own balancer. */
const WAITING_WEIGHT = 4

export class EngineGroup {
  readonly #jobs: EngineJobs
  readonly #options: EngineOptions
  readonly #weights: Float64Array
  readonly #replicas: readonly EngineReplica[]
  /** Iterations decided and not over, the running one first; each has a step for every replica. */
  readonly #inFlight: (readonly ReplicaStep[])[] = []
  /** Those that are over, to be used again. */
  readonly #spare: (readonly ReplicaStep[])[] = []
  /** When the running iteration ends; while idle, when the first request came that nobody has looked at. */
  #nextSeconds = Number.POSITIVE_INFINITY
  readonly #terms = new Float64Array(STEP_TERMS.length)
  #iterations = 0

  constructor({ jobs, options, weights, replicas }: EngineGroupOptions) {
    this.#jobs = jobs
    this.#options = options
    this.#weights = weights
    this.#replicas = Array.from({ length: replicas }, () => new EngineReplica(jobs, options))
  }

  /** Iterations begun so far. */
  get iterations(): number {
    return this.#iterations
  }

  /** How much the replica with the least to do has to do. */
  leastLoad(): number {
    return loadOf(this.#leastLoaded())
  }

  arrive(job: number, atSeconds: number): void {
    this.#leastLoaded().enqueue(job)
    this.#nextSeconds = Math.min(this.#nextSeconds, this.#inFlight.length === 0 ? atSeconds : Number.POSITIVE_INFINITY)
  }

  /** Moves through all boundaries before a time. One at that very time is left, so that who arrives then is seen there. */
  runBefore(atSeconds: number): void {
    while (this.#nextSeconds < atSeconds && !this.#jobs.isOver) this.#passBoundary(this.#nextSeconds)
  }

  #passBoundary(nowSeconds: number): void {
    const over = this.#inFlight.shift()
    if (over !== undefined) {
      for (const [index, replica] of this.#replicas.entries()) {
        const step = over[index]
        if (step !== undefined) replica.complete(step, nowSeconds)
      }
      this.#spare.push(over)
    }
    this.#decide()
    const [running] = this.#inFlight
    this.#nextSeconds = running === undefined ? Number.POSITIVE_INFINITY : nowSeconds + this.#secondsOf(running)
    if (running !== undefined) this.#iterations += 1
  }

  #decide(): void {
    while (this.#inFlight.length < this.#options.stepsInFlight) {
      const steps = this.#spare.pop() ?? this.#replicas.map(() => emptyStep(this.#options))
      let tokens = 0
      for (const [index, replica] of this.#replicas.entries()) {
        const step = steps[index]
        if (step !== undefined) tokens += replica.schedule(step)
      }
      if (tokens === 0) {
        this.#spare.push(steps)
        return
      }
      this.#inFlight.push(steps)
    }
  }

  /** The slowest replica's seconds. */
  #secondsOf(steps: readonly ReplicaStep[]): number {
    let slowestSeconds = 0
    for (const step of steps) {
      termsOf(step, this.#terms)
      let seconds = 0
      for (let term = 0; term < this.#terms.length; term++) {
        seconds += (this.#terms[term] ?? 0) * (this.#weights[term] ?? 0)
      }
      slowestSeconds = Math.max(slowestSeconds, seconds)
    }
    return slowestSeconds
  }

  #leastLoaded(): EngineReplica {
    let least = this.#replicas[0]
    for (const replica of this.#replicas) if (least === undefined || loadOf(replica) < loadOf(least)) least = replica
    assert(least !== undefined, 'a group has a replica')
    return least
  }
}

function loadOf({ waitingCount, runningCount }: EngineReplica): number {
  return WAITING_WEIGHT * waitingCount + runningCount
}
