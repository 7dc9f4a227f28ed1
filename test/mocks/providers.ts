/** OpenAI, Anthropic and Ollama as far as the backends use them: what they accept, and answers in their words. */
import { expect } from 'vitest'
import {
  type Answer,
  json,
  pieces,
  type ProviderServer,
  type ReceivedRequest,
  startProviderServer,
} from './provider-server.ts'

/** A key that would be noticed wherever it appears. */
export const KEY = 'sk-test-4f9Qz7Lw2Xc8Vb1Nm6Jh3Gd5'

/** What a provider says, in its dialect, and what becomes of it. */
export interface ProviderMock {
  readonly server: ProviderServer
  readonly baseUrl: string
  /** A whole answer with this text. */
  readonly whole: (text: string) => Answer
  /** A stream with these texts. */
  readonly streamed: (texts: readonly string[]) => Answer
  /** The bytes of such a stream, event by event. */
  readonly events: (texts: readonly string[]) => readonly string[]
  readonly eventType: string
  /** One that reports an error after these texts. */
  readonly erring: (texts: readonly string[], said: string) => Answer
  /** A refusal with this text. */
  readonly refusal: (status: number, said: string, headers?: Readonly<Record<string, string>>) => Answer
}

export const MODELS = { openai: 'gpt-test', anthropic: 'claude-test', ollama: 'llama-test' } as const

export async function startOpenAi(): Promise<ProviderMock> {
  const server = await startProviderServer(checkOpenAi)
  const chunk = (fields: object): string =>
    sse(null, { id: 'c1', object: 'chat.completion.chunk', created: 1, model: 'gpt-test-2026', ...fields })
  const begin = (texts: readonly string[]): string[] =>
    texts.map((content) =>
      chunk({ choices: [{ index: 0, delta: { role: 'assistant', content }, finish_reason: null }] }),
    )
  const events = (texts: readonly string[]): readonly string[] => [
    ...begin(texts),
    chunk({ choices: [{ index: 0, delta: {}, finish_reason: 'stop' }], usage: null }),
    chunk({ choices: [], usage: OPENAI_USAGE }),
    'data: [DONE]\n\n',
  ]
  return {
    server,
    baseUrl: `${server.url}/v1`,
    whole: (text) =>
      json({
        id: 'c1',
        object: 'chat.completion',
        created: 1,
        model: 'gpt-test-2026',
        system_fingerprint: 'unknown to us',
        choices: [{ index: 0, message: { role: 'assistant', content: text, refusal: null }, finish_reason: 'stop' }],
        usage: OPENAI_USAGE,
      }),
    streamed: (texts) => pieces('text/event-stream', events(texts), 'end'),
    events,
    eventType: 'text/event-stream',
    erring: (texts, message) =>
      pieces('text/event-stream', [...begin(texts), sse(null, { error: { message, type: 'server_error' } })], 'end'),
    refusal: (status, message, headers) =>
      json({ error: { message, type: 'some_error', code: null } }, status, headers),
  }
}

export const OPENAI_USAGE = {
  prompt_tokens: 2006,
  completion_tokens: 300,
  total_tokens: 2306,
  prompt_tokens_details: { cached_tokens: 1920, audio_tokens: 0 },
}

export async function startAnthropic(): Promise<ProviderMock> {
  const server = await startProviderServer(checkAnthropic)
  const begin = (texts: readonly string[]): string[] => [
    event({
      type: 'message_start',
      message: {
        id: 'm1',
        type: 'message',
        role: 'assistant',
        model: 'claude-test-2026',
        content: [],
        usage: ANTHROPIC_START,
      },
    }),
    event({ type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } }),
    event({ type: 'ping' }),
    ...texts.map((text) => event({ type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text } })),
  ]
  const events = (texts: readonly string[]): readonly string[] => [
    ...begin(texts),
    event({ type: 'content_block_stop', index: 0 }),
    event({ type: 'kind_that_came_later', data: 1 }),
    event({ type: 'message_delta', delta: { stop_reason: 'end_turn' }, usage: { output_tokens: 503 } }),
    event({ type: 'message_stop' }),
  ]
  return {
    server,
    baseUrl: server.url,
    whole: (text) =>
      json({
        id: 'm1',
        type: 'message',
        role: 'assistant',
        model: 'claude-test-2026',
        content: [
          { type: 'thinking', thinking: 'hm', signature: 's' },
          { type: 'text', text },
        ],
        stop_reason: 'end_turn',
        stop_sequence: null,
        usage: { ...ANTHROPIC_START, output_tokens: 503 },
      }),
    streamed: (texts) => pieces('text/event-stream', events(texts), 'end'),
    events,
    eventType: 'text/event-stream',
    erring: (texts, message) =>
      pieces(
        'text/event-stream',
        [...begin(texts), event({ type: 'error', error: { type: 'overloaded_error', message } })],
        'end',
      ),
    refusal: (status, message, headers) =>
      json({ type: 'error', error: { type: 'some_error', message }, request_id: 'r1' }, status, headers),
  }
}

const ANTHROPIC_START = {
  input_tokens: 50,
  cache_creation_input_tokens: 248,
  cache_read_input_tokens: 1800,
  cache_creation: { ephemeral_5m_input_tokens: 148, ephemeral_1h_input_tokens: 100 },
  output_tokens: 1,
  service_tier: 'standard',
}

