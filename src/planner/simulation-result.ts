import type { LogHistogram } from './log-histogram.ts'
import type { Scenario } from './scenario.ts'
import { requestCapacity } from './request-capacity.ts'
import type { SimulationRecord, StageRecord } from './sim-record.ts'
import { checkLaws } from './simulation-laws.ts'
import type { Simulation, SimulationOptions } from './simulate.ts'

/** A latency as it was observed, seconds. */
export interface LatencySummary {
  readonly mean: number
  readonly p50: number
  readonly p90: number
  readonly p99: number
  /** Half the width of the 95 % interval of the mean, by batch means; null for runs too short to tell. */
  readonly meanHalfWidth95: number | null
}

/** One stage of the pipeline as it was observed. */
export interface StageSummary {
  readonly name: 'remotePrefill' | 'link' | 'localPrefill' | 'decode'
  /** Instances; for decode, slots of all instances; 1 for the link. */
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
  /** Until the first token is out: with the wait for a decode slot and the first step. */
  readonly firstTokenSeconds: LatencySummary
  readonly tpotSeconds: LatencySummary
  readonly e2eSeconds: LatencySummary
  /** Requests over the time from the first arrival to the last completion. */
  readonly completedRps: number
  readonly offloadedRatio: number
  readonly egressGbps: number
  readonly thresholdTokens: { readonly min: number; readonly mean: number; readonly max: number }
  readonly stages: readonly StageSummary[]
  readonly verdict: LoadVerdict
  /** The rate above which a queue must grow: by request, beside Eq. (6), which replaces lengths by their means. */
  readonly capacityRps: { readonly perRequest: number; readonly equation6: number }
  readonly seed: number
}

/** Checks the laws of the finished run and sums it up. */
export function summarize(scenario: Scenario, options: SimulationOptions, simulation: Simulation): SimulationResult {
  checkLaws(simulation, options)
  const { record, nowSeconds } = simulation
  const capacityRps = requestCapacity(scenario, options)
  return {
    ttftSeconds: latency(record, record.ttftSeconds, 'ttft'),
    firstTokenSeconds: latency(record, record.firstTokenSeconds, 'firstToken'),
    tpotSeconds: latency(record, record.tpotSeconds, 'tpot'),
    e2eSeconds: latency(record, record.e2eSeconds, 'e2e'),
    completedRps: record.completed / nowSeconds,
    offloadedRatio: record.offloaded / record.completed,
    egressGbps: (record.bytesSent * 8) / 1e9 / nowSeconds,
    thresholdTokens: { min: options.thresholdTokens, mean: options.thresholdTokens, max: options.thresholdTokens },
    stages: stageSummaries(scenario, options, simulation),
    verdict: options.rateRps >= capacityRps.perRequest ? 'overloaded' : record.isBacklogged() ? 'backlogged' : 'stable',
    capacityRps,
    seed: options.seed,
  }
}

function latency(
  record: SimulationRecord,
  histogram: LogHistogram,
  series: Parameters<SimulationRecord['meanHalfWidth95']>[0],
): LatencySummary {
  return {
    mean: histogram.mean(),
    p50: histogram.quantile(0.5),
    p90: histogram.quantile(0.9),
    p99: histogram.quantile(0.99),
    meanHalfWidth95: record.meanHalfWidth95(series),
  }
}

function stageSummaries(scenario: Scenario, { roles }: SimulationOptions, simulation: Simulation): StageSummary[] {
  const { record, remote, local, link, instances, nowSeconds } = simulation
  const slots = roles.decode * scenario.decodeBatch.batch
  const stage = (
    name: StageSummary['name'],
    servers: number,
    busyArea: number,
    { waitSeconds }: StageRecord,
  ): StageSummary => ({
    name,
    servers,
    utilisation: servers > 0 ? busyArea / nowSeconds / servers : 0,
    waitSeconds: { mean: waitSeconds.mean(), p90: waitSeconds.quantile(0.9) },
  })
  const decodeArea = instances.reduce((area, instance) => area + instance.active.area(nowSeconds), 0)
  return [
    stage('remotePrefill', roles.remotePrefill, remote.busy.area(nowSeconds), record.remotePrefill),
    stage('link', 1, link.busy.area(nowSeconds), record.transfer),
    stage('localPrefill', roles.localPrefill, local.busy.area(nowSeconds), record.localPrefill),
    stage('decode', slots, decodeArea, record.decode),
  ]
}
