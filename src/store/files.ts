/**
 * The file port of the disk store: every byte and every name of a data directory passes through it, so that a test can
 * put a device behind it that loses power. Paths are relative to the directory. Errors are those of the system.
 *
 * Calls that give no promise block. For what lies in the page cache they are several times faster than the thread pool,
 * whose round trip costs as much as reading half a megabyte (docs/benchmarks.md).
 */
export interface Files {
  /** The directory, for messages. */
  readonly root: string
  /** `create` makes a new, empty file and fails when there is one. */
  open(path: string, mode: 'create' | 'write'): StoreFile
  rename(from: string, to: string): void
  unlink(path: string): void
  /** Names within a directory; none when there is no such directory. */
  list(path: string): readonly string[]
  /** With the directories above it. Ends when their names are on the device. Does nothing when it is there. */
  makeDirectory(path: string): Promise<void>
  /** Ends when the names of this directory are on the device. */
  syncDirectory(path: string): Promise<void>
}

export interface StoreFile {
  /** Fills the targets one after the other. Gives the bytes read: fewer than asked for only where the file ends. */
  read(targets: readonly Uint8Array[], position: number): number
  readLater(targets: readonly Uint8Array[], position: number): Promise<number>
  /** Writes all, or throws. */
  write(pieces: readonly Uint8Array[], position: number): void
  /** Ends when the bytes and the size are on the device. */
  sync(): Promise<void>
  truncate(bytes: number): void
  size(): number
  close(): void
}

/** The bytes of a whole file, or null when there is none. */
export function readWhole(files: Files, path: string): Uint8Array | null {
  let file: StoreFile
  try {
    file = files.open(path, 'write')
  } catch (error) {
    if (errorCodeOf(error) === 'ENOENT') return null
    throw error
  }
  try {
    const bytes = new Uint8Array(file.size())
    return bytes.subarray(0, file.read([bytes], 0))
  } finally {
    file.close()
  }
}

/** Puts a whole file in the place of another: after a crash there is the old one or the new one. */
export async function replaceWhole(files: Files, path: string, pieces: readonly Uint8Array[]): Promise<void> {
  const staged = `${path}.new`
  removeIfThere(files, staged)
  const file = files.open(staged, 'create')
  try {
    file.write(pieces, 0)
    await file.sync()
  } catch (error) {
    file.close()
    removeIfThere(files, staged)
    throw error
  }
  file.close()
  files.rename(staged, path)
  await files.syncDirectory('.')
}

/** Says whether there was one. */
export function removeIfThere(files: Files, path: string): boolean {
  try {
    files.unlink(path)
    return true
  } catch (error) {
    if (errorCodeOf(error) === 'ENOENT') return false
    throw error
  }
}

/** `ENOSPC` and its like, or '' when the error is none of the system's. */
export function errorCodeOf(error: unknown): string {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : ''
}
