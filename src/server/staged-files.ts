/**
 * Payloads that are on their way, in files: `<name>.part` has the bytes where they belong, `<name>.state` says which of
 * them are there. A process that was killed leaves the bytes alone, which the next one compares with their hashes.
 */
import { type FileHandle, mkdir, open, readdir, rm, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { MembraneError } from '../core/errors.ts'
import type { ByteSpan } from '../core/ports.ts'
import { SnapshotFile } from '../store/snapshot-file.ts'
import type { StagingRoom } from './staged-memory.ts'

const PIECE_BYTES = 1024 * 1024

/** A directory of them. One process at a time has it, as it has the store beside it. */
export class StagedFiles {
  readonly #directory: string

  constructor(directory: string) {
    this.#directory = directory
  }

  /** Removes what nobody has touched since `beforeMs`, milliseconds since 1970. */
  async prune(beforeMs: number): Promise<void> {
    for (const name of await readdir(this.#directory).catch(() => [])) {
      const path = join(this.#directory, name)
      const found = await stat(path).catch(() => null)
      if (found !== null && found.mtimeMs < beforeMs) await rm(path, { force: true })
    }
  }

  /** Whether bytes are left of an earlier transfer. */
  async has(name: string): Promise<boolean> {
    return (await stat(this.#part(name)).catch(() => null)) !== null
  }

  /** What `suspend` wrote; null when a process was killed before it could. It is used once: bytes change from now on. */
  async takeState(name: string): Promise<Uint8Array | null> {
    const file = this.#state(name)
    const state = await file.read()
    await file.remove()
    return state
  }

  /** Throws STORE_UNAVAILABLE where the device does not take it. */
  async open(name: string, payloadBytes: number): Promise<StagedFile> {
    const path = this.#part(name)
    return onDevice(path, async () => {
      await mkdir(this.#directory, { recursive: true, mode: 0o700 })
      const file = await open(path, 'r+').catch(() => open(path, 'w+', 0o600))
      await file.truncate(payloadBytes)
      return new StagedFile(file, { path, payloadBytes, state: this.#state(name) })
    })
  }

  #part(name: string): string {
    return join(this.#directory, `${name}.part`)
  }

  #state(name: string): SnapshotFile {
    return new SnapshotFile(join(this.#directory, `${name}.state`))
  }
}

interface StagedFileParts {
  readonly path: string
  readonly payloadBytes: number
  readonly state: SnapshotFile
}

/** One payload in a file. Every call throws STORE_UNAVAILABLE when the device fails. */
export class StagedFile implements StagingRoom {
  readonly #file: FileHandle
  readonly #parts: StagedFileParts

  constructor(file: FileHandle, parts: StagedFileParts) {
    this.#file = file
    this.#parts = parts
  }

  write(offset: number, bytes: Uint8Array): Promise<void> {
    return onDevice(this.#parts.path, async () => {
      for (let done = 0; done < bytes.length; )
        done += (await this.#file.write(bytes, done, bytes.length - done, offset + done)).bytesWritten
    })
  }

  read({ start, end }: ByteSpan, into: Uint8Array): Promise<void> {
    return onDevice(this.#parts.path, async () => {
      for (let at = start; at < end; ) {
        const { bytesRead } = await this.#file.read(into, at - start, end - at, at)
        if (bytesRead === 0) throw new Error('the file is shorter than it was')
        at += bytesRead
      }
    })
  }

  async *payload(): AsyncGenerator<Uint8Array> {
    const { payloadBytes } = this.#parts
    for (let start = 0; start < payloadBytes; start += PIECE_BYTES) {
      // A new one each time: whoever takes the pieces may hold more than one.
      const piece = new Uint8Array(Math.min(PIECE_BYTES, payloadBytes - start))
      await this.read({ start, end: start + piece.length }, piece)
      yield piece
    }
  }

  suspend(state: Uint8Array): Promise<void> {
    return onDevice(this.#parts.path, async () => {
      // Bytes first: a state must not speak of bytes that are not there.
      await this.#file.datasync()
      await this.#file.close()
      await this.#parts.state.write([state])
    })
  }

  remove(): Promise<void> {
    return onDevice(this.#parts.path, async () => {
      await this.#file.close()
      await rm(this.#parts.path, { force: true })
    })
  }
}

async function onDevice<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new MembraneError('STORE_UNAVAILABLE', `What arrives cannot be staged in a file: ${reason}.`, {
      details: { directory: dirname(path) },
      cause,
    })
  }
}
