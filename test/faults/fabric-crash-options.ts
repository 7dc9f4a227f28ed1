/** A fabric that evicts and compacts within a second of work. */
import { byteDescription } from '../../src/core/fragment-bytes.ts'
import type { FragmentDescription } from '../../src/core/fragment.ts'
import { parseTenantId } from '../../src/core/ids.ts'
import { loadPureContentHashers } from '../../src/hashing/content-hashers.ts'
import { DEFAULT_FABRIC_OPTIONS, type Fabric, openFabric } from '../../src/server/fabric.ts'
import { type DiskStore, openDiskStore } from '../../src/store/disk.ts'

export const FABRIC_TENANTS = [parseTenantId('ann'), parseTenantId('bob')] as const
/** Names that are pinned, of each tenant: what was acknowledged under them must be there. */
export const PINNED_NAMES = 4
export const PAYLOAD_BYTES_MAX = 70_000

export async function openCrashFabric(
  directory: string,
): Promise<{ readonly disk: DiskStore; readonly fabric: Fabric }> {
  const hashers = await loadPureContentHashers()
  const disk = await openDiskStore({
    directory,
    hashers,
    ownSegmentBytesMin: 60_000,
    segmentBytesMax: 150_000,
    syncIntervalMs: 20,
  })
  const fabric = await openFabric({
    ...DEFAULT_FABRIC_OPTIONS,
    store: disk,
    hashers,
    contentHash: 's256',
    clock: { nowMs: Date.now },
    bound: { payloadBytesMax: 1_500_000, entriesMax: 60 },
    policy: 'leaf-lru',
    seed: 1,
  })
  return { disk, fabric }
}

/** Says in its text what its bytes are. */
export function describedBytes(bytes: number, seed: number): FragmentDescription {
  return byteDescription('opaque', undefined, { text: `${bytes} ${seed}` })
}
