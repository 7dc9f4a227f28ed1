import { routePrefill } from '../policy/route.ts'
import { MembraneError } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import { type Random, seededRandom } from '../core/random.ts'
import { type ArrivalKind, arrivalGaps } from './arrivals.ts'
import { EventSchedule } from './event-schedule.ts'
import { JobQueue } from './job-queue.ts'
import { sampleLength } from './lengths.ts'
import type { Scenario } from './scenario.ts'
import { DecodeInstance } from './sim-decode.ts'
import { JobTable } from './sim-jobs.ts'
import { SharedLink } from './sim-link.ts'
import { ServerPool } from './sim-pool.ts'
import { SimulationRecord } from './sim-record.ts'
import type { Roles } from './split.ts'

export interface SimulationOptions {
  readonly roles: Roles
  readonly thresholdTokens: number
  readonly rateRps: number
  /** How many requests arrive; the run ends when all of them are done. */
  readonly requests: number
  readonly seed: number
  /** Default poisson. */
  readonly arrivals?: ArrivalKind | undefined
}

/** The event sources: the arrival stream, the link, then one for each server and decode instance. */
const ARRIVALS = 0
const LINK = 1
const FIRST_SERVER = 2

/**
 * True discrete events: arrivals, threshold routing by policy/route, first-come-first-served prefill pools, a link that
 * its transfers share, continuous batching on the decode instances. A transfer starts when its prefill ends, as in the
 * case study. HOT: one object for a run; jobs are rows of columns, events are numbers. Budget: 1 us a request.
 */
export class Simulation {
  readonly record: SimulationRecord
  readonly schedule: EventSchedule
  readonly remote: ServerPool
  readonly local: ServerPool
  readonly link: SharedLink
  readonly instances: readonly DecodeInstance[]
  readonly #scenario: Scenario
  readonly #options: SimulationOptions
  readonly #random: Random
  readonly #gap: () => number
  readonly #jobs = new JobTable()
  readonly #outputTokens: number
  readonly #firstLocal: number
  readonly #firstDecode: number
  readonly #waitingForSlot = new JobQueue()
  readonly #contextTokensOf = (job: number): number => (this.#jobs.promptTokens[job] ?? 0) + this.#outputTokens
  #arrived = 0
  #nowSeconds = 0

