/** Prompts as requests write them, and the parts of answers that say what became of them. */
import { z } from 'zod'
import { MembraneError } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import type { Prompt } from '../server/generation.ts'
import { SPAN_SOURCES } from '../reconstruct/rebuild-plan.ts'

/** A prompt, and how much of it may be reused. */
export const PROMPT_FIELDS = {
  prompt: z.string().min(1).optional().describe("Text; the model's start tokens come before it."),
  tokenIds: z
    .array(
      z
        .number()
        .int()
        .min(0)
        .max(2 ** 32 - 1),
    )
    .min(1)
    .max(LIMITS.jsonBodyBytesMax / 2)
    .optional()
    .describe('Token ids, taken as they are, in place of a text.'),
  session: z
    .string()
    .min(1)
    .max(LIMITS.sessionNameCharactersMax)
    .nullish()
    .describe('Turns of one session are kept together.'),
  reuse: z
    .enum(['exact', 'moved', 'none'])
    .default('exact')
    .describe('moved: KV of the same tokens at other positions too, approximate. none: compute everything.'),
}

/** Throws INVALID_REQUEST unless there is exactly one of the two. */
export function promptOf({
  prompt,
  tokenIds,
}: {
  prompt?: string | undefined
  tokenIds?: number[] | undefined
}): Prompt {
  if (prompt !== undefined && tokenIds === undefined) return { text: prompt }
  if (prompt === undefined && tokenIds !== undefined) return { tokenIds: Uint32Array.from(tokenIds) }
  throw new MembraneError('INVALID_REQUEST', 'A request has a prompt or tokenIds, and not both.')
}

const SOURCE = z.enum(SPAN_SOURCES)

export const EXPLAINED = z
  .object({
    start: z.number().int().describe('The first token.'),
    end: z.number().int().describe('The token after the last.'),
    source: SOURCE.describe('Where its KV came from.'),
    bytes: z.number().describe('Bytes read, not computed.'),
    seconds: z.number(),
    reason: z.string(),
  })
  .describe('What became of one span, in tokens, bytes and seconds.')

export const APPROXIMATE = z
  .object({
    sampled: z.boolean(),
    klNats: z.number().nullable().describe('Divergence in nats; null when not measured.'),
  })
  .nullable()
  .describe('Null when all is as if it had been computed.')

export const STORED = z
  .object({
    fragments: z.number().int().describe('Fragments that were stored.'),
    bytes: z.number().describe('Their bytes.'),
    refused: z.number().int().describe('Fragments that the memory did not take.'),
  })
  .describe('What was computed and is kept now; bytes.')

export const PLAN = z
  .object({
    steps: z.array(
      z.object({
        span: z.object({ start: z.number().int(), end: z.number().int() }).describe('Half-open, in tokens.'),
        source: SOURCE,
        index: z.number().int().nullable(),
        bytes: z.number().describe('Bytes to read.'),
        expectedSeconds: z.number(),
        prefillSeconds: z.number().describe('Seconds that computing the span would take.'),
        reason: z.string(),
      }),
    ),
    expectedSeconds: z.number(),
    prefillAllSeconds: z.number().describe('Seconds, had everything been computed.'),
    refused: z.array(z.object({ index: z.number().int(), reason: z.string() })),
  })
  .describe('Which way each span of a prompt would take, in tokens, bytes and seconds.')
