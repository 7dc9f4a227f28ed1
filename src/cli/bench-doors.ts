/**
 * What `membrane bench` measures: this program's doors beside a redis-server with the same promise, in turns, with one
 * client for both. Ratios are of speeds: above 1, ours is faster.
 */
import { once } from 'node:events'
import { connect } from 'node:net'
import { Worker } from 'node:worker_threads'
import { medianOfSorted, sortedAscending } from '../core/quantile.ts'
import type { BenchLoad } from './bench-load-worker.ts'
import { type BenchServer, startBare, startOwn, startRedis } from './bench-servers.ts'
import { WireClient, type WireTarget } from './bench-wire.ts'
import { workerFile } from './worker-pool.ts'

/** One comparison, run by run. */
export interface Comparison {
  readonly what: string
  /** Milliseconds of one operation, a run each. */
  readonly oursMs: readonly number[]
  readonly peerMs: readonly number[]
  readonly peer: string
  /** Of one operation, for the speed; 0 where bytes are not the matter. */
  readonly bytes: number
  /** The ratio that is promised. */
  readonly target: number | null
}

/** A single figure of ours with a bound. */
export interface Measured {
  readonly what: string
  readonly valueMs: number
  readonly targetMs: number
}

export interface DoorFindings {
  readonly comparisons: readonly Comparison[]
  readonly measured: readonly Measured[]
}

export interface BenchOptions {
  readonly runs: number
  /** Bytes that one run moves, about: more steadies it. */
  readonly runBytes: number
  /** Only what has this in its name; null for all. */
  readonly only: string | null
  readonly onProgress: (what: string) => void
}

const MB = 1024 * 1024
const KEYS = 256
const LOOK_UP = `look-up of ${KEYS} blocks in one call`
const LOOK_UP_BESIDE_LOAD = 'p99 of a look-up while 4 MB GETs saturate'

/** Starts and stops its servers. Throws MISSING_PACKAGE without a redis-server. */
export async function compareDoors(options: BenchOptions): Promise<DoorFindings> {
  const memory = await withServers('memory', (ours, redis) => memoryComparisons(ours, redis, options))
  const disk = await withServers('disk', (ours, redis) => diskComparisons(ours, redis, options))
  return { comparisons: [...memory.comparisons, ...disk], measured: memory.measured }
}

async function withServers<T>(
  store: 'memory' | 'disk',
  use: (ours: BenchServer, redis: BenchServer) => Promise<T>,
): Promise<T> {
  const redis = await startRedis(store)
  try {
    const ours = await startOwn(store)
    try {
      return await use(ours, redis)
    } finally {
      await ours.stop()
    }
  } finally {
    await redis.stop()
  }
}

async function memoryComparisons(ours: BenchServer, redis: BenchServer, options: BenchOptions): Promise<DoorFindings> {
  const comparisons: Comparison[] = []
  const add = async (what: string, compare: (what: string) => Promise<Comparison>): Promise<void> => {
    if (isWanted(what, options)) comparisons.push(await compare(what))
  }
  const [own, peer] = [tcp(ours.respPort), tcp(redis.respPort)]
  const [ownUnix, peerUnix] = [{ path: ours.respPath }, { path: redis.respPath }]
  for (const [mb, target] of [
    [1, 1],
    [4, 1],
    [32, 2.5],
  ] as const)
    await add(`RESP GET ${mb} MB`, (what) => compareGet(what, own, peer, mb * MB, target, options))
  for (const mb of [1, 4])
    await add(`RESP SET ${mb} MB, verified`, (what) => compareSet(what, own, peer, mb * MB, 0.8, options))
  for (const mb of [1, 4])
    await add(`RESP GET ${mb} MB, Unix socket`, (what) => compareGet(what, ownUnix, peerUnix, mb * MB, 1, options))
  const { lmPort, httpPort } = ours
  if (lmPort !== null)
    for (const mb of [4, 32])
      await add(`lm:// GET ${mb} MB`, (what) => compareLm(what, tcp(lmPort), peer, mb * MB, 1, options))
  if (httpPort !== null)
    await add('HTTP GET 4 MB', (what) => compareHttp(what, { httpPort, own, bytes: 4 * MB, target: 0.85 }, options))
  if (isWanted(LOOK_UP, options)) comparisons.push(...(await compareLookUps(own, peer, options)))
  const measured = isWanted(LOOK_UP_BESIDE_LOAD, options) ? [await lookUpBesideLoad(ours, options)] : []
  return { comparisons, measured }
}

