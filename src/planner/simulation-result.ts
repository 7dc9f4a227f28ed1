import { LogHistogram } from './log-histogram.ts'
import { type RequestCapacity, requestCapacity } from './request-capacity.ts'
import type { Scenario } from './scenario.ts'
import { isBacklogged, meanHalfWidth95, quantileHalfWidth95 } from './sim-confidence.ts'
import { queueBound, type SimulationOptions } from './sim-options.ts'
import type { Latency } from './sim-record.ts'
import type { ReplicationData, StageData } from './sim-run.ts'
import type { SimulationSeries } from './sim-series.ts'
import type { RequestTimeline } from './sim-timeline.ts'

/** A latency as it was observed, seconds. */
export interface LatencySummary {
  readonly mean: number
  readonly p50: number
  readonly p90: number
  readonly p99: number
  /** Half the width of the 95 % interval of the mean, by batch means; null for runs too short to tell. */
  readonly meanHalfWidth95: number | null
  /** The same of the quantiles, from independent replications; null with fewer than four. */
  readonly p50HalfWidth95: number | null
  readonly p90HalfWidth95: number | null
  readonly p99HalfWidth95: number | null
}

/** One stage of the pipeline as it was observed. */
export interface StageSummary {
  readonly name: 'remotePrefill' | 'link' | 'localPrefill' | 'decode'
  /** Instances; for decode, slots of all instances; 1 for the link. Means over the run where roles change. */
  readonly servers: number
  readonly utilisation: number
  readonly waitSeconds: { readonly mean: number; readonly p90: number }
}

/** Whether the system kept up: stable; backlogged, when a queue was still growing; overloaded, when more came than it can serve. */
export type LoadVerdict = 'stable' | 'backlogged' | 'overloaded'

/** What a simulation says. The same seed gives the same numbers. */
export interface SimulationResult {
  /** Until the KV is complete where it is decoded, as the paper's table has it. */
  readonly ttftSeconds: LatencySummary
  /** Means of what TTFT consists of, over requests that no loss interrupted; the transfer less what overlaps the prefill. */
  readonly ttftPartsSeconds: { readonly wait: number; readonly prefill: number; readonly transfer: number }
  /** Until the first token is out: with the wait for a decode slot and the first step. */
  readonly firstTokenSeconds: LatencySummary
  readonly tpotSeconds: LatencySummary
  readonly e2eSeconds: LatencySummary
  /** Completions over time while requests still arrived. */
  readonly completedRps: number
  readonly offloadedRatio: number
  readonly egressGbps: number
  /** Mean over time. */
  readonly thresholdTokens: { readonly min: number; readonly mean: number; readonly max: number }
  readonly stages: readonly StageSummary[]
  readonly verdict: LoadVerdict
  /** Of the fixed threshold. Eq. (6) replaces lengths by their means; by request, a queue grows earlier. */
  readonly capacityRps: RequestCapacity
  /** Requests in the system: the most at once, the bound, and when a run first passed it (null: never). */
  readonly inSystem: { readonly max: number; readonly bound: number; readonly boundPassedSeconds: number | null }
  /** Null without prefix caches. */
  readonly cache: {
    readonly hitRatioTokens: number
    readonly hitRatioBlocks: number
    readonly evictions: number
    readonly transfersOutside: number
  } | null
  /** Prefills that were done again because an instance was lost. */
  readonly repeatedPrefills: number
  /** Prefixes copied to the cluster that lacked them. */
  readonly copiedGigabytes: number
  readonly requests: number
  readonly replications: number
  readonly seed: number
}

/** What charts show beside the numbers. */
export interface SimulationCurves {
  /** Share of requests at or below a latency, seconds. */
  readonly cdf: Readonly<Record<Latency, readonly { readonly value: number; readonly share: number }[]>>
  /** Of the first replication; null when none was recorded. */
  readonly series: SimulationSeries | null
  readonly timelines: readonly RequestTimeline[]
}

/** Puts replications of one question together, in the order of their seeds. */
export function summarize(
  scenario: Scenario,
  options: SimulationOptions,
  runs: readonly ReplicationData[],
): SimulationResult {
  const sum = (of: (run: ReplicationData) => number): number => runs.reduce((total, run) => total + of(run), 0)
  const requests = sum((run) => run.requests)
  const seconds = sum((run) => run.seconds)
  const capacityRps = requestCapacity(scenario, options)
  return {
    ttftSeconds: latency(runs, 'ttft'),
    ttftPartsSeconds: ttftParts(runs),
    firstTokenSeconds: latency(runs, 'firstToken'),
    tpotSeconds: latency(runs, 'tpot'),
    e2eSeconds: latency(runs, 'e2e'),
    completedRps: sum((run) => run.completedRps) / runs.length,
    offloadedRatio: sum((run) => run.offloaded) / requests,
    egressGbps: (sum((run) => run.bytesSent) * 8) / 1e9 / seconds,
    thresholdTokens: {
      min: Math.min(...runs.map((run) => run.threshold.min)),
      mean: sum((run) => run.threshold.area) / seconds,
      max: Math.max(...runs.map((run) => run.threshold.max)),
    },
    stages: (['remotePrefill', 'link', 'localPrefill', 'decode'] as const).map((name) =>
      stageSummary(
        name,
        runs.map((run) => run.stages[name]),
        seconds,
      ),
    ),
    verdict: verdictOf(options, capacityRps, queueBound(options, scenario.decodeBatch.batch), runs),
    capacityRps,
    inSystem: {
      max: Math.max(...runs.map((run) => run.inSystemMax)),
      bound: queueBound(options, scenario.decodeBatch.batch),
      boundPassedSeconds: runs.find((run) => run.boundPassedSeconds !== null)?.boundPassedSeconds ?? null,
    },
    cache: cacheSummary(runs),
    repeatedPrefills: sum((run) => run.repeated),
    copiedGigabytes: sum((run) => run.bytesCopied) / 1e9,
    requests,
    replications: runs.length,
    seed: options.seed,
  }
}

