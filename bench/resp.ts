/**
 * The RESP door beside a redis-server without persistence: large values over TCP and a Unix socket, look-ups of many keys,
 * and small look-ups while others fetch large values. One client for both (`net`, reading into memory that it uses
 * again), in turns; then redis-benchmark and ioredis.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import type { NetConnectOpts } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { Redis } from 'ioredis'
import { encodeRespCommand } from '../src/api/resp-codec-call.ts'
import { missingPrograms } from '../test/redis-server.ts'
import type { Bench, Findings, Ratio, Row } from './bench.ts'
import { ratioOf, RUNS } from './harness.ts'
import { startRedisPeer } from './redis-peer.ts'
import { type BenchClient, connectBench } from './resp-client.ts'

const run = promisify(execFile)
const KB = 1024
const MB = 1024 * KB
const SIZES = [64 * KB, MB, 4 * MB, 32 * MB]
/** Moved in one measured run, at least. */
const RUN_BYTES = 64 * MB
const KEYS = 256
const LOOK_UPS = 200
const P99_TARGET_MS = 5
const SCRIPT = fileURLToPath(new URL('resp-server.ts', import.meta.url))

interface Peer {
  readonly name: 'redis' | 'ours'
  readonly tcp: NetConnectOpts & { readonly port: number }
  readonly unix: NetConnectOpts
}

export const bench: Bench = {
  summary: 'RESP: large values, look-ups of many keys, small look-ups beside large ones, against a redis-server',
  probes: {},
  run: async (): Promise<Findings> => {
    if (missingPrograms('redis-server', 'redis-benchmark').length > 0)
      return { rows: [], notes: ['redis-server or redis-benchmark is not on PATH.'] }
    const folder = mkdtempSync(join(tmpdir(), 'membrane-bench-'))
    const redis = await startRedisPeer(null)
    const { server, port } = await startOurs(join(folder, 'ours.sock'))
    const peers: readonly Peer[] = [
      { name: 'redis', tcp: { host: '127.0.0.1', port: redis.port }, unix: { path: redis.socketPath } },
      { name: 'ours', tcp: { host: '127.0.0.1', port }, unix: { path: join(folder, 'ours.sock') } },
    ]
    try {
      const all = [await values(peers), await lookUps(peers), await beside(peers), await programs(peers)]
      return {
        rows: all.flatMap(({ rows }) => rows),
        ratios: all.flatMap(({ ratios }) => ratios ?? []),
        notes: all.flatMap(({ notes }) => notes ?? []),
      }
    } finally {
      server.kill('SIGKILL')
      await redis.stop()
      rmSync(folder, { recursive: true })
    }
  },
}

async function startOurs(socketPath: string): Promise<{ readonly server: ChildProcess; readonly port: number }> {
  const server = spawn(process.execPath, [SCRIPT, socketPath], { stdio: ['ignore', 'pipe', 'inherit'] })
  const text = await new Promise<string>((resolve) => server.stdout.once('data', (data) => resolve(String(data))))
  return { server, port: (JSON.parse(text) as { readonly port: number }).port }
}

async function values(peers: readonly Peer[]): Promise<Findings> {
  const rows: Row[] = []
  const ratios: Ratio[] = []
  const notes: string[] = []
  const unixGets = new Map<string, readonly number[]>()
  for (const way of ['tcp', 'unix'] as const) {
    const clients = await Promise.all(peers.map((peer) => connectBench(peer[way])))
    for (const bytes of SIZES) {
      const times = new Map<string, number[]>()
      const value = Buffer.alloc(bytes, 1)
      let number = 0
      for (let turn = -1; turn < RUNS; turn++) {
        for (const what of ['SET', 'GET'] as const) {
          for (const [index, { name }] of peers.entries()) {
            const client = clients[index] as BenchClient
            const count = Math.max(2, Math.ceil(RUN_BYTES / bytes))
            const start = performance.now()
            for (let step = 0; step < count; step++) {
              if (what === 'SET') {
                // No two values are equal, nor kept once.
                number += 1
                value.writeInt32LE(number)
                await client.ask(encodeRespCommand(['SET', `value-${step % 8}`, value]), 1)
              } else {
                const found = await client.ask(encodeRespCommand(['GET', `value-${step % Math.min(8, count)}`]), 1)
                if (found !== bytes) throw new Error(`${name} gave ${found} bytes`)
              }
            }
            const runMs = (performance.now() - start) / count
            if (turn >= 0) times.set(`${what} ${name}`, [...(times.get(`${what} ${name}`) ?? []), runMs])
          }
        }
      }
      const size = bytes >= MB ? `${bytes / MB} MB` : `${bytes / KB} KB`
      for (const what of ['SET', 'GET']) {
        const [theirs, ours] = [times.get(`${what} redis`) ?? [], times.get(`${what} ours`) ?? []]
        rows.push({ what: `${what} ${size} ${way}`, runsMs: ours, note: rate(bytes, ours) })
        rows.push({ what: 'peer: redis', runsMs: theirs, note: rate(bytes, theirs) })
        ratios.push(ratioOf(`redis / ours, ${what} ${size} ${way}`, theirs, ours))
        if (what === 'GET') unixGets.set(`${way} ${size}`, ours)
      }
    }
    for (const client of clients) client.close()
  }
  for (const size of ['1 MB', '4 MB'])
    ratios.push(
      ratioOf(`ours: tcp / unix, GET ${size}`, unixGets.get(`tcp ${size}`) ?? [], unixGets.get(`unix ${size}`) ?? []),
    )
  return { rows, ratios, notes }
}

