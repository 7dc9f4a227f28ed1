/**
 * Hostile clients of every door of one server: random bytes, messages with bytes changed, lengths and counts that lie,
 * after well-formed messages or before, cut into segments or run together. Meanwhile a witness asks every door for what
 * it knows, and must be told it. Fails when the server dies, grows beyond its bound, or does not answer the witness.
 * `--messages 1000000` says how many; each choice follows from SEED, what the network makes of them does not.
 */
import { connect as connectHttp2 } from 'node:http2'
import { connect, type Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import fc from 'fast-check'
import { encodeRespCommand } from '../src/api/resp-codec-call.ts'
import { GrpcClient } from '../src/api/grpc-client.ts'
import { type Random, seededRandom } from '../src/core/random.ts'
import {
  brokenHttpRequests,
  hostileGrpcBytes,
  hostileGrpcCall,
  hostileLmPieces,
  hostileRespBytes,
  HTTP_REQUESTS,
  LM_REQUESTS,
  lyingHttpRequests,
  randomPieces,
  RESP_COMMANDS,
  sendHostileCall,
} from '../test/hostile-messages.ts'
import { LmClient, lmGet } from '../test/lm-client.ts'
import { freePort, type MembraneServer, startMembraneServer } from '../test/membrane-server.ts'
import { connectResp, plain } from '../test/resp-client.ts'
import type { Bench, BenchOptions, Findings } from './bench.ts'

const MESSAGES = 100_000
const SEED = 20_260
const MEBIBYTE = 1024 * 1024
const STORE_MIB = 64
const BODIES_MIB = 512
const ENTRIES_MAX = 20_000
/** What the server may grow by: its store, and half of what bodies may announce, of which most never comes. */
const GROWTH_MIB_MAX = STORE_MIB + BODIES_MIB / 2
/** Of each door at a time. */
const CONNECTIONS = 8
/** Before the hostile message that ends a connection: those that it must not hurt, and from which it has to be told. */
const WELL_FORMED_MAX = 20
/** Chosen from, over and over: making them takes longer than sending them. */
const CORPUS = 1000
/** A server that waits for room reads nothing, and one that waits for the rest of a body says nothing, until its client goes. */
const QUIET_MS_MAX = 500
const WITNESS_MS_MAX = 15_000
const WITNESS_PAUSE_MS = 25

type Pieces = readonly Uint8Array[]
type RawDoor = 'http' | 'resp' | 'lm'
type Ports = Readonly<Record<RawDoor | 'grpc', number>>

/** Of all messages. A call of gRPC costs several times what others do. */
const SHARES = { http: 0.3, resp: 0.3, lm: 0.3, grpc: 0.1 } as const
const DOORS = ['http', 'resp', 'lm', 'grpc'] as const

export const bench: Bench = {
  summary: `hostile bytes to every door of one server, a growth of ${GROWTH_MIB_MAX} MiB at most`,
  probes: {},
  run: async (options) => {
    const [grpc, resp, lm] = [await freePort(), await freePort(), await freePort()]
    const args = [
      '--compute',
      'none',
      '--log-level',
      'error',
      '--store',
      'memory',
      '--max-entries',
      String(ENTRIES_MAX),
      '--grpc-port',
      String(grpc),
      '--resp-port',
      String(resp),
      '--lm-port',
      String(lm),
      '--max-memory',
      `${STORE_MIB}MiB`,
      '--max-bodies',
      `${BODIES_MIB}MiB`,
      '--max-payload',
      '64MiB',
    ]
    const server = await startMembraneServer({ args })
    try {
      return await fuzz(server, { http: server.port, grpc, resp, lm }, options)
    } finally {
      await server.stop()
    }
  },
}

interface Corpus {
  readonly wellFormed: Pieces
  readonly hostile: readonly Pieces[]
}

const sampleOf = <T>(arbitrary: fc.Arbitrary<T>): T[] => fc.sample(arbitrary, { seed: SEED, numRuns: CORPUS })

function corpora(): Readonly<Record<RawDoor, Corpus>> {
  return {
    http: {
      wellFormed: HTTP_REQUESTS.map((text) => Buffer.from(text)),
      hostile: sampleOf(fc.oneof(randomPieces, brokenHttpRequests, lyingHttpRequests)),
    },
    resp: {
      wellFormed: RESP_COMMANDS.map((args) => Buffer.concat(encodeRespCommand(args))),
      hostile: sampleOf(hostileRespBytes.map((bytes) => [bytes])),
    },
    lm: { wellFormed: LM_REQUESTS, hostile: sampleOf(hostileLmPieces) },
  }
}

async function fuzz(server: MembraneServer, ports: Ports, { messages = MESSAGES }: BenchOptions): Promise<Findings> {
  const made = corpora()
  const stop = new AbortController()
  const witness = new Witness(ports)
  const watching = witness.watch(stop.signal)
  // A server that dies, or gives a wrong answer, ends the run.
  watching.catch(() => stop.abort())
  const startMs = performance.now()
  const senders = (['http', 'resp', 'lm'] as const).map((door, index) =>
    inParallel(messages * SHARES[door], { seed: SEED + index, signal: stop.signal }, (random, left) =>
      sendRaw(ports[door], made[door], random, left),
    ),
  )
  const calls = { raw: sampleOf(hostileGrpcBytes), calls: sampleOf(hostileGrpcCall) }
  senders.push(
    inParallel(messages * SHARES.grpc, { seed: SEED + 3, signal: stop.signal }, (random, left) =>
      sendGrpc(ports.grpc, calls, random, left),
    ),
  )
  // Senders may wait for a server that answers nobody; the witness does not wait for ever.
  const unserved = watching.then(() => Promise.reject(new Error('The witness has stopped.')))
  unserved.catch(() => {})
  const sent = await Promise.race([Promise.all(senders), unserved])
  const ms = performance.now() - startMs
  stop.abort()
  await watching
  await witness.askAll()
  witness.close()
  const answered = await answeredByDoor(ports.http)
  const [first = 0] = witness.memory
  const peak = Math.max(...witness.memory)
  const last = witness.memory.at(-1) ?? first
  const mib = (bytes: number): string => `${Math.round(bytes / MEBIBYTE)} MiB`
  const memory = `Resident ${mib(first)} at the start, ${mib(peak)} at most, ${mib(last)} at the end.`
  if (peak - first > GROWTH_MIB_MAX * MEBIBYTE) throw new Error(`${memory} It may grow by ${GROWTH_MIB_MAX} MiB.`)
  if ((await server.end()) !== 0) throw new Error(`The server did not end well: ${server.log()}`)
  const sum = (count: keyof Sent): number => sent.reduce((total, one) => total + one[count], 0)
  const count = sum('messages')
  const doors = DOORS.map((door, index) => {
    const { messages: ofDoor, hostile, connections, cut, ms: doorMs } = sent[index] ?? NOTHING_SENT
    const sentText = `${ofDoor} messages, ${hostile} of them hostile, over ${connections} connections in ${Math.round(doorMs / 1000)} s`
    return `${door}: ${sentText}; ${cut} connections left after ${QUIET_MS_MAX} ms of silence; the server counted ${answered.get(door) ?? 0} requests.`
  })
  return {
    rows: [{ what: `${count} messages over ${sum('connections')} connections`, runsMs: [ms] }],
    notes: [
      `${Math.round((1000 * count) / ms)} messages/s, ${sum('hostile')} of them hostile, seed ${SEED}.`,
      ...doors,
      memory,
      `The witness asked every door ${witness.rounds} times, and each answer was right; the slowest round took ${Math.round(witness.slowestMs)} ms.`,
      'The server drained and ended with 0.',
    ],
  }
}

/** What the server took of messages that were well-formed or nearly so, by its own count. */
async function answeredByDoor(port: number): Promise<ReadonlyMap<string, number>> {
  const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text()
  const sums = new Map<string, number>()
  for (const [, door = '', value] of text.matchAll(/^membrane_requests_total\{door="(\w+)".*\} (\d+)$/gm))
    sums.set(door, (sums.get(door) ?? 0) + Number(value))
  return sums
}

/** Of one connection: what the kernel took. */
interface Exchange {
  readonly messages: number
  readonly hostile: number
  /** Whether the server neither read nor said anything, so that the client went. */
  readonly isCut: boolean
}

interface Sent {
  readonly messages: number
  readonly hostile: number
  readonly connections: number
  readonly cut: number
  readonly ms: number
}

const NOTHING_SENT: Sent = { messages: 0, hostile: 0, connections: 0, cut: 0, ms: 0 }

/** `send` opens one connection, over which it sends `planned` messages at most. */
async function inParallel(
  messages: number,
  { seed, signal }: { readonly seed: number; readonly signal: AbortSignal },
  send: (random: Random, planned: number) => Promise<Exchange>,
): Promise<Sent> {
  const startMs = performance.now()
  let left = Math.round(messages)
  let [taken, hostile, connections, cut] = [0, 0, 0, 0]
  const worker = async (random: Random): Promise<void> => {
    while (left > 0 && !signal.aborted) {
      connections += 1
      const planned = Math.min(left, 1 + Math.floor(random() * WELL_FORMED_MAX))
      left -= planned
      const exchange = await send(random, planned)
      // Others have taken from what is left meanwhile.
      left += planned - exchange.messages
      taken += exchange.messages
      hostile += exchange.hostile
      cut += exchange.isCut ? 1 : 0
    }
  }
  await Promise.all(Array.from({ length: CONNECTIONS }, (_, index) => worker(seededRandom(seed * 1000 + index))))
  return { messages: taken, hostile, connections, cut, ms: performance.now() - startMs }
}

const pick = <T>(from: readonly T[], random: Random): T => {
  const chosen = from[Math.floor(random() * from.length)]
  if (chosen === undefined) throw new Error('Nothing to choose from.')
  return chosen
}

/** Well-formed messages and a hostile one at their end, which the server has to find where it begins. */
async function sendRaw(port: number, corpus: Corpus, random: Random, planned: number): Promise<Exchange> {
  const wellFormed = Array.from({ length: planned - 1 }, () => pick(corpus.wellFormed, random))
  const bytes = Buffer.concat([...wellFormed, ...pick(corpus.hostile, random)])
  const { takenBytes, isCut } = await sendSegments(port, random() < 0.5 ? [bytes] : cut(bytes, random))
  if (takenBytes === bytes.length) return { messages: planned, hostile: 1, isCut }
  let end = 0
  const messages = wellFormed.filter((message) => (end += message.length) <= takenBytes).length
  return { messages, hostile: 0, isCut }
}

/** Anywhere. */
function cut(bytes: Buffer, random: Random): Pieces {
  const segments: Buffer[] = []
  for (let start = 0; start < bytes.length; ) {
    const end = start + 1 + Math.floor(random() ** 2 * bytes.length)
    segments.push(bytes.subarray(start, end))
    start = end
  }
  return segments
}

async function sendSegments(
  port: number,
  segments: Pieces,
): Promise<{ readonly takenBytes: number; readonly isCut: boolean }> {
  const socket = connect({ port, host: '127.0.0.1', noDelay: true })
  let isCut = false
  socket.on('error', () => {}).resume()
  socket.setTimeout(QUIET_MS_MAX, () => {
    isCut = true
    socket.destroy()
  })
  const closed = closedOf(socket)
  let takenBytes = 0
  for (const segment of segments) {
    if (socket.destroyed) break
    const error = await new Promise((resolve) => void socket.write(segment, resolve))
    if (error instanceof Error) break
    takenBytes += segment.length
  }
  socket.end()
  await closed
  return { takenBytes, isCut }
}

function closedOf(socket: Socket): Promise<void> {
  return new Promise((resolve) => socket.once('close', () => resolve()))
}

interface GrpcCorpus {
  readonly raw: readonly Buffer[]
  readonly calls: readonly Parameters<typeof sendHostileCall>[1][]
}

async function sendGrpc(port: number, corpus: GrpcCorpus, random: Random, planned: number): Promise<Exchange> {
  if (random() < 0.5) {
    const bytes = pick(corpus.raw, random)
    const { takenBytes, isCut } = await sendSegments(port, cut(bytes, random))
    const messages = takenBytes === bytes.length ? 1 : 0
    return { messages, hostile: messages, isCut }
  }
  const session = connectHttp2(`http://127.0.0.1:${port}`)
  session.on('error', () => {})
  let messages = 0
  const common = { ':method': 'POST', 'content-type': 'application/grpc+proto', te: 'trailers' }
  while (messages < planned && !session.closed && !session.destroyed) {
    const call = pick(corpus.calls, random)
    messages += 1
    await sendHostileCall(session, call, { ...common, ':path': call.path })
  }
  session.destroy()
  return { messages, hostile: messages, isCut: false }
}

/** Somebody else, who must be served all the while. */
class Witness {
  readonly #ports: Ports
  readonly #resp: Awaited<ReturnType<typeof connectResp>>[] = []
  readonly #lm: LmClient
  readonly #grpc: GrpcClient
  /** Resident bytes of the server, as it says. */
  readonly memory: number[] = []
  rounds = 0
  slowestMs = 0

  constructor(ports: Ports) {
    this.#ports = ports
    this.#lm = new LmClient(connect(ports.lm, '127.0.0.1'))
    this.#grpc = new GrpcClient({ target: `127.0.0.1:${ports.grpc}`, deadlineMs: WITNESS_MS_MAX })
  }

  async watch(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.askAll()
      await delay(WITNESS_PAUSE_MS)
    }
  }

  /** Throws when an answer is wrong, or does not come. */
  async askAll(): Promise<void> {
    const startMs = performance.now()
    const asked = await Promise.race([this.#round(), delay(WITNESS_MS_MAX, null, { ref: false })])
    if (asked === null) throw new Error(`The witness waited ${WITNESS_MS_MAX} ms for an answer.`)
    this.slowestMs = Math.max(this.slowestMs, performance.now() - startMs)
    this.rounds += 1
  }

  close(): void {
    for (const client of this.#resp) client.close()
    this.#lm.socket.destroy()
    this.#grpc.close()
  }

  async #round(): Promise<true> {
    const value = `what the witness put in round ${this.rounds}`
    const at = `http://127.0.0.1:${this.#ports.http}/v1/fragments/opaque/=witness`
    const stored = await fetch(at, { method: 'PUT', body: value })
    if (!stored.ok) throw new Error(`The witness put over HTTP: ${stored.status} ${await stored.text()}`)
    await stored.arrayBuffer()
    this.#lm.socket.write(lmGet('witness'))
    const answer = await this.#lm.answer()
    const client = this.#resp[0] ?? (await connectResp(this.#ports.resp))
    this.#resp[0] = client
    const found = {
      http: await (await fetch(at)).text(),
      resp: plain(await client.call('GET', 'witness')),
      lm: answer?.body.toString(),
    }
    for (const [door, text] of Object.entries(found))
      if (text !== value) throw new Error(`The witness was told over ${door}: ${String(text)}`)
    if (!(await this.#grpc.isServing())) throw new Error('The witness was told over gRPC that nothing is served.')
    const information = String(plain(await client.call('INFO', 'memory')))
    this.memory.push(Number(/used_memory_rss:(\d+)/.exec(information)?.[1]))
    return true
  }
}
