/** What holds for all providers alike, through their own SDKs, against servers that speak their dialects. */
import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { inspect } from 'node:util'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { manualTimers } from '../../test/mocks/manual-timers.ts'
import { json, pieces, type ReceivedRequest } from '../../test/mocks/provider-server.ts'
import { KEY, MODELS, type ProviderMock, startAnthropic, startOllama, startOpenAi } from '../../test/mocks/providers.ts'
import type { TextBackend, TextEvent, TextRequest } from '../core/compute.ts'
import { LIMITS } from '../core/limits.ts'
import { openAnthropicBackend } from './anthropic.ts'
import { openOllamaBackend } from './ollama.ts'
import { openOpenAiBackend } from './openai.ts'
import { ApiKey } from './provider-key.ts'
import type { ProviderAttemptReport, ProviderOptions } from './provider-options.ts'

const PROVIDERS = {
  openai: { start: startOpenAi, open: openOpenAiBackend },
  anthropic: { start: startAnthropic, open: openAnthropicBackend },
  ollama: { start: startOllama, open: openOllamaBackend },
} as const

const ASK: TextRequest = {
  segments: [
    { role: 'system', text: 'Be brief.', lasts: 'always' },
    { role: 'user', text: 'What is a block?', lasts: 'once' },
  ],
  maxTokens: 64,
  sampling: {},
  cacheKey: null,
}

/** Long enough that no timer of a test is set for as long by chance. */
const TIMEOUT_MS = 600_000
const SILENCE_MS = 60_000
const CONNECT_MS = 10_000

/** More than what is read, and what lies in buffers on the way. */
const SENT_BYTES_MAX = LIMITS.providerAnswerBytesMax + 32 * 1024 * 1024

