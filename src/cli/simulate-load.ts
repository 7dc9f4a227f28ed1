import { existsSync } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { SimulationFile } from '../api/simulation-schema.ts'
import { MembraneError } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import { agentLengths } from '../planner/agent-traffic.ts'
import { optimizeScenario } from '../planner/optimize.ts'
import { meanRateSeconds, rateCurve } from '../planner/rate-curve.ts'
import { requestCapacity } from '../planner/request-capacity.ts'
import { buildScenario, type Scenario, scenarioWarnings } from '../planner/scenario.ts'
import {
  DEFAULT_SIMULATION,
  ROUTINGS,
  type SchedulerKind,
  SCHEDULERS,
  type SimulationOptions,
  type TimedEvent,
  type TransferOptions,
} from '../planner/sim-options.ts'
import type { Roles } from '../planner/split.ts'
import { defaultReplications } from '../planner/study.ts'
import { readDocument } from './config-file.ts'
import { figure } from './print.ts'
import { refuseGiven } from './refused-flags.ts'
import type { ScenarioFlags } from './scenario-flags.ts'
import { type LoadedScenario, loadScenario } from './scenario-load.ts'
import { arrivalsOf, checkRouting, checkSimulationFlags, checkThreshold, lateEvents } from './simulate-checks.ts'
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
  const positive = flowGbpsMax === undefined || flowGbpsMax > 0
  if (!(rttMs >= 0) || !positive || layers < 1) {
    throw new MembraneError(
      'INVALID_REQUEST',
      `A transfer needs --rtt-ms of at least 0, --flow-gbps-max above 0 and --layers of at least 1, found ${rttMs}, ${flowGbpsMax ?? 'none'} and ${layers}.`,
    )
  }
  const mode = choice('--transfer', transfer, ['after-prefill', 'layerwise']) ?? 'after-prefill'
  if (mode !== 'layerwise') refuseGiven(flags, ['layers'], 'needs --transfer layerwise')
  return {
    mode,
    layers,
    rttSeconds: rttMs / 1000,
    flowGbpsMax: flowGbpsMax ?? null,
  }
}

export function stagingOf({ stagingGigabytes }: SimulationFlags): number | undefined {
  if (stagingGigabytes === undefined) return undefined
  if (stagingGigabytes > 0) return stagingGigabytes * 1e9
  throw new MembraneError('INVALID_REQUEST', `--staging-gigabytes must be above 0, found ${stagingGigabytes}.`)
}

/** What a scenario file says itself, by the flag that says it elsewhere. */
const FILE_FIELDS = {
  rate: ['--rate', 'rateRps or load'],
  requests: ['--requests', 'durationSeconds'],
  arrivals: ['--arrivals', 'arrivals'],
  transfer: ['--transfer', 'transfer'],
  layers: ['--layers', 'transfer'],
  rttMs: ['--rtt-ms', 'transfer'],
  flowGbpsMax: ['--flow-gbps-max', 'transfer'],
  stagingGigabytes: ['--staging-gigabytes', 'stagingGigabytes'],
} as const

/** What the file says itself, no flag says. */
function checkFlagsBesideFile(path: string, flags: Partial<Record<keyof typeof FILE_FIELDS, unknown>>): void {
  const given = Object.entries(FILE_FIELDS).find(([name]) => flags[name as keyof typeof FILE_FIELDS] !== undefined)
  if (given === undefined) return
  const [flag, field] = given[1]
  throw new MembraneError('INVALID_REQUEST', `${flag} does not go with --scenario: ${path} says it, as ${field}.`, {
    remedy: 'Change a copy of the file, or simulate without --scenario.',
  })
}

