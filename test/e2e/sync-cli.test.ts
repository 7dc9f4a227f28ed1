import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type MembraneServer, startMembraneServer } from '../membrane-server.ts'
import { openCommand } from './command.ts'

const { folder, write, membrane, json } = openCommand('sync-cli')
let server: MembraneServer

beforeAll(async () => {
  server = await startMembraneServer()
})

afterAll(() => server.stop())

test('sync copies what a server has, and the second time nothing but a digest', () => {
  const large = randomBytes(3_000_000)
  json('put', write('large', large), '--key', 'large', '--pin', '--url', server.url)
  json('put', write('same', large), '--key', 'same', '--url', server.url)
  json('put', write('small', 'x'), '--key', 'small', '--ttl', '1h', '--url', server.url)
  const from = ['--from', server.url, '--data-dir', 'copy'] as const
  const first = json('sync', ...from, '--rate', '100MB')
  expect(first).toMatchObject({ missing: 3, fetched: 2, linked: 1, unfinished: 0, refused: [], lost: [] })
  expect(first.transfer.counters.bytesReceived).toBe(3_000_001)
  const out = join(folder, 'back')
  json('get', 'same', '--data-dir', 'copy', '--out', out)
  expect(readFileSync(out).equals(large)).toBe(true)
  const plain = ({ name, contentHash, isPinned, expiresAtMs }: Record<string, unknown>) => ({
    name,
    contentHash,
    isPinned,
    expiresAtMs,
  })
  const byName = (one: { name: string }, other: { name: string }): number => (one.name < other.name ? -1 : 1)
  const listed = json('ls', '--data-dir', 'copy').toSorted(byName).map(plain)
  expect(listed).toEqual(json('ls', '--url', server.url).toSorted(byName).map(plain))
  const again = membrane('sync', ...from)
  expect(again).toMatchObject({ code: 0 })
  expect(again.out).toMatch(
    /^nothing is missing: comparing took \d+ bytes?\n$|^nothing is missing: comparing took \d+ B\n$/,
  )
})

test('sync refuses a number of connections out of bounds, and says when nobody answers', () => {
  const refused = membrane('sync', '--from', server.url, '--data-dir', 'other', '--connections', '9')
  expect(refused.code).not.toBe(0)
  expect(refused.err).toContain('2 to 8')
  const unreached = membrane('sync', '--from', 'http://127.0.0.1:1', '--data-dir', 'other')
  expect(unreached.code).not.toBe(0)
  expect(unreached.err).toContain('cannot be reached')
})
