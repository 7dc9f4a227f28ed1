/** llama.cpp gives and takes a sequence's state as a file only: one that lives for a moment, in memory where there is room. */
import { mkdtemp, readFile, rm, statfs, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { MembraneError } from '../core/errors.ts'

/** Folders of memory come first; a container may give them some megabytes only. */
const FOLDERS: readonly string[] = ['/dev/shm', tmpdir()]

/** Hands `save` a path, and gives what it wrote there. */
export async function readStateFile(bytesMax: number, save: (path: string) => Promise<unknown>): Promise<Uint8Array> {
  return inOwnFolder(bytesMax, async (path) => {
    await save(path)
    return readFile(path)
  })
}

/** Hands `load` the path of a file of these bytes. */
export async function writeStateFile(bytes: Uint8Array, load: (path: string) => Promise<unknown>): Promise<void> {
  await inOwnFolder(bytes.length, async (path) => {
    await writeFile(path, bytes, { mode: 0o600 })
    await load(path)
  })
}

/** The folder is of this call alone, readable by its owner, and gone with all in it when the call ends. */
async function inOwnFolder<T>(bytes: number, use: (path: string) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(await folderWithRoom(bytes), 'membrane-llama-')).catch((cause: unknown) => {
    throw new MembraneError('FILE_UNREADABLE', 'No folder could be made for the state of a sequence.', { cause })
  })
  try {
    return await use(join(folder, 'state'))
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** With twice the room, since others write there too; else the last, whose own error says more than ours would. */
async function folderWithRoom(bytes: number): Promise<string> {
  for (const folder of FOLDERS) {
    const room = await statfs(folder).then(
      ({ bavail, bsize }) => bavail * bsize,
      () => 0,
    )
    if (room >= 2 * bytes) return folder
  }
  return tmpdir()
}
