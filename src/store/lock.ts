/**
 * One process to a data directory. The lock is the system's own (a lock on a byte range, taken through the SQLite that
 * comes with Node, which offers no other way to it): it ends with the process, however that ends, and no process number
 * has to be guessed at. HOLDER says who has it, for the message.
 *
 * On most systems such a lock is lost when the process that holds it opens and closes the file LOCK once more: nothing
 * in this project does.
 */
import { readFileSync, truncateSync, writeFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { MembraneError } from '../core/errors.ts'
import { errorCodeOf } from './files.ts'

const BUSY = 5
const NOT_A_DATABASE = 26

/** Throws STORE_LOCKED when another has it, and errors of the system. The result gives it back. */
export function lockDirectory(directory: string): () => void {
  const database = open(directory)
  try {
    // Also tells a directory that cannot be written, by the system's own error.
    writeFileSync(
      join(directory, 'HOLDER'),
      `process ${process.pid} on ${hostname()}, since ${new Date().toISOString()}`,
    )
  } catch (error) {
    database.close()
    throw error
  }
  return () => {
    database.close()
  }
}

function open(directory: string): DatabaseSync {
  const path = join(directory, 'LOCK')
  // SQLite's errors do not say what the system said.
  writeFileSync(path, '', { flag: 'a' })
  try {
    return lockFile(path)
  } catch (error) {
    if (sqliteCodeOf(error) === BUSY) throw locked(directory)
    if (sqliteCodeOf(error) !== NOT_A_DATABASE) throw error
  }
  // It is empty unless it was damaged. Nobody holds it, or it would have been busy.
  truncateSync(path)
  return lockFile(path)
}

function lockFile(path: string): DatabaseSync {
  const database = new DatabaseSync(path)
  try {
    database.exec('PRAGMA journal_mode = MEMORY')
    database.exec('BEGIN EXCLUSIVE')
    return database
  } catch (error) {
    database.close()
    throw error
  }
}

function locked(directory: string): MembraneError {
  const holder = holderOf(directory)
  return new MembraneError('STORE_LOCKED', `${directory} is open already: ${holder}.`, {
    remedy: 'Stop the other process, talk to it, or name another directory.',
    details: { directory, holder },
  })
}

function holderOf(directory: string): string {
  try {
    return readFileSync(join(directory, 'HOLDER'), 'utf8').slice(0, 200)
  } catch (error) {
    return `nobody knows by whom (${errorCodeOf(error)})`
  }
}

function sqliteCodeOf(error: unknown): unknown {
  return error instanceof Error && 'errcode' in error ? error.errcode : null
}