async function lookUps(peers: readonly Peer[]): Promise<Findings> {
  const names = Array.from({ length: KEYS }, (_, index) => `model@8@3@${index.toString(16).padStart(64, '0')}@bfloat16`)
  const clients = await Promise.all(peers.map((peer) => connectBench(peer.tcp)))
  for (const client of clients) for (const name of names) await client.ask(encodeRespCommand(['SET', name, 'v']), 1)
  const single = names.map((name) => encodeRespCommand(['EXISTS', name]))
  const pipeline = [Buffer.concat(single.flat())]
  const together = encodeRespCommand(['EXISTS', ...names])
  const times = new Map<string, number[]>()
  for (let turn = -3; turn < RUNS; turn++) {
    for (const [index, { name }] of peers.entries()) {
      const client = clients[index] as BenchClient
      const measure = async (what: string, ask: () => Promise<unknown>): Promise<void> => {
        const start = performance.now()
        for (let step = 0; step < 10; step++) await ask()
        const runMs = (performance.now() - start) / 10
        if (turn >= 0) times.set(`${what} ${name}`, [...(times.get(`${what} ${name}`) ?? []), runMs])
      }
      await measure('one by one', async () => {
        for (const pieces of single) await client.ask(pieces, 1)
      })
      await measure('one pipeline', () => client.ask(pipeline, KEYS))
      await measure('one EXISTS', () => client.ask(together, 1))
    }
  }
  for (const client of clients) client.close()
  const of = (what: string, name: string): readonly number[] => times.get(`${what} ${name}`) ?? []
  const ways = ['one by one', 'one pipeline', 'one EXISTS']
  return {
    rows: ways.flatMap((what) => [
      { what: `${KEYS} keys, ${what}`, runsMs: of(what, 'ours') },
      { what: 'peer: redis', runsMs: of(what, 'redis') },
    ]),
    ratios: [
      ...ways.map((what) => ratioOf(`redis / ours, ${KEYS} keys, ${what}`, of(what, 'redis'), of(what, 'ours'))),
      ratioOf('ours: one by one / one EXISTS', of('one by one', 'ours'), of('one EXISTS', 'ours')),
      ratioOf('ours: one pipeline / one EXISTS', of('one pipeline', 'ours'), of('one EXISTS', 'ours')),
    ],
  }
}

/** Two connections of redis-benchmark fetch large values without a pause while one asks for one key after another. */
async function beside(peers: readonly Peer[]): Promise<Findings> {
  const rows: Row[] = []
  for (const bytes of [4 * MB, 32 * MB]) {
    for (const { name, tcp } of peers) {
      const small = await connectBench(tcp)
      await small.ask(encodeRespCommand(['SET', 'large', Buffer.alloc(bytes, 1)]), 1)
      const flags = ['-p', String(tcp.port), '-c', '2', '-n', '10000000', 'get', 'large']
      const fetching = spawn('redis-benchmark', flags, { stdio: 'ignore' })
      try {
        const p99s: number[] = []
        for (let turn = -1; turn < RUNS; turn++) {
          const times: number[] = []
          for (let look = 0; look < LOOK_UPS; look++) {
            const asked = performance.now()
            await small.ask(encodeRespCommand(['EXISTS', 'large']), 1)
            times.push(performance.now() - asked)
          }
          times.sort((a, b) => a - b)
          if (turn >= 0) p99s.push(times[Math.floor(0.99 * LOOK_UPS)] ?? Number.NaN)
        }
        const what = `${name}: p99 of EXISTS beside GETs of ${bytes / MB} MB`
        rows.push(name === 'ours' ? { what, runsMs: p99s, targetMs: P99_TARGET_MS } : { what, runsMs: p99s })
      } finally {
        fetching.kill('SIGKILL')
        small.close()
      }
    }
  }
  return { rows }
}

/** What people use. Printed beside: their own speed is most of it. */
async function programs(peers: readonly Peer[]): Promise<Findings> {
  const notes: string[] = []
  for (const { name, tcp } of peers) {
    const flags = ['-p', String(tcp.port), '-t', 'set,get', '--csv', '-c', '1']
    for (const [bytes, count] of [
      [64, 20_000],
      [MB, 300],
      [4 * MB, 80],
    ] as const) {
      const { stdout } = await run('redis-benchmark', [...flags, '-d', String(bytes), '-n', String(count)])
      const rates = [...stdout.matchAll(/"(SET|GET)","([\d.]+)"/g)].map(([, what, perSecond]) => {
        const gigabytes = (Number(perSecond) * bytes) / 1e9
        return `${what} ${Number(perSecond).toFixed(0)}/s${bytes >= MB ? ` ${gigabytes.toFixed(2)} GB/s` : ''}`
      })
      notes.push(`redis-benchmark, ${name}, ${bytes} bytes: ${rates.join(', ')}`)
    }
    const redis = new Redis(tcp.port)
    const value = Buffer.alloc(4 * MB, 1)
    const startSet = performance.now()
    for (let step = 0; step < 40; step++) await redis.set('value', value)
    const startGet = performance.now()
    for (let step = 0; step < 40; step++) await redis.getBuffer('value')
    const ends = performance.now()
    const gigabytes = (ms: number): string => ((40 * value.length) / ms / 1e6).toFixed(2)
    notes.push(
      `ioredis, ${name}, 4 MB: SET ${gigabytes(startGet - startSet)} GB/s, GET ${gigabytes(ends - startGet)} GB/s`,
    )
    redis.disconnect()
  }
  return { rows: [], notes }
}

function rate(bytes: number, runsMs: readonly number[]): string {
  const median = [...runsMs].sort((a, b) => a - b)[Math.floor(runsMs.length / 2)] ?? Number.NaN
  return `${(bytes / median / 1e6).toFixed(2)} GB/s`
}
