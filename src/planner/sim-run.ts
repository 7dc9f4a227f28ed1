import { MembraneError } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import { agentTraffic } from './agent-traffic.ts'
import type { HistogramData } from './log-histogram.ts'
import type { Scenario } from './scenario.ts'
import type { CacheData } from './sim-caches.ts'
import { SimulationControl } from './sim-control.ts'
import type { SimulationOptions } from './sim-options.ts'
import { LATENCIES, type Latency, type SimulationRecord, type StageRecord } from './sim-record.ts'
import type { SimulationSeries } from './sim-series.ts'
import type { RequestTimeline } from './sim-timeline.ts'
import { syntheticTraffic, type Traffic } from './sim-traffic.ts'
import { contextFactor, Simulation } from './simulate.ts'
import { checkLaws } from './simulation-laws.ts'
import { traceTraffic } from './trace-traffic.ts'

/** A stage over one run, as plain data. */
export interface StageData {
  readonly wait: HistogramData
  /** Integrals over the run: of busy servers, and of servers there were. */
  readonly busySeconds: number
  readonly openSeconds: number
}

/** One run as plain data: what a worker sends, and what `summarize` puts together. */
export interface ReplicationData {
  readonly seed: number
  readonly requests: number
  readonly seconds: number
  readonly latencies: Readonly<Record<Latency, HistogramData>>
  readonly batchCounts: Readonly<Record<Latency, Float64Array>>
  /** Sums of the parts of TTFT over requests that were never lost. */
  readonly ttftParts: {
    readonly requests: number
    readonly waitSeconds: number
    readonly prefillSeconds: number
    readonly transferSeconds: number
  }
  /** Requests in the system when the last one came. */
  readonly leftAtLastArrival: number
  readonly batchSums: Readonly<Record<Latency, Float64Array>>
  readonly stages: Readonly<Record<'remotePrefill' | 'link' | 'localPrefill' | 'decode', StageData>>
  readonly completedRps: number
  readonly offloaded: number
  readonly repeated: number
  readonly bytesSent: number
  readonly bytesCopied: number
  readonly threshold: { readonly min: number; readonly area: number; readonly max: number }
  readonly localPrefillEnd: number
  readonly inSystemMax: number
  readonly boundPassedSeconds: number | null
  readonly cache: CacheData | null
  readonly series: SimulationSeries | null
  readonly timelines: readonly RequestTimeline[]
}

/** One run, not yet begun. Throws INVALID_REQUEST. */
export function openSimulation(
  scenario: Scenario,
  options: SimulationOptions,
): { readonly simulation: Simulation; readonly control: SimulationControl } {
  checkOptions(scenario, options)
  const traffic = openTraffic(scenario, options)
  const control = new SimulationControl(scenario, options, traffic)
  return { simulation: new Simulation(scenario, options, traffic, control), control }
}

/** Runs one simulation to its end and checks its laws. `onProgress` is called now and then with the requests that are done. */
export function simulateBatch(
  scenario: Scenario,
  options: SimulationOptions,
  onProgress?: (completed: number) => void,
): ReplicationData {
  const { simulation, control } = openSimulation(scenario, options)
  while (!simulation.isDone) {
    simulation.run(STEPS_BETWEEN_REPORTS)
    onProgress?.(simulation.record.completed)
  }
  checkLaws(simulation)
  return dataOf(simulation, control)
}

const STEPS_BETWEEN_REPORTS = 500_000

function openTraffic(scenario: Scenario, options: SimulationOptions): Traffic {
  const { rateRps, requests, seed, workload, curve = null } = options
  const arrivals = {
    kind: options.arrivals ?? 'poisson',
    burstiness: options.burstiness ?? scenario.burstiness,
  } as const
  if (workload?.kind === 'trace') {
    const { trace, rateRps: replayRps } = workload
    const isFullBlocksOnly = (options.caches?.stateBlocks ?? 0) > 0
    const { outputTokens } = scenario
    return traceTraffic(trace, { rateRps: replayRps, requests, seed, outputTokens, isFullBlocksOnly })
  }
  if (workload?.kind === 'agents') return agentTraffic(workload, { rateRps, requests, seed, arrivals, curve })
  return syntheticTraffic({
    lengths: scenario.lengths,
    outputTokens: scenario.outputTokens,
    arrivals: { ...arrivals, rateRps },
    curve,
    requests,
    seed,
  })
}

