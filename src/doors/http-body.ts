/** Reads a body of bytes: into one memory of its length, within the budget of all bodies. */
import type { FastifyReply, FastifyRequest } from 'fastify'
import { MembraneError } from '../core/errors.ts'
import { abortedWith } from './http-app.ts'
import type { DoorOptions } from './door.ts'

/**
 * The bytes of a body, handed to `use` and let go afterwards. Throws INVALID_REQUEST for a body without its length,
 * LIMIT_REACHED before anything is read, ABORTED when the client goes away.
 */
export async function withBody<T>(
  request: FastifyRequest,
  reply: FastifyReply,
  { budget, payloadBytesMax }: Pick<DoorOptions, 'budget' | 'payloadBytesMax'>,
  use: (body: Uint8Array) => Promise<T>,
): Promise<T> {
  const bytes = lengthOf(request)
  if (bytes > payloadBytesMax)
    throw new MembraneError('LIMIT_REACHED', `A body has at most ${payloadBytesMax} bytes here; this one has ${bytes}.`)
  const signal = abortedWith(reply)
  await budget.take(bytes, signal)
  try {
    return await use(await readBody(request, bytes))
  } finally {
    budget.release(bytes)
  }
}

function lengthOf({ headers }: FastifyRequest): number {
  const text = headers['content-length']
  // Also an empty body says so.
  if (text !== undefined && /^\d{1,15}$/.test(text)) return Number(text)
  throw new MembraneError('INVALID_REQUEST', 'The body needs its length beforehand: send Content-Length.')
}

/** HOT: one copy of each segment, into memory that the store keeps. */
async function readBody({ raw }: FastifyRequest, bytes: number): Promise<Uint8Array> {
  // Not from the pool: a slice of it would keep 8 KiB alive.
  const body = Buffer.allocUnsafeSlow(bytes)
  let filled = 0
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  raw.on('data', (segment: Buffer) => {
    // Node's parser ends a body at its length.
    filled += segment.copy(body, filled)
  })
  raw.once('end', resolve)
  raw.once('error', reject)
  raw.once('close', () => reject(new MembraneError('ABORTED', `The body broke off after ${filled} of ${bytes} bytes.`)))
  await promise
  if (filled < bytes) throw new MembraneError('ABORTED', `The body broke off after ${filled} of ${bytes} bytes.`)
  return body
}
