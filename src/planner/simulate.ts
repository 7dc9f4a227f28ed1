import { assert, MembraneError } from '../core/errors.ts'
import { bytesPerSecondFromGbps } from '../core/units.ts'
import { EventSchedule } from './event-schedule.ts'
import { JobQueue } from './job-queue.ts'
import { meanTokens } from './lengths.ts'
import type { Scenario } from './scenario.ts'
import { DecodeInstance } from './sim-decode.ts'
import { JobTable } from './sim-jobs.ts'
import { SharedLink } from './sim-link.ts'
import { LocalInstances } from './sim-local.ts'
import {
  DEFAULT_TRANSFER,
  type PoolName,
  queueBound,
  type SimulationOptions,
  type TransferOptions,
} from './sim-options.ts'
import { ServerPool } from './sim-pool.ts'
import { SimulationRecord, type StageRecord } from './sim-record.ts'
import { Staging } from './sim-staging.ts'
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
  isExpecting(): boolean
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

/** What a job's KV is at, so that the end of a flow or a prefill knows what comes next. */
const IDLE = 0
/** A prefix is on its way to the cluster that will prefill. */
const COPYING = 1
/** All layers but the last stream while they are computed; then with the prefill done, or with the stream done. */
const STREAMING = 2
const STREAMING_PREFILLED = 3
const STREAMED = 4
/** The last flow of the transfer. */
const SENDING = 5

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
  readonly #transfer: TransferOptions
  readonly #control: Control
  readonly #contextFactor: number
  readonly #firstLocal: number
  readonly #firstDecode: number
  /** Jobs on the last part of their round trip; all take as long, so they arrive in order. */
  readonly #inDelivery = new JobQueue()
  /** Remote servers that are lost. */
  readonly #remoteLost: number[] = []
  #arrived = 0
  #nowSeconds = 0

  constructor(scenario: Scenario, options: SimulationOptions, traffic: Traffic, control: Control) {
    const { roles } = options
    this.scenario = scenario
    this.options = options
    this.traffic = traffic
    this.#control = control
    this.#contextFactor = contextFactor(scenario, options)
    this.#transfer = options.transfer ?? DEFAULT_TRANSFER
    this.staging = new Staging(options.stagingBytesMax ?? Number.POSITIVE_INFINITY)
    const localCount = roles.localPrefill + roles.decode
    this.#firstLocal = FIRST_SERVER + roles.remotePrefill
    this.#firstDecode = this.#firstLocal + localCount
    const schedule = new EventSchedule(this.#firstDecode + localCount)
    this.schedule = schedule
    this.remote = new ServerPool({ schedule, firstSource: FIRST_SERVER, servers: roles.remotePrefill })
    this.local = new ServerPool({
      schedule,
      firstSource: this.#firstLocal,
      servers: localCount,
      closed: roles.decode,
    })
    const { flowGbpsMax } = this.#transfer
    const link = {
      schedule,
      bytesPerSecond: scenario.link.bytesPerSecond,
      flowBytesPerSecondMax: flowGbpsMax === null ? undefined : bytesPerSecondFromGbps(flowGbpsMax),
    }
    this.link = new SharedLink({ ...link, source: LINK })
    this.reverseLink = new SharedLink({ ...link, source: COPY })
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
    this.record = new SimulationRecord(traffic.requests, queueBound(options, scenario.decodeBatch.batch))
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
      else if (source === LINK) this.#finishFlow(this.link.finish(this.#nowSeconds))
      else if (source === COPY) this.#finishFlow(this.reverseLink.finish(this.#nowSeconds))
      else if (source === DELIVERY) this.#deliver()
      else this.#tick()
    }
  }

  /** Queues a job in the cluster that its row names, for the service and the transfer that its row says. */
  enterPrefill(job: number): void {
    this.#enqueue(job)
  }

  /** The same, after `prefixBytes` of a prefix that the other cluster holds have been copied over. */
  copyPrefix(job: number, prefixBytes: number): void {
    const jobs = this.jobs
    jobs.phase[job] = COPYING
    jobs.flowBytes[job] = prefixBytes
    jobs.flowStartSeconds[job] = this.#nowSeconds
    this.record.bytesCopied += prefixBytes
    ;(jobs.isRemote[job] === 1 ? this.reverseLink : this.link).start(job, prefixBytes, this.#nowSeconds)
  }

  /** Gives local instances other roles until so many prefill. */
  setPrefillRoles(localPrefill: number): void {
    this.locals.setPrefillRoles(localPrefill, this.#nowSeconds)
  }

  setLinkGbps(gbps: number): void {
    this.link.setBytesPerSecond(bytesPerSecondFromGbps(gbps), this.#nowSeconds)
    this.reverseLink.setBytesPerSecond(bytesPerSecondFromGbps(gbps), this.#nowSeconds)
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

  /** How long `bytes` more take over the link: behind the backlog, no faster than one flow may be, and a round trip. */
  transferSeconds(bytes: number): number {
    const { rttSeconds, flowGbpsMax } = this.#transfer
    const ownSeconds = flowGbpsMax === null ? 0 : bytes / bytesPerSecondFromGbps(flowGbpsMax)
    const sharedSeconds = (this.link.backlogBytes(this.#nowSeconds) + bytes) / Math.max(this.link.bytesPerSecond, 1)
    return Math.max(ownSeconds, sharedSeconds) + rttSeconds
  }

  /** What of a transfer is left when its prefill ends: all of it, or with layer-wise transfer what did not overlap. */
  afterPrefillSeconds(bytes: number, prefillSeconds: number): number {
    const { mode, layers, rttSeconds } = this.#transfer
    const seconds = this.transferSeconds(bytes)
    if (mode !== 'layerwise') return seconds
    const lastSeconds = (seconds - rttSeconds) / layers
    return Math.max(0, seconds - rttSeconds - lastSeconds - prefillSeconds) + lastSeconds + rttSeconds
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

  #enqueue(job: number): void {
    this.jobs.phase[job] = IDLE
    this.jobs.queuedSeconds[job] = this.#nowSeconds
    const pool = this.jobs.isRemote[job] === 1 ? this.remote : this.local
    if (pool.arrive(job, this.#nowSeconds)) this.#startPrefill(job)
    else pool.queuedWorkSeconds += this.jobs.prefillSeconds[job] ?? 0
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
      if (this.#transfer.mode === 'layerwise') this.#startStream(job)
    } else {
      this.record.localPrefill.started(waitSeconds, seconds)
      this.local.start(job, seconds, now)
    }
  }

  #finishRemote(source: number): void {
    const now = this.#nowSeconds
    const jobs = this.jobs
    const job = this.remote.finish(source, now)
    this.#startNext(this.remote)
    this.#control.prefilled(this, job, true)
    const phase = jobs.phase[job]
    if (phase === STREAMING) jobs.phase[job] = STREAMING_PREFILLED
    else if (phase === STREAMED) this.#send(job, (jobs.transferBytes[job] ?? 0) / this.#transfer.layers)
    else {
      jobs.queuedSeconds[job] = now
      if (this.staging.reserve(this.#kvBytes(job))) this.#startTransfer(job)
      else this.staging.waitToSend(job)
    }
  }

  #finishLocal(source: number): void {
    const job = this.local.jobOf(source)
    if (job < 0) {
      this.locals.completeChange(source - this.#firstLocal, this.#nowSeconds)
      this.#startWaiting()
      return
    }
    if (this.staging.reserve(this.#kvBytes(job))) {
      this.#releaseLocal(source)
      return
    }
    // The prefill is done but its KV has nowhere to go: the server stands still until it has.
    this.jobs.queuedSeconds[job] = this.#nowSeconds
    this.local.block(source)
    this.staging.waitOnServer(source)
  }

  #releaseLocal(source: number): void {
    const job = this.local.finish(source, this.#nowSeconds)
    this.locals.serverIsFree(source - this.#firstLocal, this.#nowSeconds)
    this.#startNext(this.local)
    this.#kvReady(job)
  }

  /** ASSUMPTION: layerwise-transfer. All layers but the last; without room for them, everything is sent after the prefill. */
  #startStream(job: number): void {
    const bytes = this.jobs.transferBytes[job] ?? 0
    if (this.#transfer.layers < 2 || !this.staging.reserve(this.#kvBytes(job))) return
    this.record.transfer.waitSeconds.record(0)
    this.jobs.phase[job] = STREAMING
    this.#flow(job, bytes - bytes / this.#transfer.layers)
  }

  #startTransfer(job: number): void {
    this.record.transfer.waitSeconds.record(this.#nowSeconds - (this.jobs.queuedSeconds[job] ?? 0))
    this.#send(job, this.jobs.transferBytes[job] ?? 0)
  }

  #send(job: number, bytes: number): void {
    this.jobs.phase[job] = SENDING
    this.#flow(job, bytes)
  }

  #flow(job: number, bytes: number): void {
    this.jobs.flowStartSeconds[job] = this.#nowSeconds
    this.jobs.flowBytes[job] = bytes
    this.record.bytesSent += bytes
    this.link.start(job, bytes, this.#nowSeconds)
  }

  #finishFlow(job: number): void {
    const now = this.#nowSeconds
    const jobs = this.jobs
    const phase = jobs.phase[job]
    if (phase === COPYING) {
      this.record.copySecondsSum += now - (jobs.flowStartSeconds[job] ?? 0)
      this.#control.copied(this, job)
      // The cluster that it was copied to may be gone by now.
      if (jobs.isRemote[job] === 1 && this.remote.openServers === 0) this.#control.route(this, job)
      else this.#enqueue(job)
      return
    }
    this.record.transfer.serviceSecondsSum += now - (jobs.flowStartSeconds[job] ?? 0)
    if (phase === STREAMING) jobs.phase[job] = STREAMED
    else if (phase === STREAMING_PREFILLED) this.#send(job, (jobs.transferBytes[job] ?? 0) / this.#transfer.layers)
    else if (this.#transfer.rttSeconds > 0) {
      jobs.kvReadySeconds[job] = now + this.#transfer.rttSeconds
      if (this.#inDelivery.count === 0) this.schedule.set(DELIVERY, now + this.#transfer.rttSeconds)
      this.#inDelivery.push(job)
    } else this.#kvReady(job)
  }

  #deliver(): void {
    const job = this.#inDelivery.shift()
    const next = this.#inDelivery.peek()
    this.schedule.set(DELIVERY, next < 0 ? Number.POSITIVE_INFINITY : (this.jobs.kvReadySeconds[next] ?? 0))
    this.#kvReady(job)
  }

  /** The KV is complete where it is decoded: the end of the paper's TTFT. */
  #kvReady(job: number): void {
    const jobs = this.jobs
    jobs.phase[job] = IDLE
    jobs.kvReadySeconds[job] = this.#nowSeconds
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
    if (this.staging.isBounded) this.#unstage(this.#kvBytes(job))
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

  /** What the prompt's KV takes where it is decoded; 0 when nobody counts. */
  #kvBytes(job: number): number {
    return this.staging.isBounded ? this.scenario.remote.profile.kvBytes.at(this.#contextTokens(job)) : 0
  }

  #unstage(bytes: number): void {
    this.staging.release(bytes)
    for (;;) {
      const waiting = this.staging.firstWaiting(
        (job) => this.jobs.queuedSeconds[job] ?? 0,
        (source) => this.local.jobOf(source),
      )
      if (waiting === null || !this.staging.reserve(this.#kvBytes(waiting.job))) return
      this.staging.takeWaiting(waiting)
      if (waiting.kind === 'send') this.#startTransfer(waiting.job)
      else {
        this.record.localPrefill.serviceSecondsSum += this.#nowSeconds - (this.jobs.queuedSeconds[waiting.job] ?? 0)
        this.#releaseLocal(waiting.source)
      }
    }
  }

  #tick(): void {
    this.#control.tick(this)
    const next = this.isDone ? Number.POSITIVE_INFINITY : this.#control.nextSeconds(this.schedule.nextBesides(CONTROL))
    this.schedule.set(CONTROL, next)
    if (
      next === Number.POSITIVE_INFINITY ||
      this.schedule.nextBesides(CONTROL) !== Number.POSITIVE_INFINITY ||
      this.#control.isExpecting()
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

  /** ASSUMPTION: lost-work. Instances of a pool are gone with all that they were at: unfinished prefills, sequences, transfers of a whole cluster. */
  lose(pool: PoolName, instances: number): void {
    const now = this.#nowSeconds
    const orphans: number[] = []
    if (pool === 'remotePrefill') {
      for (let server = 0; server < this.options.roles.remotePrefill && instances > 0; server++) {
        if (this.#remoteLost.includes(server)) continue
        instances -= 1
        this.#remoteLost.push(server)
        this.#orphanPrefill(this.remote.lose(server, now), orphans, this.record.remotePrefill)
      }
      if (this.remote.openServers === 0) {
        this.#control.remoteLost(this)
        this.#breakTransfers(orphans)
      }
    } else {
      for (const k of this.locals.ofRole(pool, false, instances)) {
        this.staging.dropServer(this.#firstLocal + k)
        this.#orphanPrefill(this.locals.lose(k, now), orphans, this.record.localPrefill)
        this.#orphanSequences(k, orphans)
      }
    }
    for (const job of orphans) {
      this.record.repeated += 1
      this.#control.route(this, job)
    }
  }

  restore(pool: PoolName, instances: number): void {
    const now = this.#nowSeconds
    if (pool === 'remotePrefill') {
      for (const server of this.#remoteLost.splice(0, instances)) this.remote.openServer(server, now)
      while (this.#startNext(this.remote));
    } else for (const k of this.locals.ofRole(pool, true, instances)) this.locals.restore(k, now)
    this.#startWaiting()
  }

  /** What was not served of a prefill was not service. */
  #orphanPrefill(job: number, orphans: number[], stage: StageRecord): void {
    if (job < 0) return
    const servedSeconds = this.#nowSeconds - (this.jobs.prefillStartSeconds[job] ?? 0)
    stage.serviceSecondsSum -= (this.jobs.prefillSeconds[job] ?? 0) - servedSeconds
    const phase = this.jobs.phase[job]
    if (phase === STREAMING) this.#breakFlow(job)
    // Its layers but the last are there, and of no use.
    else if (phase === STREAMED && this.staging.isBounded) this.#unstage(this.#kvBytes(job))
    orphans.push(job)
  }

  #orphanSequences(k: number, orphans: number[]): void {
    const now = this.#nowSeconds
    const jobs = this.jobs
    const instance = this.locals.decoders[k]
    if (instance === undefined) return
    while (instance.batch > 0) {
      const job = instance.nextToLeave()
      const before = jobs.tokensDone[job] ?? 0
      const promptTokens = this.#contextTokens(job) + before
      const left = (jobs.outputTokens[job] ?? 0) - before
      // The last token is never done: with it the request would have left.
      const done = Math.min(left - 1, instance.breakOff(promptTokens, left, now))
      this.record.decodeSecondsSum += now - (jobs.joinSeconds[job] ?? 0)
      if (before === 0 && done > 0) this.record.keepFirst(jobs, job)
      jobs.tokensDone[job] = before + done
      orphans.push(job)
    }
  }

  /** The whole remote cluster is gone: what it was sending, or about to send, will never be complete. */
  #breakTransfers(orphans: number[]): void {
    // Before flows break off and make room for them.
    orphans.push(...this.staging.dropSenders())
    for (const job of this.link.jobsInFlight()) {
      if (this.jobs.phase[job] !== COPYING && !orphans.includes(job)) orphans.push(job)
      this.#breakFlow(job)
    }
  }

  #breakFlow(job: number): void {
    const bytesLeft = this.link.breakOff(job, this.#nowSeconds)
    if (this.jobs.phase[job] === COPYING) {
      // The rest of the prefix is computed.
      this.record.bytesCopied -= bytesLeft
      this.record.copySecondsSum += this.#nowSeconds - (this.jobs.flowStartSeconds[job] ?? 0)
      this.#control.route(this, job)
      return
    }
    this.record.bytesSent -= bytesLeft
    this.record.transfer.serviceSecondsSum += this.#nowSeconds - (this.jobs.flowStartSeconds[job] ?? 0)
    if (this.staging.isBounded) this.#unstage(this.#kvBytes(job))
  }
}
