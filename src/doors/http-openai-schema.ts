/**
 * What the OpenAI API's chat and text completions take, as far as a node answers it. A field that would change the
 * answer and is not offered is refused by name; one that changes nothing here is taken and left aside.
 */
import { z } from 'zod'
import { MembraneError } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import type { ChatMessage } from '../server/generation.ts'

/** Dynamo's hints; what is not read here is left aside. */
const NVEXT = z
  .looseObject({
    cache_control: z.looseObject({ ttl: z.union([z.string(), z.number()]).optional() }).optional(),
  })
  .nullish()

const COMMON = {
  model: z.string().min(1),
  max_tokens: z.number().int().min(1).nullish(),
  temperature: z.number().min(0).max(2).nullish(),
  top_p: z.number().gt(0).max(1).nullish(),
  top_k: z.number().int().min(0).nullish().describe('Not of OpenAI: only the k likeliest tokens; 0 for all.'),
  seed: z.number().int().nullish(),
  stop: z.union([z.string(), z.array(z.string()).max(LIMITS.stopTextsMax)]).nullish(),
  n: z.number().int().nullish(),
  stream: z.boolean().nullish(),
  stream_options: z.looseObject({ include_usage: z.boolean().nullish() }).nullish(),
  user: z.string().nullish(),
  prompt_cache_key: z
    .string()
    .max(LIMITS.sessionNameCharactersMax)
    .nullish()
    .describe('The session, for reading ahead.'),
  cache_salt: z
    .string()
    .max(LIMITS.chainTextBytesMax / 4)
    .nullish()
    .describe('KV is shared between requests of one salt only.'),
  presence_penalty: z.number().nullish(),
  frequency_penalty: z.number().nullish(),
  logit_bias: z.record(z.string(), z.number()).nullish(),
  nvext: NVEXT,
}

const TEXT_PART = z.looseObject({ type: z.string(), text: z.string().optional() })

/** Body of POST /v1/chat/completions. */
export const CHAT_REQUEST = z
  .looseObject({
    ...COMMON,
    messages: z
      .array(
        z.looseObject({
          role: z.enum(['system', 'developer', 'user', 'assistant', 'tool', 'function']),
          content: z.union([z.string(), z.array(TEXT_PART)]).nullish(),
        }),
      )
      .min(1)
      .max(LIMITS.chatMessagesMax),
    max_completion_tokens: z.number().int().min(1).nullish(),
    response_format: z.looseObject({ type: z.string() }).nullish(),
  })
  .describe('A conversation to continue. Lengths are in tokens of the model.')
export type ChatRequest = z.infer<typeof CHAT_REQUEST>

/** Body of POST /v1/completions. */
export const COMPLETION_REQUEST = z
  .looseObject({
    ...COMMON,
    prompt: z.union([
      z.string(),
      z.array(z.string()).min(1).max(LIMITS.completionPromptsMax),
      z.array(z.number().int().min(0)).min(1),
      z
        .array(z.array(z.number().int().min(0)).min(1))
        .min(1)
        .max(LIMITS.completionPromptsMax),
    ]),
    echo: z.boolean().nullish(),
    suffix: z.string().nullish(),
    best_of: z.number().int().nullish(),
  })
  .describe('A text to continue. Lengths are in tokens of the model.')
export type CompletionRequest = z.infer<typeof COMPLETION_REQUEST>

const USAGE = z
  .object({
    prompt_tokens: z.number().int(),
    completion_tokens: z.number().int(),
    total_tokens: z.number().int(),
    prompt_tokens_details: z.object({ cached_tokens: z.number().int() }).optional(),
  })
  .optional()
  .describe('Missing where a service did not say.')

const ANSWER = {
  id: z.string(),
  created: z.number().int().describe('Seconds since 1970.'),
  model: z.string(),
  usage: USAGE,
}
const FINISH = z.enum(['stop', 'length'])

/** Answer of POST /v1/chat/completions. */
export const CHAT_ANSWER = z
  .object({
    ...ANSWER,
    object: z.literal('chat.completion'),
    choices: z.array(
      z.object({
        index: z.number().int(),
        message: z.object({ role: z.literal('assistant'), content: z.string(), refusal: z.null() }),
        logprobs: z.null(),
        finish_reason: FINISH,
      }),
    ),
  })
  .describe('The next turn; with `stream`, events of it instead. Lengths are in tokens of the model.')

/** Answer of POST /v1/completions. */
export const COMPLETION_ANSWER = z
  .object({
    ...ANSWER,
    object: z.literal('text_completion'),
    choices: z.array(
      z.object({ index: z.number().int(), text: z.string(), logprobs: z.null(), finish_reason: FINISH }),
    ),
  })
  .describe('The continuation; with `stream`, events of it instead. Lengths are in tokens of the model.')

/** Fields that would change the answer, and what they may be: what changes nothing. */
const NEUTRAL: Readonly<Record<string, (value: unknown) => boolean>> = {
  n: (value) => value === 1,
  best_of: (value) => value === 1,
  echo: (value) => value === false,
  suffix: (value) => value === '',
  logprobs: (value) => value === false,
  top_logprobs: (value) => value === 0,
  presence_penalty: (value) => value === 0,
  frequency_penalty: (value) => value === 0,
  logit_bias: (value) => typeof value === 'object' && value !== null && Object.keys(value).length === 0,
  tools: isEmptyList,
  functions: isEmptyList,
  tool_choice: (value) => value === 'none' || value === 'auto',
  function_call: (value) => value === 'none' || value === 'auto',
  response_format: (value) => typeof value === 'object' && value !== null && 'type' in value && value.type === 'text',
  modalities: (value) => Array.isArray(value) && value.every((one) => one === 'text'),
  audio: () => false,
  prediction: () => false,
  reasoning_effort: () => false,
  web_search_options: () => false,
}

function isEmptyList(value: unknown): boolean {
  return Array.isArray(value) && value.length === 0
}

/** Throws INVALID_REQUEST for a field that would change the answer and is not offered. */
export function refuseUnsupported(body: Readonly<Record<string, unknown>>): void {
  for (const [field, isNeutral] of Object.entries(NEUTRAL)) {
    const value = body[field]
    if (value === undefined || value === null || isNeutral(value)) continue
    throw new MembraneError(
      'INVALID_REQUEST',
      `${field} is not offered here; found ${JSON.stringify(value).slice(0, 80)}.`,
      {
        remedy: 'Leave it out.',
        details: { param: field },
      },
    )
  }
}

/** Throws INVALID_REQUEST for what is no text, and for the answer of a tool. */
export function messagesOf({ messages }: ChatRequest): readonly ChatMessage[] {
  return messages.map(({ role, content }, index) => {
    if (role === 'tool' || role === 'function')
      throw new MembraneError('INVALID_REQUEST', `messages.${index}: answers of tools are not offered here.`)
    const text = typeof content === 'string' ? content : (content ?? []).map((part) => partText(part, index)).join('')
    return { role: role === 'developer' ? 'system' : role, text }
  })
}

function partText({ type, text }: z.infer<typeof TEXT_PART>, index: number): string {
  if (type === 'text' && text !== undefined) return text
  throw new MembraneError('INVALID_REQUEST', `messages.${index}: content is text here; found a part of type ${type}.`)
}
