import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type Answer, json, pieces } from '../../test/mocks/provider-server.ts'
import { MODELS, OPENAI_USAGE, type ProviderMock, startOpenAi } from '../../test/mocks/providers.ts'
import { GREEDY, type TextBackend, type TextEvent, type TextRequest, type TextUsage } from '../core/compute.ts'
import { type OpenAiOptions, openOpenAiBackend } from './openai.ts'

const ASK: TextRequest = {
  segments: [
    { role: 'system', text: 'Today is Sunday. ', lasts: 'once' },
    { role: 'system', text: 'Be brief. ', lasts: 'always' },
    { role: 'user', text: 'Hello.', lasts: 'once' },
  ],
  maxTokens: 64,
  sampling: {},
  cacheKey: null,
}

let mock: ProviderMock
beforeEach(async () => {
  mock = await startOpenAi()
})
afterEach(() => mock.server.stop())

const open = (options: Partial<OpenAiOptions> = {}): Promise<TextBackend> =>
  openOpenAiBackend({ model: MODELS.openai, baseUrl: mock.baseUrl, apiKey: null, ...options })

async function end(events: AsyncIterable<TextEvent>): Promise<TextEvent | undefined> {
  let last: TextEvent | undefined
  for await (const event of events) last = event
  return last
}

describe('what is asked', () => {
  test('is one message a run, what lasts first, and nothing that was not asked for', async () => {
    mock.server.answer(mock.whole('x'))
    await (await open()).generate(ASK)
    expect(mock.server.received[0]?.body).toEqual({
      model: MODELS.openai,
      messages: [
        { role: 'system', content: 'Be brief. Today is Sunday. ' },
        { role: 'user', content: 'Hello.' },
      ],
      max_tokens: 64,
    })
  })

  test('has a cache key, sampling and the other bound of tokens when given', async () => {
    mock.server.answer(mock.whole('x'))
    const sampling = { temperature: 0.5, topK: 40, topP: 0.9, seed: 7 }
    const backend = await open({ maxTokensField: 'max_completion_tokens' })
    await backend.generate({ ...ASK, sampling, cacheKey: 'tenant-1' })
    expect(mock.server.received[0]?.body).toMatchObject({
      max_completion_tokens: 64,
      temperature: 0.5,
      top_k: 40,
      top_p: 0.9,
      seed: 7,
      prompt_cache_key: 'tenant-1',
    })
  })

  test('leaves out what restricts nothing', async () => {
    mock.server.answer(mock.whole('x'))
    await (await open()).generate({ ...ASK, sampling: GREEDY })
    const { messages: _, ...body } = mock.server.received[0]?.body ?? {}
    expect(body).toEqual({ model: MODELS.openai, max_tokens: 64, temperature: 0, seed: 0 })
  })

  test('has no topK at OpenAI itself', async () => {
    const backend = await openOpenAiBackend({ model: 'gpt', apiKey: null })
    const asked = backend.generate({ ...ASK, sampling: { topK: 3 } })
    await expect(asked).rejects.toMatchObject({ code: 'INVALID_REQUEST' })
  })

  test('asks streams for usage; a server that refuses is asked at once without, and never again', async () => {
    const refusal = json({ detail: [{ loc: ['body', 'stream_options'], msg: 'Extra inputs are not permitted' }] }, 422)
    const withoutUsage: Answer = pieces(
      'text/event-stream',
      mock.events(['a']).filter((event) => !event.includes('prompt_tokens')),
      'end',
    )
    mock.server.answer(refusal, withoutUsage)
    const backend = await open({ retries: { retriesMax: 0 } })
    const unknown = { promptTokens: null, cachedTokens: null, cacheWriteTokens: null, completionTokens: null }
    expect(await end(backend.stream(ASK))).toMatchObject({ text: 'a', usage: { ...unknown, received: null } })
    expect(await end(backend.stream(ASK))).toMatchObject({ text: 'a' })
    expect(mock.server.received.map(({ body }) => body['stream_options'])).toEqual([
      { include_usage: true },
      undefined,
      undefined,
    ])
  })

  test('is refused for good by a server that refuses other things', async () => {
    mock.server.answer(mock.refusal(400, 'messages: too many'))
    await expect(end((await open()).stream(ASK))).rejects.toMatchObject({ code: 'PROVIDER_REFUSED' })
    expect(mock.server.received).toHaveLength(1)
  })
})

