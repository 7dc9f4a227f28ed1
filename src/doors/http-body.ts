/** Reads a body of bytes: into one memory of its length, within the budget of all bodies. */
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { IncomingMessage } from 'node:http'
import { MembraneError } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import { abortedWith } from './http-app.ts'
import type { DoorOptions } from './door.ts'
import { goAhead } from './http-expect.ts'
import { lengthRequired } from './http-refusal.ts'

/** How slow a sender may be: a body holds a part of the budget that others wait for. */
export interface BodyPatience {
  readonly graceMs: number
  /** What comes at this rate is waited for longer. */
  readonly bytesPerSecondMin: number
  /** For the whole body, whatever came of it: its announced length takes room from the start. */
  readonly wholeMsMax: number
}

/** Modems are faster. */
export function patienceFor(bytes: number): BodyPatience {
  const wholeMsMax = Math.max(LIMITS.bodyMsMax, (1000 * bytes) / LIMITS.bodyBytesPerSecondMin)
  return { graceMs: 30_000, bytesPerSecondMin: 8 * 1024, wholeMsMax }
}

/**
 * The bytes of a body, handed to `use` and let go afterwards. Throws 411 for a body without its length, LIMIT_REACHED
 * before anything is read, ABORTED when the client goes away, DEADLINE_EXCEEDED when it is slower than `patience`.
 */
export async function withBody<T>(
  { request, reply }: { readonly request: FastifyRequest; readonly reply: FastifyReply },
  { budget, payloadBytesMax, operations }: Pick<DoorOptions, 'budget' | 'payloadBytesMax' | 'operations'>,
  use: (body: Uint8Array) => Promise<T>,
): Promise<T> {
  const bytes = lengthOf(request.raw)
  if (bytes > payloadBytesMax)
    throw new MembraneError('LIMIT_REACHED', `A body has at most ${payloadBytesMax} bytes here; this one has ${bytes}.`)
  await budget.take(bytes, abortedWith(reply))
  try {
    goAhead(request.raw, reply.raw)
    const body = operations.fragments.memoryFor(bytes)
    return await use(await readBody(request.raw, body, patienceFor(bytes)))
  } finally {
    budget.release(bytes)
  }
}

function lengthOf({ headers }: IncomingMessage): number {
  const text = headers['content-length']
  // Also an empty body says so.
  if (text !== undefined && /^\d{1,15}$/.test(text)) return Number(text)
  throw lengthRequired()
}

/** HOT: one copy of each segment, into memory that the store keeps. */
export async function readBody(raw: IncomingMessage, body: Uint8Array, patience: BodyPatience): Promise<Uint8Array> {
  const { length: bytes } = body
  let filled = 0
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const take = (segment: Buffer): void => {
    // Node's parser ends a body at its length.
    filled += segment.copy(body, filled)
  }
  raw.on('data', take)
  raw.once('end', resolve)
  raw.once('error', () => reject(brokeOff(filled, bytes)))
  raw.once('close', () => reject(brokeOff(filled, bytes)))
  const { graceMs, bytesPerSecondMin, wholeMsMax } = patience
  // Bytes earn their sender the time that they may take, so that who announces much and sends little is soon given up.
  const startMs = performance.now()
  let sinceMs = startMs
  let counted = 0
  const check = (): void => {
    const nowMs = performance.now()
    sinceMs = Math.min(nowMs, sinceMs + (1000 * (filled - counted)) / bytesPerSecondMin)
    counted = filled
    const leftMs = Math.ceil(Math.min(sinceMs + graceMs, startMs + wholeMsMax) - nowMs)
    if (leftMs > 0) deadline = setTimeout(check, leftMs)
    else reject(tooSlow(filled, bytes))
  }
  let deadline = setTimeout(check, Math.min(graceMs, wholeMsMax))
  try {
    await promise
  } finally {
    clearTimeout(deadline)
    // What still comes goes nowhere, and the memory is free.
    raw.off('data', take)
  }
  if (filled < bytes) throw brokeOff(filled, bytes)
  return body
}

function tooSlow(filled: number, bytes: number): MembraneError {
  return new MembraneError('DEADLINE_EXCEEDED', `The body is too slow: ${filled} of ${bytes} bytes have come.`)
}

function brokeOff(filled: number, bytes: number): MembraneError {
  return new MembraneError('ABORTED', `The body broke off after ${filled} of ${bytes} bytes.`)
}
