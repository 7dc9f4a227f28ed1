/** The file port over the file system. */
import {
  closeSync,
  existsSync,
  fdatasync,
  fstatSync,
  fsync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  readv,
  readvSync,
  renameSync,
  statSync,
  unlinkSync,
  writevSync,
} from 'node:fs'
import { dirname, join, resolve as absolute } from 'node:path'
import { errorCodeOf, type Files, type StoreFile } from './files.ts'

export function nodeFiles(root: string): Files {
  const resolve = (path: string) => join(absolute(root), path)
  return {
    root,
    open: (path, mode) => openFile(openSync(resolve(path), mode === 'create' ? 'wx+' : 'r+')),
    rename: (from, to) => {
      renameSync(resolve(from), resolve(to))
    },
    unlink: (path) => {
      unlinkSync(resolve(path))
    },
    list: (path) => {
      try {
        return readdirSync(resolve(path))
      } catch (error) {
        if (errorCodeOf(error) === 'ENOENT') return []
        throw error
      }
    },
    makeDirectory: async (path) => {
      // For its owner only: payloads are other people's prompts.
      const first = makeMissing(resolve(path))
      if (first === undefined) return
      // Each new name stands in the directory above it.
      for (let made = resolve(path); made.length >= first.length; made = dirname(made)) await syncNames(dirname(made))
    },
    syncDirectory: (path) => syncNames(resolve(path)),
  }
}

/**
 * The first directory that was made; undefined when all were there. One by one: asked for all at once, Node tries for
 * ever where the system lets nobody make one, as in /proc.
 */
function makeMissing(path: string): string | undefined {
  const missing: string[] = []
  for (let at = path; !existsSync(at); at = dirname(at)) missing.push(at)
  // What is there and is no directory is told so by the system.
  if (missing.length === 0 && !statSync(path).isDirectory()) mkdirSync(path)
  for (const directory of missing.toReversed()) {
    try {
      mkdirSync(directory, { mode: 0o700 })
    } catch (error) {
      // Somebody else made it meanwhile.
      if (errorCodeOf(error) !== 'EEXIST' || !statSync(directory).isDirectory()) throw error
    }
  }
  return missing.at(-1)
}

async function syncNames(directory: string): Promise<void> {
  // Windows cannot open a directory; its names are in the journal with the file.
  if (process.platform === 'win32') return
  const descriptor = openSync(directory, 'r')
  try {
    await settled((done) => {
      fsync(descriptor, done)
    })
  } finally {
    closeSync(descriptor)
  }
}

function openFile(descriptor: number): StoreFile {
  return {
    read: (targets, position) => {
      let filled = 0
      let rest = targets
      for (;;) {
        if (rest.length === 0) return filled
        const bytes = readvSync(descriptor, rest, position + filled)
        if (bytes === 0) return filled
        filled += bytes
        rest = without(rest, bytes)
      }
    },
    readLater: async (targets, position) => {
      let filled = 0
      let rest = targets
      for (;;) {
        if (rest.length === 0) return filled
        const bytes = await readOnce(descriptor, rest, position + filled)
        if (bytes === 0) return filled
        filled += bytes
        rest = without(rest, bytes)
      }
    },
    write: (pieces, position) => {
      let written = 0
      let rest = without(pieces, 0)
      while (rest.length > 0) {
        const bytes = writevSync(descriptor, rest, position + written)
        written += bytes
        rest = without(rest, bytes)
      }
    },
    sync: () =>
      settled((done) => {
        fdatasync(descriptor, done)
      }),
    truncate: (bytes) => {
      ftruncateSync(descriptor, bytes)
    },
    size: () => fstatSync(descriptor).size,
    close: () => {
      closeSync(descriptor)
    },
  }
}

/** What of these pieces is left after their first `bytes` bytes. None of it is empty. */
function without(pieces: readonly Uint8Array[], bytes: number): readonly Uint8Array[] {
  let skipped = bytes
  const rest: Uint8Array[] = []
  for (const piece of pieces) {
    if (skipped >= piece.length) {
      skipped -= piece.length
      continue
    }
    rest.push(piece.subarray(skipped))
    skipped = 0
  }
  return rest
}

function readOnce(descriptor: number, targets: readonly Uint8Array[], position: number): Promise<number> {
  return new Promise((resolve, reject) => {
    readv(descriptor, targets, position, (error, bytes) => {
      if (error === null) resolve(bytes)
      else reject(error)
    })
  })
}

function settled(start: (done: (error: Error | null) => void) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    start((error) => {
      if (error === null) resolve()
      else reject(error)
    })
  })
}
