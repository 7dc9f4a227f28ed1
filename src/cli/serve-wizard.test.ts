import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { mergeServerConfig } from '../api/merge-server-config.ts'
import type { ConfigLayer } from '../api/server-layers.ts'
import { loadServerConfig } from './server-config-load.ts'
import { type Prompts, runWizard, terminalPrompts } from './serve-wizard.ts'

const folder = mkdtempSync(join(tmpdir(), 'membrane-wizard-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** Answers by the beginning of the question, in turn; Enter to all others. */
function promptsOf(answers: Readonly<Record<string, readonly string[]>>) {
  const left = new Map(Object.entries(answers).map(([question, list]) => [question, [...list]]))
  const asked: string[] = []
  const told: string[] = []
  const next = (message: string): string | undefined => {
    asked.push(message)
    return [...left].find(([question]) => message.startsWith(question))?.[1].shift()
  }
  const typed = (message: string, initial: string, check: (answer: string) => string | null): string => {
    for (let answer = next(message) ?? initial; ; answer = next(message) ?? initial) {
      const problem = check(answer)
      if (problem === null) return answer
      told.push(problem)
    }
  }
  const prompts: Prompts = {
    text: async ({ message, initial, check }) => typed(message, initial, check),
    secret: async ({ message, check }) => typed(message, '', check),
    choose: async ({ message, options, initial }) => {
      const answer = next(message) ?? initial
      expect(options).toContain(answer)
      return answer
    },
    confirm: async ({ message, initial }) => (next(message) ?? (initial ? 'yes' : 'no')) === 'yes',
    tell: (message) => told.push(message),
  }
  return { prompts, asked, told }
}

const CURRENT = mergeServerConfig([]).config

function settingsOf({ values }: ConfigLayer): object {
  return Object.fromEntries([...values].map(([key, { value }]) => [key, value]))
}

describe('the wizard', () => {
  test('asks in order, and Enter keeps everything as it is', async () => {
    const { prompts, asked } = promptsOf({})
    const layer = await runWizard(prompts, CURRENT)
    expect(layer.values.size).toBe(0)
    expect(
      asked.map((message) =>
        message
          .split(/[ ,?:]/)
          .slice(0, 2)
          .join(' '),
      ),
    ).toEqual(['Name of', 'Address to', 'Port for', 'Doors ', 'What computes', 'Keep bytes', 'Memory for', 'What is'])
  })

  test('asks a service for what it needs, and a Redis for its password', async () => {
    const { prompts, asked } = promptsOf({
      'Name of': ['node-7'],
      Doors: ['grpc'],
      'What computes': ['openai'],
      'Model of': ['gpt-x'],
      'Key of': ['sk-hunter2'],
      'Keep bytes': ['yes'],
      'Password of': ['pw'],
      'Memory for': ['4GiB'],
    })
    const layer = await runWizard(prompts, CURRENT)
    const { config, origins } = mergeServerConfig([layer])
    expect(config).toMatchObject({
      nodeId: 'node-7',
      grpcPort: 50_051,
      compute: 'openai',
      llmModel: 'gpt-x',
      store: 'redis',
      redisUrl: 'redis://127.0.0.1:6379',
      memoryBytesMax: 4 * 1024 ** 3,
    })
    expect([config.llmApiKey?.reveal(), config.redisPassword?.reveal()]).toEqual(['sk-hunter2', 'pw'])
    expect(origins.llmApiKey).toBe('answer')
    expect(asked.filter((message) => message.startsWith('Key'))).toHaveLength(1)
  })

  test('asks again after an answer that cannot be used, and says why', async () => {
    const { prompts, told } = promptsOf({
      'Port for HTTP': ['abc', '99999', '9000'],
      'What computes': ['ollama'],
      'Model of': ['', 'qwen'],
      'Keep bytes': ['yes'],
      'URL of the Redis': ['redis://:pw@h', 'nonsense', 'redis://h'],
    })
    expect(settingsOf(await runWizard(prompts, CURRENT))).toMatchObject({
      port: 9000,
      llmModel: 'qwen',
      redisUrl: 'redis://h',
    })
    expect(told).toEqual([
      'Expected a whole number from 0 to 65535.',
      'Expected a whole number from 0 to 65535.',
      'Expected a name.',
      expect.stringContaining('Without the password'),
      expect.stringContaining('such as redis://'),
    ])
  })

  test('lets go of a Redis, and of its password with it', async () => {
    const values = {
      store: 'redis',
      redisUrl: 'redis://h',
      redisPassword: 'x',
      llmApiKey: 'k',
      compute: 'openai',
      llmModel: 'm',
    }
    const layer: ConfigLayer = {
      kind: 'file',
      values: new Map(Object.entries(values).map(([key, value]) => [key, { value, origin: 'file' }])),
    }
    const { prompts, asked } = promptsOf({ 'Keep bytes': ['no'] })
    const { config } = mergeServerConfig([layer, await runWizard(prompts, mergeServerConfig([layer]).config)])
    expect(config).toMatchObject({ store: 'disk', redisUrl: null, redisPassword: null, dataDir: 'membrane-data' })
    expect(asked.some((message) => message.startsWith('Key of'))).toBe(false)
  })

  test('writes the answers for the next time, for this user alone, and over nothing', async () => {
    const [taken, path] = [join(folder, 'taken.yaml'), join(folder, 'new.yaml')]
    writeFileSync(taken, 'port: 1\n')
    const { prompts, told } = promptsOf({
      'Port for HTTP': ['9000'],
      'Write these': ['yes'],
      File: [taken, join(folder, 'absent', 'x'), path],
    })
    await runWizard(prompts, CURRENT)
    expect(readFileSync(taken, 'utf8')).toBe('port: 1\n')
    expect(told).toEqual([
      expect.stringContaining('is there already'),
      expect.stringContaining('ENOENT'),
      expect.stringContaining(path),
    ])
    expect(statSync(path).mode & 0o777).toBe(0o600)
    expect((await loadServerConfig({ config: path }, {})).config.port).toBe(9000)
  })

  test('says that nobody is there to be asked', async () => {
    await expect(terminalPrompts()).rejects.toMatchObject({ code: 'INVALID_REQUEST' })
  })
})
