import { z } from 'zod'
import { LIMITS } from '../core/limits.ts'
import { ORIGINS } from '../planner/assumptions.ts'
import { END_RULES, INTERPOLATIONS } from '../planner/interpolate.ts'
import type { LatencyProfileData, ProfileData, RateProfileData } from '../planner/profile.ts'
import { parseWith } from './schema-error.ts'

/** Text that is printed in terminals: no control or direction characters. */
export const label = z
  .string()
  .min(1)
  .max(200)
  .regex(/^[^\p{Cc}\p{Cf}]+$/u, 'expected text without control characters')

const positive = z.number().positive()
const tokens = positive.max(LIMITS.requestTokensMax)

export const decodeSchema = z
  .strictObject({
    batchMax: z.int().positive().describe('BS_max: sequences in one batch.'),
    stepSeconds: z
      .strictObject({
        fixed: z.number().nonnegative().describe('Seconds of a step whatever the batch.'),
        perSequence: z.number().nonnegative().default(0).describe('Seconds more for each sequence.'),
        perContextToken: z
          .number()
          .nonnegative()
          .default(0)
          .describe('Seconds more for each token of context in the batch.'),
      })
      .describe('One step takes fixed + batch x (perSequence + perContextToken x context) seconds.'),
    kvTokensMax: positive
      .optional()
      .describe('Tokens of context that the KV memory of one instance holds; unbounded when left out.'),
    source: label.describe('Where the numbers come from.'),
    origin: z.enum(ORIGINS).default('measured'),
  })
  .describe('How fast one instance decodes.')

const identity = {
  name: label,
  model: label,
  hardware: label.describe('One instance, for example "8 x H200".'),
  gpusPerInstance: z.int().positive(),
  source: label.describe('Where the numbers come from, in words that a reader can check.'),
  origin: z.enum(ORIGINS).default('measured'),
}

const points = <T extends z.ZodType>(point: T) => z.array(point).min(2).max(LIMITS.profilePointsMax)

const latencyProfile = z.strictObject({
  kind: z.literal('latency').default('latency'),
  ...identity,
  prefill: z.strictObject({
    points: points(
      z.strictObject({
        tokens: tokens.describe('Prompt length.'),
        seconds: positive.describe('Prefill latency of one instance, nothing else running.'),
        kvBytes: positive.optional().describe('KV cache of that prompt; in every point unless kv is given.'),
      }),
    ).describe('Ascending in tokens.'),
    interpolation: z.enum(INTERPOLATIONS).default('linear'),
    below: z.enum(END_RULES).default('extrapolate').describe('What holds below the first point.'),
    above: z.enum(END_RULES).default('extrapolate').describe('What holds above the last point.'),
  }),
  kv: z
    .strictObject({ fixedBytes: z.number().nonnegative(), bytesPerToken: z.number().nonnegative() })
    .optional()
    .describe('KV bytes of a prompt: fixedBytes + bytesPerToken x tokens. Replaces kvBytes in the points.'),
  decode: decodeSchema.optional(),
}) satisfies z.ZodType<LatencyProfileData>

const rateProfile = z.strictObject({
  kind: z.literal('rate-only'),
  ...identity,
  points: points(z.strictObject({ tokens, kvGbps: positive.describe('KV bytes over prefill seconds, 10^9 bit/s.') })),
}) satisfies z.ZodType<RateProfileData>

export const profileSchema = z
  .union([latencyProfile, rateProfile])
  .describe('Prefill and KV cache of one model on one instance, as measured.')

/** Throws INVALID_PROFILE with the place in the document. Order and sign of the points are checked when it is compiled. */
export function parseProfile(value: unknown, where: string): ProfileData {
  return parseWith(profileSchema, value, where, 'INVALID_PROFILE')
}
