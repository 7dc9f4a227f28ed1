import { connect } from 'node:net'
import { describe, expect, test, vi } from 'vitest'
import { type Answer, openHttpWorld, openTestEngine } from './http-world.ts'

const world = await openHttpWorld({ openEngine: openTestEngine })
const { ask, port } = world

const PROMPT = 'Once upon a time there was a small robot that lived beside the sea and collected shells. '.repeat(3)

async function post(path: string, body: unknown, as = 'writer'): Promise<Answer> {
  const headers = { 'content-type': 'application/json' }
  return ask(path, { method: 'POST', headers, body: JSON.stringify(body), as })
}

interface SentEvent {
  readonly event: string
  readonly data: ReturnType<typeof JSON.parse>
}

function eventsOf(text: string): readonly SentEvent[] {
  return [...text.matchAll(/event: (.*)\ndata: (.*)\n\n/g)].map(([, event = '', data = '']) => ({
    event,
    data: JSON.parse(data),
  }))
}

describe('a prompt', () => {
  test('is explained, rebuilt and continued, each time with less to compute', async () => {
    const before = await (await post('/v1/explain', { prompt: PROMPT })).json()
    expect(before.steps.map(({ source }: { source: string }) => source)).toEqual(['prefill'])
    const rebuilt = await (await post('/v1/rebuild', { prompt: PROMPT, wantsKvHash: true })).json()
    expect(rebuilt).toMatchObject({ reusedTokens: 0, kvHash: expect.stringMatching(/^b3:/) })
    expect(rebuilt.stored.fragments).toBeGreaterThan(0)
    const answer = await (await post('/v1/generate', { prompt: PROMPT, maxTokens: 4 })).json()
    expect(answer).toMatchObject({
      tokens: 4,
      finish: 'length',
      promptTokens: rebuilt.promptTokens,
      isSimulated: false,
    })
    expect(answer.reusedTokens).toBeGreaterThan(0)
    const none = await (await post('/v1/generate', { prompt: PROMPT, maxTokens: 4, reuse: 'none' })).json()
    expect([none.text, none.tokenIds, none.reusedTokens]).toEqual([answer.text, answer.tokenIds, 0])
    const { node } = world.server.operations.compute.engine as { node: { tokensOf: (of: object) => Uint32Array } }
    const tokenIds = [...node.tokensOf({ prompt: { text: PROMPT } })]
    expect((await (await post('/v1/generate', { tokenIds, maxTokens: 4 })).json()).text).toBe(answer.text)
  })

  test("leaves the engine's memory with the tenant that is erased", async () => {
    const generate = async (as: string) =>
      (await post('/v1/generate', { prompt: `Erased. ${PROMPT}`, maxTokens: 2 }, as)).json()
    for (const tenant of ['gone', 'stays']) expect((await generate(`writer@${tenant}`)).reusedTokens).toBe(0)
    expect((await ask('/v1/tenants/gone', { method: 'DELETE' })).status).toBe(200)
    expect((await generate('writer@gone')).reusedTokens).toBe(0)
    expect((await generate('writer@stays')).reusedTokens).toBeGreaterThan(0)
  })

  test('is drawn as the sampling says', async () => {
    const sampling = { temperature: 1.5, topK: 50, seed: 7 }
    const [one, two] = await Promise.all(
      [1, 2].map(async () => (await post('/v1/generate', { prompt: PROMPT, maxTokens: 8, sampling })).json()),
    )
    expect(one.text).toBe(two.text)
    const wrong = await post('/v1/generate', { prompt: PROMPT, sampling: { topP: 0 } })
    expect(wrong.status).toBe(400)
  })

  test('comes in events that say the same', async () => {
    const whole = await (await post('/v1/generate', { prompt: PROMPT, maxTokens: 12 })).json()
    const answer = await post('/v1/generate', { prompt: PROMPT, maxTokens: 12, stream: true })
    expect(answer.headers.get('content-type')).toMatch(/^text\/event-stream/)
    expect(answer.headers.get('x-content-type-options')).toBe('nosniff')
    const events = eventsOf(await answer.text())
    const done = events.at(-1)
    expect(done).toMatchObject({ event: 'done', data: { text: whole.text, tokens: 12 } })
    const pieces = events.slice(0, -1)
    expect(pieces.length).toBeGreaterThan(3)
    expect(pieces.every(({ event }) => event === 'text')).toBe(true)
    expect(pieces.map(({ data }) => data.text).join('')).toBe(whole.text)
  })

  test('that is wrong is an error of the request; what fails later is an event', async () => {
    expect((await post('/v1/generate', { prompt: 'x', tokenIds: [1], stream: true })).status).toBe(400)
    expect((await post('/v1/generate', { tokenIds: [4_000_000_000], stream: true })).status).toBe(400)
    expect((await post('/v1/generate', { prompt: 'x', maxTokens: 1_000_000, stream: true })).status).toBe(400)
    const { engine } = world.server.operations.compute
    if (engine.kind !== 'node') throw new Error('An engine was expected.')
    const fails = vi.spyOn(engine.node, 'generate').mockImplementationOnce(async ({ onText }) => {
      onText?.('a')
      throw new TypeError('secret detail')
    })
    const events = eventsOf(await (await post('/v1/generate', { prompt: 'x', stream: true })).text())
    fails.mockRestore()
    expect(events).toMatchObject([
      { event: 'text', data: { text: 'a' } },
      { event: 'error', data: { error: { code: 'INTERNAL' } } },
    ])
    expect(JSON.stringify(events)).not.toContain('secret')
  })

  test('is given up when its client goes away', async () => {
    const { engine } = world.server.operations.compute
    if (engine.kind !== 'node') throw new Error('An engine was expected.')
    const ended = Promise.withResolvers<unknown>()
    const spy = vi.spyOn(engine.node, 'generate').mockImplementationOnce(async ({ signal, onText }) => {
      onText?.('a')
      await new Promise<void>((resolve) => signal?.addEventListener('abort', () => resolve()))
      ended.resolve(signal?.aborted)
      throw new Error('aborted')
    })
    const body = JSON.stringify({ prompt: PROMPT, stream: true })
    const socket = connect(port, '127.0.0.1')
    socket.write(
      `POST /v1/generate HTTP/1.1\r\nhost: x\r\nauthorization: Bearer writer\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
    )
    await new Promise((resolve) => socket.once('data', resolve))
    socket.destroy()
    expect(await ended.promise).toBe(true)
    spy.mockRestore()
  })

  test('is kept for as long as nvext asks, and what is not known in it is ignored', async () => {
    const nvext = {
      agent_hints: { priority: 5, osl: 10, speculative_prefill: true, something_new: 1 },
      cache_control: { type: 'ephemeral', ttl: '1h' },
      unknown: {},
    }
    const kept = await (await post('/v1/generate', { prompt: PROMPT, maxTokens: 2, nvext })).json()
    expect(kept.keptFragments).toBeGreaterThan(0)
    const other = { cache_control: { type: 'persistent' } }
    const none = await (await post('/v1/generate', { prompt: PROMPT, maxTokens: 2, nvext: other })).json()
    expect(none.keptFragments).toBe(0)
  })
})

describe('/prefill', () => {
  test('computes, and says which fragments are there then, for /retrieve to find', async () => {
    const prompt_tokens = Array.from({ length: 80 }, (_, index) => 100 + index)
    const answer = await (await post('/prefill', { prompt_tokens })).json()
    expect(answer.success).toBe(true)
    const spans = answer.fragments.map(({ token_span }: { token_span: number[] }) => token_span)
    expect(spans[0]?.[0]).toBe(0)
    expect(Math.max(...spans.map((span: number[]) => span[1]))).toBe(79)
    const [first] = answer.fragments
    const retrieved = await (await ask(`/retrieve?content_hash=${first.content_hash}`)).json()
    expect(retrieved.fragment).toMatchObject(first)
    const bytes = await (await ask(`/v1/fragments/${first.key}`)).arrayBuffer()
    expect(bytes.byteLength).toBe(first.size)
    expect((await post('/prefill', { prompt_tokens, model_id: 'another' })).status).toBe(404)
  })
})

test('metrics of the engine count what it did', async () => {
  const text = await (await ask('/metrics', { as: 'monitor' })).text()
  for (const name of ['membrane_prompts_total', 'membrane_prefilled_tokens_total', 'membrane_generated_tokens_total'])
    expect(Number(new RegExp(`^${name} (\\d+)$`, 'm').exec(text)?.[1]), name).toBeGreaterThan(0)
})
