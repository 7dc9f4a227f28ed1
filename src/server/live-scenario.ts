/** The planner's scenario, made of what was measured instead of what a file says. Pure. */
import type { PrefillReport } from '../cluster/member.ts'
import { LIMITS } from '../core/limits.ts'
import { gbpsFromBytesPerSecond } from '../core/units.ts'
import type { DecodeProfile } from '../planner/decode.ts'
import type { LatencyProfileData } from '../planner/profile.ts'
import { buildScenario, type Scenario } from '../planner/scenario.ts'
import type { RemoteSite } from './live-deployment.ts'

/** S_kv(l) = fixedBytes + bytesPerToken l of a model. */
export interface KvBytes {
  readonly fixedBytes: number
  readonly bytesPerToken: number
}

/** The model whose prompts are routed. */
export interface RoutedModel {
  readonly name: string
  readonly kv: KvBytes
  /** Longest prompt that it takes, tokens. */
  readonly promptTokensMax: number
}

/** Where curves are looked at: a twentieth apart, so that straight lines between are within a thousandth of a parabola. */
const GRID_RATIO = 1.05

/** Whatever a node says of itself, plans are made with numbers that can be divided and squared. */
const SECONDS_MIN = 1e-9
const SECONDS_MAX = 1e9

/** T_prefill(l) of a node, from the first token on. */
export function prefillSecondsOf(report: PrefillReport, tokens: number): number {
  const { callSeconds, secondsPerToken, secondsPerPair } = report
  const seconds = callSeconds + secondsPerToken * tokens + (secondsPerPair * tokens * tokens) / 2
  return Math.max(SECONDS_MIN, Math.min(SECONDS_MAX, seconds))
}

/** Of a pool as if its nodes were alike: as many prompts of this length a second as they give together. */
export function pooledSeconds(reports: readonly PrefillReport[], tokens: number): number {
  return reports.length / reports.reduce((sum, report) => sum + 1 / prefillSecondsOf(report, tokens), 0)
}

/** The same of several datacentres: what a link cannot carry, the nodes behind it need not compute. */
function pooledRemoteSeconds(sites: readonly RemoteSite[], kv: KvBytes, tokens: number): number {
  const [only] = sites
  if (sites.length === 1 && only !== undefined) return pooledSeconds(only.nodes, tokens)
  const rateRps = sites.reduce((sum, { nodes, bytesPerSecond }) => {
    const computedRps = nodes.length / pooledSeconds(nodes, tokens)
    return sum + Math.min(computedRps, bytesPerSecond / kvBytesOf(kv, tokens))
  }, 0)
  return nodesOf(sites) / rateRps
}

export function kvBytesOf({ fixedBytes, bytesPerToken }: KvBytes, tokens: number): number {
  return fixedBytes + bytesPerToken * tokens
}

export function nodesOf(sites: readonly RemoteSite[]): number {
  return sites.reduce((sum, { nodes }) => sum + nodes.length, 0)
}

/** All links together. */
export function linkBytesPerSecond(sites: readonly RemoteSite[]): number {
  return sites.reduce((sum, { bytesPerSecond }) => sum + bytesPerSecond, 0)
}

/**
 * Uncached tokens above which another datacentre has the KV here sooner than this one computes it, with what waits on
 * both sides: the closed form for one prompt alone. The longest prompt when that is none, 0 when all.
 */
export function crossingTokens(
  locals: readonly PrefillReport[],
  sites: readonly RemoteSite[],
  model: RoutedModel,
): number {
  if (locals.length === 0) return 0
  const localWait = leastWait(locals)
  const isRemoteSooner = (tokens: number): boolean =>
    sites.some(({ nodes, bytesPerSecond, rttSeconds }) => {
      const transferSeconds = rttSeconds + kvBytesOf(model.kv, tokens) / bytesPerSecond
      return (
        leastWait(nodes) + pooledSeconds(nodes, tokens) + transferSeconds < localWait + pooledSeconds(locals, tokens)
      )
    })
  const grid = tokenGrid(model.promptTokensMax)
  const last = grid.findLastIndex((tokens) => !isRemoteSooner(tokens))
  if (last === grid.length - 1) return model.promptTokensMax
  let [low, high] = [grid[last] ?? 0, grid[last + 1] ?? model.promptTokensMax]
  while (high - low > 1) {
    const middle = (low + high) / 2
    if (isRemoteSooner(middle)) high = middle
    else low = middle
  }
  return Math.floor(low)
}

