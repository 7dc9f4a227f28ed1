import { seededRandom, type Random } from '../core/random.ts'
import type { PrefillEstimate } from '../policy/cost.ts'
import { routeByPrice } from '../policy/economic-route.ts'
import { routeByLatency } from '../policy/latency-route.ts'
import { decideOffload } from '../policy/offload.ts'
import { type Regime, routePrefill } from '../policy/route.ts'
import type { Scenario } from './scenario.ts'
import { type CacheData, ClusterCaches } from './sim-caches.ts'
import type { SimulationOptions, TimedEvent } from './sim-options.ts'
import { DualTimescaleScheduler } from './sim-scheduler.ts'
import { WARM_UP } from './sim-record.ts'
import { SeriesRecorder } from './sim-series.ts'
import { type RequestTimeline, timelineOf } from './sim-timeline.ts'
import type { Traffic } from './sim-traffic.ts'
import type { Control, Simulation } from './simulate.ts'
import { TimeAverage } from './time-average.ts'

/** Added to a run's seed for the stream that decides without a scheduler. */
const BLIND_SEED = 0xb11d

/**
 * The router of a run, and its clock: asks policy/ where each request is prefilled, lets the dual-timescale scheduler
 * look at the system, carries out what the scenario's events say, and samples the series.
 */
export class SimulationControl implements Control {
  readonly series: SeriesRecorder | null
  /** Of the first requests after the warm-up, in order of their ends. */
  readonly timelines: RequestTimeline[] = []
  readonly threshold = new TimeAverage()
  thresholdMin: number
  thresholdMax: number
  #regime: Regime
  readonly #scenario: Scenario
  readonly #options: SimulationOptions
  readonly #caches: ClusterCaches | null
  readonly #scheduler: DualTimescaleScheduler | null
  readonly #blindRandom: Random | null
  readonly #remoteShare: number
  readonly #events: readonly TimedEvent[]
  readonly #timelinesMax: number
  readonly #timelinesFrom: number
  #nextEvent = 0
  #nextSeriesSeconds: number
  /** What the router believes: that a cluster is gone is noticed a while after it happens. */
  #isRemoteDown = false
  #noticeSeconds = Number.POSITIVE_INFINITY
  /** Something has happened that the scheduler has not seen yet. */
  #hasNews = false

  constructor(scenario: Scenario, options: SimulationOptions, traffic: Traffic) {
    this.#scenario = scenario
    this.#options = options
    const { caches = null, scheduler, seed, thresholdTokens, seriesSeconds } = options
    this.#caches = caches === null ? null : new ClusterCaches(caches, traffic)
    this.#regime = options.regime ?? 'bandwidth-scarce'
    this.#events = options.events ?? []
    this.#scheduler = scheduler === 'on' ? new DualTimescaleScheduler(scenario, options) : null
    this.#blindRandom = scheduler === 'off' ? seededRandom(seed + BLIND_SEED) : null
    this.#remoteShare = capacityShare(scenario, options)
    this.series = seriesSeconds === undefined ? null : new SeriesRecorder()
    this.#nextSeriesSeconds = seriesSeconds ?? Number.POSITIVE_INFINITY
    this.#timelinesMax = options.timelines ?? 0
    this.#timelinesFrom = traffic.requests * WARM_UP
    this.thresholdMin = thresholdTokens
    this.thresholdMax = thresholdTokens
    this.threshold.set(thresholdTokens, 0)
  }

  cacheData(): CacheData | null {
    return this.#caches?.data() ?? null
  }

