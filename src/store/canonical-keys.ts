/** The keys that a canonical store uses below: see the top of `canonical.ts`. */
import { type ContentHash, parseContentHash } from '../core/ids.ts'
import { checkKey } from './arguments.ts'

/** Throws INVALID_REQUEST. */
export function referenceKey(key: string): string {
  checkKey(key)
  return `r/${key}`
}

export function contentKey(contentHash: ContentHash): string {
  return `b/${contentHash}`
}

/** Of a copy: `number` tells it from others of the same content. */
export function copyKey(contentHash: ContentHash, number: number): string {
  return `d/${contentHash}-${number}`
}

/** Of the key of content or of a copy. */
export function contentHashIn(key: string): ContentHash {
  return parseContentHash(key.slice(2).replace(/-\d+$/, ''))
}
