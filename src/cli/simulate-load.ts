import { MembraneError } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import { optimizeScenario } from '../planner/optimize.ts'
import { buildScenario, type Scenario, scenarioWarnings } from '../planner/scenario.ts'
import {
  DEFAULT_SIMULATION,
  ROUTINGS,
  type SchedulerKind,
  SCHEDULERS,
  type SimulationOptions,
  type TransferOptions,
} from '../planner/sim-options.ts'
import type { Roles } from '../planner/split.ts'
import { defaultReplications } from '../planner/study.ts'
import { figure } from './print.ts'
import { refuseGiven } from './refused-flags.ts'
import type { ScenarioFlags } from './scenario-flags.ts'
import { type LoadedScenario, loadScenario } from './scenario-load.ts'
import { arrivalsOf, checkRouting, checkSimulationFlags, checkThreshold } from './simulate-checks.ts'
import {
  bounded,
  choice,
  DEFAULT_LAYERS,
  DEFAULT_TIMELINES,
  parseSeed,
  type SimulationFlags,
} from './simulate-flags.ts'

export interface Plan {
  readonly roles: Roles
  readonly thresholdTokens: number
}

interface PlanWishes {
  readonly threshold?: number | undefined
  readonly localPrefill?: number | undefined
  /** Who says `localPrefill`, for messages. */
  readonly localPrefillFrom?: string
}

/** The optimizer's plan, with what the user says otherwise. */
export function planOf(
  scenario: Scenario,
  { threshold, localPrefill, localPrefillFrom = '--local-prefill' }: PlanWishes,
): Plan {
  checkThreshold('--threshold', threshold)
  const best = optimizeScenario(scenario).candidates['membrane-pd']
  const plan = localPrefill === undefined ? best[0] : best.find(({ roles }) => roles.localPrefill === localPrefill)
  if (plan === undefined) {
    throw new MembraneError(
      'INVALID_REQUEST',
      `${localPrefillFrom} must leave an instance to decode: 0 to ${scenario.local.instances - 1}, found ${localPrefill}.`,
    )
  }
  return { roles: plan.roles, thresholdTokens: threshold ?? plan.split.thresholdTokens }
}

export interface Study {
  readonly title: string
  readonly scenario: Scenario
  readonly plan: Plan
  readonly loaded: LoadedScenario
  /** The same load under each scheduler. */
  readonly runs: readonly { readonly name: SchedulerKind; readonly options: SimulationOptions }[]
  readonly replications: number
  readonly warnings: readonly string[]
}

const REQUESTS_DEFAULT = 100_000

/** Steps of a series: as many as a chart can show. */
const SERIES_STEPS = 300

/** One run, as the flags say. */
export async function studyOfFlags(
  flags: SimulationFlags & ScenarioFlags & { readonly rate?: number },
): Promise<Study> {
  await checkSimulationFlags(flags)
  const loaded = await loadScenario(flags)
  const scenario = buildScenario(loaded.spec)
  const plan = planOf(scenario, flags)
  const { rate } = flags
  if (rate === undefined) {
    throw new MembraneError('INVALID_REQUEST', 'A simulation needs a rate.', {
      remedy: 'Give --rate, requests per second, or --scenario.',
    })
  }
  const requests = bounded('--requests', flags.requests ?? REQUESTS_DEFAULT, LIMITS.simulatedRequestsMax)
  const name = choice('--scheduler', flags.scheduler, SCHEDULERS) ?? 'fixed'
  const routing = choice('--routing', flags.routing, ROUTINGS) ?? 'threshold'
  checkRouting(scenario, flags, { routing, scheduler: name })
  const arrivals = arrivalsOf(flags, scenario)
  const options: SimulationOptions = {
    ...DEFAULT_SIMULATION,
    ...plan,
    rateRps: rate,
    requests,
    seed: parseSeed(flags.seed),
    scheduler: name,
    routing,
    arrivals,
    transfer: transferOf(flags),
    stagingBytesMax: stagingOf(flags),
    ...outputOf(flags, requests / rate),
  }
  const replications = bounded(
    '--replications',
    flags.replications ?? defaultReplications(requests),
    Math.min(requests, LIMITS.replicationsMax),
  )
  const isImplicit = arrivals === 'gamma' && flags.arrivals === undefined
  return {
    title: scenario.name,
    scenario,
    plan,
    loaded: isImplicit ? { ...loaded, notes: [...loaded.notes, gammaNote(scenario)] } : loaded,
    runs: [{ name, options }],
    replications,
    warnings: scenarioWarnings(scenario),
  }
}

/** What follows from a burstiness without a word about arrivals. */
function gammaNote({ burstiness }: Scenario): string {
  return `requests arrive in gamma gaps of burstiness ${figure(burstiness)}; --arrivals chooses others`
}

/** What pages and traces need; nothing is recorded for nobody. */
export function outputOf(
  { html, chromeTrace, timelines }: Pick<SimulationFlags, 'html' | 'chromeTrace' | 'timelines'>,
  seconds: number,
): Pick<SimulationOptions, 'seriesSeconds' | 'timelines'> {
  return {
    seriesSeconds: html === undefined ? undefined : seconds / SERIES_STEPS,
    timelines:
      chromeTrace === undefined ? 0 : bounded('--timelines', timelines ?? DEFAULT_TIMELINES, LIMITS.timelinesMax),
  }
}

export function transferOf(flags: SimulationFlags): TransferOptions {
  const { transfer, layers = DEFAULT_LAYERS, rttMs = 0, flowGbpsMax } = flags
  const positive = flowGbpsMax === undefined || flowGbpsMax >= LIMITS.flowGbpsMin
  if (!(rttMs >= 0) || !positive || layers < 1) {
    throw new MembraneError(
      'INVALID_REQUEST',
      `A transfer needs --rtt-ms of at least 0, --flow-gbps-max of at least ${LIMITS.flowGbpsMin} and --layers of at least 1, found ${rttMs}, ${flowGbpsMax ?? 'none'} and ${layers}.`,
    )
  }
  const mode = choice('--transfer', transfer, ['after-prefill', 'layerwise']) ?? 'after-prefill'
  if (mode !== 'layerwise') refuseGiven(flags, ['layers'], 'needs --transfer layerwise')
  return transferIn({ mode, layers, rttMs, flowGbpsMax })
}

/** A transfer in the units of flags and files. */
interface TransferWishes {
  readonly mode: TransferOptions['mode']
  readonly layers: number
  readonly rttMs: number
  readonly flowGbpsMax?: number | undefined
}

export function transferIn({ mode, layers, rttMs, flowGbpsMax }: TransferWishes): TransferOptions {
  return { mode, layers, rttSeconds: rttMs / 1000, flowGbpsMax: flowGbpsMax ?? null }
}

export function stagingOf({
  stagingGigabytes,
}: {
  readonly stagingGigabytes?: number | undefined
}): number | undefined {
  if (stagingGigabytes === undefined) return undefined
  if (stagingGigabytes > 0) return stagingGigabytes * 1e9
  throw new MembraneError('INVALID_REQUEST', `--staging-gigabytes must be above 0, found ${stagingGigabytes}.`)
}
