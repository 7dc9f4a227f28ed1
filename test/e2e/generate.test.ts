import { spawn } from 'node:child_process'
import { cpSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { DEFAULT_MODEL_PATH } from '../../src/compute/cpu.ts'
import { readGgufHeader } from '../../src/engine/gguf.ts'
import { tokenizerOf } from '../../src/engine/tokenizer.ts'
import { KEY, MODELS, OPENAI_USAGE, startOpenAi } from '../mocks/providers.ts'
import { openCommand, PROGRAM, ROOT, type Run } from './command.ts'

const { folder, write, json, membrane } = openCommand('generate')

const BLOCK = 16
const TEXT = readFileSync(join(ROOT, 'examples/packages.txt'), 'utf8').slice(0, 2400)
const PROMPT = ['--prompt-file', write('prompt.txt', TEXT), '--max-tokens', '12']

interface Printed {
  readonly text: string
  readonly promptTokens: number
  readonly reusedTokens: number
  readonly prefilledTokens: number
  readonly kvHash: string
  readonly explain: readonly { readonly start: number; readonly end: number; source: string; reason: string }[]
}

const dataDir = (name: string): readonly string[] => ['--data-dir', join(folder, name)]
const generate = (...words: readonly string[]): Printed => json('generate', ...words)
const computed = generate(...PROMPT)

/** The answer of the prompt, however it came about. */
const right = { text: computed.text, kvHash: computed.kvHash, promptTokens: computed.promptTokens }

function expectWhole({ explain, promptTokens }: Printed): void {
  expect(explain.map(({ start }) => start)).toEqual([0, ...explain.slice(0, -1).map(({ end }) => end)])
  expect(explain.at(-1)?.end).toBe(promptTokens)
}

interface Started {
  readonly kill: (signal: NodeJS.Signals) => void
  readonly ended: Promise<Run>
  /** Ends when something was printed on standard output. */
  readonly printed: Promise<void>
}

/** Beside the test, which may answer it. */
function start(
  words: readonly string[],
  { input = '', env = {}, program = PROGRAM }: { input?: string; env?: NodeJS.ProcessEnv; program?: string } = {},
): Started {
  const child = spawn(process.execPath, [program, ...words], { cwd: folder, env: { ...process.env, ...env } })
  child.stdin.end(input)
  let [out, err] = ['', '']
  child.stderr.on('data', (piece) => (err += String(piece)))
  const printed = new Promise<void>((resolve) => {
    child.stdout.on('data', (piece) => {
      out += String(piece)
      resolve()
    })
  })
  const ended = new Promise<Run>((resolve) => child.on('close', (code) => resolve({ code, out, err })))
  return { kill: (signal) => child.kill(signal), ended, printed }
}

describe('generating on a data directory', () => {
  test('continues in a second process what a first one computed: equal text and KV, only the rest computed', () => {
    const first = generate(...PROMPT, ...dataDir('two'))
    expect(first).toMatchObject({ ...right, reusedTokens: 0, prefilledTokens: first.promptTokens })
    const second = generate(...PROMPT, ...dataDir('two'))
    expect(second).toMatchObject(right)
    expect(second.reusedTokens).toBeGreaterThan(second.promptTokens / 2)
    expect(second.reusedTokens + second.prefilledTokens).toBe(second.promptTokens)
    expect(second.explain.some(({ source }) => source === 'disk')).toBe(true)
    expectWhole(second)
    const anew = generate(...PROMPT, '--no-reuse', ...dataDir('two'))
    expect(anew).toMatchObject({ ...right, reusedTokens: 0, prefilledTokens: anew.promptTokens })
    expectWhole(anew)
  })

  test('reuses of another prompt whole blocks of the true common prefix, and nothing after it', async () => {
    generate(...PROMPT, ...dataDir('change'))
    const at = TEXT.indexOf('Summary', 2000)
    const other = `${TEXT.slice(0, at)}Xummary${TEXT.slice(at + 7)}`
    const words = ['--prompt-file', write('other.txt', other), '--max-tokens', '4', ...dataDir('change')]
    const tokenizer = tokenizerOf(await readGgufHeader(DEFAULT_MODEL_PATH))
    const [a, b] = [tokenizer.encode(TEXT), tokenizer.encode(other)]
    const commonTokens = tokenizer.startTokens.length + a.findIndex((id, index) => id !== b[index])
    const reusing = generate(...words)
    expect(reusing.reusedTokens).toBeGreaterThan(0)
    expect(reusing.reusedTokens % BLOCK).toBe(0)
    expect(reusing.reusedTokens).toBeLessThanOrEqual(commonTokens)
    for (const { end, source } of reusing.explain) if (source === 'disk') expect(end).toBeLessThanOrEqual(commonTokens)
    const { text, kvHash } = generate(...words, '--no-reuse')
    expect(reusing).toMatchObject({ text, kvHash })
    expect(kvHash).not.toBe(right.kvHash)
  })

  test('gives a tenant nothing of another', () => {
    generate(...PROMPT, '--tenant', 'ann', ...dataDir('tenants'))
    expect(generate(...PROMPT, '--tenant', 'bob', ...dataDir('tenants'))).toMatchObject({ ...right, reusedTokens: 0 })
    expect(generate(...PROMPT, '--tenant', 'ann', ...dataDir('tenants')).reusedTokens).toBeGreaterThan(0)
  })

  test('computes again what is damaged, says so, and answers as before', () => {
    generate(...PROMPT, ...dataDir('damaged'))
    damage(join(folder, 'damaged'))
    const again = generate(...PROMPT, ...dataDir('damaged'))
    expect(again).toMatchObject(right)
    expectWhole(again)
    const gap = again.explain.find(
      ({ source, reason }) => source === 'prefill' && reason.startsWith('Computed after all'),
    )
    expect(gap?.reason).toContain('disk')
    expect(readdirSync(join(folder, 'damaged', 'quarantine'))).not.toEqual([])
    const healed = generate(...PROMPT, ...dataDir('damaged'))
    expect(healed).toMatchObject(right)
    expect(healed.reusedTokens).toBeGreaterThan(again.reusedTokens)
  })

  test('measures anew when what it had measured cannot be read, and says so', () => {
    generate(...PROMPT, ...dataDir('rates'))
    writeFileSync(join(folder, 'rates', 'rates'), '{"version":1')
    const { code, out, err } = membrane('generate', ...PROMPT, '--json', ...dataDir('rates'))
    expect(code).toBe(0)
    expect(err).toContain('rates are measured anew')
    expect(JSON.parse(out)).toMatchObject(right)
    expect(membrane('generate', ...PROMPT, '--json', ...dataDir('rates')).err).toBe('')
  })

  test('finds what was made ready before, as it was explained', () => {
    const [, prompt = ''] = PROMPT
    const file = ['--prompt-file', prompt, ...dataDir('ready')]
    const rebuilt = json('rebuild', ...file)
    expect(rebuilt).toMatchObject({ kvHash: right.kvHash, reusedTokens: 0, promptTokens: right.promptTokens })
    expect(rebuilt.stored).toMatchObject({ refused: 0 })
    expect(rebuilt.stored.fragments).toBeGreaterThan(0)
    const { steps } = json('explain', ...file)
    expect(steps.map(({ source }: { source: string }) => source)).toContain('disk')
    expect(steps.at(-1).span.end).toBe(right.promptTokens)
    expect(membrane('explain', ...file).out).toMatch(/disk .*computing its \d+ tokens here would take/)
    const generated = generate(...PROMPT, ...dataDir('ready'))
    expect(generated).toMatchObject(right)
    expect(generated.reusedTokens).toBeGreaterThan(0)
  })

  test('ends soon on an interrupt, and leaves a directory in which nothing is damaged', async () => {
    const long = ['--prompt-file', PROMPT[1] ?? '', '--max-tokens', '1200', '--temperature', '3', ...dataDir('stopped')]
    const running = start(['generate', ...long])
    await running.printed
    running.kill('SIGINT')
    const { code, err } = await running.ended
    expect({ code, err }).toMatchObject({ code: 130, err: expect.stringContaining('cancelled') as string })
    expect(membrane('scrub', ...dataDir('stopped'))).toMatchObject({ code: 0 })
    expect(generate(...PROMPT, ...dataDir('stopped'))).toMatchObject(right)
  })
})

describe('what is printed', () => {
  test('is one JSON document with every figure', () => {
    const printed = json('generate', ...PROMPT)
    expect(printed).toMatchObject({
      text: expect.any(String) as string,
      tokens: expect.any(Number) as number,
      promptTokens: expect.any(Number) as number,
      reusedTokens: 0,
      prefilledTokens: expect.any(Number) as number,
      ttftSeconds: expect.any(Number) as number,
      decodeTokensPerSecond: expect.any(Number) as number,
      kvHash: expect.stringMatching(/^b3:[0-9a-f]{64}$/) as string,
      loadSeconds: expect.any(Number) as number,
    })
    expect(printed.tokens).toBeLessThanOrEqual(12)
    for (const span of printed.explain)
      expect(Object.keys(span).toSorted()).toEqual(['bytes', 'end', 'reason', 'seconds', 'source', 'start'])
    expectWhole(printed)
  })

  test('is the text alone on standard output, with the figures beside it', () => {
    const { code, out, err } = membrane('generate', ...PROMPT)
    expect({ code, out }).toEqual({ code: 0, out: `${right.text}\n` })
    expect(err).toMatch(
      new RegExp(
        `${right.promptTokens} tokens, 0 reused, ${right.promptTokens} computed\\n.*first token after [\\d.]+ m?s`,
      ),
    )
    expect(err).toContain('prefill')
  })

  test('is the same for a prompt from standard input', async () => {
    const { out } = await start(['generate', '--prompt-file', '-', '--max-tokens', '12', '--json'], { input: TEXT })
      .ended
    expect(JSON.parse(out)).toMatchObject(right)
  })
})

describe('generating refuses', () => {
  const [, file = ''] = PROMPT
  test.each([
    ['no prompt', [], 'One prompt is needed'],
    ['two prompts', ['--prompt', 'x', '--prompt-file', file], 'either --prompt or --prompt-file'],
    ['an empty prompt', ['--prompt', ''], 'The prompt is empty'],
    ['a file that is not there', ['--prompt-file', '/nowhere/file'], '/nowhere/file cannot be read (ENOENT)'],
    ['a directory', ['--prompt-file', folder], 'cannot be read (a directory)'],
    ['what is no text', ['--prompt-file', write('bytes', Buffer.of(0x61, 0xff))], 'is not UTF-8 text'],
    [
      'a prompt longer than the context',
      ['--prompt-file', write('long.txt', TEXT.repeat(4))],
      /has \d{4} tokens; .* takes 2048/,
    ],
    ['no tokens to generate', ['--prompt', 'x', '--max-tokens', '0'], 'Expected a whole number, 1 or more'],
    ['more tokens than there is room for', ['--prompt', 'x', '--max-tokens', '2048'], 'room to generate 1 to'],
    ['an engine that is none', ['--prompt', 'x', '--compute', 'abacus'], 'Allowed choices are cpu, llama'],
    ['a model that is none', ['--prompt', 'x', '--model', file], 'does not begin with GGUF'],
    [
      'a model that is cut off',
      ['--prompt', 'x', '--model', write('cut.gguf', readFileSync(DEFAULT_MODEL_PATH).subarray(0, 1_000_000))],
      'The file ends too early',
    ],
    [
      'the URL of a service for an engine',
      ['--prompt', 'x', '--llm-url', 'http://127.0.0.1:1'],
      'does not go with cpu',
    ],
    ['a service without a model', ['--prompt', 'x', '--compute', 'openai'], 'Give --llm-model NAME'],
    [
      'a service with a data directory',
      ['--prompt', 'x', '--compute', 'ollama', '--llm-model', 'm', ...dataDir('none')],
      'keeps its KV to itself',
    ],
    ['both ways of reuse', ['--prompt', 'x', '--no-reuse', '--moved'], 'give one of them'],
  ])('%s', (_, words, message) => {
    const { code, out, err } = membrane('generate', ...words)
    expect(code).toBe(1)
    expect(err).toMatch(message)
    expect(err).not.toContain('internal error')
    expect(out).toBe('')
    expect(JSON.parse(membrane('generate', ...words, '--json').out).error.message).toBeTypeOf('string')
  })

  test('an engine whose package is not installed, and says how to install it', async () => {
    const elsewhere = join(folder, 'elsewhere')
    mkdirSync(elsewhere)
    cpSync(join(ROOT, 'dist'), join(elsewhere, 'dist'), { recursive: true })
    for (const name of ['kernel', 'models', 'package.json', 'node_modules'])
      symlinkSync(join(ROOT, name), join(elsewhere, name))
    const program = join(elsewhere, 'dist/cli/main.js')
    const { code, err } = await start(['generate', '--prompt', 'x', '--compute', 'llama'], { program }).ended
    expect({ code, err }).toEqual({
      code: 1,
      err: expect.stringMatching(/node-llama-cpp is not installed\. Run npm install node-llama-cpp@/) as string,
    })
  })
})

describe('generating with a service', () => {
  test('streams its text, reports what it cached, and shows its key to nobody', async () => {
    const mock = await startOpenAi()
    try {
      mock.server.answer(mock.streamed(['Hello', ' there']))
      const url = ['--compute', 'openai', '--llm-url', mock.baseUrl, '--llm-model', MODELS.openai]
      const words = ['generate', '--prompt', 'Say hello.', ...url]
      const env = { OPENAI_API_KEY: KEY }
      const people = await start([...words, '--debug'], { env }).ended
      expect(people).toMatchObject({ code: 0, out: 'Hello there\n' })
      const printed = await start([...words, '--json'], { env }).ended
      expect(printed).toMatchObject({ code: 0, err: '' })
      expect(JSON.parse(printed.out)).toMatchObject({
        text: 'Hello there',
        promptTokens: OPENAI_USAGE.prompt_tokens,
        reusedTokens: OPENAI_USAGE.prompt_tokens_details.cached_tokens,
        tokens: OPENAI_USAGE.completion_tokens,
        kvHash: null,
        explain: [],
      })
      expect(mock.server.received[0]?.headers.authorization).toBe(`Bearer ${KEY}`)
      expect(mock.server.received[0]?.body['messages']).toEqual([{ role: 'user', content: 'Say hello.' }])
      mock.server.answer(mock.refusal(401, `Wrong key: ${KEY}`))
      const refused = await start([...words, '--debug', '--json'], { env }).ended
      expect(refused.code).toBe(1)
      for (const { out, err } of [people, printed, refused]) expect(out + err).not.toContain(KEY)
    } finally {
      await mock.server.stop()
    }
  })
})

/** Flips one byte in the middle of the largest segment. */
function damage(directory: string): void {
  const segments = readdirSync(join(directory, 'segments')).map((name) => join(directory, 'segments', name))
  const contents = segments.map((path) => ({ path, bytes: readFileSync(path) }))
  const [largest] = contents.toSorted((a, b) => b.bytes.length - a.bytes.length)
  if (largest === undefined) throw new Error('There is no segment.')
  const middle = Math.floor(largest.bytes.length / 2)
  largest.bytes[middle] = (largest.bytes[middle] ?? 0) ^ 1
  writeFileSync(largest.path, largest.bytes)
}