function isWanted(what: string, { only, onProgress }: BenchOptions): boolean {
  if (only !== null && !what.includes(only)) return false
  onProgress(what)
  return true
}

async function diskComparisons(
  ours: BenchServer,
  redis: BenchServer,
  options: BenchOptions,
): Promise<readonly Comparison[]> {
  const [own, peer] = [tcp(ours.respPort), tcp(redis.respPort)]
  const comparisons: Comparison[] = []
  for (const [what, compare] of [
    ['RESP GET 4 MB, disk store beside appendfsync everysec', compareGet],
    ['RESP SET 4 MB, disk store beside appendfsync everysec', compareSet],
  ] as const)
    if (isWanted(what, options)) comparisons.push(await compare(what, own, peer, 4 * MB, null, options))
  return comparisons
}

const tcp = (port: number): WireTarget => ({ host: '127.0.0.1', port })

/** A side of a comparison: one operation on one connection. */
interface Side {
  readonly client: WireClient
  readonly operate: (index: number) => Promise<unknown>
}

/** Both sides in turns; the first run of each warms up and is not counted. */
async function inTurns(
  sides: readonly [Side, Side],
  operations: number,
  runs: number,
): Promise<readonly [readonly number[], readonly number[]]> {
  const times: [number[], number[]] = [[], []]
  for (let run = 0; run <= runs; run += 1) {
    for (const [at, side] of sides.entries()) {
      const start = performance.now()
      for (let index = 0; index < operations; index += 1) await side.operate(run * operations + index)
      if (run > 0) times[at]?.push((performance.now() - start) / operations)
    }
  }
  for (const { client } of sides) client.close()
  return times
}

function operationsOf(bytes: number, { runBytes }: BenchOptions): number {
  return Math.max(2, Math.round(runBytes / bytes))
}

async function compareGet(
  what: string,
  own: WireTarget,
  peer: WireTarget,
  bytes: number,
  target: number | null,
  options: BenchOptions,
): Promise<Comparison> {
  const side = async (at: WireTarget): Promise<Side> => {
    const client = await WireClient.connect(at, bytes + 64)
    await client.exchange([...command('SET', 'bench-get', payload(bytes))], 5)
    const get = Buffer.concat(command('GET', 'bench-get'))
    return { client, operate: () => client.exchange([get], replyBytes(bytes)) }
  }
  const [oursMs, peerMs] = await inTurns(
    [await side(own), await side(peer)],
    operationsOf(bytes, options),
    options.runs,
  )
  return { what, oursMs, peerMs, peer: 'redis', bytes, target }
}

async function compareSet(
  what: string,
  own: WireTarget,
  peer: WireTarget,
  bytes: number,
  target: number | null,
  options: BenchOptions,
): Promise<Comparison> {
  const side = async (at: WireTarget): Promise<Side> => {
    const client = await WireClient.connect(at, 64)
    const value = Buffer.from(payload(bytes))
    return {
      client,
      // New bytes each time: equal ones are kept once and need no write.
      operate: (index) => {
        value.writeUInt32LE(index + 1, 0)
        return client.exchange(command('SET', `bench-set-${index % 8}`, value), 5)
      },
    }
  }
  const [oursMs, peerMs] = await inTurns(
    [await side(own), await side(peer)],
    operationsOf(bytes, options),
    options.runs,
  )
  return { what, oursMs, peerMs, peer: 'redis', bytes, target }
}

