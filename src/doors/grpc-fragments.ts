/** Fragments over gRPC: put and get in pieces, and what is asked of many at once. */
import { packBlockHashes, type BlockHashes } from '../core/block-hashes.ts'
import { MembraneError } from '../core/errors.ts'
import { parseBlockHash, parseContentHash, parseModelFingerprint } from '../core/ids.ts'
import { LIMITS } from '../core/limits.ts'
import { spanWithin } from '../store/arguments.ts'
import type {
  EntryMessage,
  GetRequestMessage,
  GetResponseMessage,
  HasRequestMessage,
  HasResponseMessage,
  LongestPrefixRequestMessage,
  LongestPrefixResponseMessage,
  PutHeaderMessage,
  PutRequestMessage,
  PutResponseMessage,
} from '../api/grpc-messages.ts'
import type { FragmentOperations } from '../server/fragment-operations.ts'
import type { FabricPut } from '../server/tenant-fabric.ts'
import type { CallContext } from './grpc-admission.ts'
import type { Send } from './grpc-calls.ts'
import { entryMessage, readDescription, readHints, wholeNumber } from './grpc-description.ts'

/** Of a payload, in one message: larger ones are no faster, and take their memory at once. */
const CHUNK_BYTES = 256 * 1024

/** Reads the header, waits for room, and gathers the payload. Nothing is put unless all of it came. */
export async function putInPieces(
  fragments: FragmentOperations,
  payloadBytesMax: number,
  { requests, context }: { readonly requests: AsyncIterable<PutRequestMessage>; readonly context: CallContext },
): Promise<PutResponseMessage> {
  const messages = requests[Symbol.asyncIterator]()
  const first = await messages.next()
  const header = first.done === true ? null : (first.value.header ?? null)
  if (first.done === true || header === null)
    throw new MembraneError('INVALID_REQUEST', 'The first message of a put has the header.')
  const put = readHeader(header)
  const payloadBytes = wholeNumber('payload_bytes', header.payloadBytes)
  if (payloadBytes > payloadBytesMax)
    throw new MembraneError(
      'LIMIT_REACHED',
      `A payload has at most ${payloadBytesMax} bytes here; this one has ${payloadBytes}.`,
    )
  await context.takeBody(payloadBytes)
  // Not from the pool: a slice of it would keep 8 KiB alive.
  const payload = Buffer.allocUnsafeSlow(payloadBytes)
  let filled = 0
  for (let message = first.value; ; ) {
    filled = fill(payload, filled, message)
    const next = await messages.next()
    if (next.done === true) break
    message = next.value
    if (message.header != null)
      throw new MembraneError('INVALID_REQUEST', 'Only the first message of a put has a header.')
  }
  if (filled < payloadBytes)
    throw new MembraneError('CONTENT_MISMATCH', `The header says ${payloadBytes} bytes; ${filled} came.`)
  return fragments.put(context.caller, { ...put, payload, payloadBytes })
}

function fill(payload: Buffer, filled: number, { data, offset }: PutRequestMessage): number {
  if (data.length === 0) return filled
  if (data.length > LIMITS.grpcChunkBytesMax)
    throw new MembraneError('LIMIT_REACHED', `A chunk has at most ${LIMITS.grpcChunkBytesMax} bytes.`)
  if (offset !== filled)
    throw new MembraneError('INVALID_REQUEST', `A chunk at byte ${filled} was expected; found one at ${offset}.`)
  if (filled + data.length > payload.length)
    throw new MembraneError('CONTENT_MISMATCH', `The header says ${payload.length} bytes; more came.`)
  payload.set(data, filled)
  return filled + data.length
}

function readHeader(header: PutHeaderMessage): Omit<FabricPut, 'payload' | 'payloadBytes'> {
  const { foreignKey, contentHash, priority, isPinned, expiresAtMs } = header
  return {
    description: readDescription(header.description, header.mediaType),
    hints: readHints(priority, isPinned),
    ...(foreignKey.length === 0 ? {} : { foreignKey }),
    ...(contentHash === '' ? {} : { contentHash: parseContentHash(contentHash) }),
    ...(expiresAtMs === undefined ? {} : { expiresAtMs: wholeNumber('expires_at_ms', expiresAtMs) }),
  }
}

