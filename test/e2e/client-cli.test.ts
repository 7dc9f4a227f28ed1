import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type MembraneServer, startMembraneServer } from '../membrane-server.ts'
import { openCommand } from './command.ts'

const { folder, write, membrane, json } = openCommand('client-cli')
let server: MembraneServer
let there: readonly string[]

beforeAll(async () => {
  server = await startMembraneServer()
  there = ['--url', server.url]
})

afterAll(() => server.stop())

describe('the commands on a server', () => {
  test('store, find, read, list and remove', () => {
    const bytes = randomBytes(300_000)
    const file = write('report.bin', bytes)
    const put = json('put', file, '--key', 'report', '--ttl', '1h', ...there)
    expect(put).toMatchObject({ key: 'opaque/=report', payloadBytes: 300_000, outcome: 'stored' })
    expect(json('put', file, '--key', 'report', '--ttl', '1h', ...there).outcome).not.toBe('stored')
    expect(json('has', 'report', ...there)).toEqual([{ key: 'report', isThere: true }])
    expect(membrane('has', 'nothing', ...there).code).toBe(1)
    const out = join(folder, 'back.bin')
    expect(json('get', 'report', '--out', out, ...there)).toMatchObject({ writtenBytes: 300_000 })
    expect(readFileSync(out).equals(bytes)).toBe(true)
    expect(membrane('get', 'report', '--span', '10-20', '--out', out, ...there).code).toBe(0)
    expect(readFileSync(out).equals(bytes.subarray(10, 20))).toBe(true)
    const [listed] = json('ls', ...there)
    expect(listed).toMatchObject({ name: 'report', payloadBytes: 300_000, contentHash: put.contentHash })
    expect(membrane('ls', '--long', ...there).out).toContain('1 fragment, 300 kB; default has 1 fragment on the server')
    expect(json('rm', 'report', ...there)).toEqual({ removed: 1 })
    expect(membrane('rm', 'report', ...there).code).toBe(1)
    expect(membrane('get', 'report', '--out', out, ...there)).toMatchObject({ code: 1 })
  })

  test('store a file with what it says, under the key that it has by itself', () => {
    const file = write('text.md', 'Otters sleep holding hands.')
    const { key } = json('put', file, '--media-type', 'text/markdown', '--text', 'otters', '--pin', ...there)
    expect(key).toMatch(/^artifact\/b3:/)
    const [listed] = json('ls', 'artifact/', ...there)
    expect(listed).toMatchObject({ key, isPinned: true, description: { text: 'otters' } })
    expect(json('rm', '--all', '--erase', ...there)).toEqual({ removed: 1 })
  })

  test('move fragments between a directory and a server', () => {
    const files = ['a', 'b', 'c'].map((name) => write(name, randomBytes(10_000)))
    for (const [index, file] of files.entries()) json('put', file, '--key', `name-${index}`, '--data-dir', 'one')
    json('put', files[0] ?? '', '--text', 'said', '--priority', 'high', '--data-dir', 'one')
    json('export', '--out', 'one.tar', '--data-dir', 'one')
    expect(json('import', 'one.tar', ...there)).toMatchObject({ fragments: 4, stored: 4 })
    json('export', '--out', 'two.tar', ...there)
    expect(json('import', 'two.tar', '--data-dir', 'two')).toMatchObject({ fragments: 4, stored: 4 })
    const listed = (place: string) => json('ls', '--data-dir', place)
    expect(listed('two')).toEqual(listed('one'))
  })

  test('scrub', () => {
    expect(json('scrub', ...there)).toMatchObject({ damaged: 0, isComplete: true })
    expect(membrane('scrub', ...there).out).toContain('every byte is what its hash says')
  })

  test('take one place, and refuse what only the other has', () => {
    expect(membrane('ls').err).toContain('either --data-dir or --url')
    expect(membrane('ls', '--data-dir', 'one', ...there).err).toContain('either --data-dir or --url')
    expect(membrane('ls', '--tenant', 'a', ...there).err).toContain('--tenant does not go with --url')
    expect(membrane('ls', '--data-dir', 'one', '--ca', 'x').err).toContain('--ca needs --url')
    expect(membrane('put', 'a', '--max-bytes', '1GB', ...there).err).toContain('--max-bytes does not go with --url')
    expect(membrane('generate', '--prompt', 'a', '--compute', 'cpu', ...there).err).toContain(
      'the server has its engine',
    )
  })

  test('say that a server cannot be reached', () => {
    const { code, err } = membrane('ls', '--url', 'http://127.0.0.1:1')
    expect(code).toBe(1)
    expect(err).toContain('cannot be reached')
  })
})
