import { basename } from 'node:path'
import type { Command } from 'commander'
import { MembraneError } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import { curveOfClients } from '../planner/rate-curve.ts'
import { buildScenario, type Scenario, scenarioWarnings } from '../planner/scenario.ts'
import {
  type CacheOptions,
  DEFAULT_SIMULATION,
  ROUTINGS,
  SCHEDULERS,
  type SimulationOptions,
} from '../planner/sim-options.ts'
import type { ClientRates, Trace } from '../planner/trace.ts'
import { EVICTION_POLICIES, parseEvictionPolicy } from '../policy/evict-policies.ts'
import { parseBlockCounts, replayCaches } from './replay-caches.ts'
import { readTraceFile } from './read-trace.ts'
import { printNotes, printWarnings } from './print.ts'
import { printConfigIfAsked } from './print-config.ts'
import { type GlobalFlags, onRun } from './run-command.ts'
import { number, whole } from './numbers.ts'
import { addScenarioFlags, type ScenarioFlags } from './scenario-flags.ts'
import { type LoadedScenario, loadScenario } from './scenario-load.ts'
import { refuseGiven } from './refused-flags.ts'
import { checkRouting, checkSimulationFlags } from './simulate-checks.ts'
import { runStudy } from './simulate.ts'
import { addSimulationFlags, bounded, choice, parseSeed, type SimulationFlags } from './simulate-flags.ts'
import { outputOf, type Plan, planOf, stagingOf, type Study, transferOf } from './simulate-load.ts'

interface ReplayFlags extends ScenarioFlags, SimulationFlags, GlobalFlags {
  readonly rate?: number
  readonly cacheOnly?: boolean
  readonly cacheBlocks?: readonly number[]
  readonly closedHints?: number
  readonly cacheScope?: string
  readonly stateBlocks?: number
  readonly checkpointBlocks?: number
  readonly copyPrefixes?: boolean
  readonly policy?: string
}

export function defineReplay(command: Command): void {
  addSimulationFlags(
    addScenarioFlags(
      command
        .description('a trace through the simulated deployment: its arrivals, lengths and prefix blocks')
        .argument('<trace>', 'a trace of requests, or ServeGen client rates (their day curve); .gz too, - for stdin'),
    )
      .optionsGroup('Load and cache:')
      .option('--rate <n>', 'replay at this mean rate (default: at the pace of the trace)', number)
      .option('--cache-blocks <n>', 'blocks of the prefix cache (default: no cache)', parseBlockCounts)
      .option('--policy <name>', `eviction policy: ${Object.keys(EVICTION_POLICIES).join(', ')} (default lru)`)
      .option(
        '--cache-only',
        'no deployment: a table of hits for sizes and policies, several of each with commas (default: all)',
      )
      .option(
        '--closed-hints <ratio>',
        'with --cache-only: the share of sessions whose end is told to the cache',
        number,
      )
      .option('--cache-scope <scope>', 'shared: one cache, filled on arrival; cluster: one in each (default shared)')
      .option('--state-blocks <n>', 'room of a recurrent state, in blocks (hybrid models; default 0)', whole)
      .option(
        '--checkpoint-blocks <n>',
        'a recurrent state every so many blocks (default: at the end of a prompt)',
        whole,
      )
      .option(
        '--copy-prefixes',
        'with --cache-scope cluster: copy prefixes to the other cluster while bandwidth is abundant',
      ),
  )
  onRun<ReplayFlags>(command, async (flags, [path]) => {
    if (path === undefined) throw new MembraneError('INVALID_REQUEST', 'A replay needs a trace.')
    if (flags.cacheOnly === true) {
      await replayCachesOf(path, flags)
      return
    }
    await checkReplayFlags(flags)
    const file = await readTraceFile(path)
    const study =
      file.kind === 'requests' ? await studyOfTrace(file.trace, flags) : await studyOfRates(file.rates, flags)
    if (await printConfigIfAsked(study.loaded.config, flags)) return
    printNotes(study.loaded.notes)
    printWarnings(study.warnings)
    await runStudy(study, flags)
  })
}

