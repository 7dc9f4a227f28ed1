/** Damaged payloads as files in a directory, for somebody to look at. Only the one who looks deletes them, or `clear`. */
import { mkdir, open, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { MembraneError } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import type { Clock, Quarantine, QuarantinedBytes } from '../core/ports.ts'

/** Where evidence is kept, and how much of it. */
export interface FileQuarantineOptions {
  /** Made if it is not there. Readable by its owner only: payloads are other people's prompts. */
  readonly directory: string
  readonly clock: Clock
  /** Default LIMITS.quarantineFilesMax and LIMITS.quarantineBytesMax. */
  readonly filesMax?: number
  readonly bytesMax?: number
}

/** What the quarantine holds. */
export interface QuarantineStats {
  /** Payloads in the directory, those of earlier runs included, and their bytes. */
  readonly files: number
  readonly bytes: number
  /** Payloads that found the quarantine full since it was opened. */
  readonly refused: number
}

const PAYLOAD = '.payload'

/**
 * Each payload is `<time>-<hash>-<n>.payload`, and what is known of it the `.json` of the same name: key, expected hash,
 * reason. No file is ever written over, so when the quarantine is full, what comes is counted and not kept.
 */
export class FileQuarantine implements Quarantine {
  readonly #options: Required<FileQuarantineOptions>
  #files: number
  #bytes: number
  #refused = 0

  private constructor(
    options: Required<FileQuarantineOptions>,
    kept: { readonly files: number; readonly bytes: number },
  ) {
    this.#options = options
    this.#files = kept.files
    this.#bytes = kept.bytes
  }

  /** Throws FILE_UNREADABLE. */
  static async open(options: FileQuarantineOptions): Promise<FileQuarantine> {
    const { directory } = options
    try {
      await mkdir(directory, { recursive: true, mode: 0o700 })
      const names = (await readdir(directory)).filter((name) => name.endsWith(PAYLOAD))
      const sizes = await Promise.all(names.map(async (name) => (await stat(join(directory, name))).size))
      const bytes = sizes.reduce((sum, size) => sum + size, 0)
      const bounds = { filesMax: LIMITS.quarantineFilesMax, bytesMax: LIMITS.quarantineBytesMax }
      return new FileQuarantine({ ...bounds, ...options }, { files: names.length, bytes })
    } catch (cause) {
      throw unwritable(directory, cause)
    }
  }

  /** Throws FILE_UNREADABLE when it cannot be written. */
  async keep({ key, expected, reason, payload }: QuarantinedBytes): Promise<void> {
    const { directory, clock, filesMax, bytesMax } = this.#options
    if (this.#files >= filesMax || this.#bytes + payload.length > bytesMax) {
      this.#refused += 1
      return
    }
    // Counted before it is written: others may come meanwhile.
    this.#files += 1
    this.#bytes += payload.length
    const time = new Date(clock.nowMs()).toISOString()
    try {
      const path = await this.#writeNew(join(directory, `${time.replaceAll(':', '.')}-${expected.slice(-16)}`), payload)
      const description = { key, expected, reason, payloadBytes: payload.length, time }
      await writeFile(`${path}.json`, `${JSON.stringify(description)}\n`, { mode: 0o600, flag: 'wx' })
    } catch (cause) {
      this.#files -= 1
      this.#bytes -= payload.length
      throw unwritable(directory, cause)
    }
  }

  /** Throws FILE_UNREADABLE. */
  async clear(): Promise<void> {
    const { directory } = this.#options
    try {
      for (const name of await readdir(directory)) {
        if (name.endsWith(PAYLOAD) || name.endsWith('.json')) await rm(join(directory, name), { force: true })
      }
      this.#files = 0
      this.#bytes = 0
    } catch (cause) {
      throw unwritable(directory, cause)
    }
  }

  stats(): QuarantineStats {
    return { files: this.#files, bytes: this.#bytes, refused: this.#refused }
  }

  /** Under the first number that is free. */
  async #writeNew(base: string, payload: Uint8Array): Promise<string> {
    for (let number = 1; ; number++) {
      const path = `${base}-${number}`
      const file = await open(`${path}${PAYLOAD}`, 'wx', 0o600).catch((error: NodeJS.ErrnoException) => {
        if (error.code === 'EEXIST' && number <= this.#options.filesMax) return null
        throw error
      })
      if (file === null) continue
      try {
        await file.writeFile(payload)
        return path
      } catch (error) {
        // Half of it would be taken for the evidence.
        await rm(`${path}${PAYLOAD}`, { force: true })
        throw error
      } finally {
        await file.close()
      }
    }
  }
}

function unwritable(directory: string, cause: unknown): MembraneError {
  const message = `The quarantine ${JSON.stringify(directory)} cannot be used: ${cause instanceof Error ? cause.message : String(cause)}`
  return new MembraneError('FILE_UNREADABLE', message, { cause, details: { directory } })
}
