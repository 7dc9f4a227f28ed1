/** Errors of the file system in our words. */
import { type ErrorCode, MembraneError } from '../core/errors.ts'
import { errorCodeOf } from './files.ts'

const FULL = new Set(['ENOSPC', 'EDQUOT', 'EFBIG'])

export function isFull(error: unknown): boolean {
  return FULL.has(errorCodeOf(error))
}

/** What went wrong with the data directory. An error of ours stays as it is. */
export function diskError(error: unknown, directory: string, doing: string): unknown {
  const systemCode = errorCodeOf(error)
  if (error instanceof MembraneError || systemCode === '') return error
  const [code, found, remedy] = explain(systemCode)
  const details = { directory, systemCode }
  return new MembraneError(code, `Could not ${doing} ${directory}: ${found}.`, { remedy, details, cause: error })
}

function explain(systemCode: string): readonly [ErrorCode, string, string] {
  switch (systemCode) {
    case 'ENOSPC':
    case 'EFBIG':
      return ['STORE_FULL', `the device is full (${systemCode})`, 'Free space on the device, or lower the capacity.']
    case 'EDQUOT':
      return ['STORE_FULL', 'the disk quota is used up (EDQUOT)', 'Raise the quota, or lower the capacity.']
    case 'EROFS':
      return [
        'FILE_UNREADABLE',
        'the file system is read-only (EROFS)',
        'Mount it writable, or name another directory.',
      ]
    case 'EACCES':
    case 'EPERM':
      return [
        'FILE_UNREADABLE',
        `permission is missing (${systemCode})`,
        'Give this user the right to read and write the directory and what is in it, or name another directory.',
      ]
    case 'ENOTDIR':
    case 'EEXIST':
      return ['FILE_UNREADABLE', `it is not a directory (${systemCode})`, 'Name a directory, or a path that is free.']
    case 'EMFILE':
    case 'ENFILE':
      return ['STORE_UNAVAILABLE', `too many files are open (${systemCode})`, 'Raise the limit of open files.']
    default:
      return ['FILE_UNREADABLE', `the system says ${systemCode}`, 'Look at the device and its file system.']
  }
}
