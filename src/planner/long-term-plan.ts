import { decideReallocation, DEFAULT_REALLOCATION_RULES } from '../policy/reallocate.ts'
import { type ObservedLoad, type Replan, replan } from './reallocate.ts'
import type { Scenario } from './scenario.ts'

/** A link whose bandwidth differs by more than this share from the planned one is another link. ASSUMPTION: load-measurement. */
const LINK_CHANGE = 0.2

/** What a plan is made for, beside the load. */
export type Deployed = Pick<ObservedLoad, 'linkGbps' | 'remoteInstances' | 'localInstances'>

export interface PlanQuestion {
  readonly nowSeconds: number
  readonly scenario: Scenario
  readonly deployed: Deployed
  /** Null when too few requests have come to say. */
  readonly load: Omit<ObservedLoad, keyof Deployed> | null
  /** How long instances that change serve neither role. */
  readonly drainSeconds: number
  /** Nobody would change roles: only the threshold is asked for. */
  readonly areRolesFixed: boolean
}

/** What was taken over: the roles with their threshold, or the threshold for the roles as they are. */
export interface PlanChange {
  readonly kind: 'roles' | 'threshold'
  readonly plan: Replan
  readonly asItIs: Replan
}

/**
 * The long term of section 3.4.3: when to plan anew, and what to take over of a plan. The simulator and a node that
 * routes both go by it, so that what is planned is what runs.
 */
export class LongTermPlan {
  readonly #replanSeconds: number
  #plannedTokens: number
  #localPrefill: number
  #nextSeconds: number
  #rolesChangedSeconds = Number.NEGATIVE_INFINITY
  /** What the last plan was made for. */
  #plannedGbps: number
  #seen: Deployed

  constructor(options: {
    readonly replanSeconds: number
    readonly nextSeconds: number
    readonly thresholdTokens: number
    readonly localPrefill: number
    readonly deployed: Deployed
  }) {
    this.#replanSeconds = options.replanSeconds
    this.#nextSeconds = options.nextSeconds
    this.#plannedTokens = options.thresholdTokens
    this.#localPrefill = options.localPrefill
    this.#plannedGbps = options.deployed.linkGbps
    this.#seen = options.deployed
  }

  /** t, at least 1 once a plan was taken over. */
  get plannedTokens(): number {
    return this.#plannedTokens
  }

  get plannedGbps(): number {
    return this.#plannedGbps
  }

  /** N_p as planned. */
  get localPrefill(): number {
    return this.#localPrefill
  }

  /** Roles were changed by somebody else. */
  rolesAre(localPrefill: number): void {
    this.#localPrefill = localPrefill
  }

  isDue(nowSeconds: number, deployed: Deployed): boolean {
    return nowSeconds >= this.#nextSeconds || this.#isNews(deployed)
  }

  /** The deployment itself has changed: a link with another bandwidth, instances lost or back. Plans made before are of no use. */
  #isNews(deployed: Deployed): boolean {
    const { remoteInstances, localInstances } = this.#seen
    const isOther = deployed.remoteInstances !== remoteInstances || deployed.localInstances !== localInstances
    this.#seen = deployed
    return isOther || Math.abs(deployed.linkGbps / this.#plannedGbps - 1) > LINK_CHANGE
  }

  /** Null when the plan stays what it is. */
  replan(question: PlanQuestion): PlanChange | null {
    const { nowSeconds, scenario, deployed, load, drainSeconds, areRolesFixed } = question
    this.#nextSeconds = nowSeconds + this.#replanSeconds
    this.#plannedGbps = deployed.linkGbps
    if (this.#plannedGbps <= 0 || deployed.localInstances === 0 || load === null) return null
    const { best, asItIs } = replan(scenario, { ...load, ...deployed }, this.#localPrefill)
    const kind = decideReallocation(
      {
        current: asItIs.prediction,
        proposed: best.prediction,
        isSameRoles: areRolesFixed || best.roles.localPrefill === this.#localPrefill,
        secondsSinceRolesChanged: nowSeconds - this.#rolesChangedSeconds,
        drainSeconds,
      },
      // ASSUMPTION: reallocation-rules.
      DEFAULT_REALLOCATION_RULES,
    )
    const plan = kind === 'roles' ? best : asItIs
    // With what is left no request could be served: roles then wait for what comes back.
    if (plan.prediction.headroom <= 0) return null
    if (kind === 'roles') this.#rolesChangedSeconds = nowSeconds
    this.#localPrefill = plan.roles.localPrefill
    this.#plannedTokens = Math.max(1, plan.thresholdTokens)
    return { kind, plan, asItIs }
  }
}
