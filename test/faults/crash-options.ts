/** How both sides of the crash test open the data directory: small files, so that every round rolls and compacts. */
import { loadPureContentHashers } from '../../src/hashing/content-hashers.ts'
import { type DiskStore, openDiskStore } from '../../src/store/disk.ts'

const hashers = await loadPureContentHashers()

export const CRASH_KEYS = 40

export function openCrashStore(directory: string, durability: 'process' | 'power'): Promise<DiskStore> {
  return openDiskStore({
    directory,
    durability,
    hashers,
    segmentBytesMax: 200_000,
    ownSegmentBytesMin: 60_000,
    syncIntervalMs: 20,
    idleFilesMax: 4,
  })
}
