/** The RESP door with the clients that people have, and with those that mean no good. */
import { execFile } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { mkdtempSync, writeFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect as connectTls } from 'node:tls'
import { promisify } from 'node:util'
import fc from 'fast-check'
import { Redis } from 'ioredis'
import selfsigned from 'selfsigned'
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import { MembraneError } from '../../src/core/errors.ts'
import type { FragmentStore } from '../../src/core/ports.ts'
import { MemoryStore } from '../../src/store/memory.ts'
import { BodyBudget } from '../../src/server/body-budget.ts'
import { encodeRespCommand } from '../../src/api/resp-codec-call.ts'
import { runs } from '../effort.ts'
import { hostileRespBytes } from '../hostile-messages.ts'
import { missingPrograms, until } from '../redis-server.ts'
import { clientOf, connectResp, plain, type RespClient } from '../resp-client.ts'
import { ANYBODY, authenticatorWith, openRespWorld, type RespWorld, type RespWorldOptions } from '../resp-fixtures.ts'

const run = promisify(execFile)
const missing = missingPrograms('redis-cli', 'redis-benchmark')
const MB = 1024 * 1024

let closers: (() => unknown)[] = []
afterEach(async () => {
  for (const close of closers.reverse()) await close()
  closers = []
})

async function opened(options: RespWorldOptions = {}): Promise<RespWorld> {
  const world = await openRespWorld(options)
  closers.push(() => world.close())
  return world
}

async function connected(world: RespWorld): Promise<RespClient> {
  const client = await connectResp(world.port)
  closers.push(() => client.close())
  return client
}

const said = async (client: RespClient, ...args: readonly (string | Uint8Array)[]): Promise<unknown> =>
  plain(await client.call(...args))

describe.skipIf(missing.length > 0)(`programs of Redis${missing.length > 0 ? ' (skipped)' : ''}`, () => {
  let folder = ''
  let tls: { readonly cert: string; readonly key: string }
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'membrane-resp-'))
    const made = await selfsigned.generate([{ name: 'commonName', value: '127.0.0.1' }], {
      extensions: [
        { name: 'basicConstraints', cA: true },
        { name: 'subjectAltName', altNames: [{ type: 7, ip: '127.0.0.1' }] },
      ],
    })
    tls = { cert: made.cert, key: made.private }
    writeFileSync(join(folder, 'ca.crt'), tls.cert)
  })
  afterAll(() => rm(folder, { recursive: true, force: true }))

  const ways = {
    TCP: async () => {
      const world = await opened()
      return ['-h', '127.0.0.1', '-p', String(world.port)]
    },
    'a Unix socket': async () => {
      const path = join(folder, 'resp.sock')
      await opened({ address: { kind: 'unix', path } })
      return ['-s', path]
    },
    TLS: async () => {
      const world = await opened({ tls: { ...tls, clientCa: null } })
      return ['-h', '127.0.0.1', '-p', String(world.port), '--tls', '--cacert', join(folder, 'ca.crt')]
    },
  } as const

  test.each(Object.entries(ways))('redis-cli works over %s', async (_, open) => {
    const where = await open()
    const cli = async (...args: readonly string[]): Promise<string> =>
      (await run('redis-cli', [...where, ...args], { maxBuffer: 64 * MB })).stdout.trimEnd()
    expect(await cli('ping')).toBe('PONG')
    expect(await cli('set', 'a', 'value', 'ex', '100')).toBe('OK')
    expect(await cli('get', 'a')).toBe('value')
    expect(await cli('-3', 'config', 'get', 'save')).toContain('save')
    expect(await cli('exists', 'a', 'b')).toBe('1')
    expect(await cli('--scan')).toBe('a')
    expect(await cli('command', 'count')).toMatch(/^\d+$/)
    expect(await cli('cluster', 'info')).toContain('cluster support disabled')
    const piped = run('redis-cli', [...where, '--pipe'])
    piped.child.stdin?.end(Buffer.concat([...encodeRespCommand(['set', 'b', 'c'.repeat(3 * MB)])]))
    expect((await piped).stdout).toContain('errors: 0, replies: 1')
    expect(await cli('strlen', 'b')).toBe(String(3 * MB))
  })

  test.each(Object.entries(ways))('redis-benchmark works over %s', async (_, open) => {
    const where = await open()
    const flags = [...where, '-q', '--csv', '-t']
    const small = await run('redis-benchmark', [
      ...flags,
      'ping,set,get,mset',
      '-n',
      '1000',
      '-P',
      '16',
      '-c',
      '20',
      '-r',
      '100',
    ])
    expect(small.stdout).toMatch(/"PING_INLINE"[^]*"PING_MBULK"[^]*"SET"[^]*"GET"[^]*"MSET \(10 keys\)"/)
    const large = await run('redis-benchmark', [
      ...flags,
      'set,get',
      '-n',
      '40',
      '-d',
      '1000000',
      '-c',
      '10',
      '-P',
      '2',
    ])
    expect(large.stdout).toMatch(/"SET"[^]*"GET"/)
    expect(small.stderr + large.stderr).not.toMatch(/error/i)
  })

  test('a certificate of a client says who it is', async () => {
    const authority = await selfsigned.generate([{ name: 'commonName', value: 'authority' }], {
      extensions: [{ name: 'basicConstraints', cA: true }],
    })
    const client = await selfsigned.generate([{ name: 'commonName', value: 'writer-a' }], {
      ca: { key: authority.private, cert: authority.cert },
    })
    const world = await opened({ tls: { ...tls, clientCa: authority.cert }, authenticator: authenticatorWith(null) })
    const options = { host: '127.0.0.1', port: world.port, ca: tls.cert }
    const socket = connectTls({ ...options, cert: client.cert, key: client.private })
    const known = clientOf(socket)
    expect(await said(known, 'client', 'info')).toContain('user=writer-a')
    expect(await said(known, 'set', 'a', '1')).toBe('OK')
    known.close()
    await expect(clientOf(connectTls(options)).call('ping')).rejects.toThrow()
  })

  test('ioredis works over TLS', async () => {
    const world = await opened({ tls: { ...tls, clientCa: null } })
    const redis = new Redis({ host: '127.0.0.1', port: world.port, tls: { ca: tls.cert } })
    closers.push(() => redis.disconnect())
    const value = randomBytes(2 * MB)
    await redis.set('a', value)
    expect((await redis.getBuffer('a'))?.equals(value)).toBe(true)
  })
})

