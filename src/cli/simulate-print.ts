import type { SimulationOptions } from '../planner/sim-options.ts'
import type { LatencySummary, SimulationResult } from '../planner/simulation-result.ts'
import type { Gain } from '../planner/study.ts'
import { figure, heading, percent, signedPercent, table, tokens } from './print.ts'
import { section } from './print-optimization.ts'
import type { Study } from './simulate-load.ts'

export interface Answer {
  readonly name: string
  readonly options: SimulationOptions
  readonly result: SimulationResult
}

export interface Wall {
  readonly wallSeconds: number
  readonly requestsPerWallSecond: number
}

/** What one run says, the verdict first. */
export function resultText({ title }: Study, { options, result }: Answer, wall: Wall): string {
  const { roles } = options
  const { capacityRps, cache } = result
  const capacity =
    capacityRps.sustainableRps === capacityRps.equation6Rps
      ? ''
      : ` By request the deployment sustains ${capacityRps.sustainableRps.toPrecision(4)} req/s and completes ${capacityRps.saturatedRps.toPrecision(4)} under overload; Eq. (6), with mean lengths, says ${capacityRps.equation6Rps.toPrecision(4)} (${signedPercent(capacityRps.equation6Rps / capacityRps.saturatedRps - 1)}).`
  return [
    `${heading(`${title}: ${result.verdict} at ${figure(options.rateRps)} req/s`)} with ${roles.remotePrefill} remote prefill, ${roles.localPrefill} local prefill and ${roles.decode} decode instances, t = ${tokens(options.thresholdTokens)} tokens, scheduler ${options.scheduler ?? 'fixed'}.${capacity}${boundText(result)}`,
    section(
      'Latencies',
      'seconds, with 95 % intervals',
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
    partsText(result),
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
    ...(cache === null
      ? []
      : [
          `Prefix cache: ${(100 * cache.hitRatioTokens).toFixed(2)} % of tokens and ${(100 * cache.hitRatioBlocks).toFixed(2)} % of blocks hit, ${figure(cache.evictions)} evictions.`,
        ]),
    `${result.requests.toLocaleString('en-US')} requests, ${percent(result.offloadedRatio)} offloaded, egress ${figure(result.egressGbps)} Gbps, completed ${figure(result.completedRps)} req/s. ${runText(result, wall)}`,
  ].join('\n\n')
}

/** What the mean TTFT is made of. */
function partsText({ ttftPartsSeconds: { wait, prefill, transfer } }: SimulationResult): string {
  return `Of the mean TTFT ${wait.toPrecision(3)} s are waiting, ${prefill.toPrecision(3)} s prefill and ${transfer.toPrecision(3)} s transfer.`
}

/** Schedulers under the same load, side by side. */
export function comparisonText(
  { title }: Study,
  answers: readonly Answer[],
  gains: readonly { readonly name: string; readonly gain: Gain }[],
  wall: Wall,
): string {
  const rate = answers[0]?.options.rateRps ?? 0
  return [
    `${heading(title)}, ${figure(rate)} req/s on average.`,
    ...gains.map(({ name, gain }) => gainSentence(name, gain)),
    section(
      'Schedulers',
      'TTFT in seconds, with 95 % intervals; t in tokens',
      table(
        ['scheduler', 'mean', 'P50', 'P90', 'P99', 'offloaded', 'egress Gbps', 't min', 't mean', 't max', 'verdict'],
        answers.map(({ name, result }) => [
          name,
          ...latencyRow('', result.ttftSeconds).slice(1),
          percent(result.offloadedRatio),
          figure(result.egressGbps),
          tokens(result.thresholdTokens.min),
          tokens(result.thresholdTokens.mean),
          tokens(result.thresholdTokens.max),
          result.verdict,
        ]),
      ),
    ),
    ...answers.flatMap(({ name, result: { cache } }) =>
      cache === null
        ? []
        : [`Prefix caches, scheduler ${name}: ${(100 * cache.hitRatioTokens).toFixed(1)} % of prompt tokens hit.`],
    ),
    ...answers.slice(0, 1).map(({ result }) => runText(result, wall)),
  ].join('\n\n')
}

/** "on: P90 TTFT 25.1 % ± 7.4 below the fixed threshold." */
export function gainSentence(name: string, { mean, halfWidth95 }: Gain): string {
  const spread = halfWidth95 === null ? '' : ` ± ${(100 * halfWidth95).toFixed(1)}`
  const isClear = halfWidth95 === null || Math.abs(mean) > halfWidth95
  const direction = mean >= 0 ? 'below' : 'above'
  const label = name === 'on' ? 'With the scheduler' : 'Without a look at lengths'
  return `${label}, P90 TTFT is ${(100 * Math.abs(mean)).toFixed(1)}${spread} % ${direction} that of the fixed threshold${isClear ? '' : ', which is within the noise'}.`
}

function runText({ seed, replications }: SimulationResult, { wallSeconds, requestsPerWallSecond }: Wall): string {
  const runs = replications === 1 ? 'one run' : `${replications} replications`
  return `Seed ${seed}, ${runs}; ${figure(wallSeconds)} s of wall time, ${figure(requestsPerWallSecond)} requests/s.`
}

function latencyRow(name: string, latency: LatencySummary): string[] {
  const { mean, p50, p90, p99, meanHalfWidth95, p50HalfWidth95, p90HalfWidth95, p99HalfWidth95 } = latency
  return [
    name,
    within(mean, meanHalfWidth95),
    within(p50, p50HalfWidth95),
    within(p90, p90HalfWidth95),
    within(p99, p99HalfWidth95),
  ]
}

function within(value: number, halfWidth: number | null): string {
  const isTiny = halfWidth === null || halfWidth < value * 1e-6
  return `${value.toPrecision(4)}${isTiny ? '' : ` ± ${halfWidth.toPrecision(2)}`}`
}

/** Overload is said with when it began to show. */
function boundText({ inSystem, verdict }: SimulationResult): string {
  if (inSystem.boundPassedSeconds !== null)
    return ` More than ${figure(inSystem.bound)} requests were in the system from ${figure(inSystem.boundPassedSeconds)} s on (${figure(inSystem.max)} at most).`
  return verdict === 'stable' ? '' : ` At most ${figure(inSystem.max)} requests were in the system at once.`
}
