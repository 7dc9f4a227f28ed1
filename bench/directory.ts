/** A directory of a million entries: who holds the blocks of a prompt of 131,072 tokens. */
import { Redis } from 'ioredis'
import { DirectoryShard } from '../src/cluster/directory-shard.ts'
import { HeldNames } from '../src/cluster/held-names.ts'
import { type Member, CLUSTER_FORMAT, NO_TELEMETRY } from '../src/cluster/member.ts'
import { BUCKETS } from '../src/cluster/name-table.ts'
import { DEFAULT_TENANT } from '../src/core/ids.ts'
import { RedisDirectory } from '../src/server/redis-directory.ts'
import { systemAlarm } from '../src/server/system-time.ts'
import { RedisClient } from '../src/store/redis-client.ts'
import { parseRedisUrl } from '../src/store/redis-url.ts'
import { namesOf } from '../test/faults/directory-world.ts'
import { startRedisServer } from '../test/redis-server.ts'
import type { Bench, Findings } from './bench.ts'
import { ratioOf, RUNS } from './harness.ts'

const ENTRIES = 1_000_000
/** Of a prompt of 131,072 tokens, 16 each. */
const BLOCKS = 8192
const TARGET_MS = 15
const CLUSTER = 'bench'

const self: Member = {
  node: 'a',
  incarnation: 1,
  sequence: 0,
  address: 'a:1',
  datacentre: 'dc-1',
  roles: ['store'],
  version: '0.1.0',
  format: CLUSTER_FORMAT,
  capacityBytes: null,
  startedMs: 1,
  isDraining: false,
  telemetry: NO_TELEMETRY,
  state: 'alive',
  sinceMs: 0,
}

export const bench: Bench = {
  summary: 'who holds the 8,192 blocks of a prompt, among a million entries',
  probes: {},
  run: async (): Promise<Findings> => {
    const server = await startRedisServer()
    const client = await RedisClient.connect(parseRedisUrl(server.url), {
      timeoutMs: 60_000,
      silenceMsMax: null,
      isPipelined: true,
      tls: {},
    })
    const plain = new Redis(server.port, '127.0.0.1')
    let calls = 0
    const counted: Pick<RedisClient, 'script'> = {
      script: (...args) => {
        calls += 1
        return client.script(...args)
      },
    }
    const held: HeldNames = new HeldNames('disk', {
      joined: (tenant, names, tier) => directory.joined(tenant, names, tier),
      left: () => undefined,
    })
    const directory = new RedisDirectory({
      redis: counted,
      cluster: CLUSTER,
      membership: {
        self,
        members: () => [self],
        member: (node) => (node === self.node ? self : null),
        watch: () => () => undefined,
        report: () => undefined,
        leave: async () => undefined,
        close: async () => undefined,
        stats: () => ({ messages: 0, bytes: 0, suspected: 0, refuted: 0, removed: 0 }),
      },
      own: held,
      alarm: systemAlarm,
      clock: { nowMs: Date.now },
    })
    const shard = new DirectoryShard()
    try {
      const beganMs = performance.now()
      for (let from = 0; from < ENTRIES; from += 10_000) {
        const names = namesOf(Array.from({ length: 10_000 }, (_, index) => from + index))
        held.add(DEFAULT_TENANT, names)
        shard.add(DEFAULT_TENANT, 'a', { names, value: 2 })
        await directory.flush()
      }
      const filledSeconds = (performance.now() - beganMs) / 1000
      const asked = namesOf(Array.from({ length: BLOCKS }, (_, index) => (index * 7919) % (2 * ENTRIES)))
      const ours: number[] = []
      const commands: number[] = []
      const inProcess: number[] = []
      calls = 0
      for (let run = 0; run < RUNS; run++) {
        ours.push(await timed(() => directory.locate(DEFAULT_TENANT, asked)))
        commands.push(await timed(() => byCommands(plain, asked)))
        inProcess.push(await timed(async () => shard.locate(DEFAULT_TENANT, asked)))
      }
      return {
        rows: [
          {
            what: 'through a Redis on loopback',
            runsMs: ours,
            targetMs: TARGET_MS,
            note: `${calls / RUNS} round trip`,
          },
          { what: 'the same Redis, 256 plain HMGETs in one pipeline', runsMs: commands },
          { what: 'a shard in this process', runsMs: inProcess },
        ],
        ratios: [ratioOf('the script over plain commands', commands, ours)],
        notes: [
          `${ENTRIES.toLocaleString('en-US')} entries were told in ${filledSeconds.toFixed(1)} s, ${Math.round(ENTRIES / filledSeconds).toLocaleString('en-US')} a second; half of the names that are asked for are held.`,
        ],
      }
    } finally {
      await directory.close()
      client.close()
      plain.disconnect()
      await server.stop()
    }
  },
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const began = performance.now()
  await work()
  return performance.now() - began
}

/** What one would do without a script: the same fields, by bucket. */
async function byCommands(redis: Redis, names: Uint8Array): Promise<unknown> {
  const buckets = Array.from({ length: BUCKETS }, (): Buffer[] => [])
  for (let at = 0; at < names.length; at += 16)
    buckets[names[at] ?? 0]?.push(Buffer.from(names.buffer, names.byteOffset + at, 16))
  const pipeline = redis.pipeline()
  for (const [bucket, fields] of buckets.entries())
    if (fields.length > 0) pipeline.hmgetBuffer(`membrane:{${CLUSTER}/${DEFAULT_TENANT}}:b:${bucket}`, ...fields)
  return pipeline.exec()
}
