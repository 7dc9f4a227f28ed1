import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { json } from '../../test/mocks/provider-server.ts'
import { MODELS, type ProviderMock, startAnthropic } from '../../test/mocks/providers.ts'
import { GREEDY, type PromptSegment, type TextBackend, type TextEvent, type TextRequest } from '../core/compute.ts'
import { type AnthropicOptions, openAnthropicBackend } from './anthropic.ts'

const LONG = 'x'.repeat(400)

const ASK: TextRequest = {
  segments: [{ role: 'user', text: 'Hello.', lasts: 'once' }],
  maxTokens: 64,
  sampling: {},
  cacheKey: null,
}

let mock: ProviderMock
beforeEach(async () => {
  mock = await startAnthropic()
})
afterEach(() => mock.server.stop())

const open = (options: Partial<AnthropicOptions> = {}): Promise<TextBackend> =>
  openAnthropicBackend({ model: MODELS.anthropic, baseUrl: mock.baseUrl, apiKey: null, ...options })

const bodyOf = async (
  segments: readonly PromptSegment[],
  options: Partial<AnthropicOptions> = {},
): Promise<Readonly<Record<string, unknown>>> => {
  mock.server.answer(mock.whole('x'))
  await (await open(options)).generate({ ...ASK, segments })
  return mock.server.received.at(-1)?.body ?? {}
}

describe('what is asked', () => {
  const conversation: readonly PromptSegment[] = [
    { role: 'system', text: `Today is Sunday.`, lasts: 'session' },
    { role: 'system', text: `Rules: ${LONG}`, lasts: 'always' },
    { role: 'user', text: `Document: ${LONG}`, lasts: 'session' },
    { role: 'assistant', text: 'Read.', lasts: 'session' },
    { role: 'user', text: 'And?', lasts: 'once' },
  ]
  const text = (content: string, ttl?: string): object => ({
    type: 'text',
    text: content,
    ...(ttl === undefined ? {} : { cache_control: { type: 'ephemeral', ttl } }),
  })

  test('has breakpoints where what lasts always ends, and where what lasts for the session does', async () => {
    expect(await bodyOf(conversation)).toEqual({
      model: MODELS.anthropic,
      max_tokens: 64,
      system: [text(`Rules: ${LONG}`, '1h'), text('Today is Sunday.')],
      messages: [
        { role: 'user', content: [text(`Document: ${LONG}`)] },
        { role: 'assistant', content: [text('Read.', '5m')] },
        { role: 'user', content: [text('And?')] },
      ],
    })
  })

  test('keeps as long as it is told', async () => {
    const kept = JSON.stringify(await bodyOf(conversation, { cacheTtl: { always: '5m', session: null } }))
    expect(kept.match(/"ttl":"../g)).toEqual(['"ttl":"5m'])
    const none = JSON.stringify(await bodyOf(conversation, { cacheTtl: { always: null, session: null } }))
    expect(none).not.toContain('cache_control')
  })

  test('has no more than four breakpoints in a long session', async () => {
    const turns = Array.from(
      { length: 90 },
      (_, index): PromptSegment => ({
        role: index % 2 === 0 ? 'user' : 'assistant',
        text: LONG,
        lasts: 'session',
      }),
    )
    const body = JSON.stringify(
      await bodyOf([...conversation.slice(0, 2), ...turns, { role: 'user', text: '?', lasts: 'once' }]),
    )
    expect(body.match(/"ttl":"../g)).toEqual(['"ttl":"1h', '"ttl":"5m', '"ttl":"5m', '"ttl":"5m'])
  })

  test('has a system segment within a conversation as a message of its own', async () => {
    const body = await bodyOf([
      { role: 'user', text: 'Hello.', lasts: 'once' },
      { role: 'system', text: 'Be brief.', lasts: 'once' },
    ])
    expect(body).toMatchObject({ messages: [{ role: 'user' }, { role: 'system' }] })
    expect(body).not.toHaveProperty('system')
  })

  test('has sampling when given, and leaves out what restricts nothing', async () => {
    mock.server.answer(mock.whole('x'))
    const backend = await open()
    await backend.generate({ ...ASK, sampling: { temperature: 0.5, topK: 40, topP: 0.9 } })
    await backend.generate({ ...ASK, sampling: GREEDY })
    const messages = [{ role: 'user', content: [text('Hello.')] }]
    const always = { model: MODELS.anthropic, max_tokens: 64, messages }
    expect(mock.server.received.map(({ body }) => body)).toEqual([
      { ...always, temperature: 0.5, top_k: 40, top_p: 0.9 },
      { ...always, temperature: 0 },
    ])
  })

  test('has no seed, and is not a system prompt alone', async () => {
    const backend = await open()
    const refused = { code: 'INVALID_REQUEST' }
    await expect(backend.generate({ ...ASK, sampling: { seed: 1, temperature: 1 } })).rejects.toMatchObject(refused)
    const segments = [{ role: 'system', text: 'Be brief.', lasts: 'always' }] as const
    await expect(backend.generate({ ...ASK, segments })).rejects.toMatchObject(refused)
  })
})

describe('usage', () => {
  const expected = { promptTokens: 50 + 248 + 1800, cachedTokens: 1800, cacheWriteTokens: 248, completionTokens: 503 }

  test('counts all tokens of the prompt, which Anthropic’s input_tokens does not', async () => {
    mock.server.answer(mock.whole('x'))
    const { usage } = await (await open()).generate(ASK)
    const received = { input_tokens: 50, cache_creation: { ephemeral_1h_input_tokens: 100 } }
    expect(usage).toMatchObject({ ...expected, received })
  })

  test('is put together from the first and the last event of a stream', async () => {
    mock.server.answer(mock.streamed(['x']))
    let last: TextEvent | undefined
    for await (const event of (await open()).stream(ASK)) last = event
    expect(last).toMatchObject({
      kind: 'end',
      usage: { ...expected, received: { output_tokens: 503, service_tier: 'standard' } },
    })
  })

  test('has nulls where a server says nothing', async () => {
    const fields = { model: 'm', content: [{ type: 'text', text: 'x' }], stop_reason: 'max_tokens' }
    mock.server.answer(json({ ...fields, usage: { input_tokens: 5, output_tokens: 1 } }), json(fields))
    const backend = await open()
    const unknown = { cachedTokens: null, cacheWriteTokens: null }
    expect(await backend.generate(ASK)).toMatchObject({ finish: 'length', usage: { promptTokens: 5, ...unknown } })
    expect(await backend.generate(ASK)).toMatchObject({ usage: { promptTokens: null, ...unknown, received: null } })
  })
})