async function replayCachesOf(path: string, flags: ReplayFlags): Promise<void> {
  const file = await readTraceFile(path)
  if (file.kind === 'requests') {
    replayCaches(file.trace, flags)
    return
  }
  throw new MembraneError(
    'INVALID_REQUEST',
    `${path} holds client rates without prefix blocks: there is nothing to cache.`,
  )
}

/** What holds whatever the file holds. */
async function checkReplayFlags(flags: ReplayFlags): Promise<void> {
  await checkSimulationFlags(flags)
  refuseGiven(flags, ['closedHints'], 'needs --cache-only: a simulated deployment is told of no ends')
  refuseGiven(flags, ['arrivals'], 'does not go with replay: the file says when requests arrive')
  if (flags.cacheBlocks === undefined)
    refuseGiven(
      flags,
      ['stateBlocks', 'checkpointBlocks', 'cacheScope', 'copyPrefixes', 'policy'],
      'needs --cache-blocks: there is no cache without',
    )
  if (flags.cacheScope !== 'cluster')
    refuseGiven(flags, ['copyPrefixes'], 'needs --cache-scope cluster: a shared cache has nowhere to copy to')
}

/** What a trace of requests says itself. */
function checkTraceFlags(trace: Trace, flags: ReplayFlags): void {
  const name = basename(trace.name)
  refuseGiven(
    flags,
    ['mu', 'sigma', 'minTokens', 'maxTokens', 'fixedTokens', 'trace', 'prefixHits'],
    `does not go with a trace of requests: ${name} has lengths of its own`,
  )
  if (trace.outputTokens !== null)
    refuseGiven(flags, ['outputTokens'], `does not go with a trace of requests: ${name} has output lengths`)
  refuseGiven(flags, ['burstiness'], `does not go with a trace of requests: ${name} has the order of arrivals`)
  refuseGiven(flags, ['replications'], 'does not go with a trace of requests, of which there is one')
  if ((flags.requests ?? 0) <= trace.requestCount) return
  throw new MembraneError(
    'INVALID_REQUEST',
    `--requests must be at most the ${trace.requestCount} of ${name}, found ${flags.requests}.`,
  )
}

/** Lengths, answers and times of the trace; the planner plans with its lengths and the cache's hits are simulated. */
async function studyOfTrace(trace: Trace, flags: ReplayFlags): Promise<Study> {
  checkTraceFlags(trace, flags)
  const loaded = await loadScenario(flags)
  const { inputTokens, outputTokens } = trace
  const outputTokensMean =
    outputTokens === null
      ? loaded.spec.workload.outputTokens
      : outputTokens.reduce((sum, tokens) => sum + Math.max(1, tokens), 0) / outputTokens.length
  const workload = {
    ...loaded.spec.workload,
    input: { kind: 'samples' as const, tokens: Float64Array.from(inputTokens), source: trace.name },
    outputTokens: outputTokensMean,
  }
  const scenario = buildScenario({ ...loaded.spec, workload })
  const plan = planOf(scenario, flags)
  const requests = bounded('--requests', flags.requests ?? trace.requestCount, LIMITS.simulatedRequestsMax)
  const traceSeconds = trace.atSeconds?.at(requests - 1) ?? 0
  const rateRps = flags.rate ?? (traceSeconds > 0 ? requests / traceSeconds : null)
  if (rateRps === null) {
    throw new MembraneError(
      'INVALID_REQUEST',
      `${basename(trace.name)} ${paceless(trace, requests)}, expected a rate to replay it at.`,
      {
        remedy: 'Give --rate, requests per second.',
      },
    )
  }
  const options: SimulationOptions = {
    ...baseOptions(flags, scenario, plan),
    rateRps,
    requests,
    workload: { kind: 'trace', trace, rateRps: flags.rate ?? null },
    caches: cachesOf(flags),
    ...outputOf(flags, requests / rateRps),
  }
  // Only the spread inside the trace's time steps is drawn: one run says it all.
  return studyOf(`Replay of ${basename(trace.name)}`, { scenario, plan, loaded, options, replications: 1 })
}

