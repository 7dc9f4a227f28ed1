/** The dual-timescale scheduler of section 3.4.3 in a node that routes prompts: the simulator's decisions, on what is measured. */
import type { LinkReport, PrefillReport } from '../cluster/member.ts'
import type { Membership } from '../cluster/membership.ts'
import { LIMITS } from '../core/limits.ts'
import { meanOf } from '../core/moments.ts'
import type { Alarm, Clock, Stopwatch } from '../core/ports.ts'
import type { DecodeProfile } from '../planner/decode.ts'
import { type Deployed, LongTermPlan, type PlanChange } from '../planner/long-term-plan.ts'
import { ArrivalMeter } from '../planner/sim-meters.ts'
import { DEFAULT_SIMULATION } from '../planner/sim-options.ts'
import { gbpsFromBytesPerSecond } from '../core/units.ts'
import { DEFAULT_REGIME_BOUNDS, nextRegime, type Regime } from '../policy/regime.ts'
import { type RouteQuestion, routePrefill } from '../policy/route.ts'
import { type Congestion, controlledThreshold, DEFAULT_THRESHOLD_CONTROL } from '../policy/threshold.ts'
import type { Routing } from './cluster-node.ts'
import { type LiveDeployment, liveDeployment } from './live-deployment.ts'
import { areDedicated, assignRoles, type ProposedRole } from './live-roles.ts'
import {
  crossingTokens,
  kvBytesOf,
  leastWait,
  linkBytesPerSecond,
  measuredScenario,
  nodesOf,
  pooledSeconds,
  type RoutedModel,
} from './live-scenario.ts'
import { capacityText, congestionText, countText, crossingText, planText, sentence } from './live-text.ts'

export interface LiveTimes {
  /** Between two looks at queues and links: the short term. */
  readonly controlSeconds: number
  /** Between two plans, if nothing happens that makes one necessary: the long term. */
  readonly replanSeconds: number
  /** Least time between two plans, whatever happens: planning takes a part of a second. */
  readonly newsSeconds: number
  /** How long a node that changes its role serves neither, beside finishing what it has. */
  readonly roleChangeSeconds: number
  /** Prompts that must have come for a first plan. */
  readonly observationsMin: number
}

/** The simulator's clock; the first plan as soon as a distribution can be seen. */
export const DEFAULT_LIVE_TIMES: LiveTimes = {
  controlSeconds: DEFAULT_SIMULATION.controlSeconds,
  replanSeconds: DEFAULT_SIMULATION.replanSeconds,
  newsSeconds: 5,
  roleChangeSeconds: DEFAULT_SIMULATION.roleChangeSeconds,
  observationsMin: 32,
}

/** What the scheduler sees, each asked anew at every look. */
export interface LiveSenses {
  readonly membership: Pick<Membership, 'self' | 'members'>
  /** What computing takes at this node now; null without an engine. */
  readonly prefill: () => PrefillReport | null
  readonly links: () => readonly LinkReport[]
  /** Bytes that wait to cross to or from other datacentres. */
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
  readonly times?: LiveTimes | undefined
  /** Carries out a change of roles in this datacentre; asked of one node only, the first by name. */
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

/** A threshold that moved by less is not worth a line. */
const WORTH_SAYING = 0.1
/** A ratio of computing speeds that moved by more makes plans made before of no use, as a changed link does. */
const SPEED_CHANGE = 0.2
/** Tokens a request is taken to generate until some have ended. */
const OUTPUT_TOKENS = 256

type Load = NonNullable<ReturnType<ArrivalMeter['take']>>

/** What the last plan rests on. */
interface Basis {
  readonly change: PlanChange | null
  readonly speedRatio: number
  readonly load: Load
  readonly offloadedRatio: number
  /** Mean prefill of a prompt, on whichever side. */
  readonly serviceSeconds: number
  /** Mean KV of a prompt that is offloaded. */
  readonly transferBytes: number
  readonly atSeconds: number
}

/** See the top of this file. Looks when it is started, and then every second, until it is closed. */
export class LiveScheduler implements Routing {
  readonly #options: LiveSchedulerOptions
  readonly #times: LiveTimes
  readonly #arrivals: ArrivalMeter
  #plan: LongTermPlan | null = null
  #basis: Basis | null = null
  #regime: Regime = 'bandwidth-scarce'
  #thresholdTokens: number
  #plannedTokens: number
  #why = 'Nothing was looked at yet.'
  #promptTokensSum = 0
  #observations = 0
  /** Where the rate of prompts is counted from: nothing is known of the time before the first one. */
  #firstSeconds: number | null = null
  #outputTokensSum = 0
  #finished = 0
  #saidTokens = Number.NaN
  #saidAlone: string | null = null
  #proposed: readonly ProposedRole[] | null = null
  readonly #decisions: RoutingEvent[] = []
  readonly #changes: RoutingEvent[] = []
  #cancelAlarm: (() => void) | null = null

