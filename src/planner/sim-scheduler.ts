import { gbpsFromBytesPerSecond } from '../core/units.ts'
import { decideReallocation, DEFAULT_REALLOCATION_RULES } from '../policy/reallocate.ts'
import { controlledThreshold, DEFAULT_THRESHOLD_CONTROL } from '../policy/threshold.ts'
import { meanTokens } from './lengths.ts'
import { replan } from './reallocate.ts'
import type { Scenario } from './scenario.ts'
import { ArrivalMeter } from './sim-meters.ts'
import type { SimulationOptions } from './sim-options.ts'
import type { Simulation } from './simulate.ts'

/** A link whose bandwidth differs by more than this share from the planned one is another link. ASSUMPTION: load-measurement. */
const LINK_CHANGE = 0.2

export interface Steering {
  readonly thresholdTokens: number
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
  readonly #arrivals = new ArrivalMeter()
  #outputTokensSum = 0
  #finished = 0
  #plannedTokens: number
  #localPrefill: number
  #nextReplanSeconds: number
  #rolesChangedSeconds = Number.NEGATIVE_INFINITY
  /** What the last plan was made for. */
  #plannedGbps: number
  #seenRemote: number
  #seenLocal: number

  constructor(scenario: Scenario, options: SimulationOptions) {
    this.#scenario = scenario
    this.#options = options
    this.#plannedTokens = options.thresholdTokens
    this.#localPrefill = options.roles.localPrefill
    this.nextSeconds = options.controlSeconds
    this.#nextReplanSeconds = options.replanSeconds
    this.#plannedGbps = scenario.link.gbps
    this.#seenRemote = options.roles.remotePrefill
    this.#seenLocal = options.roles.localPrefill + options.roles.decode
  }

  /** A request has arrived, judged by so many tokens. */
  seen(judgedTokens: number): void {
    this.#arrivals.seen(judgedTokens)
  }

  finished(outputTokens: number): void {
    this.#outputTokensSum += outputTokens
    this.#finished += 1
  }

  look(simulation: Simulation, egressUtilisation: number): Steering {
    const { nowSeconds } = simulation
    this.nextSeconds = nowSeconds + this.#options.controlSeconds
    this.#arrivals.tick(nowSeconds)
    if (nowSeconds >= this.#nextReplanSeconds || this.#isNews(simulation)) this.#replan(simulation)
    const thresholdTokens = controlledThreshold(
      {
        plannedTokens: this.#plannedTokens,
        egressUtilisation,
        remoteDelaySeconds: simulation.remote.waitSeconds(nowSeconds) + this.#linkDelaySeconds(simulation),
        serviceSeconds: this.#meanPrefillSeconds(simulation),
        localDelaySeconds: simulation.local.waitSeconds(nowSeconds),
      },
      // ASSUMPTION: threshold-control.
      DEFAULT_THRESHOLD_CONTROL,
    )
    // Above the longest prompt all thresholds are the same.
    const longestTokens = Math.max(this.#scenario.lengths.maxTokens, this.#arrivals.longestTokens)
    return {
      thresholdTokens: Math.min(longestTokens, thresholdTokens),
      localPrefill: this.#possiblePrefill(simulation),
    }
  }

  /** How much longer a mean transfer takes now than the plan knows: the backlog, a cap on flows, the round trip. */
  #linkDelaySeconds(simulation: Simulation): number {
    const { record, scenario } = simulation
    const meanBytes = record.bytesSent / Math.max(1, record.transfer.waitSeconds.count)
    const prefillSeconds = this.#meanPrefillSeconds(simulation)
    const plannedSeconds = meanBytes / scenario.link.bytesPerSecond
    return Math.max(0, simulation.afterPrefillSeconds(meanBytes, prefillSeconds) - plannedSeconds)
  }

  /** Where instances are lost, one is left to decode, and one to prefill where nobody else does, until there is a plan. */
  #possiblePrefill({ remote, locals: { alive } }: Simulation): number {
    const least = remote.openServers === 0 && alive > 1 ? 1 : 0
    return Math.max(least, Math.min(this.#localPrefill, alive - 1))
  }

  /** The deployment itself has changed: a link with another bandwidth, instances lost or back. Plans made before are of no use. */
  #isNews({ link, remote, locals }: Simulation): boolean {
    const gbps = gbpsFromBytesPerSecond(link.bytesPerSecond)
    const isOther = remote.openServers !== this.#seenRemote || locals.alive !== this.#seenLocal
    this.#seenRemote = remote.openServers
    this.#seenLocal = locals.alive
    return isOther || Math.abs(gbps / this.#plannedGbps - 1) > LINK_CHANGE
  }

  #replan(simulation: Simulation): void {
    const { nowSeconds, link, remote, locals } = simulation
    this.#nextReplanSeconds = nowSeconds + this.#options.replanSeconds
    this.#plannedGbps = gbpsFromBytesPerSecond(link.bytesPerSecond)
    if (this.#plannedGbps <= 0 || locals.alive === 0) return
    const load = this.#arrivals.take(nowSeconds)
    if (load === null) return
    const { best, asItIs } = replan(
      this.#scenario,
      {
        ...load,
        burstiness: this.#arrivals.burstiness(this.#scenario.burstiness),
        outputTokensMean: this.#finished > 0 ? this.#outputTokensSum / this.#finished : this.#scenario.outputTokens,
        linkGbps: this.#plannedGbps,
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
