import { gbpsFromBytesPerSecond } from '../core/units.ts'
import { decideReallocation, DEFAULT_REALLOCATION_RULES } from '../policy/reallocate.ts'
import { DEFAULT_REGIME_BOUNDS, nextRegime } from '../policy/regime.ts'
import type { Regime } from '../policy/route.ts'
import { controlledThreshold, DEFAULT_THRESHOLD_CONTROL } from '../policy/threshold.ts'
import { meanTokens } from './lengths.ts'
import { replan } from './reallocate.ts'
import type { Scenario } from './scenario.ts'
import type { SimulationOptions } from './sim-options.ts'
import type { Simulation } from './simulate.ts'

/** Recent requests whose lengths the planner sees. */
const RECENT = 4096

/**
 * Time over which the link's utilisation is averaged. A link that is shared fairly is either idle or full at any
 * moment, so that only an average over many transfers says how near to its limit it is.
 */
const UTILISATION_SECONDS = 30

/** Arrivals are counted in windows of this length, as many as are kept: their dispersion is the burstiness that is planned for. */
const COUNT_SECONDS = 60
const COUNTS = 60
const COUNTS_MIN = 10

/** Below Poisson by chance alone: a few windows can look even. */
const BURSTINESS_MIN = 1

/** Fewer say too little of a distribution to plan with. */
const RECENT_MIN = 64

export interface Steering {
  readonly thresholdTokens: number
  readonly regime: Regime
  /** N_p. */
  readonly localPrefill: number
}

/**
 * The dual-timescale scheduler of section 3.4.3 at the simulation's clock: measures, asks policy/ and planner/reallocate
 * and hands back what they say. It knows only what a router can measure: counts, queues, bytes, lengths that have come.
 */
export class DualTimescaleScheduler {
  nextSeconds: number
  readonly #scenario: Scenario
  readonly #options: SimulationOptions
  readonly #recentTokens = new Float64Array(RECENT)
  #seen = 0
  readonly #counts: number[] = []
  #counted = { seconds: 0, seen: 0 }
  #outputTokensSum = 0
  #finished = 0
  #longestTokens: number
  #plannedTokens: number
  #localPrefill: number
  #nextReplanSeconds: number
  #rolesChangedSeconds = Number.NEGATIVE_INFINITY
  #utilisation = 0
  #last = { seconds: 0, carried: 0, capacity: 0 }
  #lastReplan = { seconds: 0, seen: 0 }
  #lastGbps: number
  #lastAlive: number

  constructor(scenario: Scenario, options: SimulationOptions) {
    this.#scenario = scenario
    this.#options = options
    this.#longestTokens = scenario.lengths.maxTokens
    this.#plannedTokens = options.thresholdTokens
    this.#localPrefill = options.roles.localPrefill
    this.nextSeconds = options.controlSeconds
    this.#nextReplanSeconds = options.replanSeconds
    this.#lastGbps = scenario.link.gbps
    this.#lastAlive = -1
  }

