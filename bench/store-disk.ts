/**
 * The disk store in this process against redis-server over loopback, turn by turn.
 * MEMBRANE_BENCH_DU_GB: gigabytes of 1 to 4 MB payloads that are put to see what they take on the disk (default 1).
 */
import { randomFillSync } from 'node:crypto'
import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import type { FragmentPut, FragmentStore } from '../src/core/ports.ts'
import { loadContentHashers } from '../src/hashing/content-hashers.ts'
import type { Durability } from '../src/store/disk-options.ts'
import { type DiskStore, openDiskStore } from '../src/store/disk.ts'
import { VerifiedStore } from '../src/store/verified.ts'
import type { AppendFsync } from '../test/redis-server.ts'
import type { Bench, Findings, Ratio, Row } from './bench.ts'
import { ratioOf, RUNS } from './harness.ts'
import { startRedisPeer } from './redis-peer.ts'

const MB = 2 ** 20
const TURN_BYTES = 64 * MB
const SMALL_COUNT = 100_000
const SMALL_BYTES = 1024
const DU_GB = Number(process.env['MEMBRANE_BENCH_DU_GB'] ?? 1)
const DU_RATIO_MAX = 1.05

const { hashers } = await loadContentHashers()

export const bench: Bench = {
  summary: 'disk store in this process, payloads verified, against redis-server over loopback',
  probes: {},
  run: async (): Promise<Findings> => {
    const parts: Findings[] = []
    for (const megabytes of [1, 4]) {
      parts.push(await compareLarge(megabytes, 'process', 'everysec', Math.round(TURN_BYTES / MB / megabytes)))
      parts.push(await compareLarge(megabytes, 'power', 'always', 8))
    }
    parts.push(await small(), await space())
    return {
      rows: parts.flatMap(({ rows }) => rows),
      ratios: parts.flatMap(({ ratios = [] }) => ratios),
      notes: parts.flatMap(({ notes = [] }) => notes),
    }
  },
}

