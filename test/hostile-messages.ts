/** What no well-meaning client sends, for each door: for the tests, and for a bench that sends much of it. */
import type { ClientHttp2Session } from 'node:http2'
import fc from 'fast-check'
import { encodeRespCommand } from '../src/api/resp-codec-call.ts'
import { LM_HEALTH, lmExist, lmGet, lmPut } from './lm-client.ts'

const anyBytes = (bytesMax: number): fc.Arbitrary<Buffer> =>
  fc.uint8Array({ maxLength: bytesMax }).map((bytes) => Buffer.from(bytes))

/** Random bytes, in random pieces. */
export const randomPieces: fc.Arbitrary<readonly Uint8Array[]> = fc.array(anyBytes(2000), { maxLength: 5 })

const HEAD = 'HTTP/1.1\r\nhost: localhost\r\n'
const JSON_HEAD = `${HEAD}content-type: application/json\r\n`

/** As clients send them. */
export const HTTP_REQUESTS = [
  `GET /v1/fragments/opaque/=x ${HEAD}\r\n`,
  `PUT /v1/fragments/opaque/=y ${HEAD}content-length: 5\r\n\r\nhello`,
  `POST /v1/has ${JSON_HEAD}content-length: 14\r\n\r\n{"keys":["a"]}`,
  `POST /v1/remove ${JSON_HEAD}transfer-encoding: chunked\r\n\r\ne\r\n{"keys":["a"]}\r\n0\r\n\r\n`,
  `HEAD /metrics ${HEAD}\r\n`,
]

/** Requests with bytes changed, cut anywhere and run together. */
export const brokenHttpRequests: fc.Arbitrary<readonly Uint8Array[]> = fc
  .record({
    chosen: fc.array(fc.constantFrom(...HTTP_REQUESTS), { minLength: 1, maxLength: 6 }),
    changes: fc.array(fc.record({ at: fc.nat(), byte: fc.integer({ min: 0, max: 255 }) }), { maxLength: 3 }),
    cuts: fc.array(fc.nat(), { maxLength: 8 }),
  })
  .map(({ chosen, changes, cuts }) => {
    const bytes = Buffer.from(chosen.join(''))
    for (const { at, byte } of changes) bytes[at % bytes.length] = byte
    const ends = [...cuts.map((cut) => cut % bytes.length), bytes.length].toSorted((a, b) => a - b)
    return ends.map((end, index) => bytes.subarray(ends[index - 1] ?? 0, end))
  })

const lyingLength = fc.oneof(
  fc.constantFrom('-1', '1e9', '0x10', '99999999999999999999', '18446744073709551616', '4, 4', ' ', '+5', '500001'),
  fc.nat(600_000).map(String),
)

/** A head whose length is not that of its body, and the body. */
export const lyingHttpRequests: fc.Arbitrary<readonly Uint8Array[]> = fc
  .record({ length: lyingLength, body: fc.uint8Array({ maxLength: 5000 }), isChunked: fc.boolean() })
  .map(({ length, body, isChunked }) => {
    const also = isChunked ? 'transfer-encoding: chunked\r\n' : ''
    return [Buffer.from(`PUT /v1/fragments/opaque/=z ${HEAD}${also}content-length: ${length}\r\n\r\n`), body]
  })

/** As clients send them. */
export const RESP_COMMANDS = [
  ['set', 'a', 'value'],
  ['get', 'a'],
  ['mget', 'a', 'b'],
  ['hello', '3'],
  ['scan', '0'],
] as const

const mutatedResp = fc
  .tuple(
    fc.array(fc.constantFrom(...RESP_COMMANDS), { minLength: 1, maxLength: 5 }),
    fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 4 }),
  )
  .map(([commands, changes]) => {
    const bytes = Buffer.concat(commands.flatMap((args) => encodeRespCommand(args)))
    for (const [place, byte] of changes) bytes[place % bytes.length] = byte
    return bytes
  })

const lyingResp = fc
  .constantFrom(
    '*1000000000\r\n',
    '*2\r\n$999999999999\r\n',
    '*2\r\n$3\r\nget\r\n$60000000\r\nabc',
    '*131072\r\n$0\r\n\r\n',
  )
  .map((text) => Buffer.from(text))