/** What a schema cannot say: fields that exclude one another, and flags that the file leaves no room for. */
function checkFile(file: SimulationFile, path: string, flags: SimulationFlags & ScenarioFlags): void {
  const fail = (what: string): never => {
    throw new MembraneError('INVALID_CONFIG', `${path}: ${what}.`)
  }
  if ((file.rateRps === undefined) === (file.load === undefined))
    fail(`expected rateRps or load, one of them, found ${file.load === undefined ? 'neither' : 'both'}`)
  if (file.preset !== undefined && file.config !== undefined) fail('expected preset or config, found both')
  const twice = file.schedulers.find((name, k) => file.schedulers.indexOf(name) !== k)
  if (twice !== undefined) fail(`schedulers: expected each once, found ${twice} twice`)
  const { kind, burstiness = 1 } = file.arrivals ?? {}
  if (kind === 'poisson' && burstiness !== 1)
    fail(`arrivals.burstiness: Poisson arrivals have 1, found ${burstiness}; gamma and weibull have others`)
  const base = file.preset === undefined ? (file.config === undefined ? null : 'config') : 'preset'
  if (base !== null)
    refuseGiven(flags, ['preset', 'config'], `does not go with --scenario: ${path} says it, as ${base}`)
  if (file.arrivals !== undefined)
    refuseGiven(flags, ['burstiness'], `does not go with --scenario: ${path} says it, as arrivals`)
  if (file.agents !== undefined)
    refuseGiven(flags, ['burstiness'], `does not go with --scenario: the agents of ${path} send the requests`)
}

/** A scenario file, or one of those that come along by its name. */
export async function studyOfFile(
  reference: string,
  flags: SimulationFlags & ScenarioFlags & { readonly rate?: number },
): Promise<Study> {
  const path = scenarioPath(reference)
  checkFlagsBesideFile(path, flags)
  await checkSimulationFlags(flags)
  const { parseSimulationFile } = await import('../api/simulation-schema.ts')
  const file = parseSimulationFile(await readDocument(path, 'a Membrane simulation file'), path)
  checkFile(file, path, flags)
  const config = file.config === undefined ? {} : { config: resolve(dirname(path), file.config) }
  const loaded = await loadScenario({
    ...(file.preset === undefined ? {} : { preset: file.preset }),
    ...config,
    ...flags,
  })
  const seed = parseSeed(flags.seed)
  const scenario = buildScenario(withAgents(loaded, file, seed).spec)
  const plan = planOf(scenario, {
    threshold: flags.threshold ?? file.thresholdTokens,
    localPrefill: flags.localPrefill ?? file.localPrefill,
    ...(flags.localPrefill === undefined ? { localPrefillFrom: `${path}: localPrefill` } : {}),
  })
  checkEvents(file.events, plan.roles, path)
  const sustainable = requestCapacity(scenario, { ...plan, rateRps: 1 }).sustainableRps
  const rateRps = file.rateRps ?? (file.load ?? 1) * sustainable
  const curve = file.curve === undefined ? null : rateCurve(file.curve.stepSeconds, file.curve.rates)
  const loadSeconds = curve === null ? file.durationSeconds : meanRateSeconds(curve, file.durationSeconds)
  if (loadSeconds <= 0) {
    throw new MembraneError(
      'INVALID_CONFIG',
      `${path}: the curve is 0 for all of durationSeconds ${file.durationSeconds}, so that no request arrives.`,
      { remedy: 'Give a longer durationSeconds, or begin the curve where its rates are above 0.' },
    )
  }
  const requests = Math.max(1, Math.round(rateRps * loadSeconds))
  if (requests > LIMITS.simulatedRequestsMax)
    throw new MembraneError(
      'LIMIT_REACHED',
      `${path}: ${requests} requests, expected at most ${LIMITS.simulatedRequestsMax}.`,
    )
  const replications = flags.replications ?? file.replications
  const only = choice('--scheduler', flags.scheduler, [...SCHEDULERS, 'all'] as const) ?? 'all'
  const routing = choice('--routing', flags.routing, ROUTINGS) ?? file.routing
  checkRouting(scenario, flags, { routing, scheduler: only })
  const options: SimulationOptions = {
    ...DEFAULT_SIMULATION,
    ...plan,
    rateRps,
    requests: requests * replications,
    seed,
    routing,
    workload: file.agents === undefined ? undefined : { kind: 'agents', ...file.agents },
    arrivals: file.arrivals?.kind ?? arrivalsOf(flags, scenario),
    burstiness: file.arrivals?.burstiness,
    curve,
    transfer: fileTransfer(file),
    events: file.events.toSorted((a, b) => a.atSeconds - b.atSeconds),
    caches: file.caches ?? null,
    stagingBytesMax: file.stagingGigabytes === undefined ? undefined : file.stagingGigabytes * 1e9,
    ...timing(file),
    ...outputOf(flags, file.durationSeconds),
  }
  return {
    title: file.description === undefined ? file.name : `${file.name}: ${file.description}`,
    scenario,
    plan,
    loaded,
    runs: (only === 'all' ? file.schedulers : [only]).map((name) => ({
      name,
      options: { ...options, scheduler: name },
    })),
    replications: bounded('--replications', replications, LIMITS.replicationsMax),
    warnings: [...scenarioWarnings(scenario), ...lateEvents(options.events ?? [], file.durationSeconds)],
  }
}