  route(simulation: Simulation, job: number): void {
    const { jobs } = simulation
    this.#caches?.abandonTransfer(jobs, job)
    const promptTokens = (jobs.promptTokens[job] ?? 1) + (jobs.tokensDone[job] ?? 0)
    const remoteCachedTokens = this.#caches?.cachedTokens(jobs, job, true) ?? 0
    const isShared = this.#caches?.isShared === true
    const localCachedTokens = isShared ? remoteCachedTokens : (this.#caches?.cachedTokens(jobs, job, false) ?? 0)
    // The longer cache of the two only counts where it can be copied.
    const regime = this.#isCopied() ? 'bandwidth-abundant' : 'bandwidth-scarce'
    const { prefill: proposed } = routePrefill({
      promptTokens,
      remoteCachedTokens,
      localCachedTokens,
      thresholdTokens: this.threshold.value,
      regime,
    })
    const isRemote =
      this.#place(simulation, proposed, { promptTokens, remoteCachedTokens, localCachedTokens }) === 'remote'
    const ownTokens = isRemote ? remoteCachedTokens : localCachedTokens
    const prefixTokens = this.#isCopied() ? Math.max(remoteCachedTokens, localCachedTokens) : ownTokens
    const uncachedTokens = Math.max(1, promptTokens - prefixTokens)
    jobs.uncachedTokens[job] = uncachedTokens
    this.#caches?.routed(jobs, job, prefixTokens)
    // The decode side lacks everything beyond its own prefix, wherever it was computed.
    const lackingTokens = Math.max(1, promptTokens - localCachedTokens)
    const judgedBy =
      regime === 'bandwidth-abundant' ? Math.max(remoteCachedTokens, localCachedTokens) : localCachedTokens
    this.#scheduler?.seen(Math.max(1, promptTokens - judgedBy))
    const { remote, local } = this.#scenario
    jobs.isRemote[job] = isRemote ? 1 : 0
    jobs.prefillSeconds[job] = (isRemote ? remote : local).profile.prefillSeconds.at(uncachedTokens)
    jobs.transferBytes[job] = isRemote ? remote.profile.kvBytes.at(lackingTokens) : 0
    if (prefixTokens === ownTokens) simulation.enterPrefill(job)
    else simulation.copyPrefix(job, remote.profile.kvBytes.at(prefixTokens - ownTokens))
  }

  #isCopied(): boolean {
    return this.#caches?.isCopiedAcross === true && this.#regime === 'bandwidth-abundant'
  }

  #place(simulation: Simulation, proposed: 'remote' | 'local', lengths: Lengths): 'remote' | 'local' {
    const { routing } = this.#options
    let place = proposed
    if (this.#blindRandom !== null) place = this.#blindRandom() < this.#remoteShare ? 'remote' : 'local'
    else if (routing === 'latency' || routing === 'economic') place = this.#byEstimate(simulation, lengths, routing)
    return decideOffload({
      proposed: place,
      // A loss that was not noticed yet is not known.
      remoteServers: this.#isRemoteDown ? 0 : this.#options.roles.remotePrefill,
      localServers: simulation.local.openServers,
    })
  }

