/** Where the bytes of a server rest, as its configuration says. */
import { join } from 'node:path'
import type { ServerConfig } from '../api/server-schema.ts'
import { unreachable } from '../core/errors.ts'
import type { Clock, ContentHashers, FragmentStore, Quarantine, SnapshotStorage } from '../core/ports.ts'
import { openDiskStore } from '../store/disk.ts'
import { MemoryStore } from '../store/memory.ts'
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
}

/** Throws STORE_LOCKED, STORE_FORMAT, STORE_UNAVAILABLE, FILE_UNREADABLE and INVALID_CONFIG. */
export async function openStore(
  { store: kind, dataDir, durability, redisUrl, redisPassword, nodeId }: ServerConfig,
  { hashers, clock }: StorePorts,
): Promise<OpenedStore> {
  switch (kind) {
    case 'memory':
      return { store: new MemoryStore(clock), quarantine: null, snapshot: null }
    case 'redis': {
      const url = withPassword(redisUrl ?? '', redisPassword?.reveal() ?? null)
      return { store: await RedisStore.open({ url, name: nodeId, clock }), quarantine: null, snapshot: null }
    }
    case 'disk': {
      const directory = dataDir ?? ''
      const store = await openDiskStore({ directory, durability, hashers, clock })
      try {
        const quarantine = await FileQuarantine.open({ directory: join(directory, 'quarantine'), clock })
        return { store, quarantine, snapshot: new SnapshotFile(join(directory, 'indices')) }
      } catch (error) {
        await store.close()
        throw error
      }
    }
    default:
      return unreachable(kind)
  }
}

/** The store takes a password as a part of its URL. */
function withPassword(url: string, password: string | null): string {
  const match = /^([a-z-]+:\/\/)(?:([^:@/]*)(?::[^@/]*)?@)?(.*)$/.exec(url)
  if (password === null || match === null) return url
  const [, scheme = '', user = '', rest = ''] = match
  return `${scheme}${user}:${encodeURIComponent(password)}@${rest}`
}