async function compareLm(
  what: string,
  lm: WireTarget,
  redis: WireTarget,
  bytes: number,
  target: number,
  options: BenchOptions,
): Promise<Comparison> {
  const own = await WireClient.connect(lm, bytes + 64)
  // It answers no put; the next answer on the connection says that it is done.
  await own.exchange([lmHeader(1, bytes, 'bench-lm'), payload(bytes), lmHeader(5, 0, '')], LM_REPLY_BYTES)
  const get = lmHeader(2, 0, 'bench-lm')
  const peer = await WireClient.connect(redis, bytes + 64)
  await peer.exchange(command('SET', 'bench-get', payload(bytes)), 5)
  const peerGet = Buffer.concat(command('GET', 'bench-get'))
  const [oursMs, peerMs] = await inTurns(
    [
      { client: own, operate: () => own.exchange([get], LM_REPLY_BYTES + bytes) },
      { client: peer, operate: () => peer.exchange([peerGet], replyBytes(bytes)) },
    ],
    operationsOf(bytes, options),
    options.runs,
  )
  return { what, oursMs, peerMs, peer: 'redis GET', bytes, target }
}

/** Against a process that only writes the bytes: as fast as two Node processes can be over TCP. */
async function compareHttp(
  what: string,
  {
    httpPort,
    own: filled,
    bytes,
    target,
  }: { readonly httpPort: number; readonly own: WireTarget; readonly bytes: number; readonly target: number },
  options: BenchOptions,
): Promise<Comparison> {
  const filler = await WireClient.connect(filled, 64)
  await filler.exchange(command('SET', 'bench-http', payload(bytes)), 5)
  filler.close()
  const request = Buffer.from('GET /v1/fragments/opaque/=bench-http HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n')
  const headBytes = (await headOf(httpPort, request)) + bytes
  const own = await WireClient.connect(tcp(httpPort), headBytes)
  const bare = await startBare(bytes)
  const peer = await WireClient.connect(tcp(bare.port), bytes)
  const [oursMs, peerMs] = await inTurns(
    [
      { client: own, operate: () => own.exchange([request], headBytes) },
      { client: peer, operate: () => peer.exchange([Buffer.from('g')], bytes) },
    ],
    operationsOf(bytes, options),
    options.runs,
  )
  bare.stop()
  return { what, oursMs, peerMs, peer: 'bare TCP', bytes, target }
}

/** Bytes before the body: the same in every answer, but for digits of the date, which are as many. */
async function headOf(port: number, request: Uint8Array): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>()
  const socket = connect(port, '127.0.0.1')
  const pieces: Buffer[] = []
  socket.on('data', (piece) => {
    pieces.push(piece)
    const end = Buffer.concat(pieces).indexOf('\r\n\r\n')
    if (end < 0) return
    resolve(end + 4)
    socket.destroy()
  })
  socket.once('error', reject)
  socket.write(request)
  return promise
}

