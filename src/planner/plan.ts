import { MembraneError } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import { type Assumption, assumption } from './assumptions.ts'
import { candidate } from './balance.ts'
import { lengthCells } from './cells.ts'
import { searchCounts } from './count-search.ts'
import { type Cost, costAt, gpuCount, type GpuCount } from './cost.ts'
import { type Deployment, describeDeployment, optimizeScenario } from './optimize.ts'
import {
  assumptionsOf,
  buildScenario,
  type Scenario,
  type ScenarioSpec,
  scenarioWarnings,
  withLinkGbps,
} from './scenario.ts'
import { ANSWER, bestForRoles, hasSlo, objectiveRps, rateAsItIs } from './search.ts'
import { meetsTtft, queueView, type QueueView } from './slo.ts'
import { egressGbps, type Roles, splitTraffic, type TrafficSplit } from './split.ts'

/** What to plan for. */
export interface PlanRequest {
  /** Hardware kinds, link, traffic and SLO; the instance counts in it are not used. */
  readonly spec: ScenarioSpec
  /** The load to serve, requests per second. */
  readonly rateRps: number
  /** Extra load that must fit too, as a share: 0.2 plans for 1.2 times the rate. Default 0. */
  readonly headroomRatio?: number | undefined
}

/** One layout that serves the load. */
export interface Layout {
  readonly deployment: Deployment
  readonly gpus: GpuCount
  /** At the load asked for; null without prices. */
  readonly cost: Cost | null
  /** KV over the link at the load asked for. */
  readonly egressGbps: number
}

/** The least hardware for a load, with the layouts it was chosen from. */
export interface PlanAnswer {
  readonly rateRps: number
  readonly plannedRps: number
  /** What "least" means: the cost per hour when both pools have a price, GPUs otherwise. */
  readonly minimized: 'cost' | 'gpus'
  readonly best: Layout
  /** The least layout without any remote instance; null when none meets the SLO. */
  readonly localOnly: Layout | null
  /** The least layout for every number of remote instances that was worth looking at, in that order. */
  readonly layouts: readonly Layout[]
  readonly assumptions: readonly Assumption[]
  readonly warnings: readonly string[]
}

/**
 * The least hardware that serves a load within the SLO. Decode does not depend on the threshold, so its instances
 * follow from Eq. (5); for each number of remote instances the fewest local prefill instances are looked for over
 * all thresholds. Throws INVALID_CONFIG, and INFEASIBLE when no number of instances is enough.
 */
export function plan(request: PlanRequest): PlanAnswer {
  const headroomRatio = request.headroomRatio ?? 0
  if (!(request.rateRps > 0) || !Number.isFinite(request.rateRps))
    throw invalid('The rate to plan for', 'above 0 requests per second', request.rateRps)
  if (!(headroomRatio >= 0) || !Number.isFinite(headroomRatio))
    throw invalid('The headroom', 'a share of at least 0', headroomRatio)
  const scenario = buildScenario(request.spec)
  const plannedRps = request.rateRps * (1 + headroomRatio)
  const decode = decodeInstances(scenario, plannedRps)
  const search = { thresholds: thresholdsOf(scenario), plannedRps, rateRps: request.rateRps, decode }
  const layouts = searchLayouts(scenario, search)
  const best = leastOf(scenario, layouts)
  if (best === undefined) throw outOfReach(scenario, search)
  return {
    rateRps: request.rateRps,
    plannedRps,
    minimized: isPriced(scenario) ? 'cost' : 'gpus',
    best,
    localOnly: layouts.find((layout) => layout.deployment.instances.remotePrefill === null) ?? null,
    layouts,
    // ASSUMPTION: no-queue-headroom.
    assumptions: [...assumptionsOf(scenario), ...(hasTtftBound(scenario) ? [] : [assumption('no-queue-headroom')])],
    warnings: scenarioWarnings(scenario),
  }
}

/** A threshold seen both ways: with the mean lengths of Eq. (6) and with its queues. */
interface Threshold {
  readonly view: QueueView
  readonly split: TrafficSplit
}

