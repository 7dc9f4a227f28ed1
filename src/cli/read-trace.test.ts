import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { MembraneError } from '../core/errors.ts'
import type { Trace, TraceFile } from '../planner/trace.ts'
import { readTraceFile, readTraceStream } from './read-trace.ts'

let folder = ''
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'membrane-trace-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

async function readBytes(name: string, bytes: Uint8Array | string): Promise<TraceFile> {
  const path = join(folder, name)
  await writeFile(path, bytes)
  return readTraceFile(path)
}

async function errorOf(reading: Promise<TraceFile>): Promise<MembraneError> {
  return reading.then(
    () => expect.unreachable('expected an error'),
    (error: MembraneError) => error,
  )
}

function requestsOf(file: TraceFile): Trace {
  return file.kind === 'requests' ? file.trace : expect.unreachable('expected requests')
}

/** Large enough, and random enough, to come in many chunks. */
const TEXT = `${Array.from({ length: 200_000 }, (_, index) => `${((index * 7_919) % 99_991) + 1},${index % 1000}`).join('\n')}\n`

describe('readTraceFile', () => {
  it('reads plain text and gzip alike, told apart by their bytes and not by their names', async () => {
    const plain = await readBytes('plain.csv.gz', TEXT)
    const packed = await readBytes('packed.csv', gzipSync(TEXT))
    const [plainTrace, packedTrace] = [requestsOf(plain), requestsOf(packed)]
    expect(plainTrace.requestCount).toBe(200_000)
    expect({ ...packedTrace, name: '' }).toEqual({ ...plainTrace, name: '' })
    expect(packedTrace.name).toBe(join(folder, 'packed.csv'))
  })

  it('reads gzip files that were joined', async () => {
    const bytes = Buffer.concat([gzipSync('1\n2\n'), gzipSync('3\n')])
    expect(await readBytes('joined', bytes)).toMatchObject({ trace: { inputTokens: Int32Array.of(1, 2, 3) } })
  })

  it('names the file and the line of a bad row', async () => {
    const error = await errorOf(readBytes('bad.csv', gzipSync(`${TEXT}-1,2\n`)))
    expect(error).toMatchObject({ code: 'INVALID_TRACE', details: { line: 200_001, column: 1 } })
    expect(error.message).toMatch(/bad\.csv:200001:1: found input tokens -1, expected a whole number/)
  })

  it('says what is wrong with a path', async () => {
    const missing = await errorOf(readTraceFile(join(folder, 'missing.csv')))
    expect([missing.code, missing.message]).toEqual([
      'FILE_UNREADABLE',
      `${join(folder, 'missing.csv')}: found no such file, expected a trace file`,
    ])
    const directory = await errorOf(readTraceFile(folder))
    expect([directory.code, directory.message]).toEqual([
      'FILE_UNREADABLE',
      `${folder}: found a directory, expected a trace file`,
    ])
    expect((await errorOf(readTraceFile(join(folder, 'plain.csv.gz', 'x')))).code).toBe('FILE_UNREADABLE')
  })

  it('refuses truncated gzip, wherever it is cut', async () => {
    const bytes = gzipSync(TEXT)
    for (const length of [2, 3, 10, 1000, bytes.length / 2, bytes.length - 1]) {
      const error = await errorOf(readBytes('cut.gz', bytes.subarray(0, length)))
      expect(error.code).toBe('INVALID_TRACE')
      expect(error.message).toMatch(/cut\.gz: found the end of the file inside gzip data, expected a whole gzip file$/)
    }
  })

  it('refuses damaged gzip', async () => {
    const bytes = gzipSync(TEXT)
    bytes.writeUInt32LE(0, bytes.length - 8)
    const error = await errorOf(readBytes('damaged.gz', bytes))
    expect(error.code).toBe('INVALID_TRACE')
    expect(error.message).toMatch(
      /damaged\.gz: found damaged gzip data \(incorrect data check\), expected a whole gzip file$/,
    )
  })

  it('refuses an empty file, and one that is not UTF-8', async () => {
    expect((await errorOf(readBytes('empty', ''))).message).toMatch(/empty:1:1: found the end of the file/)
    const utf16 = await errorOf(readBytes('utf16.csv', Buffer.from('\uFEFF10,1\n', 'utf16le')))
    expect([utf16.code, utf16.message]).toEqual([
      'INVALID_TRACE',
      `${join(folder, 'utf16.csv')}: found bytes that are not UTF-8, expected UTF-8 text, plain or gzipped`,
    ])
    expect((await errorOf(readBytes('cut-utf8', Buffer.from([0x31, 0x0a, 0xc3])))).message).toMatch(/not UTF-8/)
  })
})

describe('readTraceStream', () => {
  async function* oneByOne(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
    for (const byte of bytes) yield Uint8Array.of(byte)
  }

  it('takes single bytes, so a pipe may deliver the gzip mark in two parts', async () => {
    const expected = { trace: { name: 'pipe', inputTokens: Int32Array.of(10, 20) } }
    expect(await readTraceStream('pipe', oneByOne(gzipSync('10\n20\n')))).toMatchObject(expected)
    expect(await readTraceStream('pipe', oneByOne(Buffer.from('\uFEFF10\n20\n')))).toMatchObject(expected)
    expect(await readTraceStream('pipe', oneByOne(Buffer.from('7')))).toMatchObject({ trace: { requestCount: 1 } })
  })

  it('closes its source when a row is bad', async () => {
    for (const pack of [(text: string) => Buffer.from(text), (text: string) => gzipSync(text)]) {
      let isClosed = false
      async function* source(): AsyncGenerator<Uint8Array> {
        try {
          yield pack('1\n-1\n')
          yield pack('1\n'.repeat(1000))
        } finally {
          isClosed = true
        }
      }
      const error = await errorOf(readTraceStream('pipe', source()))
      expect(error.message).toMatch(/^pipe:2:1: /)
      expect(isClosed).toBe(true)
    }
  })
})
