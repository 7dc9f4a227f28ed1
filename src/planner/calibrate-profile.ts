/** A fitted engine as a profile that the planner takes: one replica, prefilling or decoding with nothing beside it. */
import type { DecodeProfile } from './decode.ts'
import type { EngineOptions } from './engine-options.ts'
import type { EngineStepSeconds } from './engine-step.ts'
import type { LatencyProfileData } from './profile.ts'

export interface PrefillPoint {
  readonly tokens: number
  readonly seconds: number
}

/** Seconds from arrival at an idle engine to the first token, the prompt cut into iterations of `batchTokensMax`. */
export function idlePrefillSeconds(stepSeconds: EngineStepSeconds, batchTokensMax: number, tokens: number): number {
  const { fixed, withPrefill, perPrefillToken, perPrefillPair } = stepSeconds
  const iterations = Math.ceil(tokens / batchTokensMax)
  return iterations * (fixed + withPrefill) + perPrefillToken * tokens + perPrefillPair * ((tokens * (tokens + 1)) / 2)
}

/** Powers of two between the shortest and the longest prompt, and both: what the data covers, and no more. */
export function prefillPoints(
  stepSeconds: EngineStepSeconds,
  batchTokensMax: number,
  inputTokens: Int32Array,
): readonly PrefillPoint[] {
  const shortest = inputTokens.reduce((least, tokens) => Math.min(least, tokens))
  const longest = inputTokens.reduce((most, tokens) => Math.max(most, tokens))
  const lengths = [shortest]
  for (let tokens = 1; tokens < longest; tokens *= 2) if (tokens > shortest) lengths.push(tokens)
  // A profile needs two points; of prompts of one length the second is the model's word alone.
  lengths.push(longest > shortest ? longest : 2 * longest)
  return lengths.map((tokens) => ({ tokens, seconds: idlePrefillSeconds(stepSeconds, batchTokensMax, tokens) }))
}

/** One replica's decode; the terms of prefill are left out, because a decode instance does none. */
export function decodeProfileOf(stepSeconds: EngineStepSeconds, options: EngineOptions, source: string): DecodeProfile {
  const { fixed, perSequence, perContextToken } = stepSeconds
  return {
    batchMax: options.sequencesMax,
    stepSeconds: { fixed, perSequence, perContextToken },
    ...(options.kvTokensMax === null ? {} : { kvTokensMax: options.kvTokensMax }),
    source,
    origin: 'inferred',
  }
}

/** What a profile says of itself that no request times tell. */
export interface ProfileWords {
  readonly name: string
  readonly model: string
  /** One replica. */
  readonly hardware: string
  readonly gpusPerInstance: number
  readonly kvBytesPerToken: number
}

/** A document for `--remote-profile` and `--local-profile`. */
export function calibratedProfile(
  words: ProfileWords,
  calibration: { readonly prefill: readonly PrefillPoint[]; readonly decode: DecodeProfile },
): LatencyProfileData {
  const { name, model, hardware, gpusPerInstance, kvBytesPerToken } = words
  return {
    kind: 'latency',
    name,
    model,
    hardware,
    gpusPerInstance,
    source: calibration.decode.source,
    origin: 'inferred',
    prefill: { points: calibration.prefill, interpolation: 'linear', below: 'extrapolate', above: 'extrapolate' },
    kv: { fixedBytes: 0, bytesPerToken: kvBytesPerToken },
    decode: calibration.decode,
  }
}