function thresholdsOf(scenario: Scenario): Threshold[] {
  const cells = lengthCells(scenario, ANSWER.cells, [])
  return Array.from({ length: cells.ends.length + 1 }, (_, first) => {
    const view = queueView(cells, first)
    return { view, split: splitTraffic(scenario, view.thresholdTokens) }
  })
}

function decodeInstances(scenario: Scenario, rateRps: number): number {
  const { batch, stepSeconds } = scenario.decodeBatch
  if (batch === 0) optimizeScenario(scenario) // Throws the error that says how far the TPOT bound is.
  const instances = Math.max(1, Math.ceil((rateRps * stepSeconds * scenario.outputTokens) / batch - 1e-9))
  if (instances > LIMITS.poolInstancesMax) {
    throw new MembraneError(
      'INFEASIBLE',
      `Decode alone needs ${instances} instances, more than ${LIMITS.poolInstancesMax}.`,
      {
        remedy: 'Plan for a smaller rate.',
        details: { stage: 'decode', instances },
      },
    )
  }
  return instances
}

interface Search {
  readonly thresholds: readonly Threshold[]
  readonly plannedRps: number
  readonly rateRps: number
  readonly decode: number
}

/** The least layout for the numbers of remote instances worth looking at, ascending. Empty when nothing is enough. */
function searchLayouts(scenario: Scenario, search: Search): Layout[] {
  const look = (remotePrefill: number): Layout | null => {
    const found = fewestLocal(scenario, search, remotePrefill)
    return found === null ? null : layoutOf(scenario, found, search)
  }
  return searchCounts(remoteRange(scenario, search), look, (a, b) => weightOf(scenario, a) < weightOf(scenario, b))
}

/** From the fewest remote instances that any number of local ones can complete, to those beyond which more spare no local one. */
function remoteRange(scenario: Scenario, search: Search): { readonly from: number; readonly to: number } {
  const most = LIMITS.poolInstancesMax
  const works = (remotePrefill: number, localPrefill: number): boolean =>
    attempt(scenario, search, { remotePrefill, localPrefill, decode: search.decode }) !== null
  if (!works(most, most)) return { from: 0, to: -1 }
  const fewestLocal = firstWhere(most, (count) => works(most, count))
  return {
    from: firstWhere(most, (count) => works(count, most)),
    to: firstWhere(most, (count) => works(count, fewestLocal)),
  }
}

/** The smallest count from 0 to `most` that passes, when every larger one does too. */
function firstWhere(most: number, passes: (count: number) => boolean): number {
  let [low, high] = [-1, most]
  while (high - low > 1) {
    const middle = (low + high) >> 1
    if (passes(middle)) high = middle
    else low = middle
  }
  return high
}

function leastOf(scenario: Scenario, layouts: readonly Layout[]): Layout | undefined {
  const [first, ...others] = layouts
  return others.reduce(
    (least, next) => (least !== undefined && weightOf(scenario, next) < weightOf(scenario, least) ? next : least),
    first,
  )
}

interface Found {
  readonly roles: Roles
  readonly split: TrafficSplit
}

/** The fewest local prefill instances beside a number of remote ones; null when no number is enough. */
function fewestLocal(scenario: Scenario, search: Search, remotePrefill: number): Found | null {
  const rolesWith = (localPrefill: number): Roles => ({ remotePrefill, localPrefill, decode: search.decode })
  let high = 1
  while (high < LIMITS.poolInstancesMax && attempt(scenario, search, rolesWith(high)) === null) high *= 2
  const fewest = firstWhere(high, (count) => attempt(scenario, search, rolesWith(count)) !== null)
  return attempt(scenario, search, rolesWith(fewest))
}

/** The highest threshold at which these roles carry the load, which sends the least over the link; null without one. */
function attempt(scenario: Scenario, { thresholds, plannedRps }: Search, roles: Roles): Found | null {
  const found = thresholds.findLast(({ view, split }) => {
    if (candidate(scenario, roles, split).lambdaMaxRps < plannedRps * (1 - 1e-9)) return false
    return !hasTtftBound(scenario) || meetsTtft(scenario, view, roles, plannedRps)
  })
  return found === undefined ? null : { roles, split: found.split }
}

