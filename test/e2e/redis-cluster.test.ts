/** Membership and directory on real Redis servers: one, a cluster of them, and one in trouble. */
import { setTimeout as delay } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { HeldNames } from '../../src/cluster/held-names.ts'
import { CLUSTER_FORMAT, type MemberFacts, NO_TELEMETRY } from '../../src/cluster/member.ts'
import { parseTenantId } from '../../src/core/ids.ts'
import { RedisDirectory } from '../../src/server/redis-directory.ts'
import { DEFAULT_REDIS_TIMES, RedisMembership } from '../../src/server/redis-membership.ts'
import { systemAlarm } from '../../src/server/system-time.ts'
import { RedisClient } from '../../src/store/redis-client.ts'
import { parseRedisUrl } from '../../src/store/redis-url.ts'
import { describeBlockDirectory } from '../contracts/block-directory.ts'
import { nameOf, namesOf } from '../faults/directory-world.ts'
import {
  missingPrograms,
  type RedisCluster,
  type RedisServer,
  startRedisCluster,
  startRedisSentinel,
  startRedisServer,
} from '../redis-server.ts'

const missing = missingPrograms('redis-server', 'redis-cli')
const RED = parseTenantId('red')
const clock = { nowMs: Date.now }
/** Of a node whose machine does other things at the same time. */
const DETECTED_SECONDS_MAX = 6

let clusters = 0

function factsOf(node: string, changes: Partial<MemberFacts> = {}): MemberFacts {
  return {
    node,
    incarnation: Date.now(),
    sequence: 0,
    address: `${node}:1`,
    datacentre: 'dc-1',
    roles: ['store'],
    version: '0.1.0',
    format: CLUSTER_FORMAT,
    capacityBytes: null,
    startedMs: Date.now(),
    isDraining: false,
    telemetry: NO_TELEMETRY,
    ...changes,
  }
}

function connect(url: string): Promise<RedisClient> {
  return RedisClient.connect(parseRedisUrl(url), { timeoutMs: 1000, silenceMsMax: 1000, isPipelined: true, tls: {} })
}

class RedisWorld {
  readonly cluster = `test-${clusters++}`
  readonly members = new Map<string, RedisMembership>()
  readonly removed: string[] = []
  readonly #url: string
  readonly #clients: RedisClient[] = []

  constructor(url: string) {
    this.#url = url
  }

  async open(node: string, changes: Partial<MemberFacts> = {}): Promise<RedisMembership> {
    const membership = new RedisMembership({
      facts: factsOf(node, changes),
      redis: await this.client(),
      cluster: this.cluster,
      times: DEFAULT_REDIS_TIMES,
      alarm: systemAlarm,
      clock,
    })
    membership.watch(({ member }) => {
      if (member.state === 'gone') this.removed.push(member.node)
    })
    this.members.set(node, membership)
    await membership.start()
    return membership
  }