export async function startOllama(): Promise<ProviderMock> {
  const server = await startProviderServer(checkOllama)
  const line = (fields: object): string =>
    `${JSON.stringify({ model: 'llama-test', created_at: '2026-11-01T00:00:00Z', ...fields })}\n`
  const begin = (texts: readonly string[]): string[] =>
    texts.map((content) => line({ message: { role: 'assistant', content }, done: false }))
  const events = (texts: readonly string[]): readonly string[] => [
    ...begin(texts),
    line({ message: { role: 'assistant', content: '' }, done: true, done_reason: 'stop', ...OLLAMA_USAGE }),
  ]
  return {
    server,
    baseUrl: server.url,
    whole: (content) =>
      json({
        model: 'llama-test',
        created_at: '2026-11-01T00:00:00Z',
        message: { role: 'assistant', content },
        done: true,
        done_reason: 'stop',
        ...OLLAMA_USAGE,
      }),
    streamed: (texts) => pieces('application/x-ndjson', events(texts), 'end'),
    events,
    eventType: 'application/x-ndjson',
    erring: (texts, error) =>
      pieces('application/x-ndjson', [...begin(texts), `${JSON.stringify({ error })}\n`], 'end'),
    refusal: (status, error, headers) => json({ error }, status, headers),
  }
}

export const OLLAMA_USAGE = {
  total_duration: 10_706_818_083,
  load_duration: 6_338_219_291,
  prompt_eval_count: 2026,
  prompt_eval_cached_count: 2000,
  prompt_eval_duration: 130_079_000,
  eval_count: 259,
  eval_duration: 4_232_710_000,
}

function checkOpenAi(request: ReceivedRequest): void {
  checkHttp(request, '/v1/chat/completions')
  const { stream = false, messages, ...fields } = request.body
  const bounds = ['max_tokens', 'max_completion_tokens'].filter((name) => name in fields)
  expect(bounds).toHaveLength(1)
  const known = ['model', 'temperature', 'top_p', 'top_k', 'seed', 'stream_options', 'prompt_cache_key', ...bounds]
  expect(known).toEqual(expect.arrayContaining(Object.keys(fields)))
  expect(fields).toMatchObject({ model: MODELS.openai })
  // OpenAI refuses it in a request that is no stream.
  if (stream !== true) expect(fields).not.toHaveProperty('stream_options')
  for (const message of messages as unknown[]) {
    expect(message).toEqual({ role: expect.stringMatching(/^(?:system|user|assistant)$/), content: expect.any(String) })
  }
}

function checkAnthropic(request: ReceivedRequest): void {
  checkHttp(request, '/v1/messages')
  expect(request.headers['anthropic-version']).toMatch(/^20\d\d-\d\d-\d\d$/)
  const known = ['model', 'max_tokens', 'messages', 'system', 'stream', 'temperature', 'top_p', 'top_k']
  expect(known).toEqual(expect.arrayContaining(Object.keys(request.body)))
  expect(request.body).toMatchObject({ model: MODELS.anthropic, max_tokens: expect.any(Number) })
  const { system = [], messages } = request.body as {
    system?: unknown[]
    messages: { role: string; content: unknown[] }[]
  }
  const blocks = [...system, ...messages.flatMap(({ content }) => content)]
  const ttls: string[] = []
  for (const block of blocks) {
    const { cache_control: cache, ...text } = block as { cache_control?: { type: string; ttl: string }; text: string }
    expect(text).toEqual({ type: 'text', text: expect.stringMatching(/[^]/) })
    if (cache === undefined) continue
    expect(cache).toEqual({ type: 'ephemeral', ttl: expect.stringMatching(/^(?:5m|1h)$/) })
    ttls.push(cache.ttl)
  }
  expect(ttls.length).toBeLessThanOrEqual(4)
  // '1h' sorts before '5m', as they have to stand.
  expect(ttls).toEqual(ttls.toSorted())
  expect(messages.length).toBeGreaterThan(0)
  // Turns of one role next to each other would be joined.
  for (const [index, { role }] of messages.entries()) expect(role).not.toBe(messages[index - 1]?.role)
}

function checkOllama(request: ReceivedRequest): void {
  checkHttp(request, '/api/chat')
  const { options, messages, ...fields } = request.body
  const known = ['model', 'stream', 'keep_alive', 'truncate', 'shift']
  expect(known).toEqual(expect.arrayContaining(Object.keys(fields)))
  expect(fields).toMatchObject({ model: MODELS.ollama, truncate: false, shift: false, stream: expect.any(Boolean) })
  const optionNames = ['num_predict', 'num_ctx', 'temperature', 'top_k', 'top_p', 'seed']
  expect(optionNames).toEqual(expect.arrayContaining(Object.keys(options as object)))
  for (const message of messages as unknown[]) {
    expect(message).toEqual({ role: expect.stringMatching(/^(?:system|user|assistant)$/), content: expect.any(String) })
  }
}

/** What all have in common; and nothing that an SDK knows about this machine is told. */
function checkHttp(request: ReceivedRequest, path: string): void {
  expect(request.method).toBe('POST')
  expect(request.path).toBe(path)
  expect(request.headers['content-type']).toBe('application/json')
  expect(request.headers['accept-encoding']).toBe('identity')
  expect(Object.keys(request.headers).filter((name) => name.startsWith('x-stainless'))).toEqual([])
  expect(JSON.stringify(request.headers)).not.toContain('withheld')
}

function event(body: { readonly type: string } & Readonly<Record<string, unknown>>): string {
  return sse(body.type, body)
}

function sse(name: string | null, body: unknown): string {
  return `${name === null ? '' : `event: ${name}\n`}data: ${JSON.stringify(body)}\n\n`
}
