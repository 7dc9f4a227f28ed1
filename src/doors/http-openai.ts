/**
 * The OpenAI API on a node's engine: models, chat completions, text completions, whole or streamed. `cached_tokens` are
 * the prompt tokens whose KV was read and not computed; where a service did not say, it is not said here either.
 */
import type { FastifyReply, FastifyRequest } from 'fastify'
import { z } from 'zod'
import { MembraneError } from '../core/errors.ts'
import type { Caller } from '../server/caller.ts'
import type { Own } from '../server/compute-operations.ts'
import type { GenerateRequest, Generation, Prompt } from '../server/generation.ts'
import { abortedWith, callerOf, type HttpRoutes } from './http-app.ts'
import { lateError, openAiError } from './http-errors.ts'
import { EventStream } from './http-event-stream.ts'
import {
  CHAT_ANSWER,
  CHAT_REQUEST,
  type ChatRequest,
  COMPLETION_ANSWER,
  COMPLETION_REQUEST,
  type CompletionRequest,
  messagesOf,
  refuseUnsupported,
} from './http-openai-schema.ts'

const MODEL = z
  .object({
    id: z.string(),
    object: z.literal('model'),
    created: z.number().int().describe('Seconds since 1970.'),
    owned_by: z.string(),
  })
  .describe('A model that can be asked.')

export const openAiRoutes: HttpRoutes = (app, { operations }) => {
  const { compute } = operations
  const config = { errors: 'openai' } as const
  const tags = ['openai']
  const startedSeconds = Math.floor(Date.now() / 1000)
  const modelsNow = () =>
    compute.models().map(({ id, ownedBy }) => ({
      id,
      object: 'model' as const,
      created: startedSeconds,
      owned_by: ownedBy,
    }))

  app.get(
    '/v1/models',
    {
      config,
      schema: {
        tags,
        operationId: 'listModels',
        summary: 'The model that this node runs.',
        response: { 200: z.object({ object: z.literal('list'), data: z.array(MODEL) }).describe('All there are.') },
      },
    },
    async (request) => {
      callerOf(request)
      return { object: 'list' as const, data: modelsNow() }
    },
  )
  app.get(
    '/v1/models/*',
    {
      config,
      schema: {
        tags,
        operationId: 'getModel',
        summary: 'One model.',
        params: z.object({ '*': z.string() }),
        response: { 200: MODEL },
      },
    },
    async (request) => {
      callerOf(request)
      return modelNamed(modelsNow(), request.params['*'])
    },
  )
  app.post(
    '/v1/chat/completions',
    {
      config,
      schema: {
        tags,
        operationId: 'createChatCompletion',
        summary: 'The next turn of a conversation, as the OpenAI API.',
        body: CHAT_REQUEST,
        response: { 200: CHAT_ANSWER },
      },
    },
    async (request, reply) => {
      const { body } = request
      refuseUnsupported(body)
      const { id: model } = modelNamed(modelsNow(), body.model)
      const prompt = { messages: messagesOf(body) }
      const maxTokens = body.max_completion_tokens ?? body.max_tokens ?? undefined
      await answer(request, reply, {
        form: chatForm(model),
        prompts: [prompt],
        body,
        maxTokens,
        generate: (caller, asked) => compute.generate(caller, asked),
      })
    },
  )
  app.post(
    '/v1/completions',
    {
      config,
      schema: {
        tags,
        operationId: 'createCompletion',
        summary: 'The continuation of a text, as the OpenAI API.',
        body: COMPLETION_REQUEST,
        response: { 200: COMPLETION_ANSWER },
      },
    },
    async (request, reply) => {
      const { body } = request
      refuseUnsupported(body)
      const { id: model } = modelNamed(modelsNow(), body.model)
      await answer(request, reply, {
        form: textForm(model),
        prompts: promptsOf(body),
        body,
        // What the API says where nothing is said.
        maxTokens: body.max_tokens ?? 16,
        generate: (caller, asked) => compute.generate(caller, asked),
      })
    },
  )
}

interface Asked {
  readonly form: AnswerForm
  readonly prompts: readonly Prompt[]
  readonly body: ChatRequest | CompletionRequest
  readonly maxTokens: number | undefined
  readonly generate: (caller: Caller, request: Own<GenerateRequest>) => Promise<Generation>
}

/** How answers are written: chats and texts differ in names only. */
interface AnswerForm {
  readonly model: string
  readonly idPrefix: string
  readonly object: string
  readonly chunkObject: string
  readonly choice: (text: string) => object
  /** First of a stream; null for none. */
  readonly opening: object | null
  readonly piece: (text: string) => object
  readonly closing: object
}

function chatForm(model: string): AnswerForm {
  return {
    model,
    idPrefix: 'chatcmpl',
    object: 'chat.completion',
    chunkObject: 'chat.completion.chunk',
    choice: (content) => ({ message: { role: 'assistant', content, refusal: null }, logprobs: null }),
    opening: { delta: { role: 'assistant', content: '' } },
    piece: (content) => ({ delta: { content } }),
    closing: { delta: {} },
  }
}