describe('ioredis', () => {
  test('works: pipelines, bytes, large values, scans', async () => {
    const world = await opened()
    const redis = new Redis(world.port, '127.0.0.1', { connectionName: 'tester' })
    closers.push(() => redis.disconnect())
    const answers = await redis.pipeline().set('a', '1').get('a').exists('a').incr('a').mget('a', 'b').exec()
    expect(answers?.map(([error, value]) => error?.message.slice(0, 23) ?? value)).toEqual([
      'OK',
      '1',
      1,
      "ERR unknown command 'in",
      ['1', null],
    ])
    const large = randomBytes(32 * MB)
    await redis.set(Buffer.from([0, 255, 10, 13]), large)
    expect((await redis.getBuffer(Buffer.from([0, 255, 10, 13])))?.equals(large)).toBe(true)
    await redis.mset(Object.fromEntries(Array.from({ length: 300 }, (_, index) => [`key:${index}`, String(index)])))
    const found: string[] = []
    for await (const keys of redis.scanStream({ match: 'key:*', count: 50 })) found.push(...(keys as string[]))
    expect(new Set(found).size).toBe(300)
    expect(await redis.call('hello', '3')).toContain('membrane')
    expect(await redis.info()).toContain('loading:0')
  })
})

describe('the C++ client of LMCache', () => {
  test('reads exactly the bytes that it waits for, with the keys of all its connectors', async () => {
    const world = await opened()
    const client = await connected(world)
    const chunk = randomBytes(256 * 1024)
    const base = `meta-llama/Llama-3.1-8B-Instruct@8@3@${'ab'.repeat(32)}@bfloat16@tag%value`
    const names = [
      base,
      `vllm@${base}`,
      `${base}@7`,
      `${base}metadata`,
      `${base}kv_bytes`,
      `{${base}}:metadata`,
      `${base}:kv_bytes`,
    ]
    let received = Buffer.alloc(0)
    client.socket.removeAllListeners('data')
    client.socket.on('data', (segment: Buffer) => {
      received = Buffer.concat([received, segment])
    })
    const exchange = async (args: readonly (string | Uint8Array)[], expected: Buffer): Promise<void> => {
      received = Buffer.alloc(0)
      client.send(...args)
      await until(async () => received.length >= expected.length)
      expect(received.equals(expected), String(args[0])).toBe(true)
    }
    for (const name of names) {
      await exchange(['EXISTS', name], Buffer.from(':0\r\n'))
      await exchange(['SET', name, chunk], Buffer.from('+OK\r\n'))
      await exchange(['EXISTS', name], Buffer.from(':1\r\n'))
      await exchange(['GET', name], Buffer.concat([Buffer.from(`$${chunk.length}\r\n`), chunk, Buffer.from('\r\n')]))
    }
    await exchange(['GET', 'missing'], Buffer.from('$-1\r\n'))
  })
})