function dataOf(simulation: Simulation, control: SimulationControl): ReplicationData {
  const { record, remote, local, link, locals, nowSeconds, scenario } = simulation
  const decodeBusy = locals.decoders.reduce((area, instance) => area + instance.active.area(nowSeconds), 0)
  return {
    seed: simulation.options.seed,
    requests: record.completed,
    seconds: nowSeconds,
    latencies: byLatency((name) => record[name].data()),
    batchCounts: byLatency((name) => (name === 'tpot' ? record.tpotCounts : record.batchCounts)),
    ttftParts: {
      requests: record.wholeRequests,
      waitSeconds: record.waitSecondsSum,
      prefillSeconds: record.prefillSecondsSum,
      transferSeconds: record.transferSecondsSum,
    },
    leftAtLastArrival: record.leftAtLastArrival,
    batchSums: record.batchSums,
    stages: {
      remotePrefill: stageOf(record.remotePrefill, remote.busy.area(nowSeconds), remote.open.area(nowSeconds)),
      link: stageOf(record.transfer, link.busy.area(nowSeconds), nowSeconds),
      localPrefill: stageOf(record.localPrefill, local.busy.area(nowSeconds), local.open.area(nowSeconds)),
      decode: stageOf(record.decode, decodeBusy, locals.decoding.area(nowSeconds) * scenario.decodeBatch.batch),
    },
    completedRps: throughput(record, nowSeconds),
    offloaded: record.offloaded,
    repeated: record.repeated,
    bytesSent: record.bytesSent,
    bytesCopied: record.bytesCopied,
    threshold: { min: control.thresholdMin, area: control.threshold.area(nowSeconds), max: control.thresholdMax },
    localPrefillEnd: locals.prefillRoles,
    inSystemMax: record.inSystemMax,
    boundPassedSeconds: record.boundPassedSeconds,
    cache: control.cacheData(),
    series: control.series?.series ?? null,
    timelines: control.timelines,
  }
}

function byLatency<T>(of: (name: Latency) => T): Readonly<Record<Latency, T>> {
  const [ttft, firstToken, tpot, e2e] = LATENCIES
  return { ttft: of(ttft), firstToken: of(firstToken), tpot: of(tpot), e2e: of(e2e) }
}

function stageOf({ waitSeconds }: StageRecord, busySeconds: number, openSeconds: number): StageData {
  return { wait: waitSeconds.data(), busySeconds, openSeconds }
}

/** Below so many completions before the last arrival, filling and draining are most of the run. */
const STEADY_MIN = 100

/** Completions over time while requests still arrived; of short runs, over the whole run. */
function throughput(
  { completed, completedAtLastArrival, firstCompletionSeconds, lastArrivalSeconds }: SimulationRecord,
  nowSeconds: number,
): number {
  const isSteady = completedAtLastArrival >= STEADY_MIN && lastArrivalSeconds > firstCompletionSeconds
  return isSteady
    ? (completedAtLastArrival - 1) / (lastArrivalSeconds - firstCompletionSeconds)
    : completed / nowSeconds
}

function checkOptions(scenario: Scenario, options: SimulationOptions): void {
  const { decodeBatch, decode } = scenario
  const { rateRps, requests, seed, roles, workload } = options
  const fail = (what: string, remedy?: string): never => {
    throw new MembraneError('INVALID_REQUEST', what, remedy === undefined ? {} : { remedy })
  }
  if (!(rateRps >= LIMITS.rateRpsMin && rateRps <= LIMITS.rateRpsMax)) {
    fail(
      `The rate must be above 0 requests per second, from ${LIMITS.rateRpsMin} to ${LIMITS.rateRpsMax}, found ${rateRps}.`,
    )
  }
  if (!Number.isInteger(requests) || requests < 1 || requests > LIMITS.simulatedRequestsMax)
    fail(`The number of requests must be a whole number from 1 to ${LIMITS.simulatedRequestsMax}, found ${requests}.`)
  if (workload === undefined && requests / rateRps > LIMITS.simulatedSecondsMax) {
    fail(
      `${requests} requests at ${rateRps} requests per second take ${(requests / rateRps).toPrecision(3)} s, expected at most ${LIMITS.simulatedSecondsMax}.`,
      'Simulate fewer requests, or a higher rate.',
    )
  }
  if (!Number.isSafeInteger(seed) || seed < 0) fail(`The seed must be a whole number of at least 0, found ${seed}.`)
  if (roles.decode < 1 || decodeBatch.batch < 1)
    fail('A simulation needs a decode instance whose batch holds at least one sequence.')
  if (roles.remotePrefill + roles.localPrefill < 1) fail('A simulation needs an instance that prefills.')
  const longest = decode.kvTokensMax === undefined ? 0 : longestContext(scenario, options)
  if (longest > (decode.kvTokensMax ?? Number.POSITIVE_INFINITY)) {
    fail(
      `A request ends with ${longest} tokens of context, but a decode instance holds ${decode.kvTokensMax} (kvTokensMax).`,
      'Such a request could never be decoded: give the instances more KV memory or the workload shorter requests.',
    )
  }
}

/** The most tokens that a request can end with; of traces and agents, that one does. */
function longestContext(scenario: Scenario, options: SimulationOptions): number {
  const { lengths, outputTokens } = scenario
  if (options.workload === undefined)
    return Math.ceil(Math.ceil(lengths.maxTokens) * contextFactor(scenario, options)) + Math.ceil(outputTokens)
  const traffic = openTraffic(scenario, options)
  let longest = 0
  while (traffic.next()) longest = Math.max(longest, traffic.head.promptTokens + traffic.head.outputTokens)
  return longest
}