/** Why a trace has no rate. */
function paceless({ atSeconds }: Trace, requests: number): string {
  if (atSeconds === null) return 'holds lengths but no times'
  return requests === 1 ? 'gives a single request, which has no pace' : `has all ${requests} requests at one time`
}

/** The day curve of all clients together, over the scenario's lengths. */
async function studyOfRates(rates: ClientRates, flags: ReplayFlags): Promise<Study> {
  if (flags.cacheBlocks !== undefined)
    throw new MembraneError(
      'INVALID_REQUEST',
      `${rates.name} holds client rates without prefix blocks, so --cache-blocks has nothing to cache.`,
    )
  const loaded = await loadScenario(flags)
  const scenario = buildScenario(loaded.spec)
  const plan = planOf(scenario, flags)
  const { curve, rateRps: ownRps, burstiness } = curveOfClients(rates)
  const rateRps = flags.rate ?? ownRps
  const daySeconds = curve.stepSeconds * curve.factors.length
  const requests = flags.requests ?? Math.round(rateRps * daySeconds)
  if (requests > LIMITS.simulatedRequestsMax)
    throw new MembraneError(
      'LIMIT_REACHED',
      `${rates.name} brings ${requests} requests, expected at most ${LIMITS.simulatedRequestsMax}; give --requests.`,
    )
  const options: SimulationOptions = {
    ...baseOptions(flags, scenario, plan),
    rateRps,
    requests,
    arrivals: 'gamma',
    burstiness: flags.burstiness ?? burstiness,
    curve,
    ...outputOf(flags, requests / rateRps),
  }
  return studyOf(`Day curve of ${basename(rates.name)}`, {
    scenario,
    plan,
    loaded,
    options,
    replications: flags.replications ?? 1,
  })
}

function studyOf(
  title: string,
  parts: {
    readonly scenario: Scenario
    readonly plan: Plan
    readonly loaded: LoadedScenario
    readonly options: SimulationOptions
    readonly replications: number
  },
): Study {
  const { scenario, plan, loaded, options, replications } = parts
  return {
    title,
    scenario,
    plan,
    loaded,
    runs: [{ name: options.scheduler ?? 'fixed', options }],
    replications: bounded('--replications', replications, Math.min(options.requests, LIMITS.replicationsMax)),
    warnings: scenarioWarnings(scenario),
  }
}

function baseOptions(flags: ReplayFlags, scenario: Scenario, plan: Plan) {
  const scheduler = choice('--scheduler', flags.scheduler, SCHEDULERS) ?? 'fixed'
  const routing = choice('--routing', flags.routing, ROUTINGS) ?? 'threshold'
  checkRouting(scenario, flags, { routing, scheduler })
  return {
    ...DEFAULT_SIMULATION,
    ...plan,
    seed: parseSeed(flags.seed),
    scheduler,
    routing,
    transfer: transferOf(flags),
    stagingBytesMax: stagingOf(flags),
  }
}

function cachesOf(flags: ReplayFlags): CacheOptions | null {
  const policy = parseEvictionPolicy(flags.policy ?? 'lru')
  const { stateBlocks = 0, checkpointBlocks = 0 } = flags
  if (flags.cacheBlocks === undefined) return null
  const [cacheBlocks, ...others] = flags.cacheBlocks
  if (cacheBlocks === undefined || others.length > 0)
    throw new MembraneError('INVALID_REQUEST', 'A simulation has one --cache-blocks; several go with --cache-only.')
  return {
    scope: choice('--cache-scope', flags.cacheScope, ['shared', 'cluster']) ?? 'shared',
    remoteBlocks: cacheBlocks,
    localBlocks: cacheBlocks,
    stateBlocks,
    checkpointBlocks,
    policy,
    isCopiedAcross: flags.copyPrefixes === true,
  }
}
