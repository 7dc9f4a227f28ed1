import { assert, MembraneError } from '../core/errors.ts'
import { bytesPerSecondFromGbps } from '../core/units.ts'
import { EventSchedule } from './event-schedule.ts'
import { JobQueue } from './job-queue.ts'
import { meanTokens } from './lengths.ts'
import type { Scenario } from './scenario.ts'
import { DecodeInstance } from './sim-decode.ts'
import { Handoff } from './sim-handoff.ts'
import { JobTable } from './sim-jobs.ts'
import type { SharedLink } from './sim-link.ts'
import { LocalInstances } from './sim-local.ts'
import { Losses } from './sim-losses.ts'
import { DEFAULT_TRANSFER, type PoolName, queueBound, type SimulationOptions } from './sim-options.ts'
import { ServerPool } from './sim-pool.ts'
import { SimulationRecord } from './sim-record.ts'
import type { Staging } from './sim-staging.ts'
import type { Traffic } from './sim-traffic.ts'

/** What steers a run: routes requests, and is asked at its own times. */
export interface Control {
  /** Decides for a request that has arrived, or whose work was lost: writes its side, service and transfer into its row and calls `enterPrefill` or `copyPrefix`. */
  route(simulation: Simulation, job: number): void
  /** The KV of a prompt is complete in a cluster. */
  prefilled(simulation: Simulation, job: number, isRemote: boolean): void
  /** A prefix has been copied to the cluster that will prefill. */
  copied(simulation: Simulation, job: number): void
  /** The whole remote cluster is gone. */
  remoteLost(simulation: Simulation): void
  /** A request leaves. */
  finished(simulation: Simulation, job: number): void
  /** Whether something is still to come that may let waiting requests go on. */
  isExpecting(simulation: Simulation): boolean
  /** When it next wants to be asked, seconds; infinite for never. Before `quietUntilSeconds` nothing else happens. */
  nextSeconds(quietUntilSeconds: number): number
  /** Its time has come. */
  tick(simulation: Simulation): void
}

/** The event sources: first the streams, then one for each server and decode instance. */
const ARRIVALS = 0
const LINK = 1
const COPY = 2
const DELIVERY = 3
const CONTROL = 4
const FIRST_SERVER = 5

/** What decode reads of a prompt over what is left to prefill: more than 1 where lengths are uncached ones. */
export function contextFactor({ promptTokensMean, lengths }: Scenario, { workload }: SimulationOptions): number {
  return workload === undefined ? promptTokensMean / meanTokens(lengths) : 1
}

/**
 * True discrete events: arrivals, routing, first-come-first-served prefill pools, a link that its transfers share,
 * room for KV that waits, continuous batching. HOT: one object for a run; jobs are rows of columns, events are numbers.
 * Budget: 1 us a request.
 *
 *   arrival -> [prefix copy] -> remote prefill -> [staging] -> transfer -> [round trip] -+-> slot -> decode -> done
 *                            -> local prefill  -> [staging] -----------------------------+
 */
export class Simulation {
  readonly record: SimulationRecord
  readonly schedule: EventSchedule
  readonly jobs = new JobTable()
  readonly scenario: Scenario
  readonly options: SimulationOptions
  readonly traffic: Traffic
  readonly remote: ServerPool
  /** One server for each local instance; those that decode are closed. */
  readonly local: ServerPool
  readonly locals: LocalInstances
  readonly link: SharedLink
  /** The other direction of the link: prefixes that are copied to the remote cluster. */
  readonly reverseLink: SharedLink
  readonly waitingForSlot = new JobQueue()
  readonly staging: Staging
  readonly #handoff: Handoff
  readonly #losses: Losses
  readonly #control: Control
  readonly #contextFactor: number
  readonly #firstLocal: number
  readonly #firstDecode: number
  #arrived = 0
  #nowSeconds = 0

