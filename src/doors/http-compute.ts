/** Prompts: made ready, explained, continued. Fields and figures are those of the command line's --json. */
import { z } from 'zod'
import type { Generation, Rebuilt } from '../server/generation.ts'
import { abortedWith, callerOf, type HttpRoutes, requestObject } from './http-app.ts'
import { streamEvents } from './http-events.ts'
import { keepMsOf, NVEXT } from './http-nvext.ts'
import { APPROXIMATE, EXPLAINED, PLAN, PROMPT_FIELDS, promptOf, STORED } from './http-prompt.ts'

const REBUILD = requestObject({
  ...PROMPT_FIELDS,
  wantsKvHash: z.boolean().default(false).describe("Hash the prompt's KV."),
}).describe('A prompt to make ready, in text or tokens.')
const EXPLAIN = requestObject(PROMPT_FIELDS).describe('A prompt to explain, in text or tokens.')
const GENERATE = requestObject({
  ...PROMPT_FIELDS,
  wantsKvHash: z.boolean().default(false).describe("Hash the prompt's KV."),
  maxTokens: z.number().int().min(1).optional().describe('Tokens to generate at most.'),
  sampling: requestObject({
    temperature: z.number().min(0).max(100).optional().describe('0 takes the likeliest token.'),
    topK: z.number().int().min(0).optional().describe('Only so many of the likeliest tokens; 0 for all.'),
    topP: z.number().gt(0).max(1).optional().describe('Only the likeliest that reach this probability together.'),
    seed: z
      .number()
      .int()
      .min(0)
      .max(2 ** 32 - 1)
      .optional()
      .describe('Equal seeds draw equal tokens.'),
  })
    .optional()
    .describe('How tokens are drawn; greedy where nothing is said.'),
  stream: z.boolean().default(false).describe('As server-sent events: text, then done with the figures, or error.'),
  nvext: NVEXT,
}).describe('A prompt to continue, in text or tokens.')

const REBUILT = z
  .object({
    promptTokens: z.number().int().describe('Tokens of the prompt.'),
    reusedTokens: z.number().int().describe('Tokens whose KV was read.'),
    prefilledTokens: z.number().int().describe('Tokens that were computed.'),
    seconds: z.number(),
    kvHash: z.string().nullable(),
    explain: z.array(EXPLAINED),
    approximate: APPROXIMATE,
    expectedSeconds: z.number(),
    prefillAllSeconds: z.number().describe('Seconds, had everything been computed.'),
    stored: STORED,
  })
  .describe('A prompt that is ready: tokens, bytes and seconds.')

const GENERATED = z
  .object({
    text: z.string(),
    tokens: z.number().int().nullable().describe('Tokens generated.'),
    tokenIds: z.array(z.number().int()),
    finish: z.enum(['stop', 'length', 'other']),
    promptTokens: z.number().int().nullable().describe('Tokens of the prompt; null where a service does not say.'),
    reusedTokens: z.number().int().nullable().describe('Tokens whose KV was read.'),
    prefilledTokens: z.number().int().nullable().describe('Tokens that were computed.'),
    ttftSeconds: z.number().describe('Seconds to the first token.'),
    decodeTokensPerSecond: z.number().nullable(),
    kvHash: z.string().nullable(),
    explain: z.array(EXPLAINED),
    approximate: APPROXIMATE,
    isSimulated: z.boolean(),
    usage: z.record(z.string(), z.unknown()).nullable().describe('Tokens that a service reported.'),
    storedFragments: z.number().int().nullable().describe('Fragments that are kept now.'),
    keptFragments: z.number().int().describe('Fragments of the prompt that nvext.cache_control keeps.'),
  })
  .describe('An answer: tokens and seconds.')