function timing(file: SimulationFile): Partial<SimulationOptions> {
  const { roleChangeSeconds, controlSeconds, replanSeconds, detectionSeconds } = file
  return {
    ...(roleChangeSeconds === undefined ? {} : { roleChangeSeconds }),
    ...(controlSeconds === undefined ? {} : { controlSeconds }),
    ...(replanSeconds === undefined ? {} : { replanSeconds }),
    ...(detectionSeconds === undefined ? {} : { detectionSeconds }),
  }
}

function fileTransfer({ transfer }: SimulationFile): TransferOptions | undefined {
  if (transfer === undefined) return undefined
  const { mode, layers, rttMs, flowGbpsMax } = transfer
  return { mode, layers, rttSeconds: rttMs / 1000, flowGbpsMax: flowGbpsMax ?? null }
}

const AGENT_SAMPLE = 20_000

/** The planner plans for agents with what an infinite cache would leave of their prompts. */
function withAgents(loaded: LoadedScenario, { agents, rateRps }: SimulationFile, seed: number): LoadedScenario {
  if (agents === undefined) return loaded
  const { uncachedTokens, promptTokensMean, outputTokensMean } = agentLengths(
    { kind: 'agents', ...agents },
    { rateRps: rateRps ?? 1, requests: AGENT_SAMPLE, seed },
  )
  const workload = {
    ...loaded.spec.workload,
    input: { kind: 'samples' as const, tokens: uncachedTokens, source: 'agents' },
    outputTokens: outputTokensMean,
    promptTokensMean,
  }
  return { ...loaded, spec: { ...loaded.spec, workload } }
}

/** Events may only take what there is. */
function checkEvents(events: readonly TimedEvent[], roles: Roles, path: string): void {
  for (const [k, event] of events.entries()) {
    if (event.kind === 'link' || event.instances <= roles[event.pool]) continue
    throw new MembraneError(
      'INVALID_CONFIG',
      `${path}: events[${k}]: ${event.kind} ${event.instances} of ${event.pool}, which has ${roles[event.pool]} instances.`,
    )
  }
}

/** Files that come along: beside the package's own folders, from source and from the build. */
const OWN_SCENARIOS = fileURLToPath(new URL('../../scenarios', import.meta.url))

function scenarioPath(reference: string): string {
  if (existsSync(reference)) return reference
  const own = join(OWN_SCENARIOS, `${basename(reference)}.yaml`)
  if (basename(reference) === reference && existsSync(own)) return own
  throw new MembraneError('FILE_UNREADABLE', `There is no simulation file ${reference}.`, {
    remedy:
      'Give a path, or one of the scenarios that come along: steady, burst, link-drop, diurnal-week, cluster-loss, agents.',
  })
}
