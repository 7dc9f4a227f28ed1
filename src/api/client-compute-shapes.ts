/** What a server says of prompts that it made ready, explained or continued. */
import { z } from 'zod'
import { parseContentHash } from '../core/ids.ts'

const COUNT = z.number().int().min(0)
const SECONDS = z.number()

/** Where KV comes from. */
const KV_SOURCES = ['resident', 'memory', 'disk', 'remote', 'peer', 'moved', 'remote-prefill', 'prefill'] as const
const SOURCE = z.enum(KV_SOURCES)
const KV_HASH = z.string().transform(parseContentHash).nullable()

const EXPLAINED = z.object({
  start: COUNT,
  end: COUNT,
  source: SOURCE,
  bytes: z.number(),
  seconds: SECONDS,
  reason: z.string(),
})

const APPROXIMATE = z.object({ sampled: z.boolean(), klNats: z.number().nullable() }).nullable()

export const REBUILT = z.object({
  promptTokens: COUNT,
  reusedTokens: COUNT,
  prefilledTokens: COUNT,
  seconds: SECONDS,
  kvHash: KV_HASH,
  explain: z.array(EXPLAINED),
  approximate: APPROXIMATE,
  expectedSeconds: SECONDS,
  prefillAllSeconds: SECONDS,
  stored: z.object({ fragments: COUNT, bytes: z.number(), refused: COUNT }),
})
/** A prompt that is ready: tokens, bytes and seconds, and span by span where its KV came from. */
export type ClientRebuilt = Readonly<z.output<typeof REBUILT>>

export const PLAN = z.object({
  steps: z.array(
    z.object({
      span: z.object({ start: COUNT, end: COUNT }),
      source: SOURCE,
      index: COUNT.nullable(),
      bytes: z.number(),
      expectedSeconds: SECONDS,
      prefillSeconds: SECONDS,
      reason: z.string(),
    }),
  ),
  expectedSeconds: SECONDS,
  prefillAllSeconds: SECONDS,
  refused: z.array(z.object({ index: COUNT, reason: z.string() })),
})
/** Which way each span of a prompt would take; spans are `[start, end)` in tokens. */
export type ClientPlan = Readonly<z.output<typeof PLAN>>

export const GENERATED = z.object({
  text: z.string(),
  tokens: COUNT.nullable(),
  tokenIds: z.array(COUNT),
  finish: z.enum(['stop', 'length', 'other']),
  promptTokens: COUNT.nullable(),
  reusedTokens: COUNT.nullable(),
  prefilledTokens: COUNT.nullable(),
  ttftSeconds: SECONDS,
  decodeTokensPerSecond: z.number().nullable(),
  kvHash: KV_HASH,
  explain: z.array(EXPLAINED),
  approximate: APPROXIMATE,
  isSimulated: z.boolean(),
  usage: z
    .object({
      promptTokens: COUNT.nullable(),
      cachedTokens: COUNT.nullable(),
      cacheWriteTokens: COUNT.nullable(),
      completionTokens: COUNT.nullable(),
      received: z.unknown(),
    })
    .nullable(),
  storedFragments: COUNT.nullable(),
})
/** An answer with its figures: tokens and seconds; null where a service does not say. */
export type ClientGeneration = Readonly<z.output<typeof GENERATED>>
