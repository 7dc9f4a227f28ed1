import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describeFragmentStore } from '../../test/contracts/fragment-store.ts'
import { TEST_HASHERS } from '../../test/contracts/store-fixtures.ts'
import { UnsyncedFiles } from '../../test/faults/unsynced-files.ts'
import type { Clock } from '../core/ports.ts'
import type { DiskStoreOptions } from './disk-options.ts'
import { type DiskStore, openDiskStore, openDiskStoreOn } from './disk.ts'

let directory = ''
const open = (clock: Clock) => openDiskStore({ directory, hashers: TEST_HASHERS, clock })
const removeDirectory = () => {
  rmSync(directory, { recursive: true, force: true })
}

describeFragmentStore('DiskStore', {
  open: (clock) => {
    if (directory !== '') removeDirectory()
    directory = mkdtempSync(join(tmpdir(), 'membrane-disk-'))
    return open(clock)
  },
  reopen: open,
  cleanUp: async () => {
    removeDirectory()
  },
})

/** Small files, so that even short histories roll, compact and make files of their own. */
const SMALL = { segmentBytesMax: 20_000, ownSegmentBytesMin: 6000, idleFilesMax: 2 }
describeInMemory('DiskStore with small segments', SMALL)
describeInMemory('DiskStore that waits for the device', { ...SMALL, durability: 'power' })

function describeInMemory(name: string, options: Partial<DiskStoreOptions>): void {
  let files = new UnsyncedFiles()
  const reopen = (clock: Clock): Promise<DiskStore> => {
    const ports = { files, lock: () => () => undefined, newSalt: () => new Uint8Array(8) }
    return openDiskStoreOn(ports, { ...options, directory: files.root, hashers: TEST_HASHERS, clock })
  }
  describeFragmentStore(name, {
    open: (clock) => {
      files = new UnsyncedFiles()
      return reopen(clock)
    },
    reopen,
  })
}
