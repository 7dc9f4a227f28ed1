import { createWriteStream } from 'node:fs'
import { realpath, rename, rm, stat } from 'node:fs/promises'
import { finished } from 'node:stream/promises'
import type { Writable } from 'node:stream'
import { MembraneError } from '../core/errors.ts'

/**
 * Writes a file whole or not at all: under another name until `write` is done, because half of it must not be taken for
 * the whole, nor cost what was there before. A device or a pipe is written as it is. Throws FILE_UNREADABLE.
 */
export async function writeWhole<T>(
  { flag, path }: { readonly flag: string; readonly path: string },
  write: (target: Writable) => Promise<T>,
): Promise<T> {
  const found = await stat(path).catch(() => null)
  const isFile = found === null || found.isFile()
  // Through a link, to the file that it names.
  const whole = found === null ? path : await realpath(path)
  const partial = isFile ? `${whole}.partial` : path
  const target = createWriteStream(partial)
  // Nobody else may be listening when it fails; what it was is looked at below.
  target.on('error', () => {})
  try {
    const result = await write(target)
    target.end()
    await finished(target)
    if (isFile) await rename(partial, whole)
    return result
  } catch (error) {
    target.destroy()
    if (isFile) await rm(partial, { force: true })
    if (error instanceof MembraneError) throw error
    const reason = error instanceof Error && 'code' in error ? String(error.code) : String(error)
    throw new MembraneError('FILE_UNREADABLE', `${path} cannot be written (${reason}).`, {
      remedy: `Choose another place with ${flag}.`,
      details: { flag, path },
      cause: error,
    })
  }
}
