import { spawn } from 'node:child_process'
import { createServer, type Server } from 'node:net'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { CheckResult } from '../../src/cli/doctor-check.ts'
import { freePort, type MembraneServer, startMembraneServer } from '../membrane-server.ts'
import { missingPrograms, type RedisServer, startRedisServer } from '../redis-server.ts'

const MAIN = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url))

interface Doctor {
  readonly code: number | null
  readonly checks: readonly CheckResult[]
  readonly out: string
}

/** Not with the blocking call of other tests: the servers that are looked at may be in this process. */
async function doctor(...words: readonly string[]): Promise<Doctor> {
  const child = spawn(process.execPath, [MAIN, 'doctor', '--json', ...words], { stdio: ['ignore', 'pipe', 'pipe'] })
  let [out, err] = ['', '']
  child.stdout.setEncoding('utf8').on('data', (text: string) => (out += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (err += text))
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve))
  expect(out, err).toMatch(/^\{/)
  const { checks } = JSON.parse(out) as { readonly checks: readonly CheckResult[] }
  return { code, checks, out }
}

const stateOf = ({ checks }: Doctor, name: string) => checks.find((check) => check.name === name)?.state

let server: MembraneServer
let doors: Readonly<Record<'resp' | 'grpc' | 'lm', string>>
const others: Server[] = []

beforeAll(async () => {
  const [resp, grpc, lm] = [await freePort(), await freePort(), await freePort()]
  doors = { resp: `127.0.0.1:${resp}`, grpc: `127.0.0.1:${grpc}`, lm: `127.0.0.1:${lm}` }
  const ports = ['--resp-port', String(resp), '--grpc-port', String(grpc), '--lm-port', String(lm)]
  server = await startMembraneServer({ args: ['--compute', 'none', ...ports] })
})

afterAll(async () => {
  for (const other of others) other.close()
  await server.stop()
})

/** Something that listens and is none of ours: it answers each segment with this. */
async function impostor(answer: string): Promise<string> {
  const other = createServer((socket) => {
    socket.on('error', () => {}).on('data', () => socket.write(answer))
  })
  others.push(other)
  await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve))
  const address = other.address()
  return typeof address === 'object' && address !== null ? `127.0.0.1:${address.port}` : ''
}

describe('membrane doctor', () => {
  test('finds a node with all of its doors well, and leaves nothing behind', async () => {
    const words = ['--url', server.url, '--resp', doors.resp, '--grpc', doors.grpc, '--lm', doors.lm]
    const found = await doctor(...words, '--data-dir', join(server.folder, 'data'))
    expect(found.checks.filter(({ state }) => state === 'failed')).toEqual([])
    expect(found.code).toBe(0)
    for (const name of ['HTTP door', 'clock', 'credential', 'RESP door', 'gRPC door', 'lm door', 'store', 'versions'])
      expect(stateOf(found, name), name).toBe('ok')
    const page = (await (await fetch(`${server.url}/v1/fragments`)).json()) as {
      readonly fragments: readonly unknown[]
    }
    expect(page.fragments).toEqual([])
  })

  test.each([
    ['--url', 'HTTP door', 'http://127.0.0.1:1'],
    ['--resp', 'RESP door', '127.0.0.1:1'],
    ['--grpc', 'gRPC door', '127.0.0.1:1'],
    ['--lm', 'lm door', '127.0.0.1:1'],
    ['--redis', 'Redis', 'redis://127.0.0.1:1'],
  ])('fails for %s where nobody listens, and says what to do', async (flag, name, address) => {
    const found = await doctor(flag, address)
    expect(found.code).toBe(1)
    expect(stateOf(found, name)).toBe('failed')
    expect(found.checks.find((check) => check.name === name)?.remedy).not.toBeNull()
  })

  test.each([
    ['--resp', 'RESP door', '+OK\r\n'],
    ['--lm', 'lm door', 'x'.repeat(36)],
    ['--redis', 'Redis', 'HTTP/1.1 400 Bad Request\r\n\r\n'],
    ['--url', 'HTTP door', 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}'],
  ])('fails for %s where something else answers', async (flag, name, answer) => {
    const address = await impostor(answer)
    const scheme = { '--redis': 'redis://', '--url': 'http://' }[flag] ?? ''
    const found = await doctor(flag, `${scheme}${address}`)
    expect(found.code).toBe(1)
    expect(stateOf(found, name)).toBe('failed')
  })

  test('fails for a directory that is not there', async () => {
    const found = await doctor('--data-dir', join(server.folder, 'nowhere'))
    expect(found.code).toBe(1)
    expect(stateOf(found, 'directory')).toBe('failed')
  })

  test.skipIf(missingPrograms('redis-server').length > 0)(
    'looks at a Redis: its version, its bound and its policy',
    async () => {
      const redis: RedisServer = await startRedisServer({ appendFsync: null, args: ['--maxmemory', '100mb'] })
      try {
        const found = await doctor('--redis', redis.url)
        // What is full refuses every put.
        expect(stateOf(found, 'Redis')).toBe('warning')
        expect(found.out).toContain('noeviction')
        expect(found.code).toBe(0)
      } finally {
        await redis.stop()
      }
    },
  )
})
