/** Open files of segments. Files in use stay open, also when their names are gone; of the others, the last used ones. */
import { assert } from '../core/errors.ts'
import type { Files, StoreFile } from './files.ts'
import { segmentPath } from './segment.ts'

interface OpenSegment {
  readonly file: StoreFile
  users: number
  /** The segment is gone: close when the last user has ended. */
  isGone: boolean
}

export class SegmentFiles {
  readonly #files: Files
  readonly #idleMax: number
  /** The ones used longest ago come first. */
  readonly #open = new Map<number, OpenSegment>()

  constructor(files: Files, idleMax: number) {
    this.#files = files
    this.#idleMax = idleMax
  }

  create(id: number): void {
    this.#open.set(id, { file: this.#files.open(segmentPath(id), 'create'), users: 0, isGone: false })
    this.#closeIdle()
  }

  /** To be released. */
  acquire(id: number): StoreFile {
    let open = this.#open.get(id)
    if (open === undefined) {
      open = { file: this.#files.open(segmentPath(id), 'write'), users: 0, isGone: false }
    } else {
      this.#open.delete(id)
    }
    this.#open.set(id, open)
    open.users += 1
    return open.file
  }

  release(id: number): void {
    const open = this.#open.get(id)
    assert(open !== undefined && open.users > 0, `segment ${id} was released twice`)
    open.users -= 1
    if (open.users > 0) return
    if (open.isGone) this.#close(id, open)
    else this.#closeIdle()
  }

  use<Result>(id: number, work: (file: StoreFile) => Result): Result {
    const file = this.acquire(id)
    try {
      return work(file)
    } finally {
      this.release(id)
    }
  }

  async useLater<Result>(id: number, work: (file: StoreFile) => Promise<Result>): Promise<Result> {
    const file = this.acquire(id)
    try {
      return await work(file)
    } finally {
      this.release(id)
    }
  }

  unlink(id: number): void {
    this.#files.unlink(segmentPath(id))
    const open = this.#open.get(id)
    if (open === undefined) return
    open.isGone = true
    if (open.users === 0) this.#close(id, open)
  }

  /** What is in use is closed when its last user has ended. */
  closeAll(): void {
    for (const [id, open] of this.#open) {
      open.isGone = true
      if (open.users === 0) this.#close(id, open)
    }
  }

  #closeIdle(): void {
    if (this.#open.size <= this.#idleMax) return
    for (const [id, open] of this.#open) {
      if (this.#open.size <= this.#idleMax) return
      if (open.users === 0) this.#close(id, open)
    }
  }

  #close(id: number, open: OpenSegment): void {
    this.#open.delete(id)
    open.file.close()
  }
}
