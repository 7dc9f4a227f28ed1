import { MembraneError } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import { bytesPerSecondFromGbps } from '../core/units.ts'
import type { Origin } from './assumptions.ts'
import { affineCurve, type Curve } from './curve.ts'
import type { DecodeProfile } from './decode.ts'
import { type EndRule, type Interpolation, interpolate } from './interpolate.ts'
import { kvThroughputBytesPerSecond } from './throughput.ts'

/** What a profile says about itself, whatever it holds. */
interface ProfileIdentity {
  readonly name: string
  readonly model: string
  /** One instance, for example "8 x H200". */
  readonly hardware: string
  readonly gpusPerInstance: number
  /** Where the numbers come from, in words that a reader can check. */
  readonly source: string
  readonly origin: Origin
}

/** Prefill seconds and KV bytes of one instance as data: what a user measures and writes down. */
export interface LatencyProfileData extends ProfileIdentity {
  readonly kind: 'latency'
  readonly prefill: {
    /** Ascending in tokens; `kvBytes` in all points or, when `kv` says it for every length, in none. */
    readonly points: readonly {
      readonly tokens: number
      readonly seconds: number
      readonly kvBytes?: number | undefined
    }[]
    readonly interpolation: Interpolation
    readonly below: EndRule
    readonly above: EndRule
  }
  /** S_kv(l) = fixedBytes + bytesPerToken l: recurrent states plus attention layers. */
  readonly kv?: { readonly fixedBytes: number; readonly bytesPerToken: number } | undefined
  /** How the same hardware decodes; only asked of the local cluster. */
  readonly decode?: DecodeProfile | undefined
}

/** Only the quotient Phi_kv = S_kv / T_prefill is known (paper, Table 3): enough for equations (1) and (2), no more. */
export interface RateProfileData extends ProfileIdentity {
  readonly kind: 'rate-only'
  readonly points: readonly { readonly tokens: number; readonly kvGbps: number }[]
}

/** A profile as data: what is measured, or only a rate. */
export type ProfileData = LatencyProfileData | RateProfileData

/** A checked profile, ready to be asked. */
export interface Profile {
  readonly data: LatencyProfileData
  /** T_prefill(l) of one instance, seconds. */
  readonly prefillSeconds: Curve
  /** S_kv(l), bytes. */
  readonly kvBytes: Curve
  readonly measuredTokens: { readonly min: number; readonly max: number }
}

/** Checks what no schema can: order, sign, and that no end rule leads below zero. Throws INVALID_PROFILE or OUT_OF_DOMAIN. */
export function compileProfile(data: ProfileData): Profile {
  if (data.kind === 'rate-only') {
    throw new MembraneError(
      'OUT_OF_DOMAIN',
      `Profile "${data.name}" holds only KV rates (${data.source}), not prefill seconds and KV bytes, so deployments cannot be compared on it.`,
      {
        remedy: 'Use `membrane egress` for equations (1) and (2) on it, or give a profile with measured points.',
        details: { profile: data.name },
      },
    )
  }
  const points = data.prefill.points
  checkPoints(
    data.name,
    points.map(({ tokens, seconds }) => ({ tokens, value: seconds })),
    'seconds',
  )
  const tokens = points.map((point) => point.tokens)
  const { interpolation, below, above } = data.prefill
  const prefillSeconds = interpolate(
    tokens,
    points.map((point) => point.seconds),
    interpolation,
    { below, above },
  )
  const profile: Profile = {
    data,
    prefillSeconds,
    kvBytes: kvCurve(data),
    measuredTokens: { min: tokens[0] ?? 0, max: tokens.at(-1) ?? 0 },
  }
  checkStaysPositive(profile)
  return profile
}

function kvCurve(data: LatencyProfileData): Curve {
  if (data.kv !== undefined) {
    const { fixedBytes, bytesPerToken } = data.kv
    if (
      !(
        fixedBytes >= 0 &&
        bytesPerToken >= 0 &&
        fixedBytes + bytesPerToken > 0 &&
        Number.isFinite(fixedBytes + bytesPerToken)
      )
    ) {
      throw invalid(
        data.name,
        `kv needs finite fixedBytes and bytesPerToken of at least 0 and not both 0, found ${fixedBytes} and ${bytesPerToken}`,
      )
    }
    return affineCurve(fixedBytes, bytesPerToken)
  }
  const points = data.prefill.points.map(({ tokens, kvBytes }) => {
    if (kvBytes === undefined)
      throw invalid(data.name, `the point at ${tokens} tokens has no kvBytes, and the profile has no kv rule`)
    return { tokens, value: kvBytes }
  })
  checkPoints(data.name, points, 'kvBytes')
  // KV grows by whole layers and tokens, so straight lines are its true shape whatever the latency does.
  return interpolate(
    points.map((point) => point.tokens),
    points.map((point) => point.value),
    'linear',
    { below: 'extrapolate', above: 'extrapolate' },
  )
}

