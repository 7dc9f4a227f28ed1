/** Opens a trace file (or standard input), unpacks it if it is gzip, and streams its text to the reader. */
import { createReadStream } from 'node:fs'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createGunzip } from 'node:zlib'
import { MembraneError } from '../core/errors.ts'
import { createTraceReader, type TraceReader, type TraceReaderOptions } from '../planner/trace-reader.ts'
import type { TraceFile } from '../planner/trace.ts'

/** Large chunks: every chunk crosses a thread and a decoder. */
const CHUNK_BYTES = 256 * 1024

/**
 * Reads a whole trace; `-` is standard input. Gzip is told by its first two bytes, not by the name.
 * Throws FILE_UNREADABLE when the file cannot be opened or read, INVALID_TRACE when it is damaged or malformed, and
 * LIMIT_REACHED at a bound; never gives a part of a trace.
 */
export async function readTraceFile(path: string, options: TraceReaderOptions = {}): Promise<TraceFile> {
  const name = path === '-' ? 'standard input' : path
  const source = path === '-' ? process.stdin : createReadStream(path, { highWaterMark: CHUNK_BYTES })
  return readTraceStream(name, source, options)
}

/** The same for bytes from anywhere. `name` is for messages. */
export async function readTraceStream(
  name: string,
  source: AsyncIterable<Uint8Array>,
  options: TraceReaderOptions = {},
): Promise<TraceFile> {
  const reader = createTraceReader(name, options)
  try {
    const { isGzip, bytes } = await peek(source)
    const feed = (chunks: AsyncIterable<Uint8Array>) => feedText(chunks, reader)
    if (isGzip) await pipeline(Readable.from(bytes), createGunzip({ chunkSize: CHUNK_BYTES }), feed)
    else await feed(bytes)
  } catch (error) {
    throw describe(error, name)
  }
  return reader.end()
}

/** Looks at the first two bytes, which a pipe may deliver one by one, and gives them back with the rest. */
async function peek(
  source: AsyncIterable<Uint8Array>,
): Promise<{ readonly isGzip: boolean; readonly bytes: AsyncIterable<Uint8Array> }> {
  const iterator = source[Symbol.asyncIterator]()
  let head = new Uint8Array(0)
  while (head.length < 2) {
    const next = await iterator.next()
    if (next.done === true) break
    head = Buffer.concat([head, next.value])
  }
  return { isGzip: head[0] === 0x1f && head[1] === 0x8b, bytes: joined(head, iterator) }
}

async function* joined(head: Uint8Array, rest: AsyncIterator<Uint8Array>): AsyncGenerator<Uint8Array> {
  try {
    yield head
    for (let next = await rest.next(); next.done !== true; next = await rest.next()) yield next.value
  } finally {
    await rest.return?.()
  }
}

/** Bytes that are not UTF-8 throw a TypeError here, rather than becoming replacement characters in a name or number. */
async function feedText(chunks: AsyncIterable<Uint8Array>, reader: TraceReader): Promise<void> {
  const decoder = new TextDecoder('utf-8', { fatal: true })
  for await (const chunk of chunks) reader.push(decoder.decode(chunk, { stream: true }))
  reader.push(decoder.decode())
}

/** Says in our words what failed; an error of ours, or a bug, goes on as it is. */
function describe(error: unknown, name: string): unknown {
  if (error instanceof MembraneError || !(error instanceof Error)) return error
  const code = 'code' in error && typeof error.code === 'string' ? error.code : ''
  const details = { file: name, reason: code }
  if (code === 'ERR_ENCODING_INVALID_ENCODED_DATA') {
    return new MembraneError(
      'INVALID_TRACE',
      `${name}: found bytes that are not UTF-8, expected UTF-8 text, plain or gzipped`,
      {
        details,
        cause: error,
        remedy: 'Save the trace as UTF-8, or unpack it if it is compressed with something other than gzip.',
      },
    )
  }
  if (code.startsWith('Z_')) {
    const found =
      code === 'Z_BUF_ERROR' ? 'the end of the file inside gzip data' : `damaged gzip data (${error.message})`
    return new MembraneError('INVALID_TRACE', `${name}: found ${found}, expected a whole gzip file`, {
      details,
      cause: error,
      remedy: 'Copy the file again; `gzip -t` tells whether it is whole.',
    })
  }
  if (!('syscall' in error)) return error
  return new MembraneError('FILE_UNREADABLE', `${name}: found ${fileProblem(code)}, expected a trace file`, {
    details,
    cause: error,
    remedy: 'Check the path and the permissions.',
  })
}

function fileProblem(code: string): string {
  if (code === 'ENOENT') return 'no such file'
  if (code === 'EISDIR') return 'a directory'
  if (code === 'EACCES' || code === 'EPERM') return 'a file that may not be read'
  return `a read error (${code})`
}