/** The distributions and the series of the same runs. */
export function curvesOf(runs: readonly ReplicationData[]): SimulationCurves {
  return {
    cdf: {
      ttft: merged(runs, 'ttft').cumulative(),
      firstToken: merged(runs, 'firstToken').cumulative(),
      tpot: merged(runs, 'tpot').cumulative(),
      e2e: merged(runs, 'e2e').cumulative(),
    },
    series: runs[0]?.series ?? null,
    timelines: runs[0]?.timelines ?? [],
  }
}

function merged(runs: readonly ReplicationData[], name: Latency): LogHistogram {
  const histogram = new LogHistogram()
  for (const run of runs) histogram.merge(new LogHistogram(run.latencies[name]))
  return histogram
}

function latency(runs: readonly ReplicationData[], name: Latency): LatencySummary {
  const histogram = merged(runs, name)
  const half = meanHalfWidth95(runs, name)
  return {
    mean: histogram.mean(),
    p50: histogram.quantile(0.5),
    p90: histogram.quantile(0.9),
    p99: histogram.quantile(0.99),
    meanHalfWidth95: half === null ? null : withoutNoise(half, histogram.mean()),
    p50HalfWidth95: quantileHalfWidth95(runs, name, 0.5),
    p90HalfWidth95: quantileHalfWidth95(runs, name, 0.9),
    p99HalfWidth95: quantileHalfWidth95(runs, name, 0.99),
  }
}

function ttftParts(runs: readonly ReplicationData[]): SimulationResult['ttftPartsSeconds'] {
  const sum = (of: (parts: ReplicationData['ttftParts']) => number): number =>
    runs.reduce((total, run) => total + of(run.ttftParts), 0)
  const requests = Math.max(
    1,
    sum((parts) => parts.requests),
  )
  return {
    wait: sum((parts) => parts.waitSeconds) / requests,
    prefill: sum((parts) => parts.prefillSeconds) / requests,
    // Where nothing is sent, the difference of equal times leaves rounding behind.
    transfer: withoutNoise(sum((parts) => parts.transferSeconds) / requests, 1),
  }
}

/** Less than a billionth of the scale is rounding, which differs between machines. */
function withoutNoise(value: number, scale: number): number {
  return Math.abs(value) < 1e-9 * scale ? 0 : value
}

/** A number of servers that never changed is whole, whatever its integral over time was rounded to. */
function withoutRounding(servers: number): number {
  const whole = Math.round(servers)
  return Math.abs(servers - whole) < 1e-9 * Math.max(1, whole) ? whole : servers
}

function stageSummary(name: StageSummary['name'], parts: readonly StageData[], seconds: number): StageSummary {
  const waits = new LogHistogram()
  for (const { wait } of parts) waits.merge(new LogHistogram(wait))
  const busySeconds = parts.reduce((total, part) => total + part.busySeconds, 0)
  const openSeconds = parts.reduce((total, part) => total + part.openSeconds, 0)
  return {
    name,
    servers: withoutRounding(openSeconds / seconds),
    utilisation: openSeconds > 0 ? busySeconds / openSeconds : 0,
    waitSeconds: { mean: waits.mean(), p90: waits.quantile(0.9) },
  }
}

/**
 * A fixed threshold under a steady load has a closed form of what it can serve. For all others the queues tell: more
 * than the bound in the system when the last request came is more than was served, and sojourns that still grew at the
 * end are a queue that did.
 */
function verdictOf(
  { rateRps, workload, curve, events, scheduler, routing }: SimulationOptions,
  { sustainableRps }: RequestCapacity,
  bound: number,
  runs: readonly ReplicationData[],
): LoadVerdict {
  const isSteady = workload === undefined && (curve ?? null) === null && (events ?? []).length === 0
  const isFixed = (scheduler ?? 'fixed') === 'fixed' && (routing ?? 'threshold') === 'threshold'
  if (isSteady && isFixed && rateRps >= sustainableRps) return 'overloaded'
  if (runs.some(({ leftAtLastArrival }) => leftAtLastArrival > bound)) return 'overloaded'
  return runs.some(isBacklogged) ? 'backlogged' : 'stable'
}

function cacheSummary(runs: readonly ReplicationData[]): SimulationResult['cache'] {
  const caches = runs.flatMap(({ cache }) => (cache === null ? [] : [cache]))
  if (caches.length === 0) return null
  const sum = (of: (cache: (typeof caches)[number]) => number): number =>
    caches.reduce((total, cache) => total + of(cache), 0)
  return {
    hitRatioTokens:
      sum((cache) => cache.hitTokens) /
      Math.max(
        1,
        sum((cache) => cache.promptTokens),
      ),
    hitRatioBlocks:
      sum((cache) => cache.hitBlocks) /
      Math.max(
        1,
        sum((cache) => cache.references),
      ),
    evictions: sum((cache) => cache.evictions),
    transfersOutside: sum((cache) => cache.transfersOutside),
  }
}