  async client(): Promise<RedisClient> {
    const client = await connect(this.#url)
    this.#clients.push(client)
    return client
  }

  /** Seconds until all of these see so many alive. */
  async until(isSo: () => boolean, secondsMax = 15): Promise<number> {
    const began = performance.now()
    while (!isSo()) {
      if (performance.now() - began > 1000 * secondsMax) throw new Error('It did not come to it.')
      await delay(20)
    }
    return (performance.now() - began) / 1000
  }

  alive(): readonly number[] {
    return [...this.members.values()].map((one) => one.members().filter(({ state }) => state === 'alive').length)
  }

  async close(): Promise<void> {
    for (const membership of this.members.values()) await membership.close()
    for (const client of this.#clients) client.close()
  }
}

describe.skipIf(missing.length > 0)(
  missing.length > 0 ? `A cluster on a Redis (skipped: no ${missing.join(', no ')})` : 'A cluster on a Redis',
  () => {
    let server: RedisServer
    let world: RedisWorld

    beforeAll(async () => {
      server = await startRedisServer()
    })
    afterAll(() => server.stop())
    beforeEach(() => {
      world = new RedisWorld(server.url)
    })
    afterEach(() => world.close())

    const three = async (): Promise<void> => {
      for (const node of ['a', 'b', 'c']) await world.open(node)
      await world.until(() => world.alive().every((count) => count === 3))
    }

    describe('of members', () => {
      test('sees who comes, what they say of themselves, and who says goodbye', async () => {
        await three()
        world.members.get('a')?.report({ isDraining: true, roles: ['decode'] })
        const seen = () => world.members.get('b')?.member('a')
        await world.until(() => seen()?.isDraining === true)
        expect(seen()?.roles).toEqual(['decode'])
        await world.members.get('a')?.leave()
        expect(await world.until(() => seen()?.state === 'left')).toBeLessThan(1.5)
        expect(world.removed).toEqual([])
      })

      test('notices who falls silent, and takes a later start of it', async () => {
        await three()
        await world.members.get('c')?.close()
        const survivors = ['a', 'b'].map((node) => world.members.get(node))
        const seconds = await world.until(() => survivors.every((one) => one?.member('c')?.state === 'gone'))
        expect(seconds).toBeLessThan(DETECTED_SECONDS_MAX)
        expect(seconds).toBeGreaterThan(1)
        await world.open('c')
        await world.until(() => survivors.every((one) => one?.member('c')?.state === 'alive'))
        expect(survivors[0]?.stats().removed).toBe(1)
      })

      test('removes nobody while the Redis hangs, nor when it goes on', async () => {
        await three()
        server.pause()
        await delay(6000)
        expect(world.members.get('a')?.error?.code).toBe('STORE_UNAVAILABLE')
        server.resume()
        await delay(5000)
        expect(world.alive()).toEqual([3, 3, 3])
        expect(world.removed).toEqual([])
        expect(world.members.get('a')?.error).toBeNull()
      })

      test('removes nobody when the Redis loses everything, or is killed and comes back empty', async () => {
        await three()
        const direct = new Redis(server.port, '127.0.0.1')
        await direct.flushall()
        await direct.quit()
        await delay(4000)
        await server.kill()
        await delay(3000)
        await server.restart()
        await delay(5000)
        expect(world.alive()).toEqual([3, 3, 3])
        expect(world.removed).toEqual([])
      })

      test('leaves when another node takes its name', async () => {
        const first = await world.open('a')
        const second = await world.open('a', { address: 'elsewhere:2', incarnation: Date.now() + 10 })
        await world.until(() => first.self.state === 'left')
        await delay(600)
        expect(second.self.state).toBe('alive')
      })

      test('passes over what others wrote, and nodes of a newer format', async () => {
        await three()
        const direct = new Redis(server.port, '127.0.0.1')
        const key = `membrane:{${world.cluster}}:members`
        await direct.hset(key, 'x', 'no node', 'y', '99999999999999|{"a":1}')
        const newer = { ...factsOf('new'), format: CLUSTER_FORMAT + 1, state: 'alive' }
        await direct.hset(key, 'new', `99999999999999|${JSON.stringify(newer)}`)
        await direct.quit()
        await delay(1000)
        expect(
          world.members
            .get('a')
            ?.members()
            .map(({ node }) => node),
        ).toEqual(['a', 'b', 'c'])
        expect(world.alive()).toEqual([3, 3, 3])
      })
    })

    describeBlockDirectory('of blocks', () => openDirectories(server.url))

    test('the directory is told anew what it has lost, and answers with an error while the Redis is away', async () => {
      const of = await openDirectories(server.url)
      const [a, b] = of.nodes
      a?.held.add(RED, namesOf([1, 2]))
      await of.settle()
      await server.kill()
      await expect(b?.directory.locate(RED, nameOf(1))).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' })
      await server.restart()
      await delay(500)
      // A look-up shows what is missing; the next repair is due within a second.
      for (let tries = 0; tries < 100; tries++) {
        const found = await a?.directory.locate(RED, nameOf(1)).catch(() => null)
        if (found != null && found.length > 0) break
        await delay(100)
      }
      expect((await b?.directory.locate(RED, namesOf([1, 2])))?.map(({ node }) => node)).toEqual(['a'])
      await of.close()
    })
  },
)

describe.skipIf(missing.length > 0)(
  missing.length > 0 ? `A Redis Cluster (skipped: no ${missing.join(', no ')})` : 'A Redis Cluster',
  () => {
    let redis: RedisCluster | null = null
    beforeAll(async () => {
      redis = await startRedisCluster()
    })
    afterAll(() => redis?.stop())
    describeBlockDirectory('has a directory', () => openDirectories(redis?.url ?? ''))

    test('has members', async () => {
      const world = new RedisWorld(redis?.url ?? '')
      for (const node of ['a', 'b', 'c']) await world.open(node)
      await world.until(() => world.alive().every((count) => count === 3))
      await world.close()
    })
  },
)

describe.skipIf(missing.length > 0)(
  missing.length > 0 ? `A Redis behind sentinels (skipped: no ${missing.join(', no ')})` : 'A Redis behind sentinels',
  () => {
    test('is master no more, and nobody is removed for it', async () => {
      const redis = await startRedisSentinel()
      const world = new RedisWorld(redis.url)
      try {
        for (const node of ['a', 'b', 'c']) await world.open(node)
        await world.until(() => world.alive().every((count) => count === 3))
        await redis.master.kill()
        await world.until(() => [...world.members.values()].some(({ error }) => error !== null))
        await world.until(() => [...world.members.values()].every(({ error }) => error === null), 30)
        await delay(4000)
        expect(world.alive()).toEqual([3, 3, 3])
        expect(world.removed).toEqual([])
      } finally {
        await world.close()
        await redis.stop()
      }
    })
  },
)

async function openDirectories(url: string) {
  const world = new RedisWorld(url)
  const nodes: { readonly node: string; readonly held: HeldNames; readonly directory: RedisDirectory }[] = []
  for (const node of ['a', 'b', 'c']) {
    const membership = await world.open(node)
    const held: HeldNames = new HeldNames('disk', {
      joined: (tenant, names, tier) => directory.joined(tenant, names, tier),
      left: (tenant, names) => directory.left(tenant, names),
    })
    const directory: RedisDirectory = new RedisDirectory({
      redis: await world.client(),
      cluster: world.cluster,
      membership,
      own: held,
      alarm: systemAlarm,
      clock,
    })
    nodes.push({ node, held, directory })
  }
  await world.until(() => world.alive().every((count) => count === 3))
  return {
    nodes,
    run: <T>(promise: Promise<T>): Promise<T> => promise,
    settle: async () => {
      for (const { directory } of nodes) await directory.flush()
    },
    loseEntriesOf: async (node: string) => {
      const lost = new HeldNames('disk', { joined: () => undefined, left: () => undefined })
      const membership = world.members.get(node)
      if (membership === undefined) throw new Error(`There is no node ${node}.`)
      const redis = await world.client()
      const other = new RedisDirectory({
        redis,
        cluster: world.cluster,
        membership,
        own: lost,
        alarm: systemAlarm,
        clock,
      })
      await other.repair()
      await other.close()
    },
    down: async (node: string) => {
      await world.members.get(node)?.close()
      const others = [...world.members].filter(([name]) => name !== node).map(([, one]) => one)
      await world.until(() => others.every((one) => one.member(node)?.state === 'gone'))
    },
    close: async () => {
      for (const { directory } of nodes) await directory.close()
      await world.close()
    },
  }
}