describe('usage', () => {
  const usageOf = async (fields: object): Promise<TextUsage> => {
    const choices = [{ index: 0, message: { role: 'assistant', content: 'x' }, finish_reason: 'length' }]
    mock.server.answer(json({ model: 'm', choices, ...fields }))
    const answer = await (await open()).generate(ASK)
    expect(answer.finish).toBe('length')
    return answer.usage
  }

  test('is what OpenAI says, and as received', async () => {
    const expected = { promptTokens: 2006, cachedTokens: 1920, cacheWriteTokens: null, completionTokens: 300 }
    expect(await usageOf({ usage: OPENAI_USAGE })).toEqual({ ...expected, received: OPENAI_USAGE })
    mock.server.answer(mock.streamed(['x']))
    expect(await end((await open()).stream(ASK))).toMatchObject({ usage: { ...expected, received: OPENAI_USAGE } })
  })

  test('has the tokens that were written to a cache, where they are said', async () => {
    const usage = {
      prompt_tokens: 9,
      completion_tokens: 1,
      prompt_tokens_details: { cached_tokens: 0, cache_write_tokens: 8 },
    }
    expect(await usageOf({ usage })).toMatchObject({ cachedTokens: 0, cacheWriteTokens: 8 })
  })

  test('has nulls where a server says nothing, as vLLM does of cached tokens', async () => {
    const usage = { prompt_tokens: 12, total_tokens: 14, completion_tokens: 2, prompt_tokens_details: null }
    expect(await usageOf({ usage })).toMatchObject({ promptTokens: 12, cachedTokens: null, completionTokens: 2 })
    const unknown = { promptTokens: null, cachedTokens: null, cacheWriteTokens: null, completionTokens: null }
    expect(await usageOf({})).toEqual({ ...unknown, received: null })
  })

  test('knows the words of DeepSeek and of llama.cpp', async () => {
    const usage = { prompt_tokens: 12, completion_tokens: 2 }
    expect(await usageOf({ usage: { ...usage, prompt_cache_hit_tokens: 8 } })).toMatchObject({ cachedTokens: 8 })
    const timings = { cache_n: 10, prompt_n: 2, predicted_n: 2 }
    expect(await usageOf({ usage, timings })).toMatchObject({ cachedTokens: 10, received: { ...usage, timings } })
  })

  test.each([{ prompt_tokens: 'many' }, { prompt_tokens: -1 }, { prompt_tokens: 1.5 }, 'none'])(
    'that is no count (%j) is refused',
    async (usage) => {
      await expect(usageOf({ usage })).rejects.toMatchObject({ code: 'PROVIDER_MALFORMED' })
    },
  )
})

describe('what is answered', () => {
  test('may be a refusal without text, or a kind of end that came later', async () => {
    const message = { role: 'assistant', content: null, refusal: 'No.' }
    mock.server.answer(json({ model: 'm', choices: [{ message, finish_reason: 'content_filter' }] }))
    expect(await (await open()).generate(ASK)).toMatchObject({ text: '', finish: 'other' })
  })

  test('may have chunks before and after it that say other things', async () => {
    const extra = (fields: object): string => `data: ${JSON.stringify({ model: '', choices: [], ...fields })}\n\n`
    const events = [': a comment\n\n', extra({ prompt_filter_results: [] }), ...mock.events(['a', 'b']).slice(0, -1)]
    mock.server.answer(pieces('text/event-stream', [...events, extra({})], 'end'))
    expect(await end((await open()).stream(ASK))).toMatchObject({ text: 'ab', model: 'gpt-test-2026' })
  })

  test('is an error when it says so with status 200', async () => {
    mock.server.answer(json({ error: { message: 'upstream is gone', code: 502 } }))
    await expect((await open({ retries: { retriesMax: 0 } })).generate(ASK)).rejects.toMatchObject({
      code: 'PROVIDER_UNAVAILABLE',
      message: expect.stringContaining('upstream is gone'),
    })
  })

  test('is refused for good when a stream says that the request is wrong', async () => {
    const error = { message: 'no such model', type: 'BadRequestError', code: 400 }
    mock.server.answer(pieces('text/event-stream', [`data: ${JSON.stringify({ error })}\n\n`], 'end'))
    await expect(end((await open()).stream(ASK))).rejects.toMatchObject({ code: 'PROVIDER_REFUSED' })
    expect(mock.server.received).toHaveLength(1)
  })

  test('that money is spent does not change by waiting', async () => {
    const error = { message: 'You exceeded your current quota', type: 'insufficient_quota', code: 'insufficient_quota' }
    mock.server.answer(json({ error }, 429))
    await expect((await open()).generate(ASK)).rejects.toMatchObject({
      code: 'PROVIDER_LIMITED',
      details: { attempts: 1 },
    })
  })
})
