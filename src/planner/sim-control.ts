import { seededRandom, type Random } from '../core/random.ts'
import { routeByPrice } from '../policy/economic-route.ts'
import { failOver } from '../policy/failover.ts'
import { routeByLatency } from '../policy/latency-route.ts'
import { DEFAULT_REGIME_BOUNDS, nextRegime, type Regime } from '../policy/regime.ts'
import { judgedTokens, type Place, type RouteQuestion, routePrefill, routeTo } from '../policy/route.ts'
import type { Scenario } from './scenario.ts'
import { type CacheData, ClusterCaches } from './sim-caches.ts'
import { prefillEstimates } from './sim-estimate.ts'
import { LinkMeter } from './sim-meters.ts'
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
  /** Moves with the measured use of the link, whoever decides on thresholds. */
  #regime: Regime
  readonly #isCopying: boolean
  readonly #linkMeter = new LinkMeter()
  #nextRegimeSeconds: number
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
  /** How often local instances had changed their state when the scheduler had looked: a change of role that was refused may be possible since. */
  #seenStateChanges = 0

  constructor(scenario: Scenario, options: SimulationOptions, traffic: Traffic) {
    this.#scenario = scenario
    this.#options = options
    const { caches = null, scheduler, seed, thresholdTokens, seriesSeconds } = options
    this.#caches = caches === null ? null : new ClusterCaches(caches, traffic)
    this.#isCopying = caches?.isCopiedAcross === true
    this.#regime = options.regime ?? 'bandwidth-scarce'
    this.#nextRegimeSeconds = this.#isCopying ? options.controlSeconds : Number.POSITIVE_INFINITY
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
    const question = this.#question(simulation, job)
    const proposed = routePrefill(question)
    const place = this.#place(simulation, question, proposed.prefill)
    const route = place === proposed.prefill ? proposed : routeTo(place, question)
    this.#scheduler?.seen(judgedTokens(question))
    this.#caches?.routed(jobs, job, question.promptTokens - route.uncachedTokens)
    const { remote, local } = this.#scenario
    const isRemote = place === 'remote'
    jobs.isRemote[job] = isRemote ? 1 : 0
    jobs.uncachedTokens[job] = route.uncachedTokens
    jobs.prefillSeconds[job] = (isRemote ? remote : local).profile.prefillSeconds.at(route.uncachedTokens)
    // The decode side lacks everything beyond its own prefix, wherever it was computed.
    const lackingTokens = Math.max(1, question.promptTokens - question.localCachedTokens)
    jobs.transferBytes[job] = isRemote ? remote.profile.kvBytes.at(lackingTokens) : 0
    if (route.copiedTokens === 0) simulation.enterPrefill(job)
    else simulation.copyPrefix(job, remote.profile.kvBytes.at(route.copiedTokens))
  }

  #question({ jobs }: Simulation, job: number): RouteQuestion {
    const remoteCachedTokens = this.#caches?.cachedTokens(jobs, job, true) ?? 0
    const isShared = this.#caches?.isShared === true
    return {
      promptTokens: (jobs.promptTokens[job] ?? 1) + (jobs.tokensDone[job] ?? 0),
      remoteCachedTokens,
      localCachedTokens: isShared ? remoteCachedTokens : (this.#caches?.cachedTokens(jobs, job, false) ?? 0),
      thresholdTokens: this.threshold.value,
      // The longer cache of the two only counts where it can be copied.
      regime: this.#isCopying ? this.#regime : 'bandwidth-scarce',
    }
  }

  #place(simulation: Simulation, question: RouteQuestion, byThreshold: Place): Place {
    const { routing } = this.#options
    let proposed = byThreshold
    if (this.#blindRandom !== null) proposed = this.#blindRandom() < this.#remoteShare ? 'remote' : 'local'
    else if (routing === 'latency' || routing === 'economic') {
      const { remote, local } = prefillEstimates(simulation, question)
      const ttftSecondsMax = this.#scenario.slo.ttftSecondsP90 ?? Number.POSITIVE_INFINITY
      proposed = routing === 'latency' ? routeByLatency(remote, local) : routeByPrice(remote, local, ttftSecondsMax)
    }
    return failOver({
      proposed,
      // A loss that was not noticed yet is not known.
      remoteServers: this.#isRemoteDown ? 0 : this.#options.roles.remotePrefill,
      localServers: simulation.local.openServers,
    })
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

  nextSeconds(quietUntilSeconds: number): number {
    const lookSeconds = Math.min(this.#scheduler?.nextSeconds ?? Number.POSITIVE_INFINITY, this.#nextRegimeSeconds)
    return Math.min(
      this.#events[this.#nextEvent]?.atSeconds ?? Number.POSITIVE_INFINITY,
      this.#nextSeriesSeconds,
      this.#noticeSeconds,
      // Looking again before anything happens would show the same. What is pending never ends only for who is stuck.
      quietUntilSeconds === Number.POSITIVE_INFINITY ? lookSeconds : Math.max(lookSeconds, quietUntilSeconds),
    )
  }

  isExpecting({ locals }: Simulation): boolean {
    const isComing = this.#nextEvent < this.#events.length || this.#noticeSeconds !== Number.POSITIVE_INFINITY
    const isUnseen = this.#hasNews || locals.stateChanges !== this.#seenStateChanges
    return isComing || (this.#scheduler !== null && isUnseen)
  }

  tick(simulation: Simulation): void {
    const now = simulation.nowSeconds
    while ((this.#events[this.#nextEvent]?.atSeconds ?? Number.POSITIVE_INFINITY) <= now) this.#carryOutNext(simulation)
    if (this.#noticeSeconds <= now) {
      this.#noticeSeconds = Number.POSITIVE_INFINITY
      this.#isRemoteDown = simulation.remote.openServers === 0
    }
    if (this.#nextRegimeSeconds <= now) {
      // ASSUMPTION: regime-bounds.
      const utilisation = this.#linkMeter.measure(simulation.link, now)
      this.#regime = nextRegime(this.#regime, utilisation, DEFAULT_REGIME_BOUNDS)
      this.#nextRegimeSeconds = now + this.#options.controlSeconds
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
    const utilisation = this.#linkMeter.measure(simulation.link, simulation.nowSeconds)
    const { thresholdTokens, localPrefill } = scheduler.look(simulation, utilisation)
    this.#hasNews = false
    this.threshold.set(thresholdTokens, simulation.nowSeconds)
    this.thresholdMin = Math.min(this.thresholdMin, thresholdTokens)
    this.thresholdMax = Math.max(this.thresholdMax, thresholdTokens)
    if (localPrefill !== simulation.locals.prefillRoles) simulation.setPrefillRoles(localPrefill)
    this.#seenStateChanges = simulation.locals.stateChanges
  }
}

/** ASSUMPTION: blind-routing. The remote share of the prefill capacity for requests of all lengths: what a router does that does not look at them. */
function capacityShare({ lengths, remote, local }: Scenario, { roles }: SimulationOptions): number {
  const remoteRps = roles.remotePrefill / lengths.expect(remote.profile.prefillSeconds, 1, 0, lengths.maxTokens)
  const localRps = roles.localPrefill / lengths.expect(local.profile.prefillSeconds, 1, 0, lengths.maxTokens)
  return remoteRps / (remoteRps + localRps)
}
