/** A redis-server on a free port as a peer of other benches. `stop` ends it and deletes what it wrote. */
import { type AppendFsync, missingPrograms, type RedisServer, startRedisServer } from '../test/redis-server.ts'

/** Throws when redis-server is not installed. `appendFsync: null` keeps everything in memory. */
export async function startRedisPeer(appendFsync: AppendFsync): Promise<RedisServer> {
  if (missingPrograms('redis-server').length > 0) {
    throw new Error('This bench compares with redis-server, which is not on PATH: run scripts/setup --services.')
  }
  return startRedisServer({ appendFsync })
}
