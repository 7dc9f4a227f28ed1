import { MembraneError } from '../core/errors.ts'
import type { Origin } from './assumptions.ts'

/**
 * How fast one instance decodes. A step serves one token to each of `batch` sequences and takes
 * fixed + perSequence batch + perContextToken (batch x context) seconds. The paper's T_decode is the case
 * perSequence = perContextToken = 0.
 */
export interface DecodeProfile {
  /** BS_max: sequences in one batch. */
  readonly batchMax: number
  readonly stepSeconds: {
    readonly fixed: number
    readonly perSequence: number
    readonly perContextToken: number
  }
  /** Tokens of context that the KV memory of one instance holds, over all its sequences; unbounded when not given. */
  readonly kvTokensMax?: number | undefined
  readonly source: string
  readonly origin: Origin
}

/** T_decode for a batch whose sequences hold `contextTokens` each on average, seconds. */
export function decodeStepSeconds(decode: DecodeProfile, batch: number, contextTokens: number): number {
  const { fixed, perSequence, perContextToken } = decode.stepSeconds
  return fixed + batch * (perSequence + perContextToken * contextTokens)
}

/** The largest batch whose sequences, complete with `contextTokensEnd` each on average, fit the KV memory of one instance. */
export function batchInMemory(decode: DecodeProfile, contextTokensEnd: number): number {
  return Math.min(decode.batchMax, Math.floor((decode.kvTokensMax ?? Number.POSITIVE_INFINITY) / contextTokensEnd))
}

/** ASSUMPTION: tpot-bound. The largest batch up to `batchMax` whose step stays within the TPOT bound (seconds), or 0 when even one sequence is too slow. */
export function batchWithin(decode: DecodeProfile, contextTokens: number, tpotSecondsMax: number | null): number {
  if (tpotSecondsMax === null || decodeStepSeconds(decode, decode.batchMax, contextTokens) <= tpotSecondsMax)
    return decode.batchMax
  const perBatch = decode.stepSeconds.perSequence + decode.stepSeconds.perContextToken * contextTokens
  const room = tpotSecondsMax - decode.stepSeconds.fixed
  return perBatch > 0 ? Math.max(0, Math.floor(room / perBatch + 1e-9)) : 0
}

/** Less than any hardware takes, and enough to keep rates within the range of numbers. */
const STEP_SECONDS_MIN = 1e-12

/** Throws INVALID_PROFILE. */
export function checkDecode(decode: DecodeProfile): void {
  const { fixed, perSequence, perContextToken } = decode.stepSeconds
  const fail = (what: string): never => {
    throw new MembraneError('INVALID_PROFILE', `Decode profile: ${what}.`, {
      details: { ...decode.stepSeconds, batchMax: decode.batchMax },
    })
  }
  if (!Number.isInteger(decode.batchMax) || decode.batchMax < 1)
    fail(`batchMax must be a whole number of at least 1, found ${decode.batchMax}`)
  const { kvTokensMax } = decode
  if (kvTokensMax !== undefined && !(Number.isFinite(kvTokensMax) && kvTokensMax >= 1))
    fail(`kvTokensMax must be at least 1 token, found ${kvTokensMax}`)
  for (const [name, value] of Object.entries({ fixed, perSequence, perContextToken })) {
    if (!Number.isFinite(value) || value < 0) fail(`stepSeconds.${name} must be at least 0, found ${value}`)
  }
  if (fixed + perSequence + perContextToken < STEP_SECONDS_MIN) fail(`a step must take at least ${STEP_SECONDS_MIN} s`)
}
