/**
 * Who administered what: one line of JSON for the beginning of each action and one for its end, on the device before the
 * action goes on. An action that cannot be written down is not done; one that has a beginning and no end was cut off.
 */
import { type FileHandle, open, rename, rm } from 'node:fs/promises'
import { MembraneError } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import type { Clock } from '../core/ports.ts'
import type { Caller } from './caller.ts'

/** What is written down. */
export const AUDIT_ACTIONS = [
  'start',
  'drain',
  'tenant.quota.set',
  'tenant.quota.remove',
  'tenant.erase',
  'tenant.flush',
  'store.purge',
  'store.scrub',
  'transfer.pull',
  'cluster.join',
  'cluster.leave',
  'credentials.reload',
  'tls.reload',
] as const
/** One of AUDIT_ACTIONS. */
export type AuditAction = (typeof AUDIT_ACTIONS)[number]

/** An action and who asked for it. */
export interface AuditEntry {
  readonly action: AuditAction
  /** Null for what the machine's own user did: a signal, a start. */
  readonly caller: Caller | null
  /** What it was done to: a tenant, a key, a file. Null when the action says it all. */
  readonly target: string | null
  /** As in the log; null for what is no request. */
  readonly requestId: string | null
}

interface Waiting {
  readonly line: string
  readonly done: () => void
  readonly failed: (error: unknown) => void
}

/** Appends to one file, which becomes `<path>.1` and so on when it has grown to LIMITS.auditFileBytesMax. */
export class AuditLog {
  readonly #path: string
  readonly #clock: Clock
  #file: FileHandle | null
  #bytes: number
  #waiting: Waiting[] = []
  #writing: Promise<void> | null = null

  private constructor(
    path: string,
    clock: Clock,
    { file, bytes }: { readonly file: FileHandle; readonly bytes: number },
  ) {
    this.#path = path
    this.#clock = clock
    this.#file = file
    this.#bytes = bytes
  }

  /** Made for this user alone (0600) if it is not there. Throws FILE_UNREADABLE. */
  static async open(path: string, clock: Clock): Promise<AuditLog> {
    return new AuditLog(path, clock, await openFile(path))
  }

  /**
   * Does what `act` does between two lines. Throws what it throws, after writing that down by its code; FILE_UNREADABLE,
   * before doing anything, when the log cannot be written.
   */
  async around<T>(entry: AuditEntry, act: () => Promise<T>): Promise<T> {
    await this.#append(entry, 'begun')
    let result: T
    try {
      result = await act()
    } catch (error) {
      await this.#append(entry, error instanceof MembraneError ? error.code : 'INTERNAL')
      throw error
    }
    await this.#append(entry, 'done')
    return result
  }

  /** Writes what is waiting. */
  async close(): Promise<void> {
    while (this.#writing !== null) await this.#writing
    await this.#file?.close()
    this.#file = null
  }

  #append({ action, caller, target, requestId }: AuditEntry, outcome: string): Promise<void> {
    const line = JSON.stringify({
      time: new Date(this.#clock.nowMs()).toISOString(),
      action,
      target: target === null ? null : cut(target),
      outcome,
      caller: caller?.name ?? null,
      tenant: caller?.tenant ?? null,
      role: caller?.role ?? null,
      requestId: requestId === null ? null : cut(requestId),
    })
    return new Promise<void>((done, failed) => {
      this.#waiting.push({ line: `${line}\n`, done, failed })
      this.#writing ??= this.#writeAll().finally(() => {
        this.#writing = null
      })
    })
  }

  /** Whatever comes while one batch is written goes with the next: one sync for many. */
  async #writeAll(): Promise<void> {
    while (this.#waiting.length > 0) {
      const batch = this.#waiting
      this.#waiting = []
      try {
        await this.#write(Buffer.from(batch.map(({ line }) => line).join('')))
        for (const { done } of batch) done()
      } catch (cause) {
        const error = unwritable(this.#path, cause)
        for (const { failed } of batch) failed(error)
      }
    }
  }

  async #write(bytes: Buffer): Promise<void> {
    if (this.#file === null) throw new Error('The audit log is closed.')
    if (this.#bytes > 0 && this.#bytes + bytes.length > LIMITS.auditFileBytesMax) await this.#rotate(this.#file)
    await this.#file.appendFile(bytes)
    await this.#file.datasync()
    this.#bytes += bytes.length
  }

  async #rotate(file: FileHandle): Promise<void> {
    const older = (n: number): string => (n === 0 ? this.#path : `${this.#path}.${n}`)
    await rm(older(LIMITS.auditFilesMax), { force: true })
    for (let n = LIMITS.auditFilesMax - 1; n >= 0; n--)
      await rename(older(n), older(n + 1)).catch((error: NodeJS.ErrnoException) => {
        if (error.code !== 'ENOENT') throw error
      })
    const opened = await openFile(this.#path)
    this.#file = opened.file
    this.#bytes = opened.bytes
    await file.close()
  }
}

async function openFile(path: string): Promise<{ readonly file: FileHandle; readonly bytes: number }> {
  try {
    const file = await open(path, 'a', 0o600)
    return { file, bytes: (await file.stat()).size }
  } catch (cause) {
    throw unwritable(path, cause)
  }
}

function unwritable(path: string, cause: unknown): MembraneError {
  return new MembraneError('FILE_UNREADABLE', `The audit log ${path} cannot be written.`, {
    remedy: 'Make room or correct its permissions: without it, nothing is administered.',
    details: { path },
    cause,
  })
}

function cut(text: string): string {
  const { auditFieldCharactersMax: max } = LIMITS
  return text.length <= max ? text : `${text.slice(0, max)}… (${text.length} characters)`
}
