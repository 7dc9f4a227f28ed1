import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describeFragmentStore } from '../../test/contracts/fragment-store.ts'
import { TEST_HASHERS } from '../../test/contracts/store-fixtures.ts'
import type { Clock } from '../core/ports.ts'
import type { DiskStoreOptions } from './disk-options.ts'
import { openDiskStore } from './disk.ts'

/** Small files, so that even short histories roll, compact and make files of their own. */
const SMALL = { segmentBytesMax: 20_000, ownSegmentBytesMin: 6000, idleFilesMax: 2 }

describeOnDisk('DiskStore', {})
describeOnDisk('DiskStore with small segments', SMALL)
describeOnDisk('DiskStore that waits for the device', { ...SMALL, durability: 'power' })

function describeOnDisk(name: string, options: Partial<DiskStoreOptions>): void {
  let directory = ''
  const reopen = (clock: Clock) => openDiskStore({ ...options, directory, hashers: TEST_HASHERS, clock })
  const removeDirectory = () => {
    rmSync(directory, { recursive: true, force: true })
  }
  describeFragmentStore(name, {
    open: (clock) => {
      if (directory !== '') removeDirectory()
      directory = mkdtempSync(join(tmpdir(), 'membrane-disk-'))
      return reopen(clock)
    },
    reopen,
    cleanUp: async () => {
      removeDirectory()
    },
  })
}
