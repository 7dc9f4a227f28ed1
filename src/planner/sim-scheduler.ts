import { gbpsFromBytesPerSecond } from '../core/units.ts'
import { controlledThreshold, DEFAULT_THRESHOLD_CONTROL } from '../policy/threshold.ts'
import { meanTokens } from './lengths.ts'
import { type Deployed, LongTermPlan } from './long-term-plan.ts'
import type { Scenario } from './scenario.ts'
import { ArrivalMeter } from './sim-meters.ts'
import type { SimulationOptions } from './sim-options.ts'
import type { Simulation } from './simulate.ts'

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
  readonly #plan: LongTermPlan

  constructor(scenario: Scenario, options: SimulationOptions) {
    this.#scenario = scenario
    this.#options = options
    this.nextSeconds = options.controlSeconds
    const { remotePrefill, localPrefill, decode } = options.roles
    this.#plan = new LongTermPlan({
      replanSeconds: options.replanSeconds,
      nextSeconds: options.replanSeconds,
      thresholdTokens: options.thresholdTokens,
      localPrefill,
      deployed: {
        linkGbps: scenario.link.gbps,
        remoteInstances: remotePrefill,
        localInstances: localPrefill + decode,
      },
    })
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
    const deployed = deployedOf(simulation)
    if (this.#plan.isDue(nowSeconds, deployed)) this.#replan(nowSeconds, deployed)
    const thresholdTokens = controlledThreshold(
      {
        plannedTokens: this.#plan.plannedTokens,
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
    return Math.max(least, Math.min(this.#plan.localPrefill, alive - 1))
  }

  #replan(nowSeconds: number, deployed: Deployed): void {
    const isPossible = deployed.linkGbps > 0 && deployed.localInstances > 0
    const load = isPossible ? this.#arrivals.take(nowSeconds) : null
    this.#plan.replan({
      nowSeconds,
      scenario: this.#scenario,
      deployed,
      load: load && {
        ...load,
        burstiness: this.#arrivals.burstiness(this.#scenario.burstiness),
        outputTokensMean: this.#finished > 0 ? this.#outputTokensSum / this.#finished : this.#scenario.outputTokens,
      },
      drainSeconds: this.#drainSeconds(),
      areRolesFixed: false,
    })
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

function deployedOf({ link, remote, locals }: Simulation): Deployed {
  return {
    linkGbps: gbpsFromBytesPerSecond(link.bytesPerSecond),
    remoteInstances: remote.openServers,
    localInstances: locals.alive,
  }
}