interface GetParts {
  readonly context: CallContext
  readonly send: Send<GetResponseMessage | Buffer>
  readonly encode: (message: GetResponseMessage) => Buffer
}

/** Sends what it is, then its bytes, no faster than they are taken. */
export async function getInPieces(
  fragments: FragmentOperations,
  request: GetRequestMessage,
  { context, send, encode }: GetParts,
): Promise<void> {
  const { key } = request
  const start = wholeNumber('start', request.start ?? 0)
  const found = await fragments.read(context.caller, key, ({ payloadBytes }) => {
    const end = request.end === undefined || request.end === null ? payloadBytes : wholeNumber('end', request.end)
    return spanWithin({ start, end }, { key, payloadBytes })
  })
  if (found === null) throw notFound(key)
  try {
    await send({ data: NOTHING, offset: start, entry: entryMessage(found.entry) })
    let offset = start
    for await (const bytes of found.chunks ?? [found.payload ?? NOTHING]) {
      for (let from = 0; from < bytes.length; from += CHUNK_BYTES) {
        const data = bytes.subarray(from, from + CHUNK_BYTES)
        await send(encode({ data, offset: offset + from }))
      }
      offset += bytes.length
    }
  } finally {
    // Each message has a copy of its bytes.
    found.ended(true)
  }
}

export async function headOf(
  fragments: FragmentOperations,
  key: string,
  { caller }: CallContext,
): Promise<EntryMessage> {
  const head = await fragments.head(caller, key)
  if (head === null) throw notFound(key)
  return entryMessage(head)
}

export function has(
  fragments: FragmentOperations,
  { keys, leaseMs }: HasRequestMessage,
  { caller }: CallContext,
): Promise<HasResponseMessage> {
  checkCount('keys', keys.length)
  return fragments.has(caller, keys, leaseMs)
}

export async function longestPrefix(
  fragments: FragmentOperations,
  request: LongestPrefixRequestMessage,
  { caller }: CallContext,
): Promise<LongestPrefixResponseMessage> {
  const { model, blockTokens, leaseMs } = request
  if (blockTokens < 1) throw new MembraneError('INVALID_REQUEST', 'block_tokens is 1 or more.')
  const prompt = { model: parseModelFingerprint(model), hashes: readHashes(request), blockTokens }
  const { blocks, tokens, fragments: held, leasedUntilMs } = await fragments.longestPrefix(caller, prompt, leaseMs)
  return {
    blocks,
    tokens,
    fragments: held.map(({ key, contentHash, payloadBytes, description }) => ({
      key,
      contentHash,
      payloadBytes,
      tokenStart: description.signature.tokens.start,
      tokenEnd: description.signature.tokens.end,
    })),
    leasedUntilMs,
  }
}

function readHashes({ blockHashes, packed }: LongestPrefixRequestMessage): BlockHashes {
  if (packed === null) {
    checkCount('block_hashes', blockHashes.length)
    return packBlockHashes(blockHashes.map(parseBlockHash))
  }
  const { chain, digestBytes, digests } = packed
  const count = digests.length / digestBytes
  if (blockHashes.length > 0 || !Number.isSafeInteger(count) || count < 1)
    throw new MembraneError('INVALID_REQUEST', 'Block hashes are texts, or digests of digest_bytes each, 1 or more.')
  checkCount('digests', count)
  // The chain's name and the length of a digest, checked as those of a text are.
  parseBlockHash(`${chain}:${Buffer.from(digests.subarray(0, digestBytes)).toString('hex')}`)
  return { chain, digestBytes, count, bytes: digests }
}

export function remove(
  fragments: FragmentOperations,
  { keys }: { readonly keys: readonly string[] },
  { caller }: CallContext,
): Promise<number> {
  checkCount('keys', keys.length)
  return fragments.remove(caller, keys)
}

function checkCount(name: string, count: number): void {
  if (count <= LIMITS.lookUpKeysMax) return
  throw new MembraneError(
    'INVALID_REQUEST',
    `${name} are at most ${LIMITS.lookUpKeysMax} in one request; found ${count}.`,
  )
}

const NOTHING = new Uint8Array(0)

function notFound(key: string): MembraneError {
  const found = JSON.stringify(key.length > 100 ? `${key.slice(0, 100)}…` : key)
  return new MembraneError('NOT_FOUND', `Nothing is stored under the key ${found}.`)
}
