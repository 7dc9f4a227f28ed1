/** The Redis store when servers die, hang, refuse, run full or hold what somebody else wrote. */
import { afterEach, describe, expect, test } from 'vitest'
import { MembraneError } from '../../src/core/errors.ts'
import { LIMITS } from '../../src/core/limits.ts'
import { RedisStore, type RedisStoreOptions } from '../../src/store/redis.ts'
import { VerifiedStore } from '../../src/store/verified.ts'
import {
  bytesOf,
  collect,
  expectFragment,
  fragmentOf,
  HOUR_MS,
  rejectsWith,
  TEST_HASHERS,
  toArray,
  VirtualClock,
} from '../contracts/store-fixtures.ts'
import {
  cli,
  missingPrograms,
  startRedisCluster,
  startRedisSentinel,
  startRedisServer,
  until,
} from '../redis-server.ts'

const missing = missingPrograms('redis-server', 'redis-cli')
const clock = new VirtualClock()
/** Closed after each test, the last first. */
const toEnd: (() => Promise<void>)[] = []

afterEach(async () => {
  for (let end = toEnd.pop(); end !== undefined; end = toEnd.pop()) await end()
})

describe.skipIf(missing.length > 0)(
  missing.length > 0 ? `RedisStore in trouble (skipped: no ${missing.join(', no ')})` : 'RedisStore in trouble',
  () => {
    // `always`: with `everysec`, Redis holds writes back while it syncs earlier ones, and a kill then takes them along.
    describe.each([
      [
        'one server',
        started(
          () => startRedisServer({ appendFsync: 'always' }),
          (server) => server,
        ),
      ],
      [
        'a master of a cluster',
        started(
          () => startRedisCluster({ appendFsync: 'always' }),
          (cluster) => cluster.masters[1],
        ),
      ],
    ])('when %s is killed and started again', (_, start) => {
      test('loses nothing that it acknowledged, says STORE_UNAVAILABLE meanwhile, and comes back by itself', async () => {
        const { url, server } = await start()
        const store = await openStore({ url, timeoutMs: 1000 })
        const acknowledged = new Map<string, ReturnType<typeof fragmentOf>>()
        const codes = new Set<unknown>()
        const over = new AbortController()
        const writer = async (name: string): Promise<void> => {
          for (let index = 0; !over.signal.aborted; index++) {
            const put = fragmentOf(`${name}/${index}`, bytesOf(20_000, index))
            try {
              await store.put(put)
              acknowledged.set(put.key, put)
              await store.has([put.key, 'other'])
            } catch (error) {
              codes.add(error instanceof MembraneError ? error.code : error)
              await new Promise((resolve) => setTimeout(resolve, 5))
            }
          }
        }
        const writers = ['a', 'b', 'c'].map(writer)
        await until(async () => acknowledged.size > 50)
        await server.kill()
        await until(async () => codes.size > 0)
        const before = acknowledged.size
        await server.restart()
        await until(async () => acknowledged.size > before + 50)
        over.abort()
        await Promise.all(writers)
        expect([...codes]).toEqual(['STORE_UNAVAILABLE'])
        // Payloads come through a connection of their own, which may be back a moment later.
        await until(async () => (await store.get('a/0').catch(() => null)) !== null)
        for (const put of acknowledged.values()) expectFragment(await store.get(put.key), put)
        await store.recount()
        expect(store.stats().entries).toBeGreaterThanOrEqual(acknowledged.size)
      })
    })

    test('moves to the new master when sentinels make one', async () => {
      const sentinel = await startRedisSentinel()
      toEnd.push(sentinel.stop)
      const store = await openStore({ url: sentinel.url, timeoutMs: 1000 })
      const put = fragmentOf('k', bytesOf(100_000))
      await store.put(put)
      await until(async () => (await cli(sentinel.replica.port, 'dbsize')).trim() === '1')
      await sentinel.master.kill()
      await rejectsWith(store.get('k'), 'STORE_UNAVAILABLE')
      await until(async () => (await store.head('k').catch(() => null)) !== null)
      expectFragment(await store.get('k'), put)
      await until(async () => (await store.put(fragmentOf('l', bytesOf(10))).catch(() => null)) !== null)
      expect(await cli(sentinel.replica.port, 'dbsize')).toBe('2\n')
    })

    test('ends calls to a server that hangs by their deadline, and goes on when it answers again', async () => {
      const { server, store } = await oneServer({ timeoutMs: 300 })
      const put = fragmentOf('k', bytesOf(1000))
      await store.put(put)
      server.pause()
      const calls = [
        store.get('k'),
        store.has(['k']),
        store.put(fragmentOf('l', bytesOf(2_000_000))),
        store.remove(['k']),
      ]
      await Promise.all(calls.map((call) => rejectsWith(call, 'STORE_UNAVAILABLE')))
      await rejectsWith(store.get('k'), 'STORE_UNAVAILABLE')
      server.resume()
      await until(async () => (await store.has(['k']).catch(() => null)) !== null)
      await until(async () => (await store.put(put).catch(() => null)) !== null)
      expectFragment(await store.get('k'), put)
    })

    test('gives up a connection on which a deadline passed, since what waits there would only grow', async () => {
      const { server, store } = await oneServer({ timeoutMs: 300 })
      const connections = async (): Promise<number> =>
        Number(/total_connections_received:(\d+)/.exec(await cli(server.port, 'info', 'stats'))?.[1])
      const before = await connections()
      server.pause()
      await rejectsWith(store.remove(['k']), 'STORE_UNAVAILABLE')
      server.resume()
      await until(async () => (await store.remove(['k']).catch(() => null)) !== null)
      // One is that of the second question.
      expect((await connections()) - before).toBe(2)
    })

    test('closes while its server is away', async () => {
      const { server, store } = await oneServer({ timeoutMs: 300 })
      await server.kill()
      await rejectsWith(store.get('k'), 'STORE_UNAVAILABLE')
      await store.close()
      await rejectsWith(store.get('k'), 'STORE_CLOSED')
    })

    test('breaks a stream whose server dies, with an error that says so', async () => {
      const { server, store } = await oneServer({ timeoutMs: 1000 })
      await store.put(fragmentOf('k', bytesOf(8_000_000)))
      const stream = (await store.stream('k')) ?? expect.unreachable()
      const reading = async (): Promise<void> => {
        for await (const _ of stream.chunks) await server.kill()
      }
      await rejectsWith(reading(), 'STORE_UNAVAILABLE')
    })

    test('answers what somebody damaged with a miss, counts it, and takes a good copy', async () => {
      const { server, store } = await oneServer()
      const cut = `redis.call('set', KEYS[1], string.sub(redis.call('get', KEYS[1]), 1, -2))`
      const damages: Record<string, (key: string) => Promise<unknown>> = {
        'the magic letters': (key) => cli(server.port, 'setrange', key, '1', 'X'),
        'the hash': (key) => cli(server.port, 'setrange', key, '40', 'XX'),
        'the head': (key) => cli(server.port, 'setrange', key, '80', 'XX'),
        'the end, which is cut off': (key) => cli(server.port, 'eval', cut, '1', key),
        'an end that is too long': (key) => cli(server.port, 'append', key, 'X'),
        'all of it': (key) => cli(server.port, 'set', key, 'somebody else'),
        'the type': async (key) => [await cli(server.port, 'del', key), await cli(server.port, 'lpush', key, 'x')],
        'the key': async (key) => [
          await store.put(fragmentOf('other', bytesOf(10))),
          await cli(server.port, 'rename', key.replace(/k$/, 'other'), key),
        ],
      }
      const put = fragmentOf('k', bytesOf(5000), { head: bytesOf(50) })
      let count = 0
      for (const [what, damage] of Object.entries(damages)) {
        await store.put(put)
        await damage(REDIS_KEY('k'))
        expect(await store.get('k'), what).toBeNull()
        expect(store.stats().corruptEntries, what).toBeGreaterThan(count)
        count = store.stats().corruptEntries
        expect(await store.put(put), what).not.toBe('present')
        expectFragment(await store.get('k'), put)
      }
      expect(await store.recount()).toMatchObject({ entries: 1, payloadBytes: 5000 })
    })

    test('together with `verified`, answers damaged payloads with a miss and counts them', async () => {
      const { server, store: inner } = await oneServer()
      const store = new VerifiedStore({ store: inner, hashers: TEST_HASHERS, quarantine: null })
      const put = fragmentOf('k', bytesOf(3_000_000))
      await store.put(put)
      await cli(server.port, 'setrange', REDIS_KEY('k'), '2000000', 'XX')
      const stream = (await store.stream('k')) ?? expect.unreachable()
      await rejectsWith(collect(stream.chunks), 'CONTENT_MISMATCH')
      expect(store.stats().corruptEntries).toBe(1)
      await store.put(put)
      await cli(server.port, 'setrange', REDIS_KEY('k'), '2000000', 'XX')
      expect(await store.get('k', { span: { start: 0, end: 10 } })).toBeNull()
      expect(store.stats()).toEqual({ entries: 0, payloadBytes: 0, corruptEntries: 2 })
      expect(await store.put(put)).toBe('stored')
      expectFragment(await store.get('k'), put)
    })

    test('leaves alone what others keep in the same database', async () => {
      const { server, url, store } = await oneServer()
      const neighbour = await openStore({ url, name: 'test-2' })
      await neighbour.put(fragmentOf('k', bytesOf(10)))
      const foreign = [
        'k',
        'membrane:test',
        'membrane:test:',
        'membrane:test:{x}k',
        'membrane:test:%7bk',
        'xmembrane:test:k',
      ]
      for (const key of foreign) await cli(server.port, 'set', key, 'theirs')
      await store.put(fragmentOf('mine', bytesOf(10)))
      expect((await toArray(store.list())).map((entry) => entry.key)).toEqual(['mine'])
      expect(await store.has(['k', '{x}k'])).toEqual([false, false])
      expect(await store.remove(['k', '{x}k', 'mine'])).toBe(1)
      expect(await store.recount()).toEqual({ entries: 0, payloadBytes: 0, corruptEntries: 0 })
      for (const key of foreign) expect(await cli(server.port, 'get', key)).toBe('theirs\n')
      expect(await neighbour.has(['k'])).toEqual([true])
    })

    test('shares entries with stores of its name, and counts theirs when it is asked to', async () => {
      const { url, store } = await oneServer()
      const other = await openStore({ url })
      const put = fragmentOf('k', bytesOf(1000))
      await other.put(put)
      expectFragment(await store.get('k'), put)
      expect(store.stats().entries).toBe(0)
      expect(await store.recount()).toMatchObject({ entries: 1, payloadBytes: 1000 })
      expect(await store.put(put)).toBe('present')
      expect(await store.remove(['k'])).toBe(1)
      expect(await other.get('k')).toBeNull()
    })

    test('lets the server drop what has expired', async () => {
      const { server, store } = await oneServer()
      await store.put(fragmentOf('k', bytesOf(10), { expiresAtMs: clock.nowMs() + HOUR_MS }))
      await store.put(fragmentOf('l', bytesOf(10)))
      const leftMs = Number(await cli(server.port, 'pttl', REDIS_KEY('k')))
      expect(leftMs).toBeGreaterThan(HOUR_MS - 60_000)
      expect(leftMs).toBeLessThanOrEqual(HOUR_MS)
      expect(await cli(server.port, 'pttl', REDIS_KEY('l'))).toBe('-1\n')
    })

    test('needs one round trip for a thousand keys, and two for a part', async () => {
      const { server, store } = await oneServer()
      await store.put(fragmentOf('k', bytesOf(2_000_000)))
      const commands = async (): Promise<number> =>
        Number(/cmdstat_getrange:calls=(\d+)/.exec(await cli(server.port, 'info', 'commandstats'))?.[1] ?? 0)
      const before = await commands()
      await store.get('k', { span: { start: 1_000_000, end: 1_500_000 } })
      expect((await commands()) - before).toBe(3)
      const bytes = async (): Promise<number> =>
        Number(/total_net_output_bytes:(\d+)/.exec(await cli(server.port, 'info', 'stats'))?.[1] ?? 0)
      const sent = await bytes()
      await store.get('k', { span: { start: 1_000_000, end: 1_100_000 } })
      await store.head('k')
      expect((await bytes()) - sent).toBeLessThan(130_000)
    })

    test('says STORE_FULL when the server has no memory left, and keeps what was there', async () => {
      const { store } = await oneServer({}, ['--maxmemory', '20mb'])
      const put = fragmentOf('k', bytesOf(1_000_000))
      await store.put(put)
      const filling = async (): Promise<void> => {
        for (let index = 0; index < 40; index++) await store.put(fragmentOf(`f/${index}`, bytesOf(1_000_000, index)))
      }
      await rejectsWith(filling(), 'STORE_FULL')
      await rejectsWith(store.put(fragmentOf('k', bytesOf(1_000_001))), 'STORE_FULL')
      expectFragment(await store.get('k'), put)
      const { entries } = store.stats()
      expect((await store.recount()).entries).toBe(entries)
    })

    test('refuses an entry that no Redis value holds, before it reads a byte of it', async () => {
      const { store } = await oneServer()
      const put = { ...fragmentOf('k', bytesOf(0)), payloadBytes: LIMITS.redisValueBytesMax }
      const unread = (async function* (): AsyncGenerator<Uint8Array> {
        yield expect.unreachable()
      })()
      await rejectsWith(store.put({ ...put, payload: unread }), 'LIMIT_REACHED')
    })

    test('says which server did not let it in, and no password', async () => {
      const server = await startRedisServer({ args: ['--requirepass', 'right'] })
      toEnd.push(server.stop)
      const opening = (credentials: string): Promise<RedisStore> =>
        openStore({ url: `redis://${credentials}127.0.0.1:${server.port}` })
      for (const credentials of ['', ':wrong-secret@', 'somebody:wrong-secret@']) {
        const error: unknown = await opening(credentials).catch((error: unknown) => error)
        expect(error).toMatchObject({ code: 'INVALID_CONFIG' })
        expect(everythingIn(error)).toContain(`127.0.0.1:${server.port}`)
        expect(everythingIn(error)).not.toContain('secret')
      }
      const store = await opening(':right@')
      expect(await store.put(fragmentOf('k', bytesOf(1)))).toBe('stored')
    })

    test.each(['redis', 'rediss', 'redis-cluster', 'redis-sentinel'])(
      'says STORE_UNAVAILABLE when nothing answers at %s://',
      async (scheme) => {
        const server = await startRedisServer()
        await server.stop()
        const url = `${scheme}://:secret@127.0.0.1:${server.port}${scheme === 'redis-sentinel' ? '/main' : ''}`
        const error: unknown = await openStore({ url, timeoutMs: 2000 }).catch((error: unknown) => error)
        expect(error).toMatchObject({ code: 'STORE_UNAVAILABLE' })
        expect(everythingIn(error)).not.toContain('secret')
      },
    )

    test.each(['', 'a b', 'a:b', '{a}', 'x'.repeat(65)])('has no name %j', async (name) => {
      await rejectsWith(openStore({ url: 'redis://127.0.0.1', name }), 'INVALID_CONFIG')
    })
  },
)

