import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { inspect } from 'node:util'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { runs } from '../../test/effort.ts'
import { LIMITS } from '../core/limits.ts'
import { ApiKey, apiKeyFrom } from './provider-key.ts'

const KEY = 'sk-4f9Qz7Lw2Xc8Vb1Nm6Jh3Gd5'

describe('a key', () => {
  test('does not print', () => {
    const key = ApiKey.parse(KEY, 'the test')
    const printed = [inspect({ key }, { showHidden: true, depth: 9 }), JSON.stringify({ key }), String(key)]
    for (const text of printed) expect(text).not.toContain(KEY.slice(3, 11))
    expect(key.reveal()).toBe(KEY)
  })

  test('is taken out of texts, and so are parts of it that tell', () => {
    const redact = (text: string): string => ApiKey.parse(KEY, 'the test').redact(text)
    expect(redact(`Incorrect key ${KEY} given, ${KEY}.`)).toBe('Incorrect key [key] given, [key].')
    expect(redact(`begins ${KEY.slice(0, 8)}, ends ${KEY.slice(-8)}`)).toBe('begins [key], ends [key]')
    expect(redact(`begins ${KEY.slice(0, 7)}`)).toBe(`begins ${KEY.slice(0, 7)}`)
    expect(ApiKey.parse('abc', 'the test').redact('xabcx')).toBe('x[key]x')
  })

  test('is in no text after that, wherever it was, and the rest stays', () => {
    const other = fc.stringMatching(/^[ .,:!]{0,20}$/)
    fc.assert(
      fc.property(other, fc.nat(KEY.length), fc.nat(KEY.length), other, (before, a, b, after) => {
        const part = KEY.slice(Math.min(a, b), Math.max(a, b))
        const expected = part.length < 8 ? part : '[key]'
        expect(ApiKey.parse(KEY, 'the test').redact(before + part + after)).toBe(before + expected + after)
      }),
      { numRuns: runs(200) },
    )
  })

  test.each([
    '',
    '  \n',
    'two words',
    'two\nlines',
    'tab\there',
    'schlüssel',
    `${'x'.repeat(LIMITS.apiKeyCharactersMax)}x`,
  ])('is refused without being shown: %j', (text) => {
    expect(() => ApiKey.parse(text, 'the test')).toThrow(
      expect.objectContaining({
        code: 'INVALID_CONFIG',
        message: expect.stringContaining('The key in the test is not'),
      }),
    )
    const shown = (): string => {
      try {
        return String(ApiKey.parse(text, 'the test'))
      } catch (error) {
        return inspect(error)
      }
    }
    if (text.trim().length > 3) expect(shown()).not.toContain(text.trim().slice(0, 9))
  })
})

describe('apiKeyFrom', () => {
  let folder = ''
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'membrane-key-'))
  })
  afterAll(() => rm(folder, { recursive: true }))

  const keyFile = async (content: string | Uint8Array): Promise<string> => {
    const path = join(folder, `key-${Math.abs(Buffer.from(content).readInt8(0))}-${content.length}`)
    await writeFile(path, content)
    return path
  }

  test('takes the file first, then the variable for all, then the provider’s own', async () => {
    const environment = { MEMBRANE_LLM_API_KEY: 'shared', OPENAI_API_KEY: 'own', ANTHROPIC_API_KEY: 'other' }
    const from = async (...args: Parameters<typeof apiKeyFrom>): Promise<string | null> =>
      (await apiKeyFrom(...args))?.reveal() ?? null
    const file = await keyFile(`  ${KEY}\r\n`)
    expect(await from({ environment, provider: 'openai', file })).toBe(KEY)
    expect(await from({ environment, provider: 'openai' })).toBe('shared')
    expect(await from({ environment: { ...environment, MEMBRANE_LLM_API_KEY: ' ' }, provider: 'openai' })).toBe('own')
    expect(await from({ environment: { ANTHROPIC_API_KEY: 'other' }, provider: 'anthropic' })).toBe('other')
    expect(await from({ environment: { OPENAI_API_KEY: 'own' }, provider: 'anthropic' })).toBe(null)
    expect(await from({ environment: { OPENAI_API_KEY: 'own' }, provider: 'ollama' })).toBe(null)
  })

  test.each([
    ['has two lines', `${KEY}\n${KEY}\n`],
    ['is large', 'x'.repeat(100_000)],
    ['is not ASCII', Uint8Array.of(0xff, 0xfe, 0x41)],
  ])('refuses a file that %s, and shows nothing of it', async (_, content) => {
    const file = await keyFile(content)
    const error: unknown = await apiKeyFrom({ environment: {}, provider: 'openai', file }).catch(
      (caught: unknown) => caught,
    )
    expect(error).toMatchObject({ code: 'INVALID_CONFIG', message: expect.stringContaining(file) })
    expect(inspect(error)).not.toContain(Buffer.from(content).toString('latin1').slice(0, 12))
  })

  test('does not go on to variables when the file cannot be read', async () => {
    const asked = { environment: { OPENAI_API_KEY: 'own' }, provider: 'openai', file: join(folder, 'nowhere') } as const
    await expect(apiKeyFrom(asked)).rejects.toMatchObject({ code: 'FILE_UNREADABLE' })
    await expect(apiKeyFrom({ ...asked, file: folder })).rejects.toMatchObject({ code: 'FILE_UNREADABLE' })
  })
})