  constructor(scenario: Scenario, options: SimulationOptions, traffic: Traffic, control: Control) {
    const { roles } = options
    this.scenario = scenario
    this.options = options
    this.traffic = traffic
    this.#control = control
    this.#contextFactor = contextFactor(scenario, options)
    const localCount = roles.localPrefill + roles.decode
    this.#firstLocal = FIRST_SERVER + roles.remotePrefill
    this.#firstDecode = this.#firstLocal + localCount
    const schedule = new EventSchedule(this.#firstDecode + localCount)
    this.schedule = schedule
    this.record = new SimulationRecord(traffic.requests, queueBound(options, scenario.decodeBatch.batch))
    this.remote = new ServerPool({ schedule, firstSource: FIRST_SERVER, servers: roles.remotePrefill })
    this.local = new ServerPool({
      schedule,
      firstSource: this.#firstLocal,
      servers: localCount,
      closed: roles.decode,
    })
    this.#handoff = new Handoff(
      {
        schedule,
        sources: { link: LINK, copy: COPY, delivery: DELIVERY },
        jobs: this.jobs,
        record: this.record,
        transfer: options.transfer ?? DEFAULT_TRANSFER,
        bytesPerSecond: scenario.link.bytesPerSecond,
        stagingBytesMax: options.stagingBytesMax ?? Number.POSITIVE_INFINITY,
      },
      {
        kvBytes: (job) => scenario.remote.profile.kvBytes.at(this.#contextTokens(job)),
        jobOf: (source) => this.local.jobOf(source),
        kvReady: (job) => this.#kvReady(job),
        prefixArrived: (job) => this.#prefixArrived(job),
        releaseLocal: (source) => this.#unblockLocal(source),
        reroute: (job) => control.route(this, job),
      },
    )
    this.link = this.#handoff.link
    this.reverseLink = this.#handoff.reverseLink
    this.staging = this.#handoff.staging
    const decode = { ...scenario.decode, batchMax: scenario.decodeBatch.batch }
    const firstTokenSeconds = (): Float64Array => this.jobs.firstTokenSeconds
    this.locals = new LocalInstances({
      schedule,
      firstServerSource: this.#firstLocal,
      pool: this.local,
      decoders: Array.from(
        { length: localCount },
        (_, k) => new DecodeInstance({ schedule, source: this.#firstDecode + k, decode, firstTokenSeconds }),
      ),
      localPrefill: roles.localPrefill,
      roleChangeSeconds: options.roleChangeSeconds,
    })
    this.#losses = new Losses({
      jobs: this.jobs,
      record: this.record,
      remote: this.remote,
      remoteServers: roles.remotePrefill,
      locals: this.locals,
      firstLocalSource: this.#firstLocal,
      handoff: this.#handoff,
      contextTokens: (job) => this.#contextTokens(job),
      remoteLost: () => control.remoteLost(this),
      reroute: (job) => control.route(this, job),
    })
    if (traffic.next()) schedule.set(ARRIVALS, traffic.head.atSeconds)
    schedule.set(CONTROL, control.nextSeconds(schedule.nextBesides(CONTROL)))
  }

  get nowSeconds(): number {
    return this.#nowSeconds
  }

  get inSystem(): number {
    return this.jobs.count
  }

  get arrived(): number {
    return this.#arrived
  }

  get isDone(): boolean {
    return this.#arrived === this.traffic.requests && this.jobs.count === 0
  }

  /** Handles events until `steps` of them are done or the last request is; a bound, so that a caller can show progress. */
  run(steps: number): void {
    if (this.isDone) return
    for (let step = 0; step < steps; step++) {
      const source = this.schedule.nextSource()
      if (source < 0) {
        if (!this.isDone) throw this.#stuck()
        return
      }
      this.#nowSeconds = this.schedule.nextSeconds()
      if (source >= this.#firstDecode) {
        this.#finishDecode(source - this.#firstDecode)
        // What is still pending, such as a change of role, is no part of the run.
        if (this.isDone) return
      } else if (source >= this.#firstLocal) this.#finishLocal(source)
      else if (source >= FIRST_SERVER) this.#finishRemote(source)
      else if (source === ARRIVALS) this.#arrive()
      else if (source === LINK) this.#finishFlow(this.link)
      else if (source === COPY) this.#finishFlow(this.reverseLink)
      else if (source === DELIVERY) this.#handoff.deliver()
      else this.#tick()
    }
  }

  /** Queues a job in the cluster that its row names, for the service and the transfer that its row says. */
  enterPrefill(job: number): void {
    this.#handoff.awaitPrefill(job)
    this.jobs.queuedSeconds[job] = this.#nowSeconds
    const pool = this.jobs.isRemote[job] === 1 ? this.remote : this.local
    if (pool.arrive(job, this.#nowSeconds)) this.#startPrefill(job)
    else pool.queuedWorkSeconds += this.jobs.prefillSeconds[job] ?? 0
  }

  /** The same, after `prefixBytes` of a prefix that the other cluster holds have been copied over. */
  copyPrefix(job: number, prefixBytes: number): void {
    this.#handoff.copyPrefix(job, prefixBytes, this.#nowSeconds)
  }

  /** Gives local instances other roles until so many prefill. */
  setPrefillRoles(localPrefill: number): void {
    this.locals.setPrefillRoles(localPrefill, this.#nowSeconds)
  }

  setLinkGbps(gbps: number): void {
    this.#handoff.setBytesPerSecond(bytesPerSecondFromGbps(gbps), this.#nowSeconds)
  }

  /** Takes every job out of the queue of a pool and routes it anew: what a router does that sees the pool is gone. */
  rerouteWaiting(pool: 'remote' | 'local'): void {
    const jobs: number[] = []
    for (let job = this[pool].withdraw(this.#nowSeconds); job >= 0; job = this[pool].withdraw(this.#nowSeconds))
      jobs.push(job)
    this[pool].queuedWorkSeconds = 0
    const stage = pool === 'remote' ? this.record.remotePrefill : this.record.localPrefill
    for (const job of jobs) {
      stage.withdrawnSecondsSum += this.#nowSeconds - (this.jobs.queuedSeconds[job] ?? 0)
      this.#control.route(this, job)
    }
  }

  /** How long `bytes` more would take over the link, from now. */
  transferSeconds(bytes: number): number {
    return this.#handoff.transferSeconds(bytes, this.#nowSeconds)
  }

  /** How much of that would be left when a prefill of so long ends. */
  afterPrefillSeconds(bytes: number, prefillSeconds: number): number {
    return this.#handoff.afterPrefillSeconds(bytes, prefillSeconds, this.#nowSeconds)
  }

  /** Instances of a pool are gone, with all that they were at. */
  lose(pool: PoolName, instances: number): void {
    this.#losses.lose(pool, instances, this.#nowSeconds)
  }

  /** Up to so many of the instances that were lost are back. */
  restore(pool: PoolName, instances: number): void {
    this.#losses.restore(pool, instances, this.#nowSeconds)
    while (this.#startNext(this.remote));
    this.#startWaiting()
  }

  #arrive(): void {
    const now = this.#nowSeconds
    const { head } = this.traffic
    const jobs = this.jobs
    const job = jobs.take()
    jobs.numbers[job] = this.#arrived
    jobs.arrivalSeconds[job] = now
    jobs.promptTokens[job] = head.promptTokens
    jobs.outputTokens[job] = head.outputTokens
    jobs.tokensDone[job] = 0
    jobs.blockStart[job] = head.blockStart
    jobs.blockEnd[job] = head.blockEnd
    this.#arrived += 1
    this.record.arrived(jobs.count, now)
    this.#control.route(this, job)
    if (this.traffic.next()) this.schedule.set(ARRIVALS, head.atSeconds)
    else {
      this.schedule.set(ARRIVALS, Number.POSITIVE_INFINITY)
      this.record.lastArrival(jobs.count, now)
    }
  }

  /** The head of a pool's queue starts if a server is idle; false when none does. */
  #startNext(pool: ServerPool): boolean {
    const job = pool.nextWaiting()
    if (job < 0) return false
    // Starting from zero again keeps the sum exact.
    pool.queuedWorkSeconds = pool.waiting === 0 ? 0 : pool.queuedWorkSeconds - (this.jobs.prefillSeconds[job] ?? 0)
    this.#startPrefill(job)
    return true
  }

  #startPrefill(job: number): void {
    const now = this.#nowSeconds
    const jobs = this.jobs
    const seconds = jobs.prefillSeconds[job] ?? 0
    const waitSeconds = now - (jobs.queuedSeconds[job] ?? 0)
    jobs.prefillStartSeconds[job] = now
    if (jobs.isRemote[job] === 1) {
      this.record.remotePrefill.started(waitSeconds, seconds)
      this.remote.start(job, seconds, now)
      this.#handoff.remoteStarts(job, now)
    } else {
      this.record.localPrefill.started(waitSeconds, seconds)
      this.local.start(job, seconds, now)
    }
  }

  #finishRemote(source: number): void {
    const job = this.remote.finish(source, this.#nowSeconds)
    this.#startNext(this.remote)
    this.#control.prefilled(this, job, true)
    this.#handoff.remoteEnds(job, this.#nowSeconds)
  }

  #finishLocal(source: number): void {
    const job = this.local.jobOf(source)
    if (job < 0) {
      this.locals.completeChange(source - this.#firstLocal, this.#nowSeconds)
      this.#startWaiting()
      return
    }
    if (this.#handoff.localEnds(job, source, this.#nowSeconds)) this.#releaseLocal(source)
    else this.local.block(source)
  }

  /** Its KV has found room at last; until then its server stood still. */
  #unblockLocal(source: number): void {
    const waitedSeconds = this.#nowSeconds - (this.jobs.queuedSeconds[this.local.jobOf(source)] ?? 0)
    this.record.localPrefill.serviceSecondsSum += waitedSeconds
    this.#releaseLocal(source)
  }

  #releaseLocal(source: number): void {
    const job = this.local.finish(source, this.#nowSeconds)
    this.locals.serverIsFree(source - this.#firstLocal, this.#nowSeconds)
    this.#startNext(this.local)
    this.#kvReady(job)
  }

  #finishFlow(link: SharedLink): void {
    this.#handoff.flowEnds(link.finish(this.#nowSeconds), this.#nowSeconds)
  }

  #prefixArrived(job: number): void {
    this.#control.copied(this, job)
    // The cluster that it was copied to may be gone by now.
    if (this.jobs.isRemote[job] === 1 && this.remote.openServers === 0) this.#control.route(this, job)
    else this.enterPrefill(job)
  }

  /** The KV is complete where it is decoded: the end of the paper's TTFT. */
  #kvReady(job: number): void {
    this.jobs.kvReadySeconds[job] = this.#nowSeconds
    this.#control.prefilled(this, job, false)
    if (this.waitingForSlot.count > 0 || !this.#join(job)) this.waitingForSlot.push(job)
  }

  /** False when no instance has room. */
  #join(job: number): boolean {
    const now = this.#nowSeconds
    const jobs = this.jobs
    const tokensDone = jobs.tokensDone[job] ?? 0
    const promptTokens = this.#contextTokens(job) + tokensDone
    const outputTokens = (jobs.outputTokens[job] ?? 0) - tokensDone
    const instance = this.locals.leastLoaded(promptTokens + outputTokens)
    if (instance === null) return false
    this.record.decode.started(now - (jobs.kvReadySeconds[job] ?? 0), 0)
    jobs.joinSeconds[job] = now
    instance.join(job, promptTokens, outputTokens, now)
    this.#handoff.unstage(job, now)
    return true
  }

  #finishDecode(index: number): void {
    const now = this.#nowSeconds
    const jobs = this.jobs
    const instance = this.locals.decoders[index]
    assert(instance !== undefined, 'every decode event has an instance')
    const job = instance.nextToLeave()
    instance.finish(this.#contextTokens(job) + (jobs.outputTokens[job] ?? 0), now)
    this.record.finished(jobs, job, now)
    this.#control.finished(this, job)
    jobs.release(job)
    if (instance.batch === 0) this.locals.decoderIsEmpty(instance, now)
    this.#startWaiting()
    if (this.isDone) this.schedule.set(CONTROL, Number.POSITIVE_INFINITY)
  }

  /** Lets in whoever waits, as far as there is room. */
  #startWaiting(): void {
    while (this.waitingForSlot.count > 0 && this.#join(this.waitingForSlot.peek())) this.waitingForSlot.shift()
    while (this.#startNext(this.local));
  }

  /** What decode reads of a prompt: the cached part too, where lengths are what is left to prefill. */
  #contextTokens(job: number): number {
    return Math.round((this.jobs.promptTokens[job] ?? 0) * this.#contextFactor)
  }

  #tick(): void {
    this.#control.tick(this)
    const next = this.isDone ? Number.POSITIVE_INFINITY : this.#control.nextSeconds(this.schedule.nextBesides(CONTROL))
    this.schedule.set(CONTROL, next)
    if (
      next === Number.POSITIVE_INFINITY ||
      this.schedule.nextBesides(CONTROL) !== Number.POSITIVE_INFINITY ||
      this.#control.isExpecting(this)
    )
      return
    throw this.#stuck()
  }

  #stuck(): MembraneError {
    const what =
      this.link.bytesPerSecond > 0 ? 'instances that are lost, and none comes back' : 'a link that carries nothing'
    return new MembraneError(
      'OUT_OF_DOMAIN',
      `At ${this.#nowSeconds.toFixed(0)} s ${this.jobs.count} requests wait for ${what}.`,
      { remedy: 'Let the scenario restore instances of the pool or the link, or lose fewer.' },
    )
  }
}
