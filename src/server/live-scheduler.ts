/** The dual-timescale scheduler of section 3.4.3 in a node that routes prompts: the simulator's decisions, on what is measured. */
import type { LinkReport, PrefillReport } from '../cluster/member.ts'
import type { Membership } from '../cluster/membership.ts'
import { MembraneError } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import type { Alarm, Clock, Stopwatch } from '../core/ports.ts'
import { gbpsFromBytesPerSecond } from '../core/units.ts'
import type { DecodeProfile } from '../planner/decode.ts'
import type { PlanChange } from '../planner/long-term-plan.ts'
import { DEFAULT_SIMULATION } from '../planner/sim-options.ts'
import { DEFAULT_REGIME_BOUNDS, nextRegime, type Regime } from '../policy/regime.ts'
import { type RouteQuestion, routePrefill } from '../policy/route.ts'
import { type Congestion, controlledThreshold, DEFAULT_THRESHOLD_CONTROL } from '../policy/threshold.ts'
import type { Routing } from './cluster-node.ts'
import { type LiveDeployment, liveDeployment } from './live-deployment.ts'
import { DEFAULT_PLAN_TIMES, LivePlan, type LivePlanState, type PlanTimes } from './live-plan.ts'
import { areDedicated, assignRoles, type ProposedRole } from './live-roles.ts'
import { crossingTokens, kvBytesOf, leastWait, linkBytesPerSecond, type RoutedModel } from './live-scenario.ts'
import { capacityText, congestionText, crossingText, planText, rolesText, sentence } from './live-text.ts'

/** What the scheduler sees, each asked anew at every look. */
export interface LiveSenses {
  readonly membership: Pick<Membership, 'self' | 'members'>
  /** What computing takes at this node now; null without an engine. */
  readonly prefill: () => PrefillReport | null
  readonly links: () => readonly LinkReport[]
  /** Bytes that wait to come from, or to go to, other datacentres. */
  readonly waitingBytes: () => number
  /** How a node here decodes; null where nobody knows: roles are left alone then. */
  readonly decode: () => DecodeProfile | null
}

export interface LiveSchedulerOptions {
  readonly model: RoutedModel
  readonly senses: LiveSenses
  readonly clock: Clock
  readonly stopwatch: Stopwatch
  readonly alarm: Alarm
  readonly planTimes?: PlanTimes | undefined
  /** Between two looks at queues and links: the short term. */
  readonly controlSeconds?: number | undefined
  /**
   * Carries out a change of roles in this datacentre: one role for each of its nodes. Asked of one node only, the first by
   * name; without it roles stay.
   */
  readonly changeRoles?: ((roles: readonly ProposedRole[]) => void) | undefined
}

/** What is asked for each prompt. */
export type LiveQuestion = Pick<RouteQuestion, 'promptTokens' | 'remoteCachedTokens' | 'localCachedTokens'>

interface RoutingEvent {
  readonly atMs: number
  readonly text: string
}

/** In plain, finite values: a threshold at the longest prompt offloads nothing. */
export interface RoutingState {
  readonly thresholdTokens: number
  readonly plannedTokens: number
  readonly regime: Regime
  readonly why: string
  /** The oldest first, as in `changes`. */
  readonly decisions: readonly RoutingEvent[]
  /** Of roles. */
  readonly changes: readonly RoutingEvent[]
}

/** A planned threshold that moved by less is not worth a line, nor one that a queue moved by less: queues come and go. */
const WORTH_SAYING = { plannedFold: 1.1, queuesFold: 2 } as const
/** A prompt by which capacities are told while none has come. */
const TYPICAL_TOKENS = 8192

/** See the top of this file. Looks when it is started, and then every second, until it is closed. */
export class LiveScheduler implements Routing {
  readonly #options: LiveSchedulerOptions
  readonly #times: PlanTimes
  readonly #plan: LivePlan
  /** Where rates are counted from: nothing is known of the time before the first prompt. */
  #firstSeconds: number | null = null
  #regime: Regime = 'bandwidth-scarce'
  #thresholdTokens: number
  #plannedTokens: number
  #why = 'Nothing was looked at yet.'
  #said = { thresholdTokens: Number.NaN, plannedTokens: Number.NaN }
  /** Why the last attempt at a plan came to nothing. */
  #trouble: string | null = null
  #saidAlone: string | null = null
  #proposed: readonly ProposedRole[] | null = null
  readonly #decisions: RoutingEvent[] = []
  readonly #changes: RoutingEvent[] = []
  #cancelAlarm: (() => void) | null = null

