/** The long timescale of a node that routes: prompts that came, and the plan that is made of them. */
import type { PrefillReport } from '../cluster/member.ts'
import { meanOf } from '../core/moments.ts'
import { gbpsFromBytesPerSecond } from '../core/units.ts'
import type { DecodeProfile } from '../planner/decode.ts'
import { type Deployed, LongTermPlan, type PlanChange } from '../planner/long-term-plan.ts'
import { ArrivalMeter } from '../planner/sim-meters.ts'
import { DEFAULT_SIMULATION } from '../planner/sim-options.ts'
import type { LiveDeployment } from './live-deployment.ts'
import {
  crossingTokens,
  kvBytesOf,
  linkBytesPerSecond,
  measuredScenario,
  nodesOf,
  pooledSeconds,
  type RoutedModel,
} from './live-scenario.ts'

export interface PlanTimes {
  /** Between two plans, if nothing happens that makes one necessary. */
  readonly replanSeconds: number
  /** Least time between two plans, whatever happens. */
  readonly newsSeconds: number
  /** How long a node that changes its role serves neither, beside finishing what it has. */
  readonly roleChangeSeconds: number
  /** Prompts that must have come for a first plan. */
  readonly observationsMin: number
}

/** The simulator's clock; the first plan as soon as a distribution can be seen. */
export const DEFAULT_PLAN_TIMES: PlanTimes = {
  replanSeconds: DEFAULT_SIMULATION.replanSeconds,
  newsSeconds: 5,
  roleChangeSeconds: DEFAULT_SIMULATION.roleChangeSeconds,
  observationsMin: 32,
}

export interface PlanningQuestion {
  readonly deployment: LiveDeployment
  readonly nowSeconds: number
  /** How the nodes decode that do nothing else; null to plan for the roles as they are, with decoding no limit. */
  readonly decode: DecodeProfile | null
  readonly areRolesFixed: boolean
}

/** A plan in force, with what it rests on. */
export interface LivePlanState {
  /** What was last taken over; null when the first plan was of no use. */
  readonly change: PlanChange | null
  readonly plannedTokens: number
  readonly plannedGbps: number
  readonly rateRps: number
  /** Of the prompts that it was made for, tokens. */
  readonly meanTokens: number
  readonly offloadedRatio: number
  /** Mean prefill of a prompt, on whichever side. */
  readonly serviceSeconds: number
  /** Mean KV of a prompt that is offloaded. */
  readonly transferBytes: number
}

/** A ratio of computing speeds that moved by more makes plans made before of no use, as a changed link does. */
const SPEED_CHANGE = 0.2
/** A plan from few prompts is made anew when so many times as many have come, until enough are known. */
const GROWTH = 2
const OBSERVATIONS_ENOUGH = 4096
/** Fewer prompts say too little of a load for nodes to change their roles. */
const OBSERVATIONS_ROLES = 512
/** Tokens a request is taken to generate until some have ended. */
const OUTPUT_TOKENS = 256

type Load = NonNullable<ReturnType<ArrivalMeter['take']>>

interface Basis {
  readonly load: Load
  readonly speedRatio: number
  readonly observations: number
  readonly atSeconds: number
}

/** See the top of this file. */
export class LivePlan {
  readonly #model: RoutedModel
  readonly #times: PlanTimes
  readonly #arrivals: ArrivalMeter
  #observations = 0
  #promptTokensSum = 0
  #outputTokensSum = 0
  #finished = 0
  #plan: LongTermPlan | null = null
  #basis: Basis | null = null
  #state: LivePlanState | null = null

  constructor(model: RoutedModel, times: PlanTimes) {
    this.#model = model
    this.#times = times
    this.#arrivals = new ArrivalMeter(times.observationsMin)
  }

  /** Null until enough prompts have come. */
  get state(): LivePlanState | null {
    return this.#state
  }

  get observations(): number {
    return this.#observations
  }

  seen(promptTokens: number, uncachedTokens: number): void {
    this.#arrivals.seen(Math.max(1, uncachedTokens))
    this.#promptTokensSum += promptTokens
    this.#observations += 1
  }

  finished(outputTokens: number): void {
    this.#outputTokensSum += Math.max(1, outputTokens)
    this.#finished += 1
  }

  /** Seconds since the first prompt; plans when it is time to. What was taken over of a new plan, or null. */
  update(question: PlanningQuestion): PlanChange | null {
    this.#arrivals.tick(question.nowSeconds)
    const load = this.#loadIfDue(question)
    return load === null ? null : this.#replan(load, question)
  }