function textForm(model: string): AnswerForm {
  return {
    model,
    idPrefix: 'cmpl',
    object: 'text_completion',
    chunkObject: 'text_completion',
    choice: (text) => ({ text, logprobs: null }),
    opening: null,
    piece: (text) => ({ text, logprobs: null }),
    closing: { text: '', logprobs: null },
  }
}

async function answer(request: FastifyRequest, reply: FastifyReply, asked: Asked): Promise<void> {
  const { form, prompts, body } = asked
  const caller = callerOf(request)
  const signal = abortedWith(reply)
  const common = {
    id: `${form.idPrefix}-${request.id}`,
    created: Math.floor(Date.now() / 1000),
    model: form.model,
  }
  const generate = (prompt: Prompt, onText?: (text: string) => void): Promise<Generation> =>
    asked.generate(caller, {
      prompt,
      maxTokens: asked.maxTokens,
      sampling: samplingOf(body),
      stop: typeof body.stop === 'string' ? [body.stop] : (body.stop ?? []),
      session: body.prompt_cache_key ?? null,
      salt: body.cache_salt ?? '',
      signal,
      ...(onText === undefined ? {} : { onText }),
    })
  if (body.stream !== true) {
    const answers: Generation[] = []
    for (const prompt of prompts) answers.push(await generate(prompt))
    const choices = answers.map(({ text, finish }, index) => ({
      index,
      ...form.choice(text),
      finish_reason: finishReason(finish),
    }))
    return reply.send({ ...common, object: form.object, choices, usage: usageOf(answers) })
  }
  const events = new EventStream(request, reply)
  const withUsage = body.stream_options?.include_usage === true
  const send = (choices: readonly object[], usage: object | null = null): void =>
    events.data({ ...common, object: form.chunkObject, choices, ...(withUsage ? { usage } : {}) })
  try {
    const answers: Generation[] = []
    for (const [index, prompt] of prompts.entries()) {
      const one = await generate(prompt, (text) => {
        // Nothing is sent before there is something: a request that fails at once still gets its own status.
        if (events.open() && form.opening !== null) send([{ index, ...form.opening, finish_reason: null }])
        send([{ index, ...form.piece(text), finish_reason: null }])
      })
      if (events.open() && form.opening !== null) send([{ index, ...form.opening, finish_reason: null }])
      send([{ index, ...form.closing, finish_reason: finishReason(one.finish) }])
      answers.push(one)
    }
    if (withUsage) send([], usageOf(answers) ?? null)
    events.end('[DONE]')
  } catch (error) {
    if (!events.isOpen) throw error
    events.data(openAiError(lateError(error, request)))
    events.end()
  }
}

function samplingOf({
  temperature,
  top_p,
  top_k,
  seed,
}: ChatRequest | CompletionRequest): NonNullable<GenerateRequest['sampling']> {
  return {
    // What the API says where nothing is said.
    temperature: temperature ?? 1,
    topP: top_p ?? 1,
    topK: top_k ?? 0,
    // Seeds here are 32 bits; without one, each answer is another.
    seed: seed == null ? Math.floor(Math.random() * 2 ** 32) : seed >>> 0,
  }
}

/** Undefined where a service did not say. */
function usageOf(answers: readonly Generation[]): object | undefined {
  let [prompt, cached, completion]: [number, number | null, number] = [0, 0, 0]
  for (const { promptTokens, reusedTokens, tokenIds, usage } of answers) {
    const generated = usage === null ? tokenIds.length : usage.completionTokens
    if (promptTokens === null || generated === null) return undefined
    prompt += promptTokens
    completion += generated
    cached = cached === null || reusedTokens === null ? null : cached + reusedTokens
  }
  return {
    prompt_tokens: prompt,
    completion_tokens: completion,
    total_tokens: prompt + completion,
    ...(cached === null ? {} : { prompt_tokens_details: { cached_tokens: cached } }),
  }
}

function finishReason(finish: Generation['finish']): string {
  return finish === 'other' ? 'stop' : finish
}

function promptsOf({ prompt }: CompletionRequest): readonly Prompt[] {
  if (typeof prompt === 'string') return [{ text: prompt }]
  const [first] = prompt
  if (typeof first === 'number') return [tokensPrompt(prompt as readonly number[])]
  return (prompt as readonly (string | readonly number[])[]).map((one) =>
    typeof one === 'string' ? { text: one } : tokensPrompt(one),
  )
}

function tokensPrompt(ids: readonly number[]): Prompt {
  return { tokenIds: Uint32Array.from(ids) }
}

/** Throws NOT_FOUND. */
function modelNamed<T extends { readonly id: string }>(models: readonly T[], name: string): T {
  const found = models.find(({ id }) => id === name)
  if (found !== undefined) return found
  const known = models.map(({ id }) => id).join(', ')
  throw new MembraneError(
    'NOT_FOUND',
    `The model ${JSON.stringify(name.slice(0, 100))} does not exist here; there is ${known || 'none'}.`,
    {
      details: { param: 'model', openAiCode: 'model_not_found' },
    },
  )
}
