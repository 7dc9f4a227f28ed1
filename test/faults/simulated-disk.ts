/** A disk store on a file system in memory. */
import { type DiskStoreOptions } from '../../src/store/disk-options.ts'
import { type DiskStore, openDiskStoreOn } from '../../src/store/disk.ts'
import { TEST_HASHERS } from '../contracts/store-fixtures.ts'
import type { UnsyncedFiles } from './unsynced-files.ts'
import { VirtualTimers } from './virtual-timers.ts'

/** Small files, so that a few entries are enough to fill some. */
export const SMALL_SEGMENTS = { segmentBytesMax: 3000, ownSegmentBytesMin: 1500 } as const

export function openSimulated(
  files: UnsyncedFiles,
  options: Partial<DiskStoreOptions> & { readonly alarm?: VirtualTimers } = {},
): Promise<DiskStore> {
  const timers = options.alarm ?? new VirtualTimers()
  const ports = { files, lock: () => () => undefined, newSalt: () => Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8) }
  return openDiskStoreOn(ports, {
    directory: files.root,
    hashers: TEST_HASHERS,
    clock: timers,
    ...SMALL_SEGMENTS,
    ...options,
    alarm: timers,
  })
}
