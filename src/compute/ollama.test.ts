import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { json, pieces } from '../../test/mocks/provider-server.ts'
import { MODELS, OLLAMA_USAGE, type ProviderMock, startOllama } from '../../test/mocks/providers.ts'
import { GREEDY, type TextBackend, type TextRequest } from '../core/compute.ts'
import { type OllamaOptions, openOllamaBackend } from './ollama.ts'

const ASK: TextRequest = {
  segments: [{ role: 'user', text: 'Hello.', lasts: 'once' }],
  maxTokens: 64,
  sampling: {},
  cacheKey: 'ignored',
}

let mock: ProviderMock
beforeEach(async () => {
  mock = await startOllama()
})
afterEach(async () => {
  await mock.server.stop()
  vi.restoreAllMocks()
})

const open = (options: Partial<OllamaOptions> = {}): Promise<TextBackend> =>
  openOllamaBackend({ model: MODELS.ollama, baseUrl: mock.baseUrl, apiKey: null, ...options })

describe('what is asked', () => {
  test('is to keep the model as long as it is told, and to shorten nothing', async () => {
    mock.server.answer(mock.whole('x'))
    await (await open({ keepAlive: '30m', contextTokens: 32_768 })).generate(ASK)
    expect(mock.server.received[0]?.body).toEqual({
      model: MODELS.ollama,
      messages: [{ role: 'user', content: 'Hello.' }],
      stream: false,
      keep_alive: '30m',
      truncate: false,
      shift: false,
      options: { num_predict: 64, num_ctx: 32_768 },
    })
  })

  test('has all sampling when given, because its own defaults are others', async () => {
    mock.server.answer(mock.whole('x'))
    await (await open({ keepAlive: -1 })).generate({ ...ASK, sampling: GREEDY })
    expect(mock.server.received[0]?.body).toMatchObject({
      keep_alive: -1,
      options: { num_predict: 64, temperature: 0, top_k: 0, top_p: 1, seed: 0 },
    })
  })
})

describe('usage', () => {
  test('is what the last line says, and as received', async () => {
    const expected = { promptTokens: 2026, cachedTokens: 2000, cacheWriteTokens: null, completionTokens: 259 }
    mock.server.answer(mock.whole('x'), mock.streamed(['x']))
    const backend = await open()
    expect((await backend.generate(ASK)).usage).toEqual({ ...expected, received: OLLAMA_USAGE })
    for await (const event of backend.stream(ASK)) {
      if (event.kind === 'end') expect(event.usage).toEqual({ ...expected, received: OLLAMA_USAGE })
    }
  })

  test('has nulls where an older server says nothing', async () => {
    const { prompt_eval_count: _, prompt_eval_cached_count: __, ...older } = OLLAMA_USAGE
    const message = { role: 'assistant', content: 'x' }
    mock.server.answer(json({ model: 'm', message, done: true, ...older }))
    const answer = await (await open()).generate(ASK)
    expect(answer).toMatchObject({
      finish: 'other',
      usage: { promptTokens: null, cachedTokens: null, completionTokens: 259 },
    })
  })
})

describe('lines', () => {
  test('may be empty, and come in any pieces', async () => {
    const printed = vi.spyOn(console, 'warn').mockReturnValue(undefined)
    const lines = mock.events(['a', 'b', 'c']).join('\r\n\n')
    const halves = [lines.slice(0, 30), lines.slice(30, 200), lines.slice(200)]
    mock.server.answer(pieces('application/x-ndjson', halves, 'end'))
    const texts: string[] = []
    for await (const event of (await open()).stream(ASK)) texts.push(event.text)
    expect(texts).toEqual(['a', 'b', 'c', 'abc'])
    expect(printed).not.toHaveBeenCalled()
  })

  test('that are no objects are refused, after the text that came', async () => {
    mock.server.answer(pieces('application/x-ndjson', [...mock.events(['a']).slice(0, 1), '"text"\n'], 'end'))
    const texts: string[] = []
    const read = async (): Promise<void> => {
      for await (const event of (await open()).stream(ASK)) texts.push(event.text)
    }
    await expect(read()).rejects.toMatchObject({ code: 'PROVIDER_MALFORMED' })
    expect(texts).toEqual(['a'])
  })
})

test('a refusal that is no JSON prints nothing either', async () => {
  const printed = vi.spyOn(console, 'log').mockReturnValue(undefined)
  mock.server.answer((response) => void response.writeHead(404, { 'content-type': 'text/plain' }).end('no such page'))
  await expect((await open()).generate(ASK)).rejects.toMatchObject({
    code: 'PROVIDER_REFUSED',
    message: expect.stringContaining('no such page'),
  })
  expect(printed).not.toHaveBeenCalled()
})
