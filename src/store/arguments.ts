/** What every store asks of its arguments, so that a wrong one reads the same wherever it is found. */
import { MembraneError } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import type { ByteSpan, FragmentPut, StoredEntry } from '../core/ports.ts'
import type { PayloadMemory } from './payload-memory.ts'

/** Throws INVALID_REQUEST. */
export function checkKey(key: string): void {
  // Without its partner, half of a surrogate pair has no UTF-8: two such keys would become one.
  if (!key.isWellFormed()) throw invalid('A store key is text that UTF-8 can write.', { key: key.toWellFormed() })
  const keyBytes = utf8Bytes(key)
  if (keyBytes >= 1 && keyBytes <= LIMITS.storeKeyBytesMax) return
  throw invalid(`A store key takes 1 to ${LIMITS.storeKeyBytesMax} bytes of UTF-8, found ${keyBytes}.`, { keyBytes })
}

/** Throws INVALID_REQUEST, and CONTENT_MISMATCH for a payload that is not `payloadBytes` long. */
export function checkPut({ key, head, payloadBytes, payload, expiresAtMs }: FragmentPut): void {
  checkKey(key)
  if (head.length > LIMITS.storeHeadBytesMax) {
    const message = `The head of an entry takes at most ${LIMITS.storeHeadBytesMax} bytes, found ${head.length}.`
    throw invalid(message, { key, headBytes: head.length })
  }
  if (!Number.isSafeInteger(payloadBytes) || payloadBytes < 0 || payloadBytes > LIMITS.payloadBytesMax) {
    const message = `A payload takes 0 to ${LIMITS.payloadBytesMax} bytes, found ${payloadBytes}.`
    throw invalid(message, { key, payloadBytes })
  }
  if (typeof expiresAtMs === 'number' && (!Number.isSafeInteger(expiresAtMs) || expiresAtMs < 0)) {
    throw invalid(`An expiry is whole milliseconds since 1970, found ${expiresAtMs}.`, { key, expiresAtMs })
  }
  if (payload instanceof Uint8Array && payload.length !== payloadBytes) {
    throw lengthMismatch(key, payloadBytes, payload.length)
  }
}

/** The part of a payload that was asked for. Throws OUT_OF_DOMAIN. */
export function spanWithin(
  span: ByteSpan | undefined,
  { key, payloadBytes }: Pick<StoredEntry, 'key' | 'payloadBytes'>,
): ByteSpan {
  if (span === undefined) return { start: 0, end: payloadBytes }
  const { start, end } = span
  const isWhole = Number.isSafeInteger(start) && Number.isSafeInteger(end)
  if (isWhole && 0 <= start && start <= end && end <= payloadBytes) return span
  const message = `A span lies within the payload of ${payloadBytes} bytes, found ${start} to ${end}.`
  throw new MembraneError('OUT_OF_DOMAIN', message, { details: { key, start, end, payloadBytes } })
}

/** A view; the payload itself where all of it was asked for. */
export function partOf(payload: Uint8Array, { start, end }: ByteSpan): Uint8Array {
  return start === 0 && end === payload.length ? payload : payload.subarray(start, end)
}

/** Throws INVALID_REQUEST when there is a place to put the bytes and it is too small. */
export function checkInto(into: Uint8Array | undefined, bytes: number): void {
  if (into === undefined || into.length >= bytes) return
  const message = `The place for ${bytes} bytes holds only ${into.length}.`
  throw invalid(message, { bytes, intoBytes: into.length })
}

/** Of the memory that a payload keeps alive, at most this part may be other than the payload. */
const PINNED_EXCESS_RATIO = 1 / 8

/** Whether a payload may be kept as it is: it was given away, and keeps little more memory alive than its own bytes. */
function isKeepable(payload: Uint8Array, { isGivenAway = false }: Pick<FragmentPut, 'isGivenAway'>): boolean {
  const { buffer } = payload
  // What another thread shares, or somebody may resize, nobody can give away for good.
  if (!isGivenAway || !(buffer instanceof ArrayBuffer) || buffer.resizable) return false
  return buffer.byteLength - payload.length <= payload.length * PINNED_EXCESS_RATIO
}

/** All bytes of a put in memory that is the store's own. Throws CONTENT_MISMATCH and what pieces throw. */
export function ownPayload(
  fragment: FragmentPut,
  memory: PayloadMemory | null = null,
): Uint8Array | Promise<Uint8Array> {
  const { key, payloadBytes, payload } = fragment
  if (payload instanceof Uint8Array && isKeepable(payload, fragment)) return payload
  // Not from the pool: a slice of it would keep 8 KiB alive.
  const own = memory === null ? Buffer.allocUnsafeSlow(payloadBytes) : memory.take(payloadBytes)
  if (!(payload instanceof Uint8Array)) return collectPieces(key, payload, own)
  own.set(payload)
  return own
}

/** Copies all pieces to `target`, which it gives. Throws CONTENT_MISMATCH when they do not fill it or do not fit, and what they throw. */
export async function collectPieces(
  key: string,
  pieces: AsyncIterable<Uint8Array>,
  target: Uint8Array,
): Promise<Uint8Array> {
  let filledBytes = 0
  for await (const piece of pieces) {
    if (filledBytes + piece.length > target.length) {
      throw lengthMismatch(key, target.length, `at least ${filledBytes + piece.length}`)
    }
    target.set(piece, filledBytes)
    filledBytes += piece.length
  }
  if (filledBytes < target.length) throw lengthMismatch(key, target.length, filledBytes)
  return target
}

export function lengthMismatch(key: string, payloadBytes: number, found: number | string): MembraneError {
  const message = `The payload should be ${payloadBytes} bytes, found ${found}.`
  return new MembraneError('CONTENT_MISMATCH', message, { details: { key, payloadBytes, found } })
}

export function storeClosed(): MembraneError {
  return new MembraneError('STORE_CLOSED', 'The store has been closed.')
}

/** True when a put would change nothing: then it is answered `present`. */
export function isSameEntry(stored: StoredEntry, put: FragmentPut): boolean {
  return (
    stored.contentHash === put.contentHash &&
    stored.payloadBytes === put.payloadBytes &&
    stored.expiresAtMs === (put.expiresAtMs ?? null) &&
    isSameBytes(stored.head, put.head)
  )
}

export function isExpired({ expiresAtMs }: { readonly expiresAtMs: number | null }, nowMs: number): boolean {
  return expiresAtMs !== null && expiresAtMs <= nowMs
}

function isSameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, index) => byte === b[index])
}

/** Of well-formed text; counted, since a key is checked on every call and needs no copy for it. */
function utf8Bytes(text: string): number {
  return Buffer.byteLength(text, 'utf8')
}

function invalid(message: string, details: Readonly<Record<string, unknown>>): MembraneError {
  return new MembraneError('INVALID_REQUEST', message, { details })
}
