/** Where the bytes of a server rest, as its configuration says. */
import { join } from 'node:path'
import { revealRedisUrl } from '../api/server-meaning.ts'
import type { ServerConfig } from '../api/server-schema.ts'
import { unreachable } from '../core/errors.ts'
import type { Clock, ContentHashers, FragmentStore, Quarantine, SnapshotStorage } from '../core/ports.ts'
import { openDiskStore } from '../store/disk.ts'
import type { ScrubReport } from '../store/disk-scrub.ts'
import { MemoryStore } from '../store/memory.ts'
import { PayloadMemory } from '../store/payload-memory.ts'
import { FileQuarantine } from '../store/quarantine.ts'
import { RedisStore } from '../store/redis.ts'
import { SnapshotFile } from '../store/snapshot-file.ts'

export interface StorePorts {
  readonly hashers: ContentHashers
  readonly clock: Clock
}

export interface OpenedStore {
  readonly store: FragmentStore
  /** Null where there is no directory for it: damaged bytes are dropped then. */
  readonly quarantine: Quarantine | null
  readonly snapshot: SnapshotStorage | null
  /** What is dropped from memory and used again; null for a store that rests elsewhere. */
  readonly payloadMemory: PayloadMemory | null
  /** Where quotas of tenants are kept; null forgets them. */
  readonly quotaFile: SnapshotStorage | null
  /** Reads all and compares it with its hashes; null for a store without files. */
  readonly scrub: ((signal: AbortSignal) => Promise<ScrubReport>) | null
}

const WITHOUT_FILES = { quarantine: null, snapshot: null, quotaFile: null, scrub: null, payloadMemory: null } as const

/** Throws STORE_LOCKED, STORE_FORMAT, STORE_UNAVAILABLE, FILE_UNREADABLE and INVALID_CONFIG. */
export async function openStore(
  { store: kind, dataDir, durability, redisUrl, redisPassword, nodeId, memoryBytesMax }: ServerConfig,
  { hashers, clock }: StorePorts,
): Promise<OpenedStore> {
  switch (kind) {
    case 'memory':
      return openMemoryStore(memoryBytesMax, clock)
    case 'redis': {
      const url = revealRedisUrl({ redisUrl, redisPassword }) ?? ''
      return { store: await RedisStore.open({ url, name: nodeId, clock }), ...WITHOUT_FILES }
    }
    case 'disk': {
      const directory = dataDir ?? ''
      const store = await openDiskStore({ directory, durability, hashers, clock })
      try {
        const quarantine = await FileQuarantine.open({ directory: join(directory, 'quarantine'), clock })
        return {
          store,
          quarantine,
          snapshot: new SnapshotFile(join(directory, 'indices')),
          quotaFile: new SnapshotFile(join(directory, 'tenants.json')),
          payloadMemory: null,
          scrub: (signal) => store.scrub({ signal, quarantine }),
        }
      } catch (error) {
        await store.close()
        throw error
      }
    }
    default:
      return unreachable(kind)
  }
}

/** Beside what it holds, it keeps a part as much in memory that is free for the next payload. */
function openMemoryStore(memoryBytesMax: number, clock: Clock): OpenedStore {
  const payloadMemory = new PayloadMemory(Math.min(FREE_BYTES_MAX, memoryBytesMax * FREE_RATIO))
  return { store: new MemoryStore(clock, payloadMemory), ...WITHOUT_FILES, payloadMemory }
}

const FREE_RATIO = 1 / 8
const FREE_BYTES_MAX = 256 * 1024 * 1024
