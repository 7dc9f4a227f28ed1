import { constants } from 'node:fs'
import { access, stat, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { MembraneError } from '../core/errors.ts'
import { printNotes } from './print.ts'

/** A file that a command writes when it is done, by the flag that names it. */
export interface OutputFile {
  readonly flag: string
  /** Nothing is written where it is not given. */
  readonly path: string | undefined
}

/** Before the work, so that minutes of it are not lost; it touches nothing. Throws FILE_UNREADABLE. */
export async function checkOutputs(files: readonly OutputFile[]): Promise<void> {
  for (const { flag, path } of files) {
    if (path === undefined) continue
    const found = await stat(path).catch((error: unknown) => {
      if (reasonOf(error) === 'ENOENT') return null
      throw unwritable(flag, path, error)
    })
    if (found?.isDirectory() === true) throw unwritable(flag, path, null, 'a directory')
    await access(found === null ? dirname(path) : path, constants.W_OK).catch((error: unknown) => {
      throw unwritable(flag, path, error)
    })
  }
}

interface NamedFile extends OutputFile {
  readonly path: string
}

/** Writes and says so on standard error, `how` to look at it included. Throws FILE_UNREADABLE. */
export async function writeOutput(file: NamedFile, content: string, how?: string): Promise<void> {
  const { path } = file
  await saveOutput(file, content)
  printNotes([`wrote ${path}${how === undefined ? '' : ` (${how})`}`])
}

/** Writes without a word, for a command whose answer names the file. Throws FILE_UNREADABLE. */
export async function saveOutput({ flag, path }: NamedFile, content: string): Promise<void> {
  await writeFile(path, content).catch((error: unknown) => {
    throw unwritable(flag, path, error)
  })
}

function unwritable(flag: string, path: string, cause: unknown, reason = reasonOf(cause)): MembraneError {
  return new MembraneError('FILE_UNREADABLE', `${path} cannot be written${reason === null ? '' : ` (${reason})`}.`, {
    remedy: `Choose another place with ${flag}.`,
    details: { flag, path },
    ...(cause === null ? {} : { cause }),
  })
}

function reasonOf(error: unknown): string | null {
  return error instanceof Error && 'code' in error ? String(error.code) : null
}