test('what EXISTS has said is there stays there for the lease, and no longer', async () => {
  let nowMs = 1_000_000
  const bound = { payloadBytesMax: 10_000, entriesMax: 100 }
  const world = await opened({ nowMs: () => nowMs, fabric: { bound, policy: 'lru' } })
  const client = await connected(world)
  const fill = async (name: string): Promise<void> => {
    for (let index = 0; index < 20; index++) await client.call('set', `${name}-${index}`, String(index).padEnd(1000))
  }
  await client.call('set', 'asked', 'x'.repeat(1000))
  expect(await said(client, 'exists', 'asked')).toBe(1)
  await fill('first')
  expect((await client.call('get', 'asked')).kind).toBe('bytes')
  expect(await said(client, 'get', 'first-0')).toBeNull()
  nowMs += 6000
  await fill('second')
  expect(await said(client, 'get', 'asked')).toBeNull()
})

describe('who one is', () => {
  test('has to be said where it is required, and nothing is answered before', async () => {
    const world = await opened({ authenticator: authenticatorWith(null) })
    const client = await connected(world)
    for (const args of [['ping'], ['get', 'a'], ['set', 'a', '1'], ['info'], ['client', 'id'], ['scan', '0']])
      expect(await said(client, ...args)).toBe('-NOAUTH Authentication required.')
    expect(await said(client, 'hello', '3')).toContain('-NOAUTH HELLO must be called')
    expect(await said(client, 'nonsense')).toContain('-ERR unknown command')
    expect(await said(client, 'auth', 'wrong')).toContain('-WRONGPASS')
    expect(await said(client, 'auth', 'somebody', 'token-of-a')).toContain('-WRONGPASS')
    for (const user of [[], ['default'], ['writer-a']]) {
      expect(await said(client, 'auth', ...user, 'token-of-a')).toBe('OK')
      expect(await said(client, 'ping')).toBe('PONG')
      expect(await said(client, 'reset')).toBe('RESET')
      expect(await said(client, 'ping')).toContain('-NOAUTH')
    }
    expect(await said(client, 'hello', '3', 'auth', 'default', 'token-of-a', 'setname', 'me')).toMatchObject({
      proto: 3,
    })
    expect(await said(client, 'client', 'getname')).toBe('me')
    expect(await said(client, 'quit')).toBe('OK')
    await expect(client.read()).rejects.toThrow('closed')
  })

  test('may be said wrongly a few times only', async () => {
    const world = await opened({ failedAuthsMax: 3 })
    const client = await connected(world)
    for (let attempt = 0; attempt < 3; attempt++) expect(await said(client, 'auth', 'wrong')).toContain('-WRONGPASS')
    await expect(client.call('ping')).rejects.toThrow('closed')
  })

  test('keeps those who have not said it to short commands', async () => {
    const world = await opened({ authenticator: authenticatorWith(null) })
    for (const text of ['*11\r\n', '*2\r\n$16385\r\n', `*2\r\n$3\r\nget\r\n$16385\r\n`]) {
      const client = await connected(world)
      client.write(text)
      expect(await client.rest()).toMatch(/^-ERR Protocol error: unauthenticated (multi)?bulk length\r\n$/)
    }
  })

  test('decides what one sees: nothing of another tenant, in any answer', async () => {
    const world = await opened()
    const [a, b, reader] = [await connected(world), await connected(world), await connected(world)]
    await a.call('auth', 'token-of-a')
    await b.call('auth', 'token-of-b')
    await reader.call('auth', 'token-of-reader')
    await a.call('set', 'secret', 'of a', 'ex', '1000')
    const questions = [
      ['get', 'secret'],
      ['mget', 'secret'],
      ['exists', 'secret'],
      ['strlen', 'secret'],
      ['ttl', 'secret'],
      ['type', 'secret'],
      ['memory', 'usage', 'secret'],
      ['getrange', 'secret', '0', '-1'],
      ['persist', 'secret'],
      ['expire', 'secret', '1'],
      ['del', 'secret'],
      ['getex', 'secret'],
      ['set', 'secret', 'x', 'xx'],
      ['dbsize'],
      ['keys', '*'],
      ['scan', '0'],
      ['flushdb'],
    ]
    const answers = []
    for (const args of questions) answers.push(await said(b, ...args))
    expect(answers).toEqual([null, [null], 0, 0, -2, 'none', null, '', 0, 0, 0, null, null, 0, [], ['0', []], 'OK'])
    expect(await said(b, 'client', 'list')).not.toContain('writer-a')
    expect(await said(reader, 'get', 'secret')).toBe('of a')
    for (const args of [['set', 'x', '1'], ['del', 'secret'], ['flushdb'], ['expire', 'secret', '0']])
      expect(await said(reader, ...args), String(args)).toContain('-NOPERM')
    expect(await said(a, 'get', 'secret')).toBe('of a')
  })

  test('a walk through keys is its tenant’s own', async () => {
    const world = await opened()
    const [a, b] = [await connected(world), await connected(world)]
    await a.call('auth', 'token-of-a')
    await b.call('auth', 'token-of-b')
    for (const name of ['x', 'y', 'z']) await a.call('set', name, '1')
    const [cursor] = (await said(a, 'scan', '0', 'count', '1')) as [string]
    expect(await said(b, 'scan', cursor)).toContain('-ERR invalid cursor')
    expect(await said(a, 'scan', cursor, 'count', '10')).toMatchObject(['0', expect.anything()])
    expect(await said(a, 'scan', cursor)).toContain('-ERR invalid cursor')
  })

  test('removing all of a tenant is told to the audit', async () => {
    const world = await opened()
    const client = await connected(world)
    await client.call('auth', 'token-of-a')
    await client.call('set', 'x', '1')
    await client.call('flushall')
    expect(world.audited).toMatchObject([
      { action: 'tenant.flush', target: 'a', outcome: 'ok', caller: { name: 'writer-a' } },
    ])
    expect(await said(client, 'exists', 'x')).toBe(0)
  })
})

