import { existsSync } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { SimulationFile } from '../api/simulation-schema.ts'
import { MembraneError } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import { agentLengths } from '../planner/agent-traffic.ts'
import { meanRateSeconds, rateCurve } from '../planner/rate-curve.ts'
import { requestCapacity } from '../planner/request-capacity.ts'
import { buildScenario, scenarioWarnings } from '../planner/scenario.ts'
import {
  DEFAULT_SIMULATION,
  ROUTINGS,
  SCHEDULERS,
  type SimulationOptions,
  type TimedEvent,
} from '../planner/sim-options.ts'
import type { Roles } from '../planner/split.ts'
import { readDocument } from './config-file.ts'
import { refuseGiven } from './refused-flags.ts'
import type { ScenarioFlags } from './scenario-flags.ts'
import { type LoadedScenario, loadScenario } from './scenario-load.ts'
import { arrivalsOf, checkRouting, checkSimulationFlags, lateEvents } from './simulate-checks.ts'
import { bounded, choice, parseSeed, type SimulationFlags } from './simulate-flags.ts'
import { outputOf, planOf, stagingOf, type Study, transferIn } from './simulate-load.ts'

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
    transfer: file.transfer === undefined ? undefined : transferIn(file.transfer),
    events: file.events.toSorted((a, b) => a.atSeconds - b.atSeconds),
    caches: file.caches ?? null,
    stagingBytesMax: stagingOf(file),
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
