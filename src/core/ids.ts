/**
 * Names of things, branded: made in one place, a parser at the edge, and trusted from there on.
 * A block hash says which context KV belongs to; a content hash says which bytes.
 */
import { MembraneError } from './errors.ts'
import { LIMITS } from './limits.ts'

declare const contentHashBrand: unique symbol
declare const blockHashBrand: unique symbol
declare const modelFingerprintBrand: unique symbol
declare const tenantIdBrand: unique symbol

/** `b3:` (BLAKE3) or `s256:` (SHA-256), then 64 lower-case hexadecimal digits: the hash of a payload's bytes. */
export type ContentHash = string & { readonly [contentHashBrand]: true }

/** `<chain id>:<hex>`: the hash of a block and of everything before it. */
export type BlockHash = string & { readonly [blockHashBrand]: true }

/** 64 lower-case hexadecimal digits that stand for a model's name and its weights. */
export type ModelFingerprint = string & { readonly [modelFingerprintBrand]: true }

/** 1 to 64 of the letters a-z A-Z, digits, `.`, `_` and `-`, beginning with a letter or digit. */
export type TenantId = string & { readonly [tenantIdBrand]: true }

/** Prefixes of content hashes. */
export const CONTENT_HASH_ALGORITHMS = ['b3', 's256'] as const
export type ContentHashAlgorithm = (typeof CONTENT_HASH_ALGORITHMS)[number]

/** Throws INVALID_REQUEST. */
export function parseContentHash(text: string): ContentHash {
  if (/^(?:b3|s256):[0-9a-f]{64}$/.test(text)) return text as ContentHash
  throw invalid('A content hash', 'b3: or s256: and 64 hexadecimal digits', text)
}

export function contentHashAlgorithm(hash: ContentHash): ContentHashAlgorithm {
  return hash.startsWith('b3:') ? 'b3' : 's256'
}

/** Throws INVALID_REQUEST. */
export function parseBlockHash(text: string): BlockHash {
  if (text.length <= LIMITS.blockHashCharactersMax && /^[a-z0-9][a-z0-9_-]*:(?:[0-9a-f]{2})+$/.test(text))
    return text as BlockHash
  throw invalid('A block hash', '<chain>:<hexadecimal digits>', text)
}

/** Throws INVALID_REQUEST. */
export function parseModelFingerprint(text: string): ModelFingerprint {
  if (/^[0-9a-f]{64}$/.test(text)) return text as ModelFingerprint
  throw invalid('A model fingerprint', '64 hexadecimal digits', text)
}

/** Throws INVALID_REQUEST. */
export function parseTenantId(text: string): TenantId {
  if (/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(text)) return text as TenantId
  throw invalid('A tenant', '1 to 64 letters, digits, dots, underscores and dashes', text)
}

/** The tenant of a fabric that has only one. */
export const DEFAULT_TENANT = 'default' as TenantId

function invalid(what: string, expected: string, text: string): MembraneError {
  const found = JSON.stringify(text.length > 100 ? `${text.slice(0, 100)}…` : text)
  return new MembraneError('INVALID_REQUEST', `${what} is ${expected}, found ${found}.`, { details: { text: found } })
}