function REDIS_KEY(key: string): string {
  return `membrane:test:${key}`
}

async function oneServer(options: Partial<RedisStoreOptions> = {}, args: readonly string[] = []) {
  const server = await startRedisServer({ args })
  toEnd.push(server.stop)
  return { server, url: server.url, store: await openStore({ url: server.url, ...options }) }
}

async function openStore(options: Partial<RedisStoreOptions> & { readonly url: string }): Promise<RedisStore> {
  const store = await RedisStore.open({ name: 'test', clock, ...options })
  toEnd.push(() => store.close())
  return store
}

type Killable = Pick<Awaited<ReturnType<typeof startRedisServer>>, 'kill' | 'restart'>

function started<T extends { readonly url: string; readonly stop: () => Promise<void> }>(
  start: () => Promise<T>,
  serverOf: (started: T) => Killable | undefined,
) {
  return async (): Promise<{ readonly url: string; readonly server: Killable }> => {
    const all = await start()
    toEnd.push(all.stop)
    return { url: all.url, server: serverOf(all) ?? expect.unreachable() }
  }
}

/** What a log of it might show. */
function everythingIn(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const fields = error instanceof MembraneError ? JSON.stringify([error.details, error.remedy]) : JSON.stringify(error)
  return `${error.stack} ${fields} ${error.cause === undefined ? '' : everythingIn(error.cause)}`
}