export const hostileRespBytes: fc.Arbitrary<Buffer> = fc.oneof(anyBytes(300), mutatedResp, lyingResp)

const mutatedLm = fc.tuple(fc.nat({ max: 185 }), fc.nat({ max: 255 })).map(([at, value]) => {
  const mutated = Buffer.from(lmGet('mutated'))
  mutated[at] = value
  return mutated
})

/** As clients send them. */
export const LM_REQUESTS = [LM_HEALTH, lmGet('x'), lmExist('y'), lmPut('z', Buffer.from('zz'))]

export const hostileLmPieces: fc.Arbitrary<readonly Buffer[]> = fc.array(
  fc.oneof(anyBytes(400), fc.constantFrom(...LM_REQUESTS), mutatedLm),
  { maxLength: 6 },
)

const GRPC_PREFACE = Buffer.concat([
  Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
  Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]),
])

const grpcFrame = fc
  .record({
    type: fc.oneof(fc.integer({ min: 0, max: 10 }), fc.nat(255)),
    flags: fc.nat(255),
    stream: fc.oneof(fc.integer({ min: 0, max: 7 }), fc.nat()),
    body: fc.uint8Array({ maxLength: 200 }),
    lie: fc.oneof({ weight: 9, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.nat(2 ** 24 - 300) }),
  })
  .map(({ type, flags, stream, body, lie }) => {
    const head = Buffer.alloc(9)
    head.writeUIntBE(body.length + lie, 0, 3)
    head[3] = type
    head[4] = flags
    head.writeUInt32BE(stream & 0x7fff_ffff, 5)
    return Buffer.concat([head, body])
  })

/** Bytes that are no HTTP/2, or frames of it that no client sends. */
export const hostileGrpcBytes: fc.Arbitrary<Buffer> = fc.oneof(
  anyBytes(2000),
  fc.array(grpcFrame, { maxLength: 30 }).map((frames) => Buffer.concat([GRPC_PREFACE, ...frames])),
)

const METHODS =
  'StoreFragment RetrieveFragment SyncInventory Prefill Heartbeat Put Get Head Has LongestPrefix Remove Rebuild Explain Generate Nothing'

/** A call whose message is random bytes, framed as the rest says. */
export interface HostileGrpcCall {
  readonly path: string
  readonly body: Uint8Array
  readonly compressed: number
  readonly encoding: string
  readonly timeout: string | undefined
  /** Bytes that the frame announces, and that do not come. */
  readonly lie: number
}

export const hostileGrpcCall: fc.Arbitrary<HostileGrpcCall> = fc.record({
  path: fc.constantFrom(
    ...METHODS.split(' ').map((method) => `/membrane.Membrane/${method}`),
    '/grpc.health.v1.Health/Check',
    '/grpc.reflection.v1.ServerReflection/ServerReflectionInfo',
  ),
  body: fc.uint8Array({ maxLength: 300 }),
  compressed: fc.constantFrom(0, 0, 0, 1, 7),
  encoding: fc.constantFrom('identity', 'gzip', 'other'),
  timeout: fc.constantFrom(undefined, '10S', 'soon', '1n', '99999999H'),
  lie: fc.constantFrom(0, 0, 0, 0, 1, 2 ** 24, 2 ** 31),
})

/** Ends when the call does, however it does. */
export async function sendHostileCall(
  session: ClientHttp2Session,
  { body, compressed, encoding, timeout, lie }: HostileGrpcCall,
  common: Readonly<Record<string, string>>,
): Promise<void> {
  const headers = { ...common, 'grpc-encoding': encoding }
  const stream = session.request(timeout === undefined ? headers : { ...headers, 'grpc-timeout': timeout })
  stream.on('error', () => {})
  const prefix = Buffer.alloc(5)
  prefix[0] = compressed
  prefix.writeUInt32BE((body.length + lie) % 2 ** 32, 1)
  stream.end(Buffer.concat([prefix, body]))
  stream.resume()
  await new Promise((resolve) => stream.once('close', resolve))
}