/** How long a prompt that comes now waits where the queue is shortest. */
export function leastWait(reports: readonly PrefillReport[]): number {
  return reports.reduce((least, { waitSeconds }) => Math.min(least, waitSeconds), Infinity)
}

export interface MeasuredScenario {
  readonly model: RoutedModel
  /** At least one of either. */
  readonly locals: readonly PrefillReport[]
  readonly sites: readonly RemoteSite[]
  /** At least one, uncached. */
  readonly uncachedTokens: Float64Array
  readonly promptTokensMean: number
  readonly outputTokensMean: number
  /** Null where decoding shares nodes with prefilling, or was not measured: it is taken for no limit then. */
  readonly decode: DecodeProfile | null
}

/** Decoding that never limits anything: beyond every rate that prefilling allows. */
const NO_DECODE_LIMIT: DecodeProfile = {
  batchMax: 1_000_000,
  stepSeconds: { fixed: 1e-6, perSequence: 0, perContextToken: 0 },
  source: 'not measured',
  origin: 'assumed',
}

export function measuredScenario(measured: MeasuredScenario): Scenario {
  const { model, locals, sites, uncachedTokens, promptTokensMean, outputTokensMean, decode } = measured
  const { linkGbpsMin, linkGbpsMax, poolInstancesMax } = LIMITS
  const gbps = gbpsFromBytesPerSecond(linkBytesPerSecond(sites))
  const remote = profileOf('other datacentres', model, (tokens) => pooledRemoteSeconds(sites, model.kv, tokens))
  const local = profileOf('this datacentre', model, (tokens) => pooledSeconds(locals, tokens))
  return buildScenario({
    name: model.name,
    remote: { profile: remote, instances: Math.min(poolInstancesMax, nodesOf(sites)) },
    local: {
      profile: local,
      // The plan is asked with the instances there are; a scenario wants one that decodes beside one that prefills.
      instances: Math.min(poolInstancesMax, Math.max(2, locals.length)),
      decode: decode ?? NO_DECODE_LIMIT,
    },
    link: { gbps: Math.max(linkGbpsMin, Math.min(linkGbpsMax, gbps)) },
    workload: {
      input: { kind: 'samples', tokens: uncachedTokens, source: 'prompts of this node' },
      outputTokens: outputTokensMean,
      promptTokensMean,
    },
  })
}

function profileOf(name: string, model: RoutedModel, secondsAt: (tokens: number) => number): LatencyProfileData {
  return {
    kind: 'latency',
    name,
    model: model.name,
    hardware: 'as measured',
    gpusPerInstance: 1,
    source: 'the time that engines took',
    origin: 'measured',
    kv: model.kv,
    prefill: {
      points: tokenGrid(model.promptTokensMax).map((tokens) => ({ tokens, seconds: secondsAt(tokens) })),
      interpolation: 'linear',
      below: 'hold',
      above: 'extrapolate',
    },
  }
}

/** Whole numbers of tokens from 1 to the longest prompt, ascending. */
function tokenGrid(tokensMax: number): number[] {
  const steps = Math.max(1, Math.ceil(Math.log(Math.max(2, tokensMax)) / Math.log(GRID_RATIO)))
  const grid = Array.from({ length: steps + 1 }, (_, k) => Math.round(Math.max(2, tokensMax) ** (k / steps)))
  return [...new Set(grid)]
}