  #byEstimate(
    simulation: Simulation,
    { promptTokens, remoteCachedTokens, localCachedTokens }: Lengths,
    routing: 'latency' | 'economic',
  ): 'remote' | 'local' {
    const { remote, local, link, slo } = this.#scenario
    const bytes = remote.profile.kvBytes.at(Math.max(1, promptTokens - localCachedTokens))
    const remoteEstimate: PrefillEstimate = {
      waitSeconds: simulation.remote.waitSeconds(simulation.nowSeconds),
      prefillSeconds: remote.profile.prefillSeconds.at(Math.max(1, promptTokens - remoteCachedTokens)),
      transferSeconds: simulation.linkDelaySeconds(bytes),
      transferBytes: bytes,
      pricePerInstanceSecond: pricePerSecond(remote),
      pricePerByte: (link.pricePerGigabyte ?? 0) / 1e9,
    }
    const localEstimate: PrefillEstimate = {
      waitSeconds: simulation.local.waitSeconds(simulation.nowSeconds),
      prefillSeconds: local.profile.prefillSeconds.at(Math.max(1, promptTokens - localCachedTokens)),
      transferSeconds: 0,
      transferBytes: 0,
      pricePerInstanceSecond: pricePerSecond(local),
      pricePerByte: 0,
    }
    if (routing === 'latency') return routeByLatency(remoteEstimate, localEstimate)
    return routeByPrice(remoteEstimate, localEstimate, slo.ttftSecondsP90 ?? Number.POSITIVE_INFINITY)
  }

  prefilled({ jobs }: Simulation, job: number, isRemote: boolean): void {
    this.#caches?.prefilled(jobs, job, isRemote)
  }

  copied({ jobs }: Simulation, job: number): void {
    this.#caches?.copied(jobs, job, jobs.isRemote[job] === 1)
  }

  remoteLost({ jobs }: Simulation): void {
    this.#caches?.remoteLost(jobs)
  }

  finished({ jobs, nowSeconds }: Simulation, job: number): void {
    if (this.timelines.length < this.#timelinesMax && (jobs.numbers[job] ?? 0) >= this.#timelinesFrom)
      this.timelines.push(timelineOf(jobs, job, nowSeconds))
    this.#scheduler?.finished(jobs.outputTokens[job] ?? 1)
    this.series?.finished((jobs.kvReadySeconds[job] ?? 0) - (jobs.arrivalSeconds[job] ?? 0))
  }

  nextSeconds(): number {
    return Math.min(
      this.#events[this.#nextEvent]?.atSeconds ?? Number.POSITIVE_INFINITY,
      this.#nextSeriesSeconds,
      this.#noticeSeconds,
      this.#scheduler?.nextSeconds ?? Number.POSITIVE_INFINITY,
    )
  }

  isExpecting(): boolean {
    const isComing = this.#nextEvent < this.#events.length || this.#noticeSeconds !== Number.POSITIVE_INFINITY
    return isComing || (this.#scheduler !== null && this.#hasNews)
  }

  tick(simulation: Simulation): void {
    const now = simulation.nowSeconds
    while ((this.#events[this.#nextEvent]?.atSeconds ?? Number.POSITIVE_INFINITY) <= now) this.#carryOutNext(simulation)
    if (this.#noticeSeconds <= now) {
      this.#noticeSeconds = Number.POSITIVE_INFINITY
      this.#isRemoteDown = simulation.remote.openServers === 0
    }
    if (this.#scheduler !== null && this.#scheduler.nextSeconds <= now) this.#steer(simulation, this.#scheduler)
    this.#rescueWaiting(simulation)
    if (this.#nextSeriesSeconds <= now) {
      this.series?.sample(simulation, this.threshold.value)
      this.#nextSeriesSeconds += this.#options.seriesSeconds ?? Number.POSITIVE_INFINITY
    }
  }

  #carryOutNext(simulation: Simulation): void {
    const event = this.#events[this.#nextEvent]
    this.#nextEvent += 1
    if (event === undefined) return
    this.#hasNews = true
    if (event.kind === 'link') simulation.setLinkGbps(event.gbps)
    else if (event.kind === 'lose') simulation.lose(event.pool, event.instances)
    else simulation.restore(event.pool, event.instances)
    if (event.kind === 'link' || event.pool !== 'remotePrefill') return
    if (event.kind === 'restore') this.#isRemoteDown = false
    // ASSUMPTION: loss-detection.
    else if (simulation.remote.openServers === 0)
      this.#noticeSeconds = simulation.nowSeconds + this.#options.detectionSeconds
  }

  /** Nobody waits in a cluster that is known to prefill nothing while the other does. */
  #rescueWaiting(simulation: Simulation): void {
    const { remote, local } = simulation
    const isRemoteUsed = this.#options.roles.remotePrefill > 0 && !this.#isRemoteDown
    if (!isRemoteUsed && remote.waiting > 0 && local.openServers > 0) simulation.rerouteWaiting('remote')
    else if (isRemoteUsed && local.waiting > 0 && local.openServers === 0) simulation.rerouteWaiting('local')
  }

  #steer(simulation: Simulation, scheduler: DualTimescaleScheduler): void {
    const { thresholdTokens, regime, localPrefill } = scheduler.look(simulation, this.#regime)
    this.#hasNews = false
    this.#regime = regime
    this.threshold.set(thresholdTokens, simulation.nowSeconds)
    this.thresholdMin = Math.min(this.thresholdMin, thresholdTokens)
    this.thresholdMax = Math.max(this.thresholdMax, thresholdTokens)
    if (localPrefill !== simulation.locals.prefillRoles) simulation.setPrefillRoles(localPrefill)
  }
}

interface Lengths {
  readonly promptTokens: number
  readonly remoteCachedTokens: number
  readonly localCachedTokens: number
}

function pricePerSecond({ pricePerGpuHour, profile }: Scenario['remote']): number {
  return ((pricePerGpuHour ?? 0) * profile.data.gpusPerInstance) / 3600
}

/** ASSUMPTION: blind-routing. The remote share of the prefill capacity for requests of all lengths: what a router does that does not look at them. */
function capacityShare({ lengths, remote, local }: Scenario, { roles }: SimulationOptions): number {
  const remoteRps = roles.remotePrefill / lengths.expect(remote.profile.prefillSeconds, 1, 0, lengths.maxTokens)
  const localRps = roles.localPrefill / lengths.expect(local.profile.prefillSeconds, 1, 0, lengths.maxTokens)
  return remoteRps / (remoteRps + localRps)
}