interface Point {
  readonly tokens: number
  readonly value: number
}

function checkPoints(profile: string, points: readonly Point[], what: string): void {
  if (points.length < 2) throw invalid(profile, `expected at least two points, found ${points.length}`)
  if (points.length > LIMITS.profilePointsMax)
    throw invalid(profile, `expected at most ${LIMITS.profilePointsMax} points, found ${points.length}`)
  let previous = 0
  for (const [index, { tokens, value }] of points.entries()) {
    if (!Number.isFinite(tokens) || tokens <= 0)
      throw invalid(profile, `point ${index + 1} needs tokens above 0, found ${tokens}`)
    if (tokens <= previous)
      throw invalid(profile, `points must ascend in tokens, but point ${index + 1} (${tokens}) follows ${previous}`)
    if (!Number.isFinite(value) || value <= 0)
      throw invalid(profile, `the point at ${tokens} tokens needs ${what} above 0, found ${value}`)
    previous = tokens
  }
}

/** A straight or bent continuation can cross zero; a latency of zero would make every answer infinite. */
function checkStaysPositive({ data, prefillSeconds, kvBytes, measuredTokens }: Profile): void {
  const turns = [...prefillSeconds.breaks, ...kvBytes.breaks].filter(
    (tokens) => tokens >= 1 && tokens <= 4 * measuredTokens.max,
  )
  const probes = [1, ...turns, measuredTokens.max, 4 * measuredTokens.max]
  for (const tokens of probes) {
    if (prefillSeconds.at(tokens) > 0 && kvBytes.at(tokens) > 0) continue
    const side = tokens < measuredTokens.min ? 'below' : tokens > measuredTokens.max ? 'above' : 'inside'
    const remedy =
      side === 'inside'
        ? 'Choose another interpolation.'
        : `Set "${side}": "hold", or measure a point nearer to ${Math.round(tokens)} tokens.`
    throw new MembraneError(
      'INVALID_PROFILE',
      `Profile "${data.name}": its ${data.prefill.interpolation} curve is not above 0 at ${Math.round(tokens)} tokens, ${side} the measured range ${measuredTokens.min} to ${measuredTokens.max}.`,
      { remedy, details: { profile: data.name, tokens } },
    )
  }
}

function invalid(profile: string, what: string): MembraneError {
  return new MembraneError('INVALID_PROFILE', `Profile "${profile}": ${what}.`, { details: { profile } })
}

/** Phi_kv(l) in bytes per second: Eq. (1), section 2.1; from either kind of profile. Linear between rate points, which must cover the length. */
export function kvRateBytesPerSecond(data: ProfileData, tokens: number): number {
  if (!Number.isFinite(tokens) || tokens < 1) {
    throw new MembraneError('INVALID_REQUEST', `A length must be at least 1 token, found ${tokens}.`)
  }
  if (data.kind === 'latency') {
    const profile = compileProfile(data)
    return kvThroughputBytesPerSecond({
      kvBytes: profile.kvBytes.at(tokens),
      prefillSeconds: profile.prefillSeconds.at(tokens),
    })
  }
  checkPoints(
    data.name,
    data.points.map((point) => ({ tokens: point.tokens, value: point.kvGbps })),
    'kvGbps',
  )
  const [first, last] = [data.points[0]?.tokens ?? 0, data.points.at(-1)?.tokens ?? 0]
  if (tokens < first || tokens > last) {
    throw new MembraneError(
      'OUT_OF_DOMAIN',
      `Profile "${data.name}" has rates for ${first} to ${last} tokens, asked for ${tokens}.`,
      {
        remedy: 'Rates have no rule outside their measured range; choose a length inside it.',
        details: { profile: data.name, tokens },
      },
    )
  }
  const curve = interpolate(
    data.points.map((point) => point.tokens),
    data.points.map((point) => point.kvGbps),
    'linear',
    { below: 'hold', above: 'hold' },
  )
  return bytesPerSecondFromGbps(curve.at(tokens))
}