describe.each(Object.keys(PROVIDERS) as (keyof typeof PROVIDERS)[])('%s', (name) => {
  let mock: ProviderMock
  let reports: ProviderAttemptReport[]
  const opened: TextBackend[] = []

  beforeEach(async () => {
    mock = await PROVIDERS[name].start()
    reports = []
  })
  afterEach(async () => {
    for (const backend of opened.splice(0)) await backend.close()
    await mock.server.stop()
    vi.restoreAllMocks()
  })

  const open = async (options: Partial<ProviderOptions> = {}): Promise<TextBackend> => {
    const backend = await PROVIDERS[name].open({
      model: MODELS[name],
      baseUrl: mock.baseUrl,
      apiKey: ApiKey.parse(KEY, 'the test'),
      // Waits between attempts end at once.
      alarm: manualTimers((ms) => ms < CONNECT_MS),
      onAttempt: (report) => void reports.push(report),
      ...options,
    })
    opened.push(backend)
    return backend
  }

  test('generates a text, and says which model did', async () => {
    mock.server.answer(mock.whole('A block is 16 tokens — “full” ones.'))
    const answer = await (await open()).generate(ASK)
    expect(answer).toMatchObject({ text: 'A block is 16 tokens — “full” ones.', finish: 'stop' })
    expect(answer.model).toContain('-test')
    expect(reports).toMatchObject([{ provider: name, attempt: 1, code: null, status: 200, retryInMs: null }])
  })

  test('streams a text in pieces, and ends with all of it', async () => {
    mock.server.answer(mock.streamed(['A ', 'block', '.']))
    const events = await all((await open()).stream(ASK))
    expect(events.map((event) => (event.kind === 'text' ? event.text : event.kind))).toEqual([
      'A ',
      'block',
      '.',
      'end',
    ])
    expect(events.at(-1)).toMatchObject({ kind: 'end', text: 'A block.', finish: 'stop' })
    expect(events.at(-1)).toMatchObject({ usage: { cachedTokens: expect.any(Number) } })
  })

  test('reads characters that are cut anywhere', async () => {
    const bytes = Buffer.from(mock.events(['héllo ', '世界', '🙂']).join(''))
    const single = Array.from(bytes, (_, index) => bytes.subarray(index, index + 1))
    mock.server.answer(pieces(mock.eventType, single, 'end'))
    expect((await all((await open()).stream(ASK))).at(-1)).toMatchObject({ text: 'héllo 世界🙂' })
  })

  test('sends the key in its header, and headers that it was given', async () => {
    mock.server.answer(mock.whole('x'))
    await (await open({ headers: { 'X-Team': 'memory' } })).generate(ASK)
    const headers = mock.server.received[0]?.headers ?? {}
    expect(name === 'anthropic' ? headers['x-api-key'] : headers['authorization']).toBe(
      name === 'anthropic' ? KEY : `Bearer ${KEY}`,
    )
    expect(headers['x-team']).toBe('memory')
  })

  test('sends no key, not even a made-up one, when it has none', async () => {
    mock.server.answer(mock.whole('x'))
    await (await open({ apiKey: null })).generate(ASK)
    expect(mock.server.received[0]?.headers).not.toHaveProperty('authorization')
    expect(mock.server.received[0]?.headers).not.toHaveProperty('x-api-key')
  })

  test('takes nothing from variables that SDKs read', async () => {
    const variables = {
      OPENAI_API_KEY: 'sk-of-somebody',
      OPENAI_ORG_ID: 'org',
      OPENAI_PROJECT_ID: 'project',
      OPENAI_CUSTOM_HEADERS: 'x-spy: 1',
      OPENAI_BASE_URL: 'http://127.0.0.1:9',
      ANTHROPIC_API_KEY: 'sk-of-somebody',
      ANTHROPIC_AUTH_TOKEN: 'of-somebody',
      ANTHROPIC_CUSTOM_HEADERS: 'x-spy: 1',
      ANTHROPIC_BASE_URL: 'http://127.0.0.1:9',
      OLLAMA_API_KEY: 'of-somebody',
    }
    for (const [variable, value] of Object.entries(variables)) vi.stubEnv(variable, value)
    try {
      mock.server.answer(mock.whole('x'))
      await (await open({ apiKey: null })).generate(ASK)
    } finally {
      vi.unstubAllEnvs()
    }
    const sent = JSON.stringify(mock.server.received[0]?.headers)
    for (const word of ['somebody', 'org', 'project', 'x-spy']) expect(sent).not.toContain(word)
  })

  test('keeps a connection for the next request, after a stream too', async () => {
    const timers = manualTimers()
    const backend = await open({ alarm: timers })
    mock.server.answer(mock.streamed(['a', 'b']), mock.whole('c'), mock.streamed(['d']))
    for (let index = 0; index < 3; index++) {
      await (index === 1 ? backend.generate(ASK) : all(backend.stream(ASK)))
      // The last bytes of an answer come after its last event.
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
    expect(mock.server.received.map(({ connection }) => connection)).toEqual([1, 1, 1])
    expect(timers.pending).toBe(0)
  })

  describe('when it is cancelled', () => {
    test('sends nothing if that was before', async () => {
      const backend = await open()
      await expect(backend.generate({ ...ASK, signal: AbortSignal.abort() })).rejects.toMatchObject({ code: 'ABORTED' })
      await expect(all(backend.stream({ ...ASK, signal: AbortSignal.abort() }))).rejects.toMatchObject({
        code: 'ABORTED',
      })
      expect(mock.server.received).toEqual([])
    })

    test.each(['generate', 'stream'] as const)('closes the connection while %s waits', async (how) => {
      const controller = new AbortController()
      mock.server.answer(async (_, request) => {
        controller.abort()
        await request.cut
      })
      const backend = await open()
      const asked = { ...ASK, signal: controller.signal }
      await expect(how === 'generate' ? backend.generate(asked) : all(backend.stream(asked))).rejects.toMatchObject({
        code: 'ABORTED',
      })
      await mock.server.received[0]?.cut
      expect(reports).toMatchObject([{ code: 'ABORTED', retryInMs: null }])
    })

    test('ends a stream in its midst, after the text that came', async () => {
      const controller = new AbortController()
      mock.server.answer(pieces(mock.eventType, mock.events(['a', 'b']).slice(0, name === 'anthropic' ? 4 : 1), 'hang'))
      const texts: string[] = []
      const read = async (): Promise<void> => {
        for await (const event of (await open()).stream({ ...ASK, signal: controller.signal })) {
          texts.push(event.kind === 'text' ? event.text : 'end')
          controller.abort()
        }
      }
      await expect(read()).rejects.toMatchObject({ code: 'ABORTED' })
      expect(texts).toEqual(['a'])
      await mock.server.received[0]?.cut
    })

    test('closes the connection while nobody reads', async () => {
      const controller = new AbortController()
      mock.server.answer(pieces(mock.eventType, mock.events(['a', 'b']).slice(0, -1), 'hang'))
      const events = (await open()).stream({ ...ASK, signal: controller.signal })[Symbol.asyncIterator]()
      expect(await events.next()).toMatchObject({ value: { text: 'a' } })
      controller.abort()
      await mock.server.received[0]?.cut
      await expect(events.next()).rejects.toMatchObject({ code: 'ABORTED' })
    })

    test('closes the connection when a reader leaves early', async () => {
      mock.server.answer(pieces(mock.eventType, mock.events(['a', 'b']).slice(0, -1), 'hang'))
      for await (const event of (await open()).stream(ASK)) {
        expect(event).toEqual({ kind: 'text', text: 'a' })
        break
      }
      await mock.server.received[0]?.cut
      expect(reports).toMatchObject([{ code: 'ABORTED' }])
    })

    test('ends a wait between attempts', async () => {
      const controller = new AbortController()
      const timers = manualTimers()
      mock.server.answer(mock.refusal(503, 'later'))
      const backend = await open({ alarm: timers, onAttempt: () => controller.abort() })
      await expect(backend.generate({ ...ASK, signal: controller.signal })).rejects.toMatchObject({ code: 'ABORTED' })
      expect(timers.pending).toBe(0)
    })

    test('by closing the backend, and after it', async () => {
      const backend = await open()
      mock.server.answer(async (_, request) => {
        await backend.close()
        await request.cut
      })
      await expect(backend.generate(ASK)).rejects.toMatchObject({ code: 'ABORTED' })
      await expect(backend.generate(ASK)).rejects.toMatchObject({ code: 'ABORTED' })
      await backend.close()
    })
  })

  describe('when time runs out', () => {
    test.each(['generate', 'stream'] as const)('gives up %s and tries again', async (how) => {
      const timers = manualTimers((ms) => ms < CONNECT_MS)
      mock.server.answer(async (_, request) => {
        timers.fire(TIMEOUT_MS)
        await request.cut
      })
      const backend = await open({ alarm: timers })
      await expect(how === 'generate' ? backend.generate(ASK) : all(backend.stream(ASK))).rejects.toMatchObject({
        code: 'PROVIDER_UNAVAILABLE',
        message: expect.stringContaining('did not finish its answer within 600000 ms (3 attempts)'),
      })
      expect(reports).toHaveLength(3)
    })

    test('gives up an answer that trickles', async () => {
      const timers = manualTimers((ms) => ms < CONNECT_MS)
      mock.server.answer(async (response, request) => {
        response.writeHead(200, { 'content-type': 'application/json' })
        for (const character of '{"model": "') {
          response.write(character)
          await new Promise((resolve) => setImmediate(resolve))
        }
        timers.fire(TIMEOUT_MS)
        await request.cut
      })
      const backend = await open({ alarm: timers, retries: { retriesMax: 0 } })
      await expect(backend.generate(ASK)).rejects.toMatchObject({ code: 'PROVIDER_UNAVAILABLE' })
    })

    test('does not wait for ever for the next event, and does not begin anew after text', async () => {
      const timers = manualTimers()
      mock.server.answer(pieces(mock.eventType, mock.events(['a', 'b']).slice(0, name === 'anthropic' ? 4 : 1), 'hang'))
      const read = async (): Promise<void> => {
        for await (const event of (await open({ alarm: timers })).stream(ASK)) {
          expect(event).toEqual({ kind: 'text', text: 'a' })
          timers.fire(SILENCE_MS)
        }
      }
      await expect(read()).rejects.toMatchObject({
        code: 'PROVIDER_UNAVAILABLE',
        message: expect.stringContaining('did not go on with its answer within 60000 ms'),
      })
      expect(mock.server.received).toHaveLength(1)
      expect(timers.pending).toBe(0)
    })
  })

  describe('when the service fails', () => {
    test('waits as long as it asks for, then succeeds', async () => {
      const timers = manualTimers((ms) => ms < CONNECT_MS)
      mock.server.answer(
        mock.refusal(429, 'slow down', {
          'retry-after': '7',
          'x-ratelimit-remaining-requests': '0',
          'anthropic-ratelimit-requests-limit': '50',
          'x-request-id': 'req-1',
        }),
        mock.whole('x'),
      )
      const backend = await open({ alarm: timers, random: () => 0.5 })
      expect(await backend.generate(ASK)).toMatchObject({ text: 'x' })
      expect(timers.setMs).toContain(7250)
      expect(reports).toMatchObject([
        {
          attempt: 1,
          code: 'PROVIDER_LIMITED',
          status: 429,
          requestId: 'req-1',
          retryInMs: 7250,
          rateLimits: { 'x-ratelimit-remaining-requests': '0', 'anthropic-ratelimit-requests-limit': '50' },
        },
        { attempt: 2, code: null, status: 200 },
      ])
    })

    test('does not wait longer than it may, and says how long it would have had to', async () => {
      mock.server.answer(mock.refusal(429, 'slow down', { 'retry-after': '61' }))
      await expect((await open()).generate(ASK)).rejects.toMatchObject({
        code: 'PROVIDER_LIMITED',
        details: { retryAfterMs: 61_000, status: 429, attempts: 1 },
      })
    })

    test.each([500, 503, 529, 408, 409])(
      'tries thrice after status %i, each time waiting up to twice as long',
      async (status) => {
        const timers = manualTimers((ms) => ms < CONNECT_MS)
        mock.server.answer(mock.refusal(status, 'broken'))
        const backend = await open({ alarm: timers, random: () => 0.999 })
        await expect(backend.generate(ASK)).rejects.toMatchObject({
          code: 'PROVIDER_UNAVAILABLE',
          details: { status, attempts: 3, provider: name },
          message: expect.stringMatching(/status \d+: broken \(3 attempts\)\.$/),
        })
        expect(mock.server.received).toHaveLength(3)
        expect(reports.map(({ retryInMs }) => retryInMs)).toEqual([499.5, 999, null])
      },
    )

    test.each([400, 401, 403, 404, 413, 422, 302])('does not try again after status %i', async (status) => {
      mock.server.answer(mock.refusal(status, 'no', { location: 'http://127.0.0.1:9/' }))
      await expect((await open()).generate(ASK)).rejects.toMatchObject({
        code: 'PROVIDER_REFUSED',
        details: { status },
      })
      expect(mock.server.received).toHaveLength(1)
    })

    test('does not wait for the end of a refusal that has none', async () => {
      const timers = manualTimers((ms) => ms < CONNECT_MS)
      mock.server.answer(async (response, request) => {
        response.writeHead(403, { 'content-type': 'text/plain' }).write('not you')
        await new Promise((resolve) => setTimeout(resolve, 50))
        timers.fire(CONNECT_MS)
        await request.cut
      })
      await expect((await open({ alarm: timers })).generate(ASK)).rejects.toMatchObject({
        code: 'PROVIDER_REFUSED',
        message: expect.stringContaining('status 403: not you'),
      })
    })

    test('does not try again when it is told not to', async () => {
      mock.server.answer(mock.refusal(500, 'no', { 'x-should-retry': 'false' }))
      await expect((await open()).generate(ASK)).rejects.toMatchObject({ code: 'PROVIDER_UNAVAILABLE' })
      expect(mock.server.received).toHaveLength(1)
    })

    test('tries again when nobody listens', async () => {
      const backend = await open({ baseUrl: 'http://127.0.0.1:9' })
      await expect(backend.generate(ASK)).rejects.toMatchObject({
        code: 'PROVIDER_UNAVAILABLE',
        message: expect.stringContaining('ECONNREFUSED'),
        details: { fault: 'unreachable', attempts: 3 },
      })
    })

    test('tries again when a connection ends without an answer, or in its midst', async () => {
      mock.server.answer(
        (response) => void response.destroy(),
        (response) => {
          response.writeHead(200, { 'content-type': 'application/json', 'content-length': '1000' }).write('{"model"')
          setTimeout(() => response.destroy(), 20)
        },
        mock.whole('x'),
      )
      expect(await (await open()).generate(ASK)).toMatchObject({ text: 'x' })
      expect(reports).toMatchObject([
        { code: 'PROVIDER_UNAVAILABLE' },
        { code: 'PROVIDER_UNAVAILABLE' },
        { code: null },
      ])
    })

    test.each(['end', 'cut'] as const)('gives no end to a stream that ends (%s) before it is complete', async (end) => {
      const events = mock.events(['a', 'b'])
      // Without the last event that says how the answer ended, and what follows it.
      const shortened = events.slice(0, events.length - (name === 'openai' ? 3 : 1))
      mock.server.answer(pieces(mock.eventType, shortened, end))
      const seen: TextEvent[] = []
      const read = async (): Promise<void> => {
        for await (const event of (await open()).stream(ASK)) seen.push(event)
      }
      await expect(read()).rejects.toMatchObject({
        code: 'PROVIDER_UNAVAILABLE',
        details: { fault: 'cut', attempts: 1 },
      })
      expect(seen).toEqual([
        { kind: 'text', text: 'a' },
        { kind: 'text', text: 'b' },
      ])
    })

    test('gives a slow reader all text that came before a cut', async () => {
      const last = name === 'openai' ? -3 : -1
      mock.server.answer(pieces(mock.eventType, mock.events(['a', 'b', 'c']).slice(0, last), 'cut'))
      const texts: string[] = []
      const read = async (): Promise<void> => {
        for await (const event of (await open()).stream(ASK)) {
          texts.push(event.text)
          await mock.server.received[0]?.cut
          await new Promise((resolve) => setTimeout(resolve, 20))
        }
      }
      await expect(read()).rejects.toMatchObject({ details: { fault: 'cut' } })
      expect(texts).toEqual(['a', 'b', 'c'])
    })

    test('sends anew at once when a kept connection turns out to be closed', async () => {
      const backend = await open({ retries: { retriesMax: 0 }, alarm: manualTimers() })
      mock.server.answer(mock.whole('a'), (response) => void response.destroy(), mock.whole('b'))
      expect(await backend.generate(ASK)).toMatchObject({ text: 'a' })
      await new Promise((resolve) => setTimeout(resolve, 20))
      expect(await backend.generate(ASK)).toMatchObject({ text: 'b' })
      expect(mock.server.received.map(({ connection }) => connection)).toEqual([1, 1, 2])
      expect(reports).toHaveLength(2)
    })

    test('does not wait long for a connection', async () => {
      const timers = manualTimers((ms) => ms < CONNECT_MS)
      const silent = createServer().listen(0, '127.0.0.1')
      await once(silent, 'listening')
      // It accepts, and never greets.
      silent.on('connection', () => setTimeout(() => timers.fire(CONNECT_MS), 20))
      const backend = await open({
        alarm: timers,
        baseUrl: `https://127.0.0.1:${(silent.address() as AddressInfo).port}`,
      })
      await expect(backend.generate(ASK)).rejects.toMatchObject({
        code: 'PROVIDER_UNAVAILABLE',
        message: expect.stringContaining('no connection within 10000 ms (3 attempts)'),
      })
      silent.close()
    })

    test('begins a stream anew that was cut before any text', async () => {
      mock.server.answer(
        pieces(mock.eventType, [mock.events(['a'])[0]?.slice(0, 10) ?? ''], 'cut'),
        mock.streamed(['a']),
      )
      expect(await all((await open()).stream(ASK))).toMatchObject([{ text: 'a' }, { kind: 'end', text: 'a' }])
    })

    test('says what an error in a stream says, and begins anew only before any text', async () => {
      mock.server.answer(mock.erring([], 'overloaded'), mock.erring(['a'], 'out of memory'))
      const seen: TextEvent[] = []
      const read = async (): Promise<void> => {
        for await (const event of (await open()).stream(ASK)) seen.push(event)
      }
      await expect(read()).rejects.toMatchObject({
        code: 'PROVIDER_UNAVAILABLE',
        message: expect.stringContaining('reported an error in its answer: out of memory (2 attempts)'),
      })
      expect(seen).toEqual([{ kind: 'text', text: 'a' }])
    })
  })

  describe('when an answer breaks the contract', () => {
    test.each([
      ['is no JSON', pieces('application/json', ['{"model": "x", "mess'], 'end')],
      ['is a page', pieces('text/html', ['<html>Sign in</html>'], 'end')],
      ['is empty', pieces('application/json', [], 'end')],
      ['is a list', json([])],
      ['is null', json(null)],
      ['has no fields', json({})],
      ['has fields of other kinds', json({ model: 1, choices: {}, content: 'x', message: [], done: true })],
      ['has no content', json(null, 204)],
    ])('refuses one that %s', async (_, answer) => {
      mock.server.answer(answer)
      await expect((await open()).generate(ASK)).rejects.toMatchObject({ code: 'PROVIDER_MALFORMED' })
      expect(mock.server.received).toHaveLength(1)
    })

    test('refuses one that is packed without being asked to', async () => {
      mock.server.answer((response) => {
        response.setHeader('content-encoding', 'gzip')
        return mock.whole('x')(response, mock.server.received[0] as ReceivedRequest)
      })
      await expect((await open()).generate(ASK)).rejects.toMatchObject({
        code: 'PROVIDER_MALFORMED',
        message: expect.stringContaining('encoded as gzip'),
      })
    })

    test('refuses bytes that cease to be HTTP in its midst', async () => {
      const head = 'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n'
      mock.server.answer((response) => void response.socket?.write(`${head}5\r\n{"mod\r\nno length\r\n`))
      await expect((await open()).generate(ASK)).rejects.toMatchObject({
        code: 'PROVIDER_MALFORMED',
        message: expect.stringContaining('HPE_'),
      })
    })

    test('refuses bytes that are no HTTP', async () => {
      mock.server.answer((response) => void response.socket?.end('SMTP ready\r\n\r\n'))
      await expect((await open()).generate(ASK)).rejects.toMatchObject({ code: 'PROVIDER_MALFORMED' })
    })

    test('refuses a stream with an event that is no JSON, and prints nothing', async () => {
      const printed = (['log', 'warn', 'error', 'info', 'debug'] as const).map((method) =>
        vi.spyOn(console, method).mockReturnValue(undefined),
      )
      const events = mock.events(['a', 'b'])
      const broken = name === 'ollama' ? '{"model": \n' : 'event: message_delta\ndata: {"model": \n\n'
      mock.server.answer(pieces(mock.eventType, [...events.slice(0, -3), broken, ...events.slice(-3)], 'end'))
      await expect(all((await open()).stream(ASK))).rejects.toMatchObject({ code: 'PROVIDER_MALFORMED' })
      for (const spy of printed) expect(spy).not.toHaveBeenCalled()
    })

    test('refuses a stream of other things', async () => {
      mock.server.answer(pieces('text/html', ['<html>\n', 'Sign in\n', '</html>\n'], 'end'))
      await expect(all((await open()).stream(ASK))).rejects.toMatchObject({ code: 'PROVIDER_MALFORMED' })
      expect(mock.server.received).toHaveLength(1)
    })

    test('stops reading one that does not end', async () => {
      const large = Buffer.alloc(1024 * 1024, 0x20)
      mock.server.answer(async (response, request) => {
        response.writeHead(200, { 'content-type': 'application/json' })
        let written = 0
        for (; !response.destroyed && written < SENT_BYTES_MAX; written += large.length) {
          if (response.write(large)) continue
          await Promise.race([new Promise((resolve) => response.once('drain', resolve)), request.cut])
        }
        expect(response.destroyed).toBe(true)
      })
      await expect((await open()).generate(ASK)).rejects.toMatchObject({
        code: 'PROVIDER_MALFORMED',
        message: expect.stringContaining(`longer than ${LIMITS.providerAnswerBytesMax} bytes`),
      })
    })
  })

  describe('the key', () => {
    test('is in no error, whatever the service repeats of it', async () => {
      const said = `Wrong key ${KEY}, that is ${KEY.slice(0, 12)}…${KEY.slice(-9)}, or ${KEY.slice(5, 20)}.`
      mock.server.answer(mock.refusal(401, said, { 'x-request-id': KEY, 'x-ratelimit-limit-requests': KEY }))
      const error: unknown = await (await open()).generate(ASK).catch((caught: unknown) => caught)
      expect(error).toMatchObject({ code: 'PROVIDER_REFUSED', remedy: expect.stringContaining('key') })
      expectNoKey(inspect(error, { depth: 20, showHidden: true }) + JSON.stringify(error))
      expectNoKey(JSON.stringify(reports))
    })

    test('is in no error of a stream', async () => {
      mock.server.answer(mock.erring(['a'], `Wrong key ${KEY}`))
      const error: unknown = await all((await open()).stream(ASK)).catch((caught: unknown) => caught)
      expect(error).toMatchObject({ code: 'PROVIDER_UNAVAILABLE' })
      expectNoKey(inspect(error, { depth: 20, showHidden: true }) + JSON.stringify(error))
    })

    test('is not in the backend when that is printed', async () => {
      const backend = await open({ headers: { 'x-secret': KEY } })
      expectNoKey(inspect(backend, { depth: 20, showHidden: true }) + JSON.stringify(backend) + backend.description)
    })

    test('is in no error when it was given as a header', async () => {
      mock.server.answer(mock.refusal(401, `Wrong key ${KEY}`))
      const backend = await open({ apiKey: null, headers: { 'x-secret': KEY } })
      const error: unknown = await backend.generate(ASK).catch((caught: unknown) => caught)
      expectNoKey(inspect(error, { depth: 20, showHidden: true }))
    })
  })

  test('shows what a service says in one line of bounded length', async () => {
    mock.server.answer(mock.refusal(400, `bad\u001b[31m\nrequest\u0007 ${'x'.repeat(5000)}`))
    const error: unknown = await (await open()).generate(ASK).catch((caught: unknown) => caught)
    const { message } = error as Error
    expect(message).toContain('bad [31m request xxx')
    expect(message.length).toBeLessThan(700)
    expect(message).not.toMatch(/\p{Cc}/u)
  })

  test.each([
    ['no text', { segments: [{ role: 'user', text: '', lasts: 'once' }] }],
    ['no tokens', { maxTokens: 0 }],
    ['a temperature below 0', { sampling: { temperature: -1 } }],
    ['a share of nothing', { sampling: { topP: 0 } }],
    ['half a token', { sampling: { topK: 0.5 } }],
  ] as const)('refuses to ask with %s', async (_, part) => {
    await expect((await open()).generate({ ...ASK, ...part })).rejects.toMatchObject({ code: 'INVALID_REQUEST' })
    expect(mock.server.received).toEqual([])
  })
})

async function all(events: AsyncIterable<TextEvent>): Promise<readonly TextEvent[]> {
  const list: TextEvent[] = []
  for await (const event of events) list.push(event)
  return list
}

/** Neither the key nor a part of it that tells. */
function expectNoKey(text: string): void {
  const parts = Array.from({ length: KEY.length - 7 }, (_, index) => KEY.slice(index, index + 8))
  expect(parts.filter((part) => text.includes(part))).toEqual([])
}