  #loadIfDue({ deployment, nowSeconds, decode }: PlanningQuestion): Load | null {
    const [basis, plan] = [this.#basis, this.#plan]
    if (basis === null || plan === null) return this.#arrivals.take(nowSeconds)
    if (nowSeconds < basis.atSeconds + this.#times.newsSeconds) return null
    const speedRatio = speedRatioOf(deployment, basis.load)
    const isOtherSpeed = Math.abs(speedRatio / basis.speedRatio - 1) > SPEED_CHANGE
    const isMoreKnown = basis.observations < OBSERVATIONS_ENOUGH && this.#observations >= GROWTH * basis.observations
    if (!isOtherSpeed && !isMoreKnown && !plan.isDue(nowSeconds, deployedOf(deployment, decode))) return null
    // Where few have come since, those before them say more than nothing.
    return this.#arrivals.take(nowSeconds) ?? basis.load
  }

  #replan(load: Load, { deployment, nowSeconds, decode, areRolesFixed }: PlanningQuestion): PlanChange | null {
    const { prefilling, sites } = deployment
    const deployed = deployedOf(deployment, decode)
    this.#plan ??= new LongTermPlan({
      replanSeconds: this.#times.replanSeconds,
      nextSeconds: nowSeconds,
      thresholdTokens: crossingTokens(prefilling, sites, this.#model),
      localPrefill: prefilling.length,
      deployed,
    })
    const outputTokensMean = this.#finished > 0 ? this.#outputTokensSum / this.#finished : OUTPUT_TOKENS
    const scenario = measuredScenario({
      model: this.#model,
      locals: prefilling,
      sites,
      uncachedTokens: load.uncachedTokens,
      promptTokensMean: this.#promptTokensSum / this.#observations,
      outputTokensMean,
      decode,
    })
    // Each node here plans for itself, with all that is there: the others are taken to be asked as often.
    const rateRps = load.rateRps * Math.max(1, deployment.locals.length)
    this.#plan.rolesAre(prefilling.length)
    const change = this.#plan.replan({
      nowSeconds,
      scenario,
      deployed,
      load: {
        rateRps,
        uncachedTokens: load.uncachedTokens,
        burstiness: this.#arrivals.burstiness(scenario.burstiness),
        outputTokensMean,
      },
      drainSeconds: scenario.decodeBatch.stepSeconds * outputTokensMean + this.#times.roleChangeSeconds,
      areRolesFixed: areRolesFixed || decode === null || this.#observations < OBSERVATIONS_ROLES,
    })
    this.#basis = {
      load,
      speedRatio: speedRatioOf(deployment, load),
      observations: this.#observations,
      atSeconds: nowSeconds,
    }
    const { plannedTokens, plannedGbps } = this.#plan
    this.#state = {
      change: change ?? this.#state?.change ?? null,
      plannedTokens,
      plannedGbps,
      rateRps,
      meanTokens: meanOf(load.uncachedTokens),
      ...splitOf(load.uncachedTokens, plannedTokens, deployment, this.#model),
    }
    return change
  }
}

/** Nodes that do both count as one of either. */
function deployedOf({ sites, locals, prefilling }: LiveDeployment, decode: DecodeProfile | null): Deployed {
  return {
    linkGbps: gbpsFromBytesPerSecond(linkBytesPerSecond(sites)),
    remoteInstances: nodesOf(sites),
    localInstances: decode === null ? prefilling.length + 1 : locals.length,
  }
}

function speedRatioOf({ sites, prefilling }: LiveDeployment, load: Load): number {
  const tokens = meanOf(load.uncachedTokens)
  return pooledSeconds(prefilling, tokens) / pooledSeconds(remoteReports(sites), tokens)
}

function remoteReports(sites: LiveDeployment['sites']): PrefillReport[] {
  return sites.flatMap(({ nodes }) => nodes)
}

/** What a threshold does to the prompts that came. */
function splitOf(
  uncachedTokens: Float64Array,
  thresholdTokens: number,
  { sites, prefilling }: LiveDeployment,
  { kv }: RoutedModel,
): Pick<LivePlanState, 'offloadedRatio' | 'serviceSeconds' | 'transferBytes'> {
  const remote = remoteReports(sites)
  let [offloaded, seconds, bytes] = [0, 0, 0]
  for (const tokens of uncachedTokens) {
    const isOffloaded = tokens > thresholdTokens
    seconds += pooledSeconds(isOffloaded ? remote : prefilling, tokens)
    if (!isOffloaded) continue
    offloaded += 1
    bytes += kvBytesOf(kv, tokens)
  }
  const count = uncachedTokens.length
  return {
    offloadedRatio: offloaded / count,
    serviceSeconds: seconds / count,
    transferBytes: offloaded === 0 ? kvBytesOf(kv, thresholdTokens) : bytes / offloaded,
  }
}