async function withDirectory<Result>(use: (directory: string) => Promise<Result>): Promise<Result> {
  const directory = mkdtempSync(join(tmpdir(), 'membrane-bench-'))
  try {
    return await use(directory)
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

function putOf(key: string, payload: Uint8Array): FragmentPut & { readonly payload: Uint8Array } {
  const contentHash = hashers.b3.hash(payload)
  return { key, head: new Uint8Array(100), payloadBytes: payload.length, contentHash, payload }
}

/** Another payload under each key in every turn, so that each put writes. */
function freshPuts(count: number, bytes: number): ReturnType<typeof putOf>[] {
  return Array.from({ length: count }, (_, index) =>
    putOf(`key-${index}`, randomFillSync(Buffer.allocUnsafeSlow(bytes))),
  )
}

function compareLarge(megabytes: number, durability: Durability, fsync: AppendFsync, count: number): Promise<Findings> {
  return withDirectory(async (directory) => {
    const peer = await startRedisPeer(fsync)
    const redis = new Redis(peer.port, '127.0.0.1')
    const disk = await openDiskStore({ directory, hashers, durability })
    const verified = new VerifiedStore({ store: disk, hashers, quarantine: null })
    const into = new Uint8Array(megabytes * MB)
    const names = [
      'put',
      'put x4',
      'get',
      'get unverified',
      'get to a buffer',
      'redis put',
      'redis put x4',
      'redis get',
    ]
    const times = new Map<string, number[]>(names.map((name) => [name, []]))
    // One turn more, which is not counted: files, connections and code warm up.
    for (let turn = 0; turn <= RUNS; turn++) {
      const puts = freshPuts(count, megabytes * MB)
      const again = freshPuts(count, megabytes * MB)
      const work: Record<string, (put: (typeof puts)[number], index: number) => Promise<unknown>> = {
        put: (put) => verified.put(put),
        'redis put': (put) => redis.set(put.key, Buffer.from(put.payload.buffer)),
        get: (put) => found(verified, put.key),
        'redis get': (put) => redis.getBuffer(put.key),
        'get unverified': (put) => found(disk, put.key),
        'get to a buffer': (put) => verified.get(put.key, { into }),
        'put x4': (_, index) => verified.put(again[index] ?? puts[0] ?? never()),
        'redis put x4': (put, index) => redis.set(put.key, Buffer.from(again[index]?.payload.buffer ?? never())),
      }
      for (const [name, call] of Object.entries(work)) {
        const ms = await meanMs(puts, call, name.endsWith('x4') ? 4 : 1)
        if (turn > 0) times.get(name)?.push(ms)
      }
    }
    await verified.close()
    redis.disconnect()
    await peer.stop()
    const of = (name: string): number[] => times.get(name) ?? []
    const size = `${megabytes} MB, ${durability} / ${fsync}`
    const rows = names.map(
      (name): Row => ({ what: `${size}: ${name}`, runsMs: of(name), note: rateText(of(name), megabytes) }),
    )
    const ratio = (peerName: string, name: string): Ratio => ratioOf(`${size}: ${name}`, of(peerName), of(name))
    return {
      rows,
      ratios: [
        ratio('redis put', 'put'),
        ratio('redis put x4', 'put x4'),
        ratio('redis get', 'get'),
        ratio('redis get', 'get unverified'),
        ratio('redis get', 'get to a buffer'),
      ],
    }
  })
}

async function found(store: FragmentStore, key: string): Promise<void> {
  if ((await store.get(key)) === null) throw new Error(`${key} is gone.`)
}

/** Time of one call when so many are under way at once. */
async function meanMs<Item>(
  items: readonly Item[],
  call: (item: Item, index: number) => Promise<unknown>,
  atOnce: number,
): Promise<number> {
  const start = performance.now()
  let next = 0
  const worker = async (): Promise<void> => {
    for (let index = next++; index < items.length; index = next++) {
      const item = items[index]
      if (item !== undefined) await call(item, index)
    }
  }
  await Promise.all(Array.from({ length: atOnce }, worker))
  return (performance.now() - start) / items.length
}

function small(): Promise<Findings> {
  return withDirectory(async (directory) => {
    const peer = await startRedisPeer('everysec')
    const redis = new Redis(peer.port, '127.0.0.1')
    const disk = await openDiskStore({ directory, hashers })
    const store = new VerifiedStore({ store: disk, hashers, quarantine: null })
    const puts = Array.from({ length: SMALL_COUNT }, (_, index) => {
      return putOf(`fragment/${index}`, randomFillSync(Buffer.allocUnsafeSlow(SMALL_BYTES)))
    })
    const put = await meanMs(puts, (item) => store.put(item), 1)
    const get = await meanMs(puts, (item) => found(store, item.key), 1)
    const peerPut = await meanMs(puts, (item) => redis.set(item.key, Buffer.from(item.payload.buffer)), 32)
    const peerGet = await meanMs(puts, (item) => redis.getBuffer(item.key), 32)
    redis.disconnect()
    await peer.stop()
    const powerPut = await withDirectory(async (other) => {
      const power = await openDiskStore({ directory: other, hashers, durability: 'power' })
      const ms = await meanMs(puts.slice(0, 20_000), (item) => power.put(item), 256)
      await power.close()
      return ms
    })
    await store.close()
    const fromSnapshot = await openings(directory, () => undefined)
    const fromSegments = await openings(directory, () => {
      rmSync(join(directory, 'snapshot'))
    })
    const what = `${SMALL_COUNT} fragments of ${SMALL_BYTES} bytes`
    return {
      rows: [
        { what: `${what}: put, one`, runsMs: [put] },
        { what: `${what}: get, one`, runsMs: [get] },
        { what: `${what}: put, one of 256 at once, power`, runsMs: [powerPut] },
        { what: `${what}: redis put, one of 32 at once`, runsMs: [peerPut] },
        { what: `${what}: redis get, one of 32 at once`, runsMs: [peerGet] },
        { what: `${what}: open with the snapshot`, runsMs: fromSnapshot, targetMs: 1000 },
        { what: `${what}: open from the segments`, runsMs: fromSegments, targetMs: 1000 },
      ],
      ratios: [ratioOf(`${what}: put`, [peerPut], [put]), ratioOf(`${what}: get`, [peerGet], [get])],
    }
  })
}

async function openings(directory: string, prepare: () => void): Promise<number[]> {
  const runsMs: number[] = []
  for (let turn = 0; turn < RUNS; turn++) {
    prepare()
    const start = performance.now()
    const store = await openDiskStore({ directory, hashers })
    runsMs.push(performance.now() - start)
    await store.close()
  }
  return runsMs
}

function space(): Promise<Findings> {
  return withDirectory(async (directory) => {
    const store = await openDiskStore({ directory, hashers })
    const wanted = DU_GB * 1e9
    const random = randomFillSync(Buffer.allocUnsafeSlow(4 * MB))
    let payloadBytes = 0
    const startMs = performance.now()
    for (let index = 0; payloadBytes < wanted; index++) {
      const size = Math.round(MB * (1 + 3 * Math.random()))
      random.writeUInt32LE(index, 0)
      await store.put(putOf(`fragment/${index}`, random.subarray(0, size)))
      payloadBytes += size
    }
    const seconds = (performance.now() - startMs) / 1000
    const { entries } = store.stats()
    await store.close()
    const used = blocksBytes(directory)
    const opened: DiskStore = await openDiskStore({ directory, hashers })
    const { ms } = opened.diskStats().recovery
    await opened.close()
    const ratio = used / payloadBytes
    const verdict = ratio <= DU_RATIO_MAX ? 'met' : 'NOT MET'
    return {
      rows: [],
      notes: [
        `Space for ${(payloadBytes / 1e9).toFixed(2)} GB in ${entries} payloads of 1 to 4 MB: ${ratio.toFixed(4)} per stored byte, at most ${DU_RATIO_MAX}: ${verdict}.`,
        `They were put in ${seconds.toFixed(1)} s, hashing by the caller included; opened again in ${ms.toFixed(1)} ms.`,
      ],
    }
  })
}

/** As `du` counts: blocks, of directories too. */
function blocksBytes(path: string): number {
  const { blocks } = statSync(path)
  const inside = statSync(path).isDirectory() ? readdirSync(path) : []
  return inside.reduce((sum, name) => sum + blocksBytes(join(path, name)), 512 * blocks)
}

function rateText(runsMs: readonly number[], megabytes: number): string {
  const median = runsMs.toSorted((a, b) => a - b)[runsMs.length >> 1] ?? Number.NaN
  return `${((megabytes * MB) / median / 1e6).toFixed(2)} GB/s`
}

function never(): never {
  throw new Error('A turn has as many payloads as another.')
}
