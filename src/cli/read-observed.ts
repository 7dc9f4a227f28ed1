/** Opens a file of observed requests (or standard input) and unpacks it if it is gzip. */
import { open } from 'node:fs/promises'
import { gunzipSync } from 'node:zlib'
import { MembraneError } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import { parseObservedRequests } from '../planner/observed-reader.ts'
import type { ObservedRequests } from '../planner/observed-requests.ts'

/**
 * Reads all of it; `-` is standard input. Gzip is told by its first two bytes. Throws FILE_UNREADABLE, INVALID_TRACE or
 * LIMIT_REACHED.
 */
export async function readObservedFile(path: string): Promise<ObservedRequests> {
  const name = path === '-' ? 'standard input' : path
  return parseObservedRequests(name, decode(name, unpack(name, await readBytes(path, name))))
}

async function readBytes(path: string, name: string): Promise<Buffer> {
  const chunks: Buffer[] = []
  let bytes = 0
  try {
    const source: AsyncIterable<Buffer> = path === '-' ? process.stdin : (await open(path)).createReadStream()
    for await (const chunk of source) {
      bytes += chunk.length
      if (bytes > LIMITS.observedFileBytesMax) throw tooLarge(name)
      chunks.push(chunk)
    }
  } catch (error) {
    if (!(error instanceof Error && 'syscall' in error)) throw error
    const code = 'code' in error ? String(error.code) : ''
    const found = code === 'ENOENT' ? 'no such file' : code === 'EISDIR' ? 'a directory' : `a read error (${code})`
    throw new MembraneError('FILE_UNREADABLE', `${name}: found ${found}, expected a file of observed requests`, {
      details: { file: name, reason: code },
      cause: error,
      remedy: 'Check the path and the permissions.',
    })
  }
  return Buffer.concat(chunks)
}

function unpack(name: string, bytes: Buffer): Buffer {
  if (bytes[0] !== 0x1f || bytes[1] !== 0x8b) return bytes
  try {
    return gunzipSync(bytes, { maxOutputLength: LIMITS.observedFileBytesMax })
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ERR_BUFFER_TOO_LARGE') throw tooLarge(name)
    throw new MembraneError('INVALID_TRACE', `${name}: found damaged gzip data, expected a whole gzip file`, {
      details: { file: name },
      cause: error,
      remedy: 'Copy the file again; `gzip -t` tells whether it is whole.',
    })
  }
}

function decode(name: string, bytes: Buffer): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch (error) {
    throw new MembraneError(
      'INVALID_TRACE',
      `${name}: found bytes that are not UTF-8, expected UTF-8 text, plain or gzipped`,
      { details: { file: name }, cause: error, remedy: 'Save the file as UTF-8.' },
    )
  }
}

function tooLarge(name: string): MembraneError {
  return new MembraneError(
    'LIMIT_REACHED',
    `${name}: found more than ${LIMITS.observedFileBytesMax} bytes of observed requests, expected at most that many`,
    { details: { file: name }, remedy: 'Keep the first part of the run; a fit needs some hundred requests.' },
  )
}