/** Where bytes over the link cost, the threshold that sends the fewest; otherwise the one with the most headroom. */
function layoutOf(scenario: Scenario, { roles, split }: Found, { rateRps, plannedRps }: Search): Layout {
  const cheapest = rateAsItIs(scenario, candidate(scenario, roles, split))
  const roomiest = bestForRoles(scenario, roles)
  const isEgressPriced = isPriced(scenario) && (scenario.link.pricePerGigabyte ?? 0) > 0
  const chosen = isEgressPriced || objectiveRps(roomiest) < plannedRps ? cheapest : roomiest
  const gbps = egressGbps(chosen.split, rateRps)
  return {
    deployment: describeDeployment(scenario, 'membrane-pd', chosen),
    gpus: gpuCount(scenario, roles),
    cost: costAt(scenario, roles, { rateRps, egressGbps: gbps }),
    egressGbps: gbps,
  }
}

function hasTtftBound(scenario: Scenario): boolean {
  return scenario.slo.ttftSecondsP90 !== null
}

function isPriced(scenario: Scenario): boolean {
  return scenario.remote.pricePerGpuHour !== null && scenario.local.pricePerGpuHour !== null
}

function weightOf(scenario: Scenario, layout: Layout): number {
  return layout.cost?.perHour ?? layout.gpus.total + (isPriced(scenario) ? Number.POSITIVE_INFINITY : 0)
}

/** No number of instances is enough: what is left is the TTFT bound itself, or the link. */
function outOfReach(scenario: Scenario, search: Search): MembraneError {
  try {
    optimizeScenario(scenario)
  } catch (error) {
    if (error instanceof MembraneError && error.code === 'INFEASIBLE') return error
    throw error
  }
  const gbps = linkNeeded(scenario, search)
  const { gbps: given } = scenario.link
  const limit = `Up to ${LIMITS.poolInstancesMax} instances a role do not serve ${search.plannedRps} requests per second`
  if (gbps === null) {
    return new MembraneError('INFEASIBLE', `${limit}, whatever the link.`, {
      remedy: 'Relax the SLO or plan for a smaller rate.',
      details: { rateRps: search.plannedRps, instancesMax: LIMITS.poolInstancesMax },
    })
  }
  return new MembraneError(
    'INFEASIBLE',
    `${limit}${hasSlo(scenario) ? ' within the SLO' : ''}: egress is too slow, the link has ${given} Gbps and needs about ${roughly(gbps)}, ${roughly(gbps - given)} more.`,
    {
      remedy: 'Widen the link, relax the SLO or plan for a smaller rate.',
      details: { stage: 'egress', neededGbps: gbps, linkGbps: given },
    },
  )
}

/** The smallest link, to 1 %, with which enough instances carry the load; null when a thousand times the link does not help. */
function linkNeeded(scenario: Scenario, search: Search): number | null {
  const most = LIMITS.poolInstancesMax
  const works = (gbps: number): boolean => {
    const wider = withLinkGbps(scenario, gbps)
    const roles = { remotePrefill: most, localPrefill: most, decode: search.decode }
    return attempt(wider, { ...search, thresholds: thresholdsOf(wider) }, roles) !== null
  }
  let [low, high] = [scenario.link.gbps, scenario.link.gbps * 1024]
  if (!works(high)) return null
  while (high / low > 1.01) {
    const middle = Math.sqrt(low * high)
    if (works(middle)) high = middle
    else low = middle
  }
  return high
}

function roughly(value: number): string {
  return value >= 100 ? Math.round(value).toLocaleString('en-US') : value.toPrecision(2)
}

function invalid(what: string, expected: string, found: number): MembraneError {
  return new MembraneError('INVALID_CONFIG', `${what} must be ${expected}, found ${found}.`, { details: { found } })
}
