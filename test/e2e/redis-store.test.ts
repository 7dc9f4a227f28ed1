/** The Redis store against real servers. */
import { mkdtempSync, readFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe } from 'vitest'
import type { Clock, FragmentStore } from '../../src/core/ports.ts'
import { RedisStore, type RedisStoreOptions } from '../../src/store/redis.ts'
import { VerifiedStore } from '../../src/store/verified.ts'
import { describeFragmentStore } from '../contracts/fragment-store.ts'
import { type StoreUnderTest, TEST_HASHERS } from '../contracts/store-fixtures.ts'
import {
  makeCertificates,
  missingPrograms,
  type RedisCluster,
  type RedisServer,
  startRedisCluster,
  startRedisServer,
} from '../redis-server.ts'

const missing = missingPrograms('redis-server', 'redis-cli')

describe.skipIf(missing.length > 0)(
  missing.length > 0 ? `RedisStore (skipped: no ${missing.join(', no ')})` : 'RedisStore',
  () => {
    describe('with one server', () => {
      let server: RedisServer
      beforeAll(async () => {
        server = await startRedisServer()
      })
      afterAll(() => server.stop())
      describeFragmentStore(
        'RedisStore',
        contractOf(() => ({ url: server.url })),
      )
      const bare = contractOf(() => ({ url: server.url }))
      describeFragmentStore('VerifiedStore of a RedisStore', {
        ...bare,
        open: async (clock) => verified(await bare.open(clock)),
        reopen: async (clock) => verified(await bare.reopen(clock)),
      })
      describeFragmentStore(
        'RedisStore through a socket file',
        contractOf(() => ({ url: `unix://${server.socketPath}` })),
      )
    })

    // Within a suite that is skipped, a test that is skipped once more is reported as never run.
    const noTls = missing.length === 0 && missingPrograms('openssl').length > 0
    describe.skipIf(noTls)(noTls ? 'with TLS (skipped: no openssl)' : 'with TLS', () => {
      let server: RedisServer
      let ca = ''
      let folder = ''
      beforeAll(async () => {
        folder = mkdtempSync(join(tmpdir(), 'membrane-tls-'))
        const tls = await makeCertificates(folder)
        ca = readFileSync(tls.ca, 'utf8')
        server = await startRedisServer({ tls })
      })
      afterAll(async () => {
        await server.stop()
        await rm(folder, { recursive: true })
      })
      describeFragmentStore(
        'RedisStore',
        contractOf(() => ({ url: server.url, tls: { ca } })),
      )
    })

    describe('with a cluster', () => {
      let cluster: RedisCluster
      beforeAll(async () => {
        cluster = await startRedisCluster()
      })
      afterAll(() => cluster.stop())
      describeFragmentStore(
        'RedisStore',
        contractOf(() => ({ url: cluster.url })),
      )
    })
  },
)

function verified(store: FragmentStore): VerifiedStore {
  return new VerifiedStore({ store, hashers: TEST_HASHERS, quarantine: null })
}

let stores = 0

/** Each store has a name of its own, so that all begin empty on one server. */
function contractOf(
  server: () => Pick<RedisStoreOptions, 'url' | 'tls'>,
): Required<Omit<StoreUnderTest, 'cleanUp' | 'bounds'>> {
  const open = (clock: Clock): Promise<RedisStore> => RedisStore.open({ ...server(), name: `test-${stores}`, clock })
  return {
    open: (clock) => {
      stores += 1
      return open(clock)
    },
    reopen: open,
    maySayTwice: true,
  }
}