  constructor(scenario: Scenario, options: SimulationOptions) {
    checkOptions(scenario, options)
    const { roles } = options
    this.#scenario = scenario
    this.#options = options
    this.#outputTokens = Math.max(1, Math.round(scenario.outputTokens))
    this.#firstLocal = FIRST_SERVER + roles.remotePrefill
    this.#firstDecode = this.#firstLocal + roles.localPrefill
    const schedule = new EventSchedule(this.#firstDecode + roles.decode)
    this.schedule = schedule
    this.remote = new ServerPool({ schedule, firstSource: FIRST_SERVER, servers: roles.remotePrefill })
    this.local = new ServerPool({ schedule, firstSource: this.#firstLocal, servers: roles.localPrefill })
    this.link = new SharedLink({ schedule, source: LINK, bytesPerSecond: scenario.link.bytesPerSecond })
    this.record = new SimulationRecord(options.requests)
    const decode = { ...scenario.decode, batchMax: scenario.decodeBatch.batch }
    const onFirstToken = (job: number, atSeconds: number): void => {
      this.#jobs.firstTokenSeconds[job] = atSeconds
    }
    this.instances = Array.from(
      { length: roles.decode },
      (_, k) => new DecodeInstance({ schedule, source: this.#firstDecode + k, decode, onFirstToken }),
    )
    this.#random = seededRandom(options.seed)
    // A stream of its own, so that changing the lengths does not move the arrivals.
    const arrivalRandom = seededRandom(options.seed + 0x5eed)
    this.#gap = arrivalGaps(
      { kind: options.arrivals ?? 'poisson', rateRps: options.rateRps, burstiness: scenario.burstiness },
      arrivalRandom,
    )
    schedule.set(ARRIVALS, this.#gap())
  }

  get nowSeconds(): number {
    return this.#nowSeconds
  }

  get inSystem(): number {
    return this.#jobs.count
  }

  get isDone(): boolean {
    return this.schedule.nextSource() < 0
  }

  /** Handles events until `steps` of them are done or none is left; a bound, so that a caller can show progress. */
  run(steps: number): void {
    for (let step = 0; step < steps; step++) {
      const source = this.schedule.nextSource()
      if (source < 0) return
      this.#nowSeconds = this.schedule.nextSeconds()
      if (source === ARRIVALS) this.#arrive()
      else if (source === LINK) this.#enterDecode(this.#finishTransfer())
      else if (source < this.#firstLocal) this.#finishRemote(source)
      else if (source < this.#firstDecode) this.#finishLocal(source)
      else this.#finishDecode(source)
    }
  }

  #arrive(): void {
    const now = this.#nowSeconds
    const job = this.#jobs.take()
    const promptTokens = sampleLength(this.#scenario.lengths, this.#random)
    const { prefill } = routePrefill({
      promptTokens,
      remoteCachedTokens: 0,
      localCachedTokens: 0,
      thresholdTokens: this.#options.thresholdTokens,
      regime: 'bandwidth-scarce',
    })
    this.#jobs.numbers[job] = this.#arrived
    this.#jobs.arrivalSeconds[job] = now
    this.#jobs.promptTokens[job] = promptTokens
    this.#jobs.isRemote[job] = prefill === 'remote' ? 1 : 0
    const pool = prefill === 'remote' ? this.remote : this.local
    if (pool.arrive(job, now)) this.#startPrefill(job)
    this.#arrived += 1
    this.schedule.set(ARRIVALS, this.#arrived < this.#options.requests ? now + this.#gap() : Number.POSITIVE_INFINITY)
    this.record.inSystem.add(1, now)
  }

  #startPrefill(job: number): void {
    const isRemote = this.#jobs.isRemote[job] === 1
    const { profile } = isRemote ? this.#scenario.remote : this.#scenario.local
    const serviceSeconds = profile.prefillSeconds.at(this.#jobs.promptTokens[job] ?? 0)
    const waitSeconds = this.#nowSeconds - (this.#jobs.arrivalSeconds[job] ?? 0)
    const stage = isRemote ? this.record.remotePrefill : this.record.localPrefill
    stage.started(waitSeconds, serviceSeconds)
    ;(isRemote ? this.remote : this.local).start(job, serviceSeconds, this.#nowSeconds)
  }

  #finishRemote(source: number): void {
    const now = this.#nowSeconds
    const job = this.remote.finish(source, now)
    const bytes = this.#scenario.remote.profile.kvBytes.at(this.#jobs.promptTokens[job] ?? 0)
    this.#jobs.transferStartSeconds[job] = now
    this.record.bytesSent += bytes
    this.link.start(job, bytes, now)
    const next = this.remote.nextWaiting()
    if (next >= 0) this.#startPrefill(next)
  }

  #finishLocal(source: number): void {
    const job = this.local.finish(source, this.#nowSeconds)
    const next = this.local.nextWaiting()
    if (next >= 0) this.#startPrefill(next)
    this.#enterDecode(job)
  }

  #finishTransfer(): number {
    const job = this.link.finish(this.#nowSeconds)
    this.record.transfer.started(0, this.#nowSeconds - (this.#jobs.transferStartSeconds[job] ?? 0))
    return job
  }

  /** The KV is complete where it is decoded: the end of the paper's TTFT. */
  #enterDecode(job: number): void {
    this.#jobs.kvReadySeconds[job] = this.#nowSeconds
    const instance = this.#leastLoaded()
    if (instance === null) this.#waitingForSlot.push(job)
    else this.#join(instance, job)
  }

  #leastLoaded(): DecodeInstance | null {
    let best: DecodeInstance | null = null
    for (const instance of this.instances)
      if (instance.hasRoom && (best === null || instance.batch < best.batch)) best = instance
    return best
  }

  #join(instance: DecodeInstance, job: number): void {
    this.record.decode.started(this.#nowSeconds - (this.#jobs.kvReadySeconds[job] ?? 0), 0)
    instance.join(
      job,
      { promptTokens: this.#jobs.promptTokens[job] ?? 0, outputTokens: this.#outputTokens },
      this.#nowSeconds,
    )
    this.#jobs.joinSeconds[job] = this.#nowSeconds
  }

  #finishDecode(source: number): void {
    const instance = this.instances[source - this.#firstDecode]
    if (instance === undefined) throw new Error(`Bug: no instance has the event source ${source}`)
    const now = this.#nowSeconds
    const job = instance.finish(now, this.#contextTokensOf)
    this.record.finished(this.#jobs, job, now, this.#outputTokens)
    this.record.inSystem.add(-1, now)
    this.#jobs.release(job)
    if (this.#waitingForSlot.count > 0) this.#join(instance, this.#waitingForSlot.shift())
  }
}

function checkOptions({ decodeBatch }: Scenario, { rateRps, requests, seed, roles }: SimulationOptions): void {
  const fail = (what: string): never => {
    throw new MembraneError('INVALID_REQUEST', what)
  }
  if (!(rateRps > 0) || !Number.isFinite(rateRps))
    fail(`The rate must be above 0 requests per second, found ${rateRps}.`)
  if (!Number.isInteger(requests) || requests < 1 || requests > LIMITS.simulatedRequestsMax) {
    fail(`The number of requests must be a whole number from 1 to ${LIMITS.simulatedRequestsMax}, found ${requests}.`)
  }
  if (!Number.isSafeInteger(seed) || seed < 0) fail(`The seed must be a whole number of at least 0, found ${seed}.`)
  if (roles.decode < 1 || decodeBatch.batch < 1)
    fail('A simulation needs a decode instance whose batch holds at least one sequence.')
}