async function compareLookUps(
  own: WireTarget,
  redis: WireTarget,
  options: BenchOptions,
): Promise<readonly Comparison[]> {
  const client = await WireClient.connect(own, 64 * 1024)
  const peer = await WireClient.connect(redis, 64 * 1024)
  const keys = Array.from({ length: KEYS }, (_, index) => `bench-block-${index}`)
  for (const side of [client, peer])
    for (const key of keys) await side.exchange(command('SET', key, Buffer.from('x')), 5)
  const one = keys.map((key) => Buffer.concat(command('EXISTS', key)))
  const pipeline = Buffer.concat(one)
  const batch = Buffer.concat(command('EXISTS', ...keys))
  const answer = `:${KEYS}\r\n`.length
  const times = { batch: [] as number[], oneByOne: [] as number[], pipeline: [] as number[], redis: [] as number[] }
  const REPEATS = 20
  for (let run = 0; run <= options.runs; run += 1) {
    const timed = async (into: number[], repeats: number, operate: () => Promise<unknown>): Promise<void> => {
      const start = performance.now()
      for (let repeat = 0; repeat < repeats; repeat += 1) await operate()
      if (run > 0) into.push((performance.now() - start) / repeats)
    }
    await timed(times.batch, REPEATS * 10, () => client.exchange([batch], answer))
    await timed(times.pipeline, REPEATS, () => client.exchange([pipeline], KEYS * 4))
    await timed(times.redis, REPEATS, () => peer.exchange([pipeline], KEYS * 4))
    await timed(times.oneByOne, 2, async () => {
      for (const request of one) await client.exchange([request], 4)
    })
  }
  client.close()
  peer.close()
  const common = { what: LOOK_UP, oursMs: times.batch, bytes: 0 }
  return [
    { ...common, peerMs: times.oneByOne, peer: `${KEYS} EXISTS, one by one`, target: 20 },
    { ...common, peerMs: times.pipeline, peer: `a pipeline of ${KEYS} EXISTS`, target: 3 },
    { ...common, peerMs: times.redis, peer: `redis, a pipeline of ${KEYS} EXISTS`, target: null },
  ]
}

/** p99 of one EXISTS while another connection reads 4 MB values without a pause. */
async function lookUpBesideLoad(ours: BenchServer, options: BenchOptions): Promise<Measured> {
  const bytes = 4 * MB
  const client = await WireClient.connect(tcp(ours.respPort), 64)
  await client.exchange(command('SET', 'bench-load', payload(bytes)), 5)
  const load: BenchLoad = {
    target: tcp(ours.respPort),
    request: Buffer.concat(command('GET', 'bench-load')),
    replyBytes: replyBytes(bytes),
  }
  const exists = Buffer.concat(command('EXISTS', 'bench-load'))
  const p99sMs: number[] = []
  const worker = new Worker(workerFile(new URL('./bench-load-worker.ts', import.meta.url)), { workerData: load })
  await once(worker, 'message')
  for (let run = 0; run < options.runs; run += 1) {
    const timesMs: number[] = []
    for (let index = 0; index < 500; index += 1) {
      const start = performance.now()
      await client.exchange([exists], 4)
      timesMs.push(performance.now() - start)
    }
    p99sMs.push(sortedAscending(timesMs)[494] ?? Number.NaN)
  }
  await worker.terminate()
  client.close()
  return { what: LOOK_UP_BESIDE_LOAD, valueMs: medianOfSorted(sortedAscending(p99sMs)), targetMs: 5 }
}

/** Bytes that do not compress and differ by length. */
function payload(bytes: number): Buffer {
  const made = Buffer.allocUnsafe(bytes)
  let state = bytes | 1
  for (let at = 0; at + 4 <= bytes; at += 4) {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    made.writeInt32LE(state, at)
  }
  return made
}

function command(...parts: readonly (string | Uint8Array)[]): Uint8Array[] {
  return [
    Buffer.from(`*${parts.length}\r\n`),
    ...parts.flatMap((part) => {
      const bytes = typeof part === 'string' ? Buffer.from(part) : part
      return [Buffer.from(`$${bytes.length}\r\n`), bytes, Buffer.from('\r\n')]
    }),
  ]
}

function replyBytes(bytes: number): number {
  return `$${bytes}\r\n`.length + bytes + 2
}

const LM_REPLY_BYTES = 36

function lmHeader(code: number, bytes: number, key: string): Buffer {
  const header = Buffer.alloc(186, ' ')
  for (const [index, field] of [code, bytes, 1, 3, 1, 1, 1, 1, 1].entries()) header.writeInt32LE(field, index * 4)
  header.write(key, 36)
  return header
}