  /** A request has arrived whose prompt has so many tokens that the decode side lacks. */
  seen(uncachedTokens: number): void {
    this.#recentTokens[this.#seen % RECENT] = uncachedTokens
    if (uncachedTokens > this.#longestTokens) this.#longestTokens = uncachedTokens
    this.#seen += 1
  }

  finished(outputTokens: number): void {
    this.#outputTokensSum += outputTokens
    this.#finished += 1
  }

  look(simulation: Simulation, regime: Regime): Steering {
    const { nowSeconds, link } = simulation
    this.nextSeconds = nowSeconds + this.#options.controlSeconds
    this.#count(nowSeconds)
    const [carried, capacity] = [link.carried.area(nowSeconds), link.capacity.area(nowSeconds)]
    const available = capacity - this.#last.capacity
    const used = available > 0 ? (carried - this.#last.carried) / available : 1
    const weight = 1 - Math.exp(-(nowSeconds - this.#last.seconds) / UTILISATION_SECONDS)
    this.#utilisation += weight * (used - this.#utilisation)
    this.#last = { seconds: nowSeconds, carried, capacity }
    const egressUtilisation = this.#utilisation
    if (nowSeconds >= this.#nextReplanSeconds || this.#isNews(simulation)) this.#replan(simulation)
    return {
      // ASSUMPTION: threshold-control. Above the longest prompt all thresholds are the same.
      thresholdTokens: Math.min(
        this.#longestTokens,
        controlledThreshold(
          {
            plannedTokens: this.#plannedTokens,
            egressUtilisation,
            remoteDelaySeconds: simulation.remote.waitSeconds(nowSeconds) + simulation.linkDelaySeconds(0),
            serviceSeconds: this.#meanPrefillSeconds(simulation),
            localDelaySeconds: simulation.local.waitSeconds(nowSeconds),
          },
          DEFAULT_THRESHOLD_CONTROL,
        ),
      ),
      // ASSUMPTION: regime-bounds.
      regime: nextRegime(regime, egressUtilisation, DEFAULT_REGIME_BOUNDS),
      localPrefill: this.#possiblePrefill(simulation),
    }
  }

  /** Where instances are lost, one is left to decode, and one to prefill where nobody else does, until there is a plan. */
  #possiblePrefill({ remote, locals: { alive } }: Simulation): number {
    const least = remote.openServers === 0 && alive > 1 ? 1 : 0
    return Math.max(least, Math.min(this.#localPrefill, alive - 1))
  }

  /** The deployment itself has changed: a link with another bandwidth, instances lost or back. Plans made before are of no use. */
  #isNews({ link, remote, locals }: Simulation): boolean {
    const gbps = gbpsFromBytesPerSecond(link.bytesPerSecond)
    const alive = remote.openServers * 65_536 + locals.alive
    const isNews = Math.abs(gbps / this.#lastGbps - 1) > 0.2 || (this.#lastAlive >= 0 && alive !== this.#lastAlive)
    this.#lastAlive = alive
    return isNews
  }

  #replan(simulation: Simulation): void {
    const { nowSeconds, link, remote, locals } = simulation
    const seconds = nowSeconds - this.#lastReplan.seconds
    const arrivals = this.#seen - this.#lastReplan.seen
    this.#nextReplanSeconds = nowSeconds + this.#options.replanSeconds
    this.#lastGbps = gbpsFromBytesPerSecond(link.bytesPerSecond)
    if (arrivals < RECENT_MIN || this.#lastGbps <= 0 || locals.alive === 0) return
    this.#lastReplan = { seconds: nowSeconds, seen: this.#seen }
    const { best, asItIs } = replan(
      this.#scenario,
      {
        rateRps: arrivals / seconds,
        burstiness: this.#burstiness(),
        uncachedTokens: this.#recentTokens.slice(0, Math.min(this.#seen, RECENT)),
        outputTokensMean: this.#finished > 0 ? this.#outputTokensSum / this.#finished : this.#scenario.outputTokens,
        linkGbps: this.#lastGbps,
        remoteInstances: remote.openServers,
        localInstances: locals.alive,
      },
      this.#localPrefill,
    )
    const decision = decideReallocation(
      {
        current: asItIs.prediction,
        proposed: best.prediction,
        isSameRoles: best.roles.localPrefill === this.#localPrefill,
        secondsSinceRolesChanged: nowSeconds - this.#rolesChangedSeconds,
        drainSeconds: this.#drainSeconds(),
      },
      // ASSUMPTION: reallocation-rules.
      DEFAULT_REALLOCATION_RULES,
    )
    const plan = decision === 'roles' ? best : asItIs
    // With what is left no request could be served: roles then wait for what comes back.
    if (plan.prediction.headroom <= 0) return
    if (decision === 'roles') this.#rolesChangedSeconds = nowSeconds
    this.#localPrefill = plan.roles.localPrefill
    this.#plannedTokens = Math.max(1, plan.thresholdTokens)
  }

  #count(nowSeconds: number): void {
    if (nowSeconds < this.#counted.seconds + COUNT_SECONDS) return
    this.#counts.push(this.#seen - this.#counted.seen)
    if (this.#counts.length > COUNTS) this.#counts.shift()
    this.#counted = { seconds: nowSeconds, seen: this.#seen }
  }

  /** Index of dispersion of the counts; the scenario's burstiness until there are enough. */
  #burstiness(): number {
    const counts = this.#counts
    if (counts.length < COUNTS_MIN) return this.#scenario.burstiness
    const mean = counts.reduce((sum, count) => sum + count, 0) / counts.length
    const variance = counts.reduce((sum, count) => sum + (count - mean) ** 2, 0) / (counts.length - 1)
    return mean > 0 ? Math.max(BURSTINESS_MIN, variance / mean) : this.#scenario.burstiness
  }

  /** Of all prefills so far; before the first, of a mean request on the remote side. */
  #meanPrefillSeconds({ record: { remotePrefill, localPrefill } }: Simulation): number {
    const count = remotePrefill.waitSeconds.count + localPrefill.waitSeconds.count
    if (count > 0) return (remotePrefill.serviceSecondsSum + localPrefill.serviceSecondsSum) / count
    return this.#scenario.remote.profile.prefillSeconds.at(meanTokens(this.#scenario.lengths))
  }

  /** A sequence that has just joined, then the change itself. */
  #drainSeconds(): number {
    const { decodeBatch, outputTokens } = this.#scenario
    return decodeBatch.stepSeconds * outputTokens + this.#options.roleChangeSeconds
  }
}
