/** Whether a file begins as GGUF does. What reads it behind us loops without an end over some files that do not. */
import { open } from 'node:fs/promises'
import { MembraneError } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'

const HEAD_BYTES = 24

/** "GGUF", little-endian. */
const MAGIC = 0x46554747
const VERSIONS: readonly number[] = [2, 3]

/** Throws INVALID_MODEL, and FILE_UNREADABLE. */
export async function requireGguf(path: string): Promise<void> {
  const head = new DataView(new ArrayBuffer(HEAD_BYTES))
  const bytes = await readHead(path, head)
  const isGguf = bytes === HEAD_BYTES && head.getUint32(0, true) === MAGIC && VERSIONS.includes(head.getUint32(4, true))
  const counts = [head.getBigUint64(8, true), head.getBigUint64(16, true)]
  if (isGguf && counts.every((count) => count <= LIMITS.modelEntriesMax)) return
  throw new MembraneError('INVALID_MODEL', 'A GGUF file of version 2 or 3 was expected; found another head.', {
    details: { path },
  })
}

async function readHead(path: string, head: DataView): Promise<number> {
  try {
    const file = await open(path)
    const { bytesRead } = await file.read(head, 0, HEAD_BYTES, 0).finally(() => file.close())
    return bytesRead
  } catch (cause) {
    throw new MembraneError('FILE_UNREADABLE', 'The model file could not be read.', { cause, details: { path } })
  }
}
