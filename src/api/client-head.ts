/** What is known of a fragment from the headers of an answer. */
import { MembraneError } from '../core/errors.ts'
import { parseFragmentKey } from '../core/fragment-key.ts'
import { type ContentHash, parseContentHash } from '../core/ids.ts'
import type { ByteSpan } from '../core/ports.ts'
import type { BlobHead } from './blob-head.ts'

/** What is known of a fragment beside its bytes. */
export interface ClientHead {
  readonly key: string
  readonly contentHash: ContentHash
  /** Of all of it. */
  readonly payloadBytes: number
  readonly mediaType: string
  /** Milliseconds since 1970. */
  readonly expiresAtMs: number | null
}

/** Throws PEER_UNAVAILABLE, and CONTENT_MISMATCH for other bytes than a key names. */
export function clientHeadOf(
  key: string,
  { headers, status }: Pick<BlobHead, 'headers' | 'status'>,
  payloadBytes: number,
): ClientHead {
  const text = headers.get('membrane-content-hash')
  if (text === undefined)
    throw new MembraneError('PEER_UNAVAILABLE', 'The server does not say what its bytes are.', {
      remedy: 'Check that the URL is that of a Membrane server.',
      details: { isRetryable: false },
    })
  const contentHash = parseContentHash(text)
  const name = parseFragmentKey(key)
  if (!('block' in name) && typeof name.name === 'string' && name.name !== contentHash)
    throw mismatch(key, `the server says that its bytes have the hash ${contentHash}`)
  const total = /\/(\d{1,15})$/.exec(headers.get('content-range') ?? '')?.[1]
  const expires = headers.get('membrane-expires-at-ms')
  return {
    key,
    contentHash,
    payloadBytes: status === 206 && total !== undefined ? Number(total) : payloadBytes,
    mediaType: headers.get('content-type') ?? 'application/octet-stream',
    expiresAtMs: expires === undefined ? null : Number(expires),
  }
}

/** Not for an empty span. Throws INVALID_REQUEST. */
export function rangeText({ start, end }: ByteSpan): string {
  if (!Number.isSafeInteger(start) || !Number.isSafeInteger(end) || start < 0 || end < start)
    throw new MembraneError('INVALID_REQUEST', `A span is [start, end) in bytes, found ${start}-${end}.`)
  return `bytes=${start}-${Math.max(start, end - 1)}`
}

export function mismatch(key: string, found: string): MembraneError {
  return new MembraneError('CONTENT_MISMATCH', `${JSON.stringify(key)} was not read as it was stored: ${found}.`, {
    details: { key },
  })
}