export const computeRoutes: HttpRoutes = (app, { operations }) => {
  const { compute } = operations
  const tags = ['prompts']
  app.post(
    '/v1/rebuild',
    {
      schema: {
        tags,
        operationId: 'rebuild',
        summary: 'Make a prompt ready, computing only what is missing.',
        body: REBUILD,
        response: { 200: REBUILT },
      },
    },
    async (request, reply) => {
      const { session = null, reuse, wantsKvHash } = request.body
      const asked = { prompt: promptOf(request.body), session, reuse, wantsKvHash, signal: abortedWith(reply) }
      return rebuiltBody(await compute.rebuild(callerOf(request), asked))
    },
  )
  app.post(
    '/v1/explain',
    {
      schema: {
        tags,
        operationId: 'explain',
        summary: 'What each span of a prompt would come from and cost.',
        body: EXPLAIN,
        response: { 200: PLAN },
      },
    },
    async (request, reply) => {
      const { session = null, reuse } = request.body
      const asked = { prompt: promptOf(request.body), session, reuse, signal: abortedWith(reply) }
      return plainOf(await compute.explain(callerOf(request), asked))
    },
  )
  app.post(
    '/v1/generate',
    {
      schema: {
        tags,
        operationId: 'generate',
        summary: 'Continue a prompt.',
        description:
          'With stream: true, server-sent events: `text` {text} as it is ready, `done` with the figures, `error` when something fails after the start. A client that goes away ends the work.',
        body: GENERATE,
        response: {
          200: {
            description: 'The answer, or its events.',
            content: {
              'application/json': { schema: GENERATED },
              'text/event-stream': { schema: z.string().describe('Events text, done and error, each with JSON data.') },
            },
          },
        },
      },
    },
    async (request, reply) => {
      const caller = callerOf(request)
      const { session = null, reuse, wantsKvHash, maxTokens, sampling, stream, nvext } = request.body
      const { temperature, topK, topP, seed } = sampling ?? {}
      const prompt = promptOf(request.body)
      const common = { prompt, session, reuse, signal: abortedWith(reply) }
      const keepMs = keepMsOf(nvext)
      const run = async (onText?: (text: string) => void): Promise<z.infer<typeof GENERATED>> => {
        const answer = await compute.generate(caller, {
          ...common,
          wantsKvHash,
          maxTokens,
          sampling: {
            ...(temperature === undefined ? {} : { temperature }),
            ...(topK === undefined ? {} : { topK }),
            ...(topP === undefined ? {} : { topP }),
            ...(seed === undefined ? {} : { seed }),
          },
          ...(onText === undefined ? {} : { onText }),
        })
        const kept = keepMs > 0 && compute.engine.kind === 'node' ? await compute.keep(caller, common, keepMs) : 0
        return generatedBody(answer, kept)
      }
      if (!stream) return run()
      await streamEvents({ request, reply }, (events) => run((text) => events.send('text', { text })))
      return reply
    },
  )
}

function rebuiltBody({ stored, plan, explain, ...rest }: Rebuilt): z.infer<typeof REBUILT> {
  const { fragments, bytes, refused } = stored
  const { expectedSeconds, prefillAllSeconds } = plan
  return plainOf({
    ...rest,
    explain: [...explain],
    expectedSeconds,
    prefillAllSeconds,
    stored: { fragments, bytes, refused },
  })
}

function generatedBody(answer: Generation, keptFragments: number): z.infer<typeof GENERATED> {
  const { tokenIds, stored, explain, usage, ...rest } = answer
  const tokens = tokenIds.length > 0 || usage === null ? tokenIds.length : usage.completionTokens
  return plainOf({
    ...rest,
    tokens,
    tokenIds: [...tokenIds],
    explain: [...explain],
    usage: usage === null ? null : { ...usage },
    storedFragments: stored?.fragments ?? null,
    keptFragments,
  })
}

/** As JSON has it: numbers that are not finite are null there, and a schema sees what is sent. */
function plainOf<T>(value: T): T extends object ? Mutable<T> : T {
  return JSON.parse(JSON.stringify(value))
}

type Mutable<T> = T extends readonly (infer Item)[]
  ? Mutable<Item>[]
  : T extends string | number
    ? T
    : T extends object
      ? { -readonly [Name in keyof T]: Mutable<T[Name]> }
      : T
