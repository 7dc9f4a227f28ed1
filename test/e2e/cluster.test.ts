/** Three nodes, as processes of their own, that find each other by gossip, or by leases in a real Redis. */
import { randomBytes } from 'node:crypto'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ClusterProcesses, living, stateOf } from '../cluster-processes.ts'
import { missingPrograms, type RedisServer, startRedisServer } from '../redis-server.ts'

const TIMEOUT_MS = 120_000
const payload = randomBytes(300_000)

/** On a machine that does nothing else, 2.8 s; this one runs other tests. */
const DETECTED_SECONDS_MAX = 8

/** Loaded before anything else: the process takes the time to be an hour later than it is. */
const HOUR_AHEAD = 'const now = Date.now; Date.now = () => now() + 3_600_000'

async function skewedCluster(redisUrl: string | null): Promise<void> {
  const cluster = await ClusterProcesses.start({
    nodes: 3,
    redisUrl,
    environmentOf: (index) =>
      index === 1 ? { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(HOUR_AHEAD)}` } : {},
  })
  try {
    const [a, b] = cluster.nodes.map(({ client }) => client)
    const view = await b?.cluster.view()
    const [first, second] = ['n1', 'n2'].map((name) => view?.members.find(({ node }) => node === name)?.startedMs ?? 0)
    expect((second ?? 0) - (first ?? 0)).toBeGreaterThan(3_500_000)
    const { key } = (await a?.put({ payload, key: 'opaque/=skewed' })) ?? { key: '' }
    await delay(5000)
    expect((await b?.get(key))?.payloadBytes).toBe(payload.length)
    for (const { client } of cluster.nodes) {
      const { members, membership } = await client.cluster.view()
      expect(members.map(({ state }) => state)).toEqual(['alive', 'alive', 'alive'])
      expect(membership['removed']).toBe(0)
    }
  } finally {
    await cluster.stop()
  }
}

test('a clock that is an hour ahead removes nobody, by gossip', { timeout: TIMEOUT_MS }, () => skewedCluster(null))

const noRedis = missingPrograms('redis-server').length > 0

describe('three nodes that gossip', { timeout: TIMEOUT_MS }, () => describeThree(false))

describe.skipIf(noRedis)(
  noRedis ? 'three nodes on a Redis (skipped: no redis-server)' : 'three nodes on a Redis',
  { timeout: TIMEOUT_MS },
  () => describeThree(true),
)

test.skipIf(noRedis)(
  noRedis ? 'a clock an hour ahead, on a Redis (skipped: no redis-server)' : 'nor on a Redis',
  { timeout: TIMEOUT_MS },
  async () => {
    const redis = await startRedisServer()
    try {
      await skewedCluster(redis.url)
    } finally {
      await redis.stop()
    }
  },
)

function describeThree(isOnRedis: boolean): void {
  let cluster: ClusterProcesses
  let redis: RedisServer | null = null

  beforeAll(async () => {
    redis = isOnRedis ? await startRedisServer() : null
    cluster = await ClusterProcesses.start({ nodes: 3, redisUrl: redis?.url ?? null })
  }, TIMEOUT_MS)

  afterAll(async () => {
    await cluster?.stop()
    await redis?.stop()
  })

  test('read at each what was put at another, and remove it everywhere', async () => {
    const [a, b, c] = cluster.nodes.map(({ client }) => client)
    const { key } = (await a?.put({ payload, key: 'opaque/=cluster-1' })) ?? { key: '' }
    await delay(200)
    expect((await b?.has([key]))?.isPresent).toEqual([true])
    const got = await b?.get(key)
    expect(Buffer.from(got?.payload ?? []).equals(payload)).toBe(true)
    expect((await c?.head(key))?.payloadBytes).toBe(payload.length)
    expect(await c?.get('opaque/=never')).toBeNull()
    expect(await b?.remove([key])).toBe(1)
    for (const client of [a, b, c]) expect(await client?.get(key)).toBeNull()
  })

  test('give the bytes that were put last under a key, wherever they were put', async () => {
    const [a, b, c] = cluster.nodes.map(({ client }) => client)
    const { key } = (await a?.put({ payload: Buffer.from('first'), key: 'opaque/=cluster-2' })) ?? { key: '' }
    await delay(200)
    await b?.get(key)
    await c?.get(key)
    await a?.put({ payload: Buffer.from('second'), key: 'opaque/=cluster-2' })
    await delay(200)
    for (const client of [a, b, c])
      expect(Buffer.from((await client?.get(key))?.payload ?? []).toString()).toBe('second')
  })

  test('notice that one hangs, go on without it, and take it back', async () => {
    const hung = cluster.at(2)
    const others = cluster.nodes.slice(0, 2)
    hung.server.signal('SIGSTOP')
    const seconds = await cluster.until((view) => stateOf(view, 'n3') === 'gone', others)
    expect(seconds).toBeLessThan(DETECTED_SECONDS_MAX)
    const [a, b] = others.map(({ client }) => client)
    const { key } = (await a?.put({ payload, key: 'opaque/=cluster-3' })) ?? { key: '' }
    await delay(200)
    expect(Buffer.from((await b?.get(key))?.payload ?? []).equals(payload)).toBe(true)
    hung.server.signal('SIGCONT')
    await cluster.until((view) => living(view).length === 3)
    await delay(1500)
    expect((await hung.client.get(key))?.payloadBytes).toBe(payload.length)
  })

  test('notice that one is killed, and take it back with its disk wiped', async () => {
    const killed = cluster.at(1)
    const { key } = await killed.client.put({ payload: Buffer.from('only there'), key: 'opaque/=cluster-4' })
    await delay(200)
    await killed.server.kill()
    const others = [cluster.at(0), cluster.at(2)]
    expect(await cluster.until((view) => stateOf(view, 'n2') === 'gone', others)).toBeLessThan(DETECTED_SECONDS_MAX)
    rmSync(join(killed.server.folder, 'data'), { recursive: true })
    await killed.server.restart()
    await cluster.until((view) => living(view).length === 3)
    for (const { client } of others) expect(await client.get(`${key}-not`)).toBeNull()
  })

  // Leases say who lives, whoever reaches whom.
  if (!isOnRedis)
    test('see who cannot be reached by anybody, though it reaches them, and take it back', async () => {
      const link = cluster.linkTo(2)
      const others = cluster.nodes.slice(0, 2)
      link.lost = 'there'
      await cluster.until((view) => stateOf(view, 'n3') !== 'alive', others)
      await delay(1000)
      link.lost = 'nothing'
      await cluster.until((view) => living(view).length === 3)
    })

  if (isOnRedis)
    test('go on while their Redis hangs, and when it is killed and comes back empty', async () => {
      const [a, b] = cluster.nodes.map(({ client }) => client)
      const { key } = (await a?.put({ payload, key: 'opaque/=cluster-5' })) ?? { key: '' }
      await delay(500)
      redis?.pause()
      await delay(4000)
      // What is here is read without asking anybody.
      expect((await a?.get(key))?.payloadBytes).toBe(payload.length)
      redis?.resume()
      await redis?.kill()
      await delay(1000)
      expect((await a?.cluster.view())?.notes.join()).toMatch(/Redis of the cluster does not answer/)
      await redis?.restart()
      await cluster.until((view) => view.notes.length === 0 && living(view).length === 3)
      // What each holds is told again within seconds.
      for (let tries = 0; tries < 100 && (await b?.get(key)) == null; tries++) await delay(100)
      expect((await b?.get(key))?.payloadBytes).toBe(payload.length)
      const { key: fresh } = (await b?.put({ payload, key: 'opaque/=cluster-6' })) ?? { key: '' }
      await delay(500)
      expect((await a?.get(fresh))?.payloadBytes).toBe(payload.length)
    })

  test('say goodbye, and are not waited for', async () => {
    const leaving = cluster.at(1)
    expect(await leaving.server.end()).toBe(0)
    const others = [cluster.at(0), cluster.at(2)]
    expect(await cluster.until((view) => stateOf(view, 'n2') === 'left', others)).toBeLessThan(1)
    await leaving.server.restart()
    await cluster.until((view) => living(view).length === 3)
  })
}
