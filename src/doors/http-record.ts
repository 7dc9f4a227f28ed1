/**
 * Fragments as version 0 of the API wrote them: one JSON object, which said what the bytes are and did not have them.
 * Now the bytes come along, and the object is kept beside them as a record of its own, under their content hash.
 */
import { z } from 'zod'
import { byteDescription } from '../core/fragment-bytes.ts'
import { MembraneError } from '../core/errors.ts'
import { fragmentKey } from '../core/fragment-key.ts'
import type { FragmentDescription } from '../core/fragment.ts'
import { type ContentHash, parseContentHash } from '../core/ids.ts'
import { LIMITS } from '../core/limits.ts'

const INCLUSIVE = z
  .tuple([z.number().int().min(0), z.number().int().min(0)])
  .describe('First and last, both counted: layers or tokens.')

/** The fields of version 0. */
export const OLD_FRAGMENT = z
  .object({
    content_hash: z
      .string()
      .describe('b3:…, s256:…, or 64 hexadecimal digits, which are SHA-256. The bytes must have it.'),
    embedding: z
      .array(z.number())
      .max(LIMITS.embeddingDimensionsMax)
      .default([])
      .describe('Kept and given back; used for nothing: this node compares texts by vectors of its own.'),
    model_id: z.string().max(LIMITS.chainTextBytesMax),
    layer_range: INCLUSIVE,
    token_span: INCLUSIVE,
    size: z.number().int().min(0).describe('Bytes of the payload.'),
    ttl: z.number().min(0).default(0).describe('Seconds until it is gone; 0 for no time of its own.'),
    reuse_score: z.number().min(0).max(1).default(0).describe('0 to 1. Kept and given back.'),
    version_id: z
      .number()
      .int()
      .min(1)
      .max(2 ** 31 - 1)
      .default(1),
  })
  .describe('A fragment as version 0 wrote it. Sizes in bytes, ttl in seconds, spans with both ends counted.')
/** What OLD_FRAGMENT takes. */
export type OldFragment = z.infer<typeof OLD_FRAGMENT>

const RECORD = OLD_FRAGMENT.extend({ key: z.string(), is_primary: z.boolean() })
/** An old fragment, and under which key its bytes are. */
export type OldRecord = z.infer<typeof RECORD>

const RECORD_TYPE = 'application/vnd.membrane.record+json;version='

/** A bare hash is SHA-256: what 64 hexadecimal digits are as a rule. Throws INVALID_REQUEST. */
export function oldContentHash(text: string): ContentHash {
  return parseContentHash(/^[0-9a-f]{64}$/i.test(text) ? `s256:${text.toLowerCase()}` : text)
}

/** The name of a record among artifacts. */
export function recordName(contentHash: ContentHash): Uint8Array {
  return new TextEncoder().encode(`record:${contentHash}`)
}

export function recordKey(contentHash: ContentHash): string {
  return fragmentKey({ kind: 'artifact', name: recordName(contentHash) })
}

/** The version stands in the type, so that an inventory reads no payload. */
export function recordDescription({ version_id }: OldRecord, contentHash: ContentHash): FragmentDescription {
  return { ...byteDescription('artifact', `${RECORD_TYPE}${version_id}`), derivedFrom: [contentHash] }
}

/** Null for what is no record. */
export function recordedVersion({ signature, derivedFrom }: FragmentDescription): [string, number] | null {
  const [contentHash] = derivedFrom
  if (signature.kind !== 'artifact' || contentHash === undefined || !signature.layout.startsWith(RECORD_TYPE))
    return null
  return [contentHash, Number(signature.layout.slice(RECORD_TYPE.length))]
}

export function encodeRecord(record: OldRecord): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(record))
}

/** Throws INVALID_FRAGMENT for anything that `encodeRecord` did not write: anybody may put bytes under such a name. */
export function decodeRecord(payload: Uint8Array): OldRecord {
  try {
    return RECORD.parse(JSON.parse(new TextDecoder().decode(payload)))
  } catch (cause) {
    throw new MembraneError('INVALID_FRAGMENT', 'The record of this fragment cannot be read.', { cause })
  }
}
