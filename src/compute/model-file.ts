/** The digest of a model's files, and whether they are still the same when an engine has loaded them. */
import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { MembraneError } from '../core/errors.ts'
import type { ContentHash } from '../core/ids.ts'
import type { ContentHasher, HashFunction } from '../core/ports.ts'

/** What names models: of their names, and of their files. */
export interface ModelHashes {
  /** 32 bytes. */
  readonly blake3: HashFunction
  readonly content: ContentHasher
}

/** A file as it was when it was hashed. */
export interface HashedFile {
  readonly path: string
  readonly contentHash: ContentHash
  /** Changes when somebody writes to the file or puts another in its place. */
  readonly version: string
}

const PIECE_BYTES = 1024 * 1024

/** Reads all of it. Throws FILE_UNREADABLE. */
export async function hashFile(hasher: ContentHasher, path: string): Promise<HashedFile> {
  try {
    const version = await versionOf(path)
    const hashing = hasher.start()
    for await (const piece of createReadStream(path, { highWaterMark: PIECE_BYTES }) as AsyncIterable<Uint8Array>)
      hashing.update(piece)
    return { path, contentHash: hashing.contentHash(), version }
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new MembraneError('FILE_UNREADABLE', `The model file could not be read: ${reason}`, {
      cause,
      details: { path },
    })
  }
}

/** Throws INVALID_MODEL when the file is no longer the one that was hashed. */
export async function requireUnchanged({ path, version }: HashedFile): Promise<void> {
  const found = await versionOf(path).catch(() => null)
  if (found === version) return
  throw new MembraneError('INVALID_MODEL', 'The model file has changed while it was loaded.', { details: { path } })
}

async function versionOf(path: string): Promise<string> {
  const found = await stat(path, { bigint: true })
  // A pipe would be waited for, and a device read for ever.
  if (!found.isFile()) throw new Error(`${path} is no file.`)
  const { dev, ino, size, mtimeNs } = found
  return [dev, ino, size, mtimeNs].join()
}
