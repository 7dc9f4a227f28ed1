import OpenAI from 'openai'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openTestServer, type TestServer } from '../../test/test-server.ts'

const PACKAGE = 'Package: libfoo-dev\nSection: libdevel\nSummary: development files for foo\n\n'
const LONG = `${PACKAGE}This package contains the header files and static libraries that are needed to build programs which use it. `

let node: TestServer
let openai: OpenAI
let model: string
beforeAll(async () => {
  node = await openTestServer({ compute: 'cpu' })
  openai = new OpenAI({ baseURL: `http://127.0.0.1:${node.port('http')}/v1`, apiKey: 'none', maxRetries: 0 })
  model = (await openai.models.list()).data[0]?.id ?? ''
})
afterAll(() => node.close())

describe('the official OpenAI SDK', () => {
  test('lists the model that the node runs, and finds it by its name', async () => {
    expect(model).toContain('debian-desc-5M')
    await expect(openai.models.retrieve(model)).resolves.toMatchObject({ id: model, object: 'model' })
    await expect(openai.models.retrieve('gpt-9')).rejects.toMatchObject({ status: 404, code: 'model_not_found' })
  })

  test('completes a text, and is told which tokens of the prompt were not computed again', async () => {
    const ask = () => openai.completions.create({ model, prompt: LONG, max_tokens: 12, temperature: 0 })
    const first = await ask()
    const second = await ask()
    expect(second.choices).toEqual(first.choices)
    expect(first.usage).toMatchObject({ completion_tokens: 12, prompt_tokens_details: { cached_tokens: 0 } })
    const promptTokens = first.usage?.prompt_tokens ?? 0
    // All blocks but the one with the last token, whose logits begin the answer.
    const cached = Math.floor((promptTokens - 1) / 16) * 16
    expect(second.usage).toMatchObject({
      prompt_tokens: promptTokens,
      total_tokens: promptTokens + 12,
      prompt_tokens_details: { cached_tokens: cached },
    })
    expect(cached).toBeGreaterThan(0)
  })

  test('streams the same text that it gets whole, and the usage at the end when it asks for it', async () => {
    const ask = { model, prompt: PACKAGE, max_tokens: 16, temperature: 0 } as const
    const whole = await openai.completions.create(ask)
    const stream = await openai.completions.create({ ...ask, stream: true, stream_options: { include_usage: true } })
    let text = ''
    let pieces = 0
    let usage: unknown = null
    for await (const chunk of stream) {
      const piece = chunk.choices[0]?.text ?? ''
      if (piece !== '') pieces += 1
      text += piece
      if (chunk.usage != null) usage = chunk.usage
    }
    expect(text).toBe(whole.choices[0]?.text)
    expect(pieces).toBeGreaterThan(3)
    expect(usage).toMatchObject({ prompt_tokens: whole.usage?.prompt_tokens, completion_tokens: 16 })
  })

  test('chats, whole and streamed', async () => {
    const ask = {
      model,
      messages: [
        { role: 'developer', content: 'You describe packages.' },
        { role: 'user', content: [{ type: 'text', text: PACKAGE }] },
      ],
      max_completion_tokens: 8,
      temperature: 0,
    } satisfies OpenAI.ChatCompletionCreateParams
    const whole = await openai.chat.completions.create(ask)
    expect(whole.choices[0]).toMatchObject({ finish_reason: 'length', message: { role: 'assistant' } })
    const stream = openai.chat.completions.stream(ask)
    expect(await stream.finalContent()).toBe(whole.choices[0]?.message.content)
  })

  test('ends at a stop text, which it does not show, also when it comes in pieces', async () => {
    const ask = { model, prompt: PACKAGE, max_tokens: 24, temperature: 0 } as const
    const whole = (await openai.completions.create(ask)).choices[0]?.text ?? ''
    const stop = whole.slice(9, 14)
    const before = whole.slice(0, whole.indexOf(stop))
    const stopped = await openai.completions.create({ ...ask, stop: ['never there', stop] })
    expect(stopped.choices[0]).toMatchObject({ text: before, finish_reason: 'stop' })
    let text = ''
    for await (const chunk of await openai.completions.create({ ...ask, stop, stream: true }))
      text += chunk.choices[0]?.text ?? ''
    expect(text).toBe(before)
  })

  test('shares KV within a salt, and not beyond', async () => {
    const prompt = `${LONG}${LONG}`
    const cachedWith = async (salt: string): Promise<number> => {
      const ask = { model, prompt, max_tokens: 1, temperature: 0, cache_salt: salt }
      const { usage } = await openai.completions.create(ask as OpenAI.CompletionCreateParamsNonStreaming)
      return usage?.prompt_tokens_details?.cached_tokens ?? -1
    }
    expect(await cachedWith('one')).toBe(0)
    expect(await cachedWith('one')).toBeGreaterThan(32)
    expect(await cachedWith('two')).toBe(0)
    expect(await cachedWith('')).toBeLessThan(await cachedWith('one'))
  })

  test('draws equal tokens for equal seeds', async () => {
    const ask = { model, prompt: PACKAGE, max_tokens: 12, temperature: 1, seed: 7 } as const
    const [a, b] = [await openai.completions.create(ask), await openai.completions.create(ask)]
    expect(a.choices[0]?.text).toBe(b.choices[0]?.text)
    const other = await openai.completions.create({ ...ask, seed: 8 })
    expect(other.choices[0]?.text).not.toBe(a.choices[0]?.text)
  })

  test('takes several prompts and token ids', async () => {
    const both = await openai.completions.create({ model, prompt: ['a', 'b'], max_tokens: 2 })
    expect(both.choices.map(({ index }) => index)).toEqual([0, 1])
    const ids = await openai.completions.create({ model, prompt: [0, 100, 101], max_tokens: 2 })
    expect(ids.usage?.prompt_tokens).toBe(3)
  })

  test.each([
    ['tools', { tools: [{ type: 'function', function: { name: 'f' } }] }],
    ['n', { n: 2 }],
    ['response_format', { response_format: { type: 'json_object' } }],
    ['logprobs', { logprobs: true }],
    ['presence_penalty', { presence_penalty: 1 }],
  ])('is refused %s, which would change the answer, by name', async (param, extra) => {
    const ask = { model, messages: [{ role: 'user', content: 'x' }], ...extra }
    const asked = openai.chat.completions.create(ask as OpenAI.ChatCompletionCreateParamsNonStreaming)
    await expect(asked).rejects.toMatchObject({ status: 400, param, type: 'invalid_request_error' })
  })

  test('is told of a prompt that is too long before a stream begins, with a status of its own', async () => {
    const ask = { model, prompt: LONG.repeat(100), stream: true } as const
    await expect(openai.completions.create(ask)).rejects.toMatchObject({ status: 400 })
  })
})

describe('a client that goes away', () => {
  test('ends the generation, and the node goes on answering', async () => {
    const cancel = new AbortController()
    const ask = { model, prompt: PACKAGE, max_tokens: 1500, temperature: 0, stream: true } as const
    const stream = await openai.completions.create(ask, { signal: cancel.signal })
    for await (const chunk of stream) {
      expect(chunk.object).toBe('text_completion')
      break
    }
    cancel.abort()
    await expect
      .poll(() => {
        const { engine } = node.server.operations.compute
        return engine.kind === 'node' ? engine.node.stats().resident.contextsInUse : -1
      })
      .toBe(0)
    const after = await openai.completions.create({ model, prompt: 'x', max_tokens: 1 })
    expect(after.choices).toHaveLength(1)
  })
})

test('a node without an engine says so', async () => {
  const none = await openTestServer()
  try {
    const client = new OpenAI({ baseURL: `http://127.0.0.1:${none.port('http')}/v1`, apiKey: 'none', maxRetries: 0 })
    expect((await client.models.list()).data).toEqual([])
    await expect(client.completions.create({ model: 'x', prompt: 'x' })).rejects.toMatchObject({ status: 404 })
  } finally {
    await none.close()
  }
})