  constructor(options: LiveSchedulerOptions) {
    this.#options = options
    this.#times = options.times ?? DEFAULT_LIVE_TIMES
    this.#arrivals = new ArrivalMeter(this.#times.observationsMin)
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

  /** A prompt has come; before it is routed, so that also those are counted that stay. */
  seen(promptTokens: number, uncachedTokens: number): void {
    this.#firstSeconds ??= this.#options.stopwatch.seconds()
    this.#arrivals.seen(Math.max(1, uncachedTokens))
    this.#promptTokensSum += promptTokens
    this.#observations += 1
  }

  finished(outputTokens: number): void {
    this.#outputTokensSum += Math.max(1, outputTokens)
    this.#finished += 1
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

  start(): void {
    if (this.#cancelAlarm !== null) return
    const again = (): void => {
      this.#cancelAlarm = this.#options.alarm.after(this.#times.controlSeconds, again)
      this.look()
    }
    again()
  }

  close(): void {
    this.#cancelAlarm?.()
    this.#cancelAlarm = null
  }

  /** The short term; and the long term when its time has come. To be called between two looks when a link is congested. */
  look(): void {
    const { senses, model, stopwatch } = this.#options
    const nowSeconds = this.#firstSeconds === null ? 0 : stopwatch.seconds() - this.#firstSeconds
    const { self } = senses.membership
    const deployment = liveDeployment({
      model: model.name,
      self,
      members: senses.membership.members(),
      prefill: senses.prefill(),
      links: senses.links(),
    })
    this.#arrivals.tick(nowSeconds)
    const prefilling = deployment.locals.filter(({ isPrefill }) => isPrefill).map(({ report }) => report)
    if (deployment.whyAlone !== null) this.#stay(deployment.whyAlone)
    else if (prefilling.length === 0) this.#sendAll()
    else this.#steer(deployment, prefilling, nowSeconds)
  }

  #stay(whyAlone: string): void {
    const { promptTokensMax } = this.#options.model
    this.#set(promptTokensMax, promptTokensMax)
    this.#say(sentence([`every prompt stays here: ${whyAlone}`]), whyAlone)
  }

  #sendAll(): void {
    const why = `no node here has an engine for ${this.#options.model.name}`
    this.#set(0, 0)
    this.#say(sentence([`every prompt goes to another datacentre: ${why}`]), why)
  }

  #steer(deployment: LiveDeployment, prefilling: readonly PrefillReport[], nowSeconds: number): void {
    const { model } = this.#options
    const egressUtilisation = utilisationOf(deployment)
    const regime = nextRegime(this.#regime, egressUtilisation, DEFAULT_REGIME_BOUNDS)
    const isOtherRegime = regime !== this.#regime
    this.#regime = regime
    const load = this.#loadIfDue(deployment, prefilling, nowSeconds)
    if (load !== null) this.#replan(deployment, prefilling, load, nowSeconds)
    const basis = this.#basis
    if (basis === null || this.#plan === null) {
      const crossing = crossingTokens(prefilling, deployment.sites, model)
      this.#set(crossing, crossing)
      const { observationsMin } = this.#times
      const tokens = Math.max(1, crossing)
      const how = crossingText(crossing, model, `${Math.min(observationsMin, this.#observations)} of ${observationsMin}`)
      this.#say(sentence([capacityText(deployment, model, tokens), how]), null, isOtherRegime)
      return
    }
    const congestion = this.#congestion(deployment, prefilling, basis, egressUtilisation)
    const thresholdTokens = controlledThreshold(congestion, DEFAULT_THRESHOLD_CONTROL)
    this.#set(thresholdTokens, congestion.plannedTokens)
    const parts = [
      capacityText(deployment, model, meanOf(basis.load.uncachedTokens)),
      basis.change === null
        ? `t of ${countText(congestion.plannedTokens)} tokens stays`
        : planText(basis.change, { rateRps: basis.load.rateRps, offloadedRatio: basis.offloadedRatio }),
      congestionText(this.#thresholdTokens, congestion),
    ]
    this.#say(sentence(parts), null, isOtherRegime)
  }

  /** What to plan for, when it is time to plan. */
  #loadIfDue(deployment: LiveDeployment, prefilling: readonly PrefillReport[], nowSeconds: number): Load | null {
    const basis = this.#basis
    if (basis === null || this.#plan === null) return this.#arrivals.take(nowSeconds)
    if (nowSeconds < basis.atSeconds + this.#times.newsSeconds) return null
    const speedRatio = speedRatioOf(deployment, prefilling, basis.load)
    const isOtherSpeed = Math.abs(speedRatio / basis.speedRatio - 1) > SPEED_CHANGE
    if (!isOtherSpeed && !this.#plan.isDue(nowSeconds, deployedOf(deployment, this.#isDedicated(deployment))))
      return null
    // Where few have come since, those before them say more than nothing.
    return this.#arrivals.take(nowSeconds) ?? basis.load
  }

  #replan(deployment: LiveDeployment, prefilling: readonly PrefillReport[], load: Load, nowSeconds: number): void {
    const { model, senses, changeRoles } = this.#options
    const isDedicated = this.#isDedicated(deployment)
    const deployed = deployedOf(deployment, isDedicated)
    this.#plan ??= new LongTermPlan({
      replanSeconds: this.#times.replanSeconds,
      nextSeconds: nowSeconds,
      thresholdTokens: crossingTokens(prefilling, deployment.sites, model),
      localPrefill: prefilling.length,
      deployed,
    })
    const outputTokensMean = this.#finished > 0 ? this.#outputTokensSum / this.#finished : OUTPUT_TOKENS
    const decode = isDedicated ? senses.decode() : null
    const scenario = measuredScenario({
      model,
      locals: prefilling,
      sites: deployment.sites,
      uncachedTokens: load.uncachedTokens,
      promptTokensMean: this.#promptTokensSum / Math.max(1, this.#observations),
      outputTokensMean,
      decode,
    })
    this.#plan.rolesAre(prefilling.length)
    const change = this.#plan.replan({
      nowSeconds,
      scenario,
      deployed,
      load: {
        uncachedTokens: load.uncachedTokens,
        // Each node here plans for itself, with all that is there: the others are taken to be asked as often.
        rateRps: load.rateRps * Math.max(1, deployment.locals.length),
        burstiness: this.#arrivals.burstiness(1),
        outputTokensMean,
      },
      drainSeconds: scenario.decodeBatch.stepSeconds * outputTokensMean + this.#times.roleChangeSeconds,
      areRolesFixed: decode === null || changeRoles === undefined || deployment.locals[0]?.node !== deployment.self,
    })
    this.#basis = {
      change: change ?? this.#basis?.change ?? null,
      load,
      speedRatio: speedRatioOf(deployment, prefilling, load),
      atSeconds: nowSeconds,
      ...splitOf(load.uncachedTokens, this.#plan.plannedTokens, { deployment, prefilling, model }),
    }
    if (change?.kind === 'roles') this.#changeRoles(deployment, change)
  }

