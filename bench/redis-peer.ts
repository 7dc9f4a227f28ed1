/** A redis-server on a free port as a peer of other benches. `stop` ends it and deletes what it wrote. */
import { type AppendFsync, type RedisServer, startRedisServer } from '../test/redis-server.ts'

/** Throws when redis-server is not installed. `appendFsync: null` keeps everything in memory. */
export async function startRedisPeer(appendFsync: AppendFsync): Promise<RedisServer> {
  return startRedisServer({ appendFsync })
}
