/**
 * Fragments in a tar file, for moving them to another store or keeping them elsewhere. Any tar reads it.
 *
 *   membrane.json          what this is, and its format
 *   fragments/<n>.json     key, content hash, length, expiry, hints and description of fragment n
 *   payloads/<hash>        its bytes, after the first fragment that has them
 *   end.json               how many fragments there are: an archive without it was cut short
 */
import * as z from 'zod'
import { MembraneError } from '../core/errors.ts'
import { decodeDescription } from '../core/fragment-codec.ts'
import { parseFragmentKey } from '../core/fragment-key.ts'
import type { FragmentDescription } from '../core/fragment.ts'
import { type ContentHash, parseContentHash } from '../core/ids.ts'
import { LIMITS } from '../core/limits.ts'
import type { RetentionHints } from '../server/fragment-head.ts'

export const ARCHIVE_FORMAT = 1
export const MANIFEST_NAME = 'membrane.json'
export const END_NAME = 'end.json'

/** A head as JSON in JSON: every quote of the description takes two characters. */
export const ARCHIVED_HEAD_BYTES_MAX = 3 * LIMITS.storeHeadBytesMax

export interface ArchivedFragment {
  readonly key: string
  readonly contentHash: ContentHash
  readonly payloadBytes: number
  readonly expiresAtMs: number | null
  readonly hints: RetentionHints
  readonly description: FragmentDescription
}

export function payloadName(contentHash: ContentHash): string {
  return `payloads/${contentHash.replace(':', '-')}`
}

const fragmentSchema = z.strictObject({
  key: z.string().max(LIMITS.storeKeyBytesMax),
  contentHash: z.string(),
  payloadBytes: z.int().min(0).max(LIMITS.payloadBytesMax),
  expiresAtMs: z.int().min(0).nullable(),
  hints: z.strictObject({ priority: z.literal([0, 1, 2]), isPinned: z.boolean() }),
  description: z.string().max(LIMITS.storeHeadBytesMax),
})

/** Throws INVALID_REQUEST. */
export function parseArchivedFragment(name: string, bytes: Uint8Array): ArchivedFragment {
  const parsed = fragmentSchema.safeParse(parseJson(name, bytes))
  if (!parsed.success)
    throw brokenArchive(`${name} is malformed: ${z.prettifyError(parsed.error).replaceAll('\n', ' ')}`)
  const { contentHash, description, ...rest } = parsed.data
  try {
    parseFragmentKey(rest.key)
    return {
      ...rest,
      contentHash: parseContentHash(contentHash),
      description: decodeDescription(new TextEncoder().encode(description)),
    }
  } catch (error) {
    if (!(error instanceof MembraneError)) throw error
    throw brokenArchive(`${name} is malformed: ${error.message}`, error)
  }
}

const manifestSchema = z.object({ what: z.literal('membrane fragments'), format: z.int().min(1) })

/** Throws INVALID_REQUEST, and STORE_FORMAT for an archive of another version. */
export function checkManifest(bytes: Uint8Array): void {
  const parsed = manifestSchema.safeParse(parseJson(MANIFEST_NAME, bytes))
  if (!parsed.success) throw brokenArchive('Its membrane.json is malformed')
  if (parsed.data.format === ARCHIVE_FORMAT) return
  throw new MembraneError(
    'STORE_FORMAT',
    `The archive is of format ${parsed.data.format}, and this version reads format ${ARCHIVE_FORMAT}.`,
    { remedy: 'Import it with the version that wrote it, or a newer one.' },
  )
}

function parseJson(name: string, bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes)) as unknown
  } catch (error) {
    throw brokenArchive(`${name} is no JSON`, error)
  }
}

const endSchema = z.strictObject({ fragments: z.int().min(0) })

/** Throws INVALID_REQUEST when the archive says that it has another number of fragments. */
export function checkEnd(bytes: Uint8Array, fragments: number): void {
  const parsed = endSchema.safeParse(parseJson(END_NAME, bytes))
  if (!parsed.success) throw brokenArchive(`Its ${END_NAME} is malformed`)
  if (parsed.data.fragments === fragments) return
  throw brokenArchive(`It should hold ${parsed.data.fragments} fragments and holds ${fragments}`)
}

/** It is not what `export` writes. */
export function brokenArchive(what: string, cause?: unknown): MembraneError {
  return new MembraneError('INVALID_REQUEST', `This is no archive that can be imported. ${what}.`, {
    remedy: 'Give a file that `membrane export` wrote.',
    ...(cause === undefined ? {} : { cause }),
  })
}
