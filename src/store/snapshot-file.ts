/** A file beside a store that saves work at the next start: written whole or not at all, and missed by nobody. */
import { open, readFile, rename, rm } from 'node:fs/promises'
import type { SnapshotStorage } from '../core/ports.ts'

/** A snapshot in a file of its own. */
export class SnapshotFile implements SnapshotStorage {
  readonly #path: string

  /** In a directory that is there. */
  constructor(path: string) {
    this.#path = path
  }

  /** Null when there is none, or none that can be read: then whoever asks does the work. */
  async read(): Promise<Uint8Array | null> {
    return readFile(this.#path).catch(() => null)
  }

  /** Throws what the file system throws; the one that was there before stays then. */
  async write(pieces: Iterable<Uint8Array>): Promise<void> {
    const partial = `${this.#path}.new`
    try {
      const file = await open(partial, 'w', 0o600)
      try {
        for (const piece of pieces) await file.writeFile(piece)
      } finally {
        await file.close()
      }
      await rename(partial, this.#path)
    } catch (error) {
      await rm(partial, { force: true })
      throw error
    }
  }

  async remove(): Promise<void> {
    await rm(this.#path, { force: true })
  }
}
