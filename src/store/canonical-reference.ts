/**
 * The head of a reference: which content a key names, and the head that its owner gave it.
 *
 *   byte 0       format, 1
 *   byte 1       algorithm of the content hash, as an index into CONTENT_HASH_ALGORITHMS
 *   bytes 2-9    payload bytes, unsigned, little-endian
 *   bytes 10-41  digest
 *   from 42 on   the owner's head
 */
import { MembraneError } from '../core/errors.ts'
import { CONTENT_HASH_ALGORITHMS, type ContentHash, contentHashAlgorithm, parseContentHash } from '../core/ids.ts'

const FORMAT = 1
export const REFERENCE_HEAD_BYTES = 42

export interface Reference {
  readonly contentHash: ContentHash
  readonly payloadBytes: number
  readonly head: Uint8Array
}

export function encodeReference({ contentHash, payloadBytes, head }: Reference): Uint8Array {
  const bytes = new Uint8Array(REFERENCE_HEAD_BYTES + head.length)
  const algorithm = contentHashAlgorithm(contentHash)
  bytes[0] = FORMAT
  bytes[1] = CONTENT_HASH_ALGORITHMS.indexOf(algorithm)
  new DataView(bytes.buffer).setBigUint64(2, BigInt(payloadBytes), true)
  bytes.set(Buffer.from(contentHash.slice(algorithm.length + 1), 'hex'), 10)
  bytes.set(head, REFERENCE_HEAD_BYTES)
  return bytes
}

/** Throws INVALID_FRAGMENT when the bytes are no reference, STORE_FORMAT when they are one of a newer format. */
export function decodeReference(bytes: Uint8Array): Reference {
  if (bytes.length < REFERENCE_HEAD_BYTES)
    throw new MembraneError(
      'INVALID_FRAGMENT',
      `A reference has at least ${REFERENCE_HEAD_BYTES} bytes, found ${bytes.length}.`,
    )
  if (bytes[0] !== FORMAT)
    throw new MembraneError('STORE_FORMAT', `References are of format ${FORMAT}, found ${bytes[0]}.`, {
      remedy: 'Open the store with the version that wrote it, or export and import it.',
    })
  const algorithm = CONTENT_HASH_ALGORITHMS[bytes[1] ?? -1]
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const payloadBytes = Number(view.getBigUint64(2, true))
  if (algorithm === undefined || !Number.isSafeInteger(payloadBytes))
    throw new MembraneError('INVALID_FRAGMENT', 'A reference names no known hash or no possible length.')
  const digest = Buffer.from(bytes.subarray(10, REFERENCE_HEAD_BYTES)).toString('hex')
  return {
    contentHash: parseContentHash(`${algorithm}:${digest}`),
    payloadBytes,
    head: bytes.subarray(REFERENCE_HEAD_BYTES),
  }
}