test('the version of the program is told to who asks', async () => {
  const client = await connected(await opened({ version: '4.5.6' }))
  expect(await said(client, 'info', 'server')).toContain('membrane_version:4.5.6\r\n')
  expect(await said(client, 'hello', '2')).toEqual(expect.arrayContaining(['version', '4.5.6']))
})

test('what is answered is counted, by command and outcome', async () => {
  const world = await opened()
  const client = await connected(world)
  for (let times = 0; times < 3; times++) client.send('exists', 'a')
  client.send('get', '')
  client.send('nonsense')
  for (let times = 0; times < 5; times++) await client.read()
  const counted = Object.fromEntries(
    Array.from(world.operations.meters.requests(), ({ route, byOutcome }) => [route, Object.fromEntries(byOutcome)]),
  )
  expect(counted).toMatchObject({ exists: { ok: 3 }, get: { INVALID_REQUEST: 1 } })
})

/** Answers in later passes of the event loop, as a store on a device does: so that commands could come between. */
function slowStore(): FragmentStore {
  const pause = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))
  return new Proxy<FragmentStore>(new MemoryStore({ nowMs: Date.now }), {
    get: (store, name) => {
      const value: unknown = Reflect.get(store, name)
      if (typeof value !== 'function') return value
      if (name !== 'head' && name !== 'get' && name !== 'put') return value.bind(store)
      return async (...args: readonly unknown[]): Promise<unknown> => {
        await pause()
        return Reflect.apply(value, store, args)
      }
    },
  })
}