  #changeRoles({ locals }: LiveDeployment, change: PlanChange): void {
    const roles = assignRoles(locals, change.plan.roles.localPrefill)
    this.#proposed = roles
    const before = new Set(locals.filter(({ isPrefill }) => isPrefill).map(({ node }) => node))
    const moves = roles
      .filter(({ node, role }) => before.has(node) !== (role === 'prefill'))
      .map(({ node, role }) => `${node} is to ${role}`)
    const { asItIs, plan } = change
    const [p90Before, p90After] = [asItIs.prediction.ttftSecondsP90, plan.prediction.ttftSecondsP90]
    const gain =
      p90Before === null || p90After === null
        ? `room for ${countText(100 * plan.prediction.headroom)} % of the load instead of ${countText(100 * asItIs.prediction.headroom)} %`
        : `TTFT P90 of ${countText(p90After)} s instead of ${countText(p90Before)} s`
    this.#remember(
      this.#changes,
      sentence([
        `${before.size} of ${locals.length} nodes here prefill, ${plan.roles.localPrefill} should: ${moves.join(', ')}`,
        gain,
      ]),
    )
    this.#options.changeRoles?.(roles)
  }

  #congestion(
    { sites, locals, self }: LiveDeployment,
    prefilling: readonly PrefillReport[],
    { serviceSeconds, transferBytes }: Basis,
    egressUtilisation: number,
  ): Congestion {
    const plan = this.#plan
    const bytesPerSecond = linkBytesPerSecond(sites)
    const plannedGbps = plan?.plannedGbps ?? gbpsFromBytesPerSecond(bytesPerSecond)
    const backlogSeconds = this.#options.senses.waitingBytes() / bytesPerSecond
    // How much longer a mean transfer takes now than the plan knows.
    const transferSeconds = transferBytes / bytesPerSecond
    const lateSeconds = transferSeconds * (1 - gbpsFromBytesPerSecond(bytesPerSecond) / plannedGbps)
    const rttSeconds = sites.reduce((least, site) => Math.min(least, site.rttSeconds), Infinity)
    const remoteWait = sites.reduce((least, { nodes }) => Math.min(least, leastWait(nodes)), Infinity)
    const own = locals.find(({ node, isPrefill }) => node === self && isPrefill)
    return {
      plannedTokens: plan?.plannedTokens ?? 1,
      egressUtilisation,
      remoteDelaySeconds: remoteWait + Math.max(0, backlogSeconds + lateSeconds + rttSeconds),
      localDelaySeconds: own?.report.waitSeconds ?? leastWait(prefilling),
      serviceSeconds,
    }
  }

  /** Whether there is something to change about roles, and what is needed to say how. */
  #isDedicated({ locals }: LiveDeployment): boolean {
    return areDedicated(locals) && this.#options.senses.decode() !== null
  }

  #set(thresholdTokens: number, plannedTokens: number): void {
    const { promptTokensMax } = this.#options.model
    this.#thresholdTokens = Math.min(promptTokensMax, thresholdTokens)
    this.#plannedTokens = Math.min(promptTokensMax, plannedTokens)
  }

  /** Remembers what is worth it: a threshold that moved, another regime, company lost or found. */
  #say(why: string, alone: string | null, isOtherRegime = false): void {
    this.#why = why
    const isMoved = !(Math.abs(this.#thresholdTokens / this.#saidTokens - 1) <= WORTH_SAYING)
    const isSame = this.#thresholdTokens === this.#saidTokens || !isMoved
    const isOtherCompany = alone !== this.#saidAlone
    if (isSame && !isOtherCompany && !isOtherRegime) return
    this.#saidTokens = this.#thresholdTokens
    this.#saidAlone = alone
    this.#remember(this.#decisions, isOtherRegime ? `${this.#regime}: ${why}` : why)
  }

  #remember(events: RoutingEvent[], text: string): void {
    events.push({ atMs: this.#options.clock.nowMs(), text })
    if (events.length > LIMITS.routingEventsKept) events.shift()
  }
}

/** Share of all links together. */
function utilisationOf({ sites }: LiveDeployment): number {
  return sites.reduce((sum, site) => sum + site.utilisation * site.bytesPerSecond, 0) / linkBytesPerSecond(sites)
}

/** Nodes that do both count as one of either. */
function deployedOf({ sites, locals }: LiveDeployment, isDedicated: boolean): Deployed {
  const prefilling = locals.filter(({ isPrefill }) => isPrefill).length
  return {
    linkGbps: gbpsFromBytesPerSecond(linkBytesPerSecond(sites)),
    remoteInstances: nodesOf(sites),
    localInstances: isDedicated ? locals.length : prefilling + Math.max(1, locals.length - prefilling),
  }
}

function speedRatioOf({ sites }: LiveDeployment, prefilling: readonly PrefillReport[], load: Load): number {
  const tokens = meanOf(load.uncachedTokens)
  const remote = sites.flatMap(({ nodes }) => nodes)
  return pooledSeconds(prefilling, tokens) / pooledSeconds(remote, tokens)
}

/** What a threshold does to the prompts that came. */
function splitOf(
  uncachedTokens: Float64Array,
  thresholdTokens: number,
  {
    deployment,
    prefilling,
    model,
  }: { deployment: LiveDeployment; prefilling: readonly PrefillReport[]; model: RoutedModel },
): Pick<Basis, 'offloadedRatio' | 'serviceSeconds' | 'transferBytes'> {
  const remote = deployment.sites.flatMap(({ nodes }) => nodes)
  let [offloaded, seconds, bytes] = [0, 0, 0]
  for (const tokens of uncachedTokens) {
    const isOffloaded = tokens > thresholdTokens
    seconds += pooledSeconds(isOffloaded ? remote : prefilling, tokens)
    if (!isOffloaded) continue
    offloaded += 1
    bytes += kvBytesOf(model.kv, tokens)
  }
  const count = uncachedTokens.length
  return {
    offloadedRatio: offloaded / count,
    serviceSeconds: seconds / count,
    transferBytes: offloaded === 0 ? kvBytesOf(model.kv, thresholdTokens) : bytes / offloaded,
  }
}
