import { describe, expect, test } from 'vitest'
import { openAnthropicBackend } from './anthropic.ts'
import { openOllamaBackend } from './ollama.ts'
import { openOpenAiBackend } from './openai.ts'

const PLAIN = { model: 'm', apiKey: null } as const

describe('opening a provider', () => {
  test('needs a model alone', async () => {
    expect(await openOpenAiBackend(PLAIN)).toMatchObject({
      kind: 'text',
      name: 'openai',
      description: 'm at https://api.openai.com/v1',
      isSimulated: false,
    })
    expect((await openAnthropicBackend(PLAIN)).description).toBe('m at https://api.anthropic.com')
    expect((await openOllamaBackend(PLAIN)).description).toBe('m at http://127.0.0.1:11434')
  })

  test.each([
    ['a model without a name', { model: ' ' }],
    ['an address that is none', { baseUrl: 'localhost:8000' }],
    ['an address of another kind', { baseUrl: 'file:///etc' }],
    ['a password in the address', { baseUrl: 'http://me:secret@127.0.0.1/v1' }],
    ['a query in the address', { baseUrl: 'http://127.0.0.1/v1?key=secret' }],
    ['no time', { timeoutMs: 0 }],
    ['a silence without end', { silenceMsMax: Infinity }],
    ['half a retry', { retries: { retriesMax: 0.5 } }],
    ['too many retries', { retries: { retriesMax: 21 } }],
    ['a header of two lines', { headers: { 'x-a': 'secret\r\nx-b: 2' } }],
    ['a header without a name', { headers: { '': 'secret' } }],
    ['a header of the transport’s', { headers: { 'Content-Length': '3' } }],
  ])('refuses %s, and shows no secret', async (_, part) => {
    for (const open of [openOpenAiBackend, openAnthropicBackend, openOllamaBackend]) {
      await expect(open({ ...PLAIN, ...part })).rejects.toMatchObject({
        code: 'INVALID_CONFIG',
        message: expect.not.stringContaining('secret'),
      })
    }
  })

  test('refuses times and sizes that are none', async () => {
    const refused = { code: 'INVALID_CONFIG' }
    await expect(openOllamaBackend({ ...PLAIN, keepAlive: 'a while' })).rejects.toMatchObject(refused)
    await expect(openOllamaBackend({ ...PLAIN, keepAlive: Number.NaN })).rejects.toMatchObject(refused)
    await expect(openOllamaBackend({ ...PLAIN, contextTokens: 0 })).rejects.toMatchObject(refused)
    const cacheTtl = { always: '5m', session: '1h' } as const
    await expect(openAnthropicBackend({ ...PLAIN, cacheTtl })).rejects.toMatchObject(refused)
  })
})