describe('one key', () => {
  test('is set by one of many who set it only when it is missing', async () => {
    const world = await opened({ fabric: { store: slowStore() } })
    const clients = await Promise.all(Array.from({ length: 8 }, () => connected(world)))
    for (let round = 0; round < 20; round++) {
      const answers = await Promise.all(
        clients.map((client, index) => said(client, 'set', `k${round}`, String(index), 'nx')),
      )
      expect(answers.filter((answer) => answer === 'OK')).toHaveLength(1)
    }
  })

  test('passes through all values when each is set for the one before', async () => {
    const world = await opened({ fabric: { store: slowStore() } })
    const clients = await Promise.all(Array.from({ length: 8 }, () => connected(world)))
    const olds: unknown[] = []
    await Promise.all(
      clients.map(async (client, index) => {
        for (let step = 0; step < 10; step++) olds.push(await said(client, 'set', 'k', `${index}.${step}`, 'get'))
      }),
    )
    olds.push(await said(clients[0] as RespClient, 'get', 'k'))
    expect(new Set(olds).size).toBe(81)
  })
})

describe('a stream', () => {
  test('has the same answers however it is cut, and in the same order', async () => {
    const world = await opened()
    const text = (bytes: number): string => 'x'.repeat(bytes)
    const commands = fc.array(
      fc.oneof(
        fc.tuple(fc.constant('set'), fc.constantFrom('a', 'b'), fc.constantFrom(0, 5, 20_000, 300_000).map(text)),
        fc.tuple(fc.constantFrom('get', 'exists', 'strlen', 'del'), fc.constantFrom('a', 'b')),
        fc.constantFrom(['ping'], ['nonsense', 'x'], ['exists', 'a', 'b', 'a'], ['mget', 'a', 'none', 'b']),
      ),
      { minLength: 1, maxLength: 20 },
    )
    const answersTo = async (bytes: Buffer, places: readonly number[]): Promise<string> => {
      const client = await connected(world)
      await client.call('flushdb')
      const hash = createHash('sha256')
      const rest = client.rest()
      let start = 0
      for (const end of [...places.map((place) => place % bytes.length).sort((a, b) => a - b), bytes.length]) {
        // Without waiting for the network, the kernel would join them again.
        await new Promise((resolve) => client.socket.write(bytes.subarray(start, end), resolve))
        await new Promise((resolve) => setImmediate(resolve))
        start = end
      }
      return hash.update(await rest).digest('hex')
    }
    await fc.assert(
      fc.asyncProperty(commands, fc.array(fc.nat(), { maxLength: 20 }), async (some, places) => {
        const bytes = Buffer.concat([...some, ['quit']].flatMap((args) => encodeRespCommand(args)))
        expect(await answersTo(bytes, places)).toBe(await answersTo(bytes, []))
      }),
      { numRuns: runs(25) },
    )
  })

  test('that ends is answered to its end', async () => {
    const world = await opened()
    const client = await connected(world)
    client.socket.end('SET a 1\r\nGET a\r\nEXISTS a\r\nPING "x y"\r\n')
    expect(await client.rest()).toBe('+OK\r\n$1\r\n1\r\n:1\r\n$3\r\nx y\r\n')
  })

  test('of what is no RESP is answered with what is wrong, and closed; others are served meanwhile', async () => {
    const world = await opened({ budget: new BodyBudget(64 * MB) })
    const other = await connected(world)
    const before = process.memoryUsage().rss
    await fc.assert(
      fc.asyncProperty(hostileRespBytes, async (bytes) => {
        const client = await connected(world)
        const rest = client.rest()
        client.socket.end(bytes)
        await rest
        expect(await said(other, 'ping')).toBe('PONG')
      }),
      { numRuns: runs(300) },
    )
    expect(world.budget.bytes).toBe(0)
    expect(process.memoryUsage().rss - before).toBeLessThan(300 * MB)
  })
})

