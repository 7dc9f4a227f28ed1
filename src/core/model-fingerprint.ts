import { MembraneError } from './errors.ts'
import { bytesToHex } from './hex.ts'
import type { ContentHash, ModelFingerprint } from './ids.ts'
import { LIMITS } from './limits.ts'
import { lengthPrefixed } from './length-prefixed.ts'
import type { HashFunction } from './ports.ts'

/**
 * What stands for a model: its name, 1 to LIMITS.chainTextBytesMax bytes, and the hash of its weights. KV of one is
 * never taken for KV of another. Throws INVALID_REQUEST.
 */
export function modelFingerprint(blake3: HashFunction, name: string, weights: ContentHash): ModelFingerprint {
  const bytes = encoder.encode(name)
  if (name === '' || !name.isWellFormed() || bytes.length > LIMITS.chainTextBytesMax) {
    throw new MembraneError(
      'INVALID_REQUEST',
      `A model's name is well-formed text of 1 to ${LIMITS.chainTextBytesMax} bytes, found ${bytes.length}.`,
    )
  }
  const digest = new Uint8Array(blake3.digestBytes)
  blake3.digestInto(lengthPrefixed('membrane.model.v1', [bytes, encoder.encode(weights)]), digest, 0)
  return bytesToHex(digest) as ModelFingerprint
}

const encoder = new TextEncoder()
