import type { Command } from 'commander'
import { MembraneError } from '../core/errors.ts'
import { ARRIVAL_KINDS, type ArrivalKind } from '../planner/arrivals.ts'
import { optimizeScenario } from '../planner/optimize.ts'
import { buildScenario, scenarioWarnings, type Scenario } from '../planner/scenario.ts'
import { Simulation, type SimulationOptions } from '../planner/simulate.ts'
import { type LatencySummary, type SimulationResult, summarize } from '../planner/simulation-result.ts'
import type { Roles } from '../planner/split.ts'
import { figure, heading, percent, printJson, printNotes, printText, printWarnings, table } from './print.ts'
import { printConfigIfAsked } from './print-config.ts'
import { section } from './print-optimization.ts'
import { type GlobalFlags, onRun } from './run-command.ts'
import { addScenarioFlags, number, type ScenarioFlags, whole } from './scenario-flags.ts'
import { loadScenario } from './scenario-load.ts'

interface SimulateFlags extends ScenarioFlags, GlobalFlags {
  readonly rate: number
  readonly requests: number
  readonly seed: number
  readonly threshold?: number
  readonly localPrefill?: number
  readonly arrivals: string
}

export function defineSimulate(command: Command): void {
  addScenarioFlags(
    command.description(
      'discrete-event simulation of the plan under load: queues, the shared link, continuous batching',
    ),
  )
    .requiredOption('--rate <n>', 'mean arrivals, requests per second', number)
    .option('--requests <n>', 'how many requests arrive', whole, 100_000)
    .option('--seed <n>', 'the same seed gives the same run', whole, 1)
    .option('--threshold <n>', 'uncached tokens above which prompts are offloaded (default: the best one)', whole)
    .option('--local-prefill <n>', 'local instances that prefill (default: the best split)', whole)
    .option('--arrivals <kind>', `${ARRIVAL_KINDS.join(', ')}; --burstiness shapes gamma and weibull`, 'poisson')
  onRun<SimulateFlags>(command, async (flags) => {
    const loaded = await loadScenario(flags)
    if (await printConfigIfAsked(loaded.config, flags)) return
    const scenario = buildScenario(loaded.spec)
    printNotes(loaded.notes)
    printWarnings(scenarioWarnings(scenario))
    const options = optionsOf(scenario, flags)
    const startedMs = performance.now()
    const result = await runWithProgress(scenario, options)
    const wallSeconds = (performance.now() - startedMs) / 1000
    const wall = { wallSeconds, requestsPerWallSecond: options.requests / wallSeconds }
    if (flags.json === true) printJson({ ...result, ...wall })
    else printText(resultText(options, result, wall))
  })
}

function optionsOf(scenario: Scenario, flags: SimulateFlags): SimulationOptions {
  const arrivals = ARRIVAL_KINDS.find((kind) => kind === flags.arrivals)
  if (arrivals === undefined) {
    throw new MembraneError('INVALID_REQUEST', `There are no "${flags.arrivals}" arrivals.`, {
      remedy: `Choose one of ${ARRIVAL_KINDS.join(', ')}.`,
    })
  }
  const { roles, thresholdTokens } = planOf(scenario, flags)
  return {
    roles,
    thresholdTokens,
    rateRps: flags.rate,
    requests: flags.requests,
    seed: flags.seed,
    arrivals: arrivals satisfies ArrivalKind,
  }
}

/** The optimizer's plan, with what the flags say otherwise. */
function planOf(
  scenario: Scenario,
  { threshold, localPrefill }: SimulateFlags,
): { readonly roles: Roles; readonly thresholdTokens: number } {
  const best = optimizeScenario(scenario).candidates['membrane-pd']
  const plan = localPrefill === undefined ? best[0] : best.find(({ roles }) => roles.localPrefill === localPrefill)
  if (plan === undefined) {
    throw new MembraneError(
      'INVALID_REQUEST',
      `--local-prefill must leave an instance to decode: 0 to ${scenario.local.instances - 1}, found ${localPrefill}.`,
    )
  }
  return { roles: plan.roles, thresholdTokens: threshold ?? plan.split.thresholdTokens }
}

/** Events between two looks at the clock: about a tenth of a second. */
const EVENTS_AT_ONCE = 500_000

async function runWithProgress(scenario: Scenario, options: SimulationOptions): Promise<SimulationResult> {
  const simulation = new Simulation(scenario, options)
  const startedMs = performance.now()
  const isShown = process.stderr.isTTY
  while (!simulation.isDone) {
    simulation.run(EVENTS_AT_ONCE)
    if (!isShown) continue
    const share = simulation.record.completed / options.requests
    const leftSeconds = share > 0 ? ((performance.now() - startedMs) / 1000 / share) * (1 - share) : 0
    process.stderr.write(
      `\r${percent(share)} of ${options.requests.toLocaleString('en-US')} requests, ${figure(leftSeconds)} s left   `,
    )
    // Lets Ctrl-C through.
    await new Promise((resolve) => setImmediate(resolve))
  }
  if (isShown) process.stderr.write('\r\u001B[K')
  return summarize(scenario, options, simulation)
}

function resultText(
  { rateRps, requests, roles, thresholdTokens }: SimulationOptions,
  result: SimulationResult,
  wall: { readonly wallSeconds: number; readonly requestsPerWallSecond: number },
): string {
  const { verdict, capacityRps } = result
  const latencyRow = (name: string, { mean, meanHalfWidth95, p50, p90, p99 }: LatencySummary) => [
    name,
    `${mean.toPrecision(4)}${meanHalfWidth95 === null ? '' : ` ± ${meanHalfWidth95.toPrecision(2)}`}`,
    p50.toPrecision(4),
    p90.toPrecision(4),
    p99.toPrecision(4),
  ]
  return [
    `${heading(`The system is ${verdict} at ${figure(rateRps)} req/s`)}: ${roles.remotePrefill} remote prefill, ${roles.localPrefill} local prefill and ${roles.decode} decode instances, t = ${thresholdTokens.toLocaleString('en-US')} tokens; queues grow from ${capacityRps.perRequest.toPrecision(4)} req/s on (Eq. (6), with mean lengths: ${capacityRps.equation6.toPrecision(4)}).`,
    section(
      'Latencies',
      'seconds; mean with its 95 % interval',
      table(
        ['', 'mean', 'P50', 'P90', 'P99'],
        [
          latencyRow('TTFT (KV complete at decode)', result.ttftSeconds),
          latencyRow('first token', result.firstTokenSeconds),
          latencyRow('time per output token', result.tpotSeconds),
          latencyRow('end to end', result.e2eSeconds),
        ],
      ),
    ),
    section(
      'Stages',
      'wait before the stage, seconds',
      table(
        ['stage', 'servers', 'used', 'mean wait', 'P90 wait'],
        result.stages.map(({ name, servers, utilisation, waitSeconds }) => [
          name,
          servers,
          percent(utilisation),
          waitSeconds.mean.toPrecision(3),
          waitSeconds.p90.toPrecision(3),
        ]),
      ),
    ),
    `${requests.toLocaleString('en-US')} requests, ${percent(result.offloadedRatio)} offloaded, egress ${figure(result.egressGbps)} Gbps, completed ${figure(result.completedRps)} req/s. Seed ${result.seed}; ${figure(wall.wallSeconds)} s of wall time, ${figure(wall.requestsPerWallSecond)} requests/s.`,
  ].join('\n\n')
}
