import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, describe, expect, test } from 'vitest'
import { stringify } from 'yaml'
import { runs } from '../../test/effort.ts'
import { MembraneError } from '../core/errors.ts'
import { loadServerConfig } from './server-config-load.ts'
import { serverConfigJson, serverConfigLines } from './server-config-print.ts'

const folder = mkdtempSync(join(tmpdir(), 'membrane-serve-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

function file(text: string, name = 'server.yaml'): string {
  const path = join(folder, name)
  writeFileSync(path, text)
  chmodSync(path, 0o600)
  return path
}

async function refusal(act: Promise<unknown>): Promise<MembraneError> {
  try {
    await act
  } catch (error) {
    if (error instanceof MembraneError) return error
    throw error
  }
  throw new Error('nothing was refused')
}

describe('a configuration file', () => {
  test('gives its settings with their lines, and its paths as seen from where it is', async () => {
    const path = file(
      '# mine\nport: 9000\n\nmemoryBytesMax: 2 GiB\nleaseSeconds: 2min\ndataDir: data\nlogFile: /var/log/x\n',
    )
    const { config, origins } = await loadServerConfig({ config: path }, {})
    expect(config).toMatchObject({ port: 9000, memoryBytesMax: 2 ** 31, leaseSeconds: 120, logFile: '/var/log/x' })
    expect(config.dataDir).toBe(join(folder, 'data'))
    expect(origins).toMatchObject({ port: `file ${path}, line 2`, dataDir: `file ${path}, line 6`, host: 'default' })
  })

  test('may be JSON, be named by a variable, or say nothing', async () => {
    const path = file('{\n  "port": 1\n}', 'server.json')
    expect((await loadServerConfig({}, { MEMBRANE_CONFIG: path })).config.port).toBe(1)
    expect((await loadServerConfig({ config: path }, { MEMBRANE_PORT: '2' })).config.port).toBe(2)
    expect((await loadServerConfig({ config: path, port: '3' }, { MEMBRANE_PORT: '2' })).config.port).toBe(3)
    expect((await loadServerConfig({ config: file('') }, {})).config.port).toBe(8080)
    expect((await loadServerConfig({}, { MEMBRANE_CONFIG: '' })).config.port).toBe(8080)
  })

  test.each([
    ['port: 1\nprot: 2', /line 2: there is no setting "prot"/],
    ['port: 1\nrespPort: many', /line 2: respPort: expected a whole number/],
    ['- port: 1', /expected settings by name/],
    ['port: 1\nport: 2', /:2: not YAML or JSON \(DUPLICATE_KEY\)/],
    ['port: [1', /not YAML or JSON/],
    ['port: *x', /aliases|not YAML/],
    ['cluster: off\npeers: [a:1]', /peers is for a cluster/],
    ['cluster: redis', /needs its address/],
  ])('%j is refused, with the place', async (text, message) => {
    expect((await refusal(loadServerConfig({ config: file(text) }, {}))).message).toMatch(message)
  })

  test('that is not there is refused', async () => {
    expect((await refusal(loadServerConfig({ config: join(folder, 'absent') }, {}))).code).toBe('FILE_UNREADABLE')
  })

  test('with a secret that others can read is worth a warning', async () => {
    const path = file('store: redis\nredisUrl: redis://h\nredisPassword: x\n')
    expect((await loadServerConfig({ config: path }, {})).notes).toEqual([])
    chmodSync(path, 0o644)
    expect((await loadServerConfig({ config: path }, {})).notes).toEqual([expect.stringContaining('chmod 600')])
    expect((await loadServerConfig({ config: file('port: 1') }, {})).notes).toEqual([])
  })
})

describe('what is printed', () => {
  test('is a configuration file that gives the same settings', async () => {
    const first = await loadServerConfig(
      {
        port: '9000',
        store: 'memory',
        logFile: 'odd: "name" #1',
        model: 'on',
        nodeId: 'null',
        allowPeer: ['a:1'],
        ttl: '12h',
      },
      {},
    )
    const second = await loadServerConfig({ config: file(serverConfigLines(first).join('\n'), 'printed.yaml') }, {})
    const paths = { logFile: join(folder, 'odd: "name" #1'), model: join(folder, 'on') }
    expect(second.config).toEqual({ ...first.config, ...paths })
  })

  test('says where each value came from, and of secrets that only', async () => {
    const effective = await loadServerConfig(
      { store: 'redis', redis: 'redis://h' },
      { MEMBRANE_REDIS_PASSWORD: 'hunter2', MEMBRANE_PORT: '1' },
    )
    const text = serverConfigLines(effective).join('\n')
    expect(text).toMatch(/^port: 1 +# environment MEMBRANE_PORT$/m)
    expect(text).toMatch(/^# redisPassword: +\(set, from environment MEMBRANE_REDIS_PASSWORD\)$/m)
    expect(text).toMatch(/^llmApiKey: null +# default$/m)
    expect(text).not.toContain('hunter2')
    expect(JSON.parse(JSON.stringify(serverConfigJson(effective)))).toMatchObject({
      settings: {
        port: { value: 1, from: 'environment MEMBRANE_PORT' },
        redisPassword: { value: '(set)', from: 'environment MEMBRANE_REDIS_PASSWORD' },
      },
    })
  })

  test('holds nothing that a terminal would obey', async () => {
    const path = file('port: 1\n', 'odd\u001b[2J.yaml')
    expect(serverConfigLines(await loadServerConfig({ config: path }, {})).join('')).not.toContain('\u001b')
  })
})

test('no secret of a file shows, in what is printed or refused, however it is written there', async () => {
  const pieces = fc.array(
    fc.constantFrom('s3cr3t', 'x', '*', '&', '!', '%', '@', ':', ' ', '"', "'", '\n', '{', '[', '#', '|', '- '),
  )
  const form = fc.constantFrom<(key: string, secret: string) => string>(
    (key, secret) => stringify({ [key]: secret }),
    (key, secret) => `${key}: ${secret}\n`,
    (key, secret) => `{"${key}": "${secret}"}`,
    (key, secret) => `${key}: [${secret}]\n`,
    (key, secret) => `${key}:\n  deep: ${secret}\n`,
    (key, secret) => `${key}: redis://:${secret}@h\n`,
  )
  const key = fc.constantFrom('redisPassword', 'llmApiKey', 'redisUrl')
  const rest = fc.constantFrom('', 'store: redis\n', 'port: x\n', 'store: redis\nredisUrl: redis://h\n', 'a: b: c\n')
  await fc.assert(
    fc.asyncProperty(key, form, pieces, rest, async (name, write, parts, others) => {
      const config = file(`${others}${write(name, `s3cr3t${parts.join('')}`)}`, 'secret.yaml')
      let shown: string
      try {
        const effective = await loadServerConfig({ config }, {})
        shown = `${serverConfigLines(effective).join('\n')}${JSON.stringify(serverConfigJson(effective))}`
      } catch (error) {
        if (!(error instanceof MembraneError)) throw error
        shown = `${error.message} ${error.remedy} ${JSON.stringify(error.details)} ${String(error.cause)} ${error.stack}`
      }
      expect(shown).not.toContain('s3cr3t')
    }),
    { numRuns: runs(100, 5000) },
  )
}, 300_000)
