/**
 * A few kilobytes that are kept back in the data directory. On a full device they are given up, so that removals can
 * still be written down: without them nothing could ever be freed.
 */
import { errorCodeOf, type Files } from './files.ts'

const PATH = 'reserve'
/** Some 700 kills: what the disk frees by them pays for the next ones. */
const RESERVE_BYTES = 64 * 1024

export class DiskReserve {
  readonly #files: Files
  #isThere = false

  constructor(files: Files) {
    this.#files = files
  }

  /** Keeps it back again, if there is room. */
  refill(): void {
    if (this.#isThere) return
    try {
      const file = openOrCreate(this.#files)
      try {
        if (file.size() !== RESERVE_BYTES) file.write([new Uint8Array(RESERVE_BYTES).fill(0xff)], 0)
        this.#isThere = true
      } finally {
        file.close()
      }
    } catch {
      // No room yet: the next space that is freed fills it.
    }
  }

  /** Gives it up. Says whether there was any. */
  spend(): boolean {
    if (!this.#isThere) return false
    this.#isThere = false
    this.#files.unlink(PATH)
    return true
  }
}

function openOrCreate(files: Files) {
  try {
    return files.open(PATH, 'write')
  } catch (error) {
    if (errorCodeOf(error) !== 'ENOENT') throw error
    return files.open(PATH, 'create')
  }
}
