import { mkdtempSync, readFileSync, renameSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { newToken } from './credentials.ts'
import { openLog, requestIdOf } from './log.ts'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'membrane-log-'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

const SETTINGS = { logLevel: 'info', logFile: null, logFormat: 'auto' } as const

function terminalOf(isTTY: boolean) {
  const lines: string[] = []
  return { lines, isTTY, write: (line: string) => lines.push(line) }
}

describe('a log', () => {
  test('is a line of JSON each where nobody watches, with the node and the request', () => {
    const terminal = terminalOf(false)
    const { log } = openLog(SETTINGS, { nodeId: 'n-1', terminal })
    log.child({ requestId: 'r-1' }).info({ bytes: 3 }, 'stored')
    log.debug('not asked for')
    expect(terminal.lines.map((line) => JSON.parse(line))).toEqual([
      {
        level: 'info',
        time: expect.stringMatching(/^\d{4}-.*Z$/),
        node: 'n-1',
        requestId: 'r-1',
        bytes: 3,
        message: 'stored',
      },
    ])
    expect(terminal.lines[0]).toMatch(/\}\n$/)
  })

  test('is text at a terminal, which obeys nothing of it', () => {
    const terminal = terminalOf(true)
    const { log } = openLog(SETTINGS, { nodeId: 'n-1', terminal })
    log.warn({ key: '\u001b[2Jx\n' }, 'odd \u001b]0;name\u0007')
    const [line = ''] = terminal.lines
    expect(line).toContain('WARN')
    expect(line).toContain('odd \\u{1b}]0;name\\u{7}')
    expect(line).toContain('key=\\u{1b}[2Jx\\u{a}')
    expect(line.match(/\n/g)).toHaveLength(1)
  })

  test('is what is asked for, whoever watches', () => {
    const terminal = terminalOf(true)
    openLog({ ...SETTINGS, logFormat: 'json' }, { nodeId: 'n', terminal }).log.info('x')
    expect(JSON.parse(terminal.lines[0] ?? '')).toMatchObject({ message: 'x' })
    const plain = terminalOf(false)
    openLog({ ...SETTINGS, logFormat: 'text' }, { nodeId: 'n', terminal: plain }).log.info({ a: 1 }, 'x')
    expect(plain.lines[0]).toMatch(/^\d\d:\d\d:\d\d\.\d{3} INFO  x a=1\n$/)
  })

  test('shows errors with their stack, on lines of their own', () => {
    const terminal = terminalOf(false)
    const { log } = openLog({ ...SETTINGS, logFormat: 'text' }, { nodeId: 'n', terminal })
    log.error(new Error('boom'))
    expect(terminal.lines[0]).toMatch(/ERROR boom\n {4}Error: boom\n {4}at /)
  })

  test('in a file is for this user, goes on where it was, and can be moved away', async () => {
    const logFile = join(folder, 'membrane.log')
    for (const text of ['one', 'two']) {
      const opened = openLog({ ...SETTINGS, logFile }, { nodeId: 'n', terminal: terminalOf(true) })
      opened.log.info(text)
      await opened.close()
    }
    const opened = openLog({ ...SETTINGS, logFile }, { nodeId: 'n' })
    opened.log.info('three')
    renameSync(logFile, `${logFile}.1`)
    opened.reopen()
    opened.log.info('four')
    await opened.close()
    const messages = (path: string) =>
      readFileSync(path, 'utf8')
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line).message)
    // A line that was on its way goes into one of the two.
    expect([...messages(`${logFile}.1`), ...messages(logFile)]).toEqual(['one', 'two', 'three', 'four'])
    expect(messages(logFile)).toContain('four')
    expect(statSync(logFile).mode & 0o777).toBe(0o600)
  })

  test('that cannot be opened is refused', () => {
    expect(() => openLog({ ...SETTINGS, logFile: join(folder, 'absent', 'x') }, { nodeId: 'n' })).toThrow(
      /cannot be written/,
    )
  })
})

describe('what must not be seen', () => {
  test.each(['json', 'text'] as const)(
    'is in no line of %s: tokens wherever they stand, and what is called so',
    (logFormat) => {
      const terminal = terminalOf(false)
      const { log } = openLog({ ...SETTINGS, logFormat }, { nodeId: 'n', terminal })
      const { token } = newToken()
      log.info({ url: `/x?token=${token}`, deep: { deeper: [token] } }, `got ${token}`)
      log.error(Object.assign(new Error(`no ${token}`), { details: { token } }))
      log.info({ authorization: 'Bearer hunter2', req: { headers: { authorization: 'hunter2', cookie: 'hunter2' } } })
      log.info({
        password: 'hunter2',
        config: { password: 'hunter2', apiKey: 'hunter2', redisUrl: 'redis://:hunter2@h' },
      })
      log.info({ a: { b: { headers: { 'X-Api-Key': 'hunter2', 'Set-Cookie': ['hunter2', 'hunter2'] } } } })
      log.info({ llmApiKey: 'a "hunter2" \\', redisPassword: 'hunter2', tokenHash: 'hunter2' })
      log.warn('Authorization: Bearer hunter2 was sent to redis://user:hunter2@host/0')
      const text = terminal.lines.join('')
      expect(text).toContain('(set)')
      expect(text).not.toContain(token.slice(4, 24))
      expect(text).not.toContain('hunter2')
    },
  )
})

test('what only sounds like a secret stays', () => {
  const terminal = terminalOf(false)
  const { log } = openLog(SETTINGS, { nodeId: 'n', terminal })
  log.info({ promptTokens: 3, token: 4, tokens: ['a'], url: 'http://host:80/a@b' }, 'bearer of tokens')
  expect(JSON.parse(terminal.lines[0] ?? '')).toMatchObject({
    promptTokens: 3,
    token: 4,
    tokens: ['a'],
    url: 'http://host:80/a@b',
  })
})

test('every line stays a line of JSON', () => {
  const terminal = terminalOf(false)
  const { log } = openLog(SETTINGS, { nodeId: 'n', terminal })
  fc.assert(
    fc.property(fc.jsonValue(), fc.string(), fc.constantFrom('password', 'token', 'x'), (value, message, key) => {
      terminal.lines.length = 0
      log.info({ [key]: value, url: `redis://a:${message}@h` }, `Bearer ${message}`)
      expect(() => JSON.parse(terminal.lines[0] ?? '')).not.toThrow()
    }),
  )
})

test('a line that is all beginnings and no end goes through all the same', () => {
  const terminal = terminalOf(false)
  const { log } = openLog(SETTINGS, { nodeId: 'n', terminal })
  log.info({ a: 'x://y:'.repeat(100_000), b: '"password":["a",'.repeat(20_000) }, 'bearer '.repeat(20_000))
  expect(terminal.lines[0]?.length).toBeGreaterThan(1_000_000)
})

test('a request keeps the id that its client gave, if that is harmless, and gets one otherwise', () => {
  expect(requestIdOf('abc-1.2:3')).toBe('abc-1.2:3')
  for (const odd of [null, '', 'a b', 'a\nb', 'x'.repeat(65), 'é']) expect(requestIdOf(odd)).toMatch(/^[0-9a-f]{16}$/)
})