describe('bounds', () => {
  test('a value that is too long is refused before it is read', async () => {
    const world = await opened({ payloadBytesMax: 1000 })
    const client = await connected(world)
    client.write('*3\r\n$3\r\nset\r\n$1\r\na\r\n$1001\r\n')
    expect(await client.rest()).toBe('-ERR Protocol error: invalid bulk length\r\n')
  })

  test('bodies wait for room in the budget of all, and all of them arrive', async () => {
    const world = await opened({ budget: new BodyBudget(3 * MB) })
    const clients = await Promise.all(Array.from({ length: 6 }, () => connected(world)))
    const body = randomBytes(2 * MB)
    const answers = await Promise.all(clients.map((client, index) => said(client, 'set', `k${index}`, body)))
    expect(answers).toEqual(Array(6).fill('OK'))
    expect(world.budget.bytes).toBe(0)
  })

  test('who is gone with half a body gives its room back', async () => {
    const world = await opened({ budget: new BodyBudget(3 * MB) })
    const gone = await connected(world)
    gone.write(`*3\r\n$3\r\nset\r\n$1\r\na\r\n$${2 * MB}\r\nabc`)
    await until(async () => world.budget.bytes > 0)
    const waiting = await connected(world)
    const answer = said(waiting, 'set', 'b', randomBytes(2 * MB))
    gone.close()
    expect(await answer).toBe('OK')
    await until(async () => world.budget.bytes === 0)
  })

  test('who is reset with half a body, or waiting for room, gives its room back', async () => {
    const world = await opened({ budget: new BodyBudget(3 * MB) })
    const [half, waiting] = [await connected(world), await connected(world)]
    const begun = `*3\r\n$3\r\nset\r\n$1\r\na\r\n$${2 * MB}\r\nabc`
    half.write(begun)
    await until(async () => world.budget.bytes > 0)
    waiting.write(begun)
    const behind = await connected(world)
    const answer = said(behind, 'set', 'b', randomBytes(2 * MB))
    half.socket.resetAndDestroy()
    waiting.socket.resetAndDestroy()
    expect(await answer).toBe('OK')
    await until(async () => world.budget.bytes === 0)
  })

  test('half a command is waited for, and not for ever', async () => {
    let nowMs = 1_000_000
    const world = await opened({ nowMs: () => nowMs, commandTimeoutMs: 30_000 })
    const [half, idle] = [await connected(world), await connected(world)]
    expect(await said(idle, 'ping')).toBe('PONG')
    // Answered with the first of the two, so the other has been read.
    half.write('PING\r\n*2\r\n$3\r\nge')
    expect(plain(await half.read())).toBe('PONG')
    nowMs += 29_000
    await new Promise((resolve) => setTimeout(resolve, 1500))
    expect(world.door.connections).toBe(2)
    nowMs += 2000
    await until(async () => world.door.connections === 1)
    expect(await said(idle, 'ping')).toBe('PONG')
  })

  test('who announces much and sends little does not keep its room for long', async () => {
    let nowMs = 1_000_000
    const budget = new BodyBudget(25 * MB)
    const world = await opened({ nowMs: () => nowMs, budget, senderBytesPerSecondMin: MB / 8 })
    const [silent, slow, fast] = [await connected(world), await connected(world), await connected(world)]
    for (const client of [silent, slow, fast]) client.write(`*3\r\n$3\r\nset\r\n$1\r\na\r\n$${8 * MB}\r\nabc`)
    await until(async () => world.budget.bytes > 24 * MB)
    for (let passed = 0; passed < 32; passed += 16) {
      nowMs += 16_000
      slow.write('a few')
      fast.write(randomBytes(2 * MB))
    }
    await until(async () => world.budget.bytes < 9 * MB)
    expect(world.door.connections).toBe(1)
  })

  test('what a page in a browser sends to this port is not carried out', async () => {
    const world = await opened()
    for (const lines of ['POST / HTTP/1.1\r\n', 'GET / HTTP/1.1\r\nHost: localhost\r\n']) {
      const page = await connected(world)
      page.write(`${lines}Content-Length: 17\r\n\r\nSET planted yes\r\n`)
      expect(await page.rest()).toMatch(/-ERR this port speaks RESP, not HTTP\r\n$/)
    }
    expect(await said(await connected(world), 'exists', 'planted')).toBe(0)
  })

  test('who does not read its answers is not read from, takes no memory, and is cut', async () => {
    let nowMs = 1_000_000
    const world = await opened({ nowMs: () => nowMs })
    const client = await connected(world)
    await client.call('set', 'a', randomBytes(MB))
    client.socket.pause()
    const before = process.memoryUsage().rss
    for (let sent = 0; sent < 5000; sent++) client.send('get', 'a')
    const other = await connected(world)
    for (let asked = 0; asked < 50; asked++) await said(other, 'get', 'a')
    expect(process.memoryUsage().rss - before).toBeLessThan(200 * MB)
    nowMs += 61_000
    await until(async () => world.door.connections === 1)
  })

  test('one connection too many is told so and closed', async () => {
    const world = await opened({ connectionsMax: 2 })
    const [first] = [await connected(world), await connected(world)]
    await first?.call('ping')
    const third = await connected(world)
    expect(await third.rest()).toBe('-ERR max number of clients reached\r\n')
    expect(await said(first, 'ping')).toBe('PONG')
  })

  test('an error of the store does not say where the node keeps its bytes', async () => {
    const world = await opened()
    const client = await connected(world)
    const details = { directory: '/var/lib/hidden' }
    vi.spyOn(world.fabric, 'of').mockImplementationOnce(() => {
      throw new MembraneError('STORE_FULL', 'Could not write to /var/lib/hidden.', { details })
    })
    expect(await said(client, 'set', 'a', 'x')).toMatch(/^-OOM (?!.*hidden)/)
  })

  test('a full store says so, and an error is one line', async () => {
    const world = await opened({ fabric: { bound: { payloadBytesMax: 1000, entriesMax: 10 } } })
    const client = await connected(world)
    expect(await said(client, 'set', 'a', 'x'.repeat(2000))).toMatch(/^-OOM /)
    expect(await said(client, 'get', '')).toMatch(/^-ERR A foreign key must not be empty/)
    expect(await said(client, 'a\r\nb\0', 'c\r\nd')).toBe(
      "-ERR unknown command 'a  b\\x00', with args beginning with: 'c  d' ",
    )
  })
})