  /** Throws INVALID_CONFIG for a model without KV or without a longest prompt. */
  constructor(options: LiveSchedulerOptions) {
    checkModel(options.model)
    this.#options = options
    this.#times = options.planTimes ?? DEFAULT_PLAN_TIMES
    this.#plan = new LivePlan(options.model, this.#times)
    this.#thresholdTokens = options.model.promptTokensMax
    this.#plannedTokens = options.model.promptTokensMax
  }

  /** Prompts with more uncached tokens are offloaded; Infinity while there is nobody to offload to. */
  get thresholdTokens(): number {
    return this.#thresholdTokens >= this.#options.model.promptTokensMax ? Infinity : this.#thresholdTokens
  }

  isRemote(question: LiveQuestion): boolean {
    const { thresholdTokens } = this
    return routePrefill({ ...question, thresholdTokens, regime: this.#regime }).prefill === 'remote'
  }

  /** A prompt has come, whether it is offloaded or not. Ignored when that is no length. */
  seen(promptTokens: number, uncachedTokens: number): void {
    if (!(promptTokens >= 1 && uncachedTokens >= 0 && uncachedTokens <= promptTokens && promptTokens < Infinity)) return
    this.#firstSeconds ??= this.#options.stopwatch.seconds()
    this.#plan.seen(promptTokens, uncachedTokens)
  }

  /** A request has ended. */
  finished(outputTokens: number): void {
    this.#plan.finished(outputTokens)
  }

  /** Roles of all nodes here, as the last change of roles wanted them; null when none was wanted. */
  proposedRoles(): readonly ProposedRole[] | null {
    return this.#proposed
  }

  state(): RoutingState {
    return {
      thresholdTokens: this.#thresholdTokens,
      plannedTokens: this.#plannedTokens,
      regime: this.#regime,
      why: this.#why,
      decisions: [...this.#decisions],
      changes: [...this.#changes],
    }
  }

  /** A second call changes nothing. */
  start(): void {
    if (this.#cancelAlarm !== null) return
    const { alarm, controlSeconds = DEFAULT_SIMULATION.controlSeconds } = this.#options
    const again = (): void => {
      this.#cancelAlarm = alarm.after(controlSeconds, again)
      this.look()
    }
    again()
  }

  close(): void {
    this.#cancelAlarm?.()
    this.#cancelAlarm = null
  }

  /** The short term; and the long term when its time has come. May be called between two looks, when a link is congested. */
  look(): void {
    const { senses, model } = this.#options
    const { membership, prefill, links } = senses
    const deployment = liveDeployment({
      model: model.name,
      self: membership.self,
      members: membership.members(),
      prefill: prefill(),
      links: links(),
    })
    if (deployment.whyAlone !== null) this.#stay(deployment.whyAlone)
    else if (deployment.prefilling.length === 0) this.#sendAll()
    else this.#steer(deployment)
  }

  #stay(whyAlone: string): void {
    const { promptTokensMax } = this.#options.model
    this.#set(promptTokensMax, promptTokensMax)
    this.#say(sentence(['every prompt stays here', whyAlone]), { alone: whyAlone })
  }

  #sendAll(): void {
    const alone = `no node here prefills with ${this.#options.model.name}`
    this.#set(0, 0)
    this.#say(sentence(['every prompt goes to another datacentre', alone]), { alone })
  }

  #steer(deployment: LiveDeployment): void {
    const { model, stopwatch } = this.#options
    const egressUtilisation = utilisationOf(deployment)
    const regime = nextRegime(this.#regime, egressUtilisation, DEFAULT_REGIME_BOUNDS)
    const isOtherRegime = regime !== this.#regime
    this.#regime = regime
    if (this.#firstSeconds !== null) this.#replan(deployment, stopwatch.seconds() - this.#firstSeconds)
    const plan = this.#plan.state
    if (plan === null) {
      const crossing = crossingTokens(deployment.prefilling, deployment.sites, model)
      this.#set(crossing, crossing)
      const { observationsMin } = this.#times
      const seen = `${Math.min(observationsMin, this.#plan.observations)} of ${observationsMin}`
      const tokens = Math.min(model.promptTokensMax, TYPICAL_TOKENS)
      const parts = [capacityText(deployment, model, tokens), crossingText(crossing, model, seen), this.#trouble]
      this.#say(sentence(parts), { isOtherRegime })
      return
    }
    const congestion = this.#congestion(deployment, plan, egressUtilisation)
    this.#set(controlledThreshold(congestion, DEFAULT_THRESHOLD_CONTROL), plan.plannedTokens)
    const parts = [
      capacityText(deployment, model, plan.meanTokens),
      planText(plan),
      congestionText(this.#thresholdTokens, congestion),
      this.#trouble,
    ]
    this.#say(sentence(parts), { isOtherRegime })
  }

  #replan(deployment: LiveDeployment, nowSeconds: number): void {
    const { senses, changeRoles } = this.#options
    const decode = areDedicated(deployment.locals) ? senses.decode() : null
    const isFirst = deployment.locals[0]?.node === senses.membership.self.node
    const areRolesFixed = changeRoles === undefined || !isFirst
    let change: PlanChange | null = null
    const before = this.#plan.state
    try {
      change = this.#plan.update({ deployment, nowSeconds, decode, areRolesFixed })
      if (this.#plan.state !== before) this.#trouble = null
    } catch (error) {
      // What others measured of themselves may fit no plan; prompts are routed all the same.
      if (!(error instanceof MembraneError)) throw error
      this.#trouble = `no new plan: ${error.message.replace(/\.$/, '')}`
    }
    if (change?.kind === 'roles') this.#changeRoles(deployment, change)
  }

  #changeRoles({ locals }: LiveDeployment, change: PlanChange): void {
    const roles = assignRoles(locals, change.plan.roles.localPrefill)
    this.#proposed = roles
    this.#remember(this.#changes, rolesText(locals, roles, change))
    this.#options.changeRoles?.(roles)
  }

  #congestion(
    { sites, locals, prefilling }: LiveDeployment,
    { plannedTokens, plannedGbps, serviceSeconds, transferBytes }: LivePlanState,
    egressUtilisation: number,
  ): Congestion {
    const { senses } = this.#options
    const bytesPerSecond = linkBytesPerSecond(sites)
    // How much longer a mean transfer takes now than the plan knows.
    const slowness = 1 - gbpsFromBytesPerSecond(bytesPerSecond) / plannedGbps
    const lateSeconds = (senses.waitingBytes() + transferBytes * slowness) / bytesPerSecond
    const rttSeconds = sites.reduce((least, site) => Math.min(least, site.rttSeconds), Infinity)
    const own = locals.find(({ node, isPrefill }) => isPrefill && node === senses.membership.self.node)
    return {
      plannedTokens,
      egressUtilisation,
      remoteDelaySeconds: leastWait(sites.flatMap(({ nodes }) => nodes)) + Math.max(0, lateSeconds + rttSeconds),
      localDelaySeconds: own?.report.waitSeconds ?? leastWait(prefilling),
      serviceSeconds,
    }
  }

  #set(thresholdTokens: number, plannedTokens: number): void {
    const { promptTokensMax } = this.#options.model
    this.#thresholdTokens = Math.min(promptTokensMax, thresholdTokens)
    this.#plannedTokens = Math.min(promptTokensMax, plannedTokens)
  }

  /** Remembers what is worth it: a threshold that moved, another regime, company lost or found. */
  #say(why: string, { alone = null, isOtherRegime = false }: { alone?: string | null; isOtherRegime?: boolean }): void {
    this.#why = why
    const [thresholdTokens, plannedTokens] = [this.#thresholdTokens, this.#plannedTokens]
    const isMoved =
      isFolded(plannedTokens, this.#said.plannedTokens, WORTH_SAYING.plannedFold) ||
      isFolded(thresholdTokens, this.#said.thresholdTokens, WORTH_SAYING.queuesFold)
    if (!isMoved && !isOtherRegime && alone === this.#saidAlone) return
    this.#said = { thresholdTokens, plannedTokens }
    this.#saidAlone = alone
    this.#remember(this.#decisions, isOtherRegime ? `${this.#regime}: ${why}` : why)
  }

  #remember(events: RoutingEvent[], text: string): void {
    events.push({ atMs: this.#options.clock.nowMs(), text })
    if (events.length > LIMITS.routingEventsKept) events.shift()
  }
}

function checkModel({ name, kv, promptTokensMax }: RoutedModel): void {
  const bytes = kvBytesOf(kv, promptTokensMax)
  if (bytes > 0 && bytes < Infinity && promptTokensMax >= 2 && promptTokensMax <= LIMITS.requestTokensMax) return
  throw new MembraneError(
    'INVALID_CONFIG',
    `Prompts of ${name} cannot be routed: its KV or its longest prompt is not known.`,
    {
      details: { ...kv, promptTokensMax },
    },
  )
}

/** Whether one is more than so many times the other; NaN is that to all. */
function isFolded(a: number, b: number, fold: number): boolean {
  return a !== b && !(Math.max(a, b) <= fold * Math.min(a, b))
}

/** Share of all links together. */
function utilisationOf({ sites }: LiveDeployment): number {
  return sites.reduce((sum, site) => sum + site.utilisation * site.bytesPerSecond, 0) / linkBytesPerSecond(sites)
}