describe('closing', () => {
  test('ends what is under way, answers nothing new, and takes nobody in', async () => {
    const world = await openRespWorld()
    const client = await connected(world)
    const idle = await connected(world)
    await Promise.all([client.call('ping'), idle.call('ping')])
    const body = randomBytes(8 * MB)
    const answer = said(client, 'set', 'a', body)
    await until(async () => world.budget.bytes > 0 || world.fabric.stats().fragments > 0)
    await answer
    client.send('get', 'a')
    const value = client.read()
    await until(async () => client.socket.bytesRead > 1000)
    await world.close()
    expect((await value).kind).toBe('bytes')
    await expect(idle.read()).rejects.toThrow('closed')
    // Another server of these tests may have been given the port by now: it does not have the value.
    const taken = await connectResp(world.port).catch(() => null)
    const late = new Promise<null>((resolve) => setTimeout(resolve, 2000, null))
    const told = taken === null ? null : await Promise.race([taken.call('get', 'a').catch(() => null), late])
    expect(told?.kind).not.toBe('bytes')
    taken?.close()
  })

  test.each([
    ['in its words', '*2\r\n$3\r\nget\r\n$3\r\na'],
    ['in a large value', `*3\r\n$3\r\nset\r\n$1\r\na\r\n$${4 * MB}\r\n${'x'.repeat(1000)}`],
  ])('says so to who has sent a half of a command, %s', async (_, half) => {
    const world = await openRespWorld()
    const client = await connected(world)
    await client.call('ping')
    client.socket.write(half)
    // Written before, and so read before it is answered.
    const other = await connected(world)
    for (let times = 0; times < 3; times++) await other.call('ping')
    const rest = client.rest()
    await world.close()
    expect(await rest).toMatch(/^-LOADING the server is closing: [^\r]*\r\n$/)
    expect(world.budget.bytes).toBe(0)
  })

  test('cuts what is still there when its time is over', async () => {
    const world = await openRespWorld()
    const client = await connected(world)
    await client.call('set', 'a', randomBytes(16 * MB))
    client.socket.pause()
    client.send('get', 'a')
    await until(async () => world.door.connections === 1)
    await world.door.close(AbortSignal.abort())
    expect(world.door.connections).toBe(0)
    await world.fabric.close()
  })

  test('a node that is drained refuses, in the words that clients know', async () => {
    const world = await opened({ authenticator: authenticatorWith(ANYBODY) })
    const client = await connected(world)
    world.operations.gate.drain()
    expect(await said(client, 'get', 'a')).toMatch(/^-LOADING /)
    expect(await said(client, 'ping')).toBe('PONG')
  })
})
