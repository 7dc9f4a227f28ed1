// HOT: 131,072 tokens in blocks of 16 take at most 4 ms, hashing included. Nothing is allocated for a token or a block.
/**
 * Our own chain, `blake3`. All numbers are unsigned 32-bit little-endian; `field(x)` is the length of x in bytes, then x.
 *
 *   root    = BLAKE3( field("membrane.block-chain.b3.v1") field(model fingerprint, 32 bytes) field(blockTokens)
 *                     field(tenant salt) field(adapter) field(cache salt) )
 *   block i = BLAKE3( hash of block i - 1, or root | tokens of block i )
 *   block i = BLAKE3( hash of block i - 1, or root | tokens of block i | media ), where media overlap the block
 *   media   = BLAKE3( field("membrane.block-media.b3.v1"), then for each medium field(start, end) field(identifier) )
 *
 * Salts, adapter and identifiers are UTF-8, and an absent one is empty; start and end count tokens of the prompt.
 * No two inputs read alike: the root has a fixed number of fields, each with its length, and begins with a text where
 * a block has a digest that nobody can choose; and as the root binds the number of tokens in a block, a message longer
 * than that has media.
 */
import type { ChainAlgorithm, BlockLink, BlockMedia } from './hash-chain-run.ts'
import type { CheckedContext } from './hash-chain-context.ts'
import { writeHex } from './hex.ts'
import { lengthPrefixed, uint32Field } from './length-prefixed.ts'
import type { HashFunction } from './ports.ts'

const DIGEST_BYTES = 32

export function blake3Algorithm(blake3: HashFunction, blockTokens: number): ChainAlgorithm {
  return {
    id: 'blake3',
    digestBytes: DIGEST_BYTES,
    binds: ['tenantSalt', 'adapter', 'cacheSalt', 'media'],
    start: (context, parent) => blake3Link(blake3, blockTokens, parent ?? rootOf(blake3, blockTokens, context)),
  }
}

function blake3Link(blake3: HashFunction, blockTokens: number, start: Uint8Array): BlockLink {
  const tokensEnd = DIGEST_BYTES + 4 * blockTokens
  const withMedia = new Uint8Array(tokensEnd + DIGEST_BYTES)
  const plain = withMedia.subarray(0, tokensEnd)
  const parent = withMedia.subarray(0, DIGEST_BYTES)
  const view = new DataView(withMedia.buffer)
  parent.set(start)
  return {
    link: (tokens, first, media, target, offset) => {
      for (let index = 0; index < blockTokens; index++) {
        view.setUint32(DIGEST_BYTES + 4 * index, tokens[first + index] ?? 0, true)
      }
      if (media.length === 0) {
        blake3.digestInto(plain, withMedia, 0)
      } else {
        blake3.digestInto(mediaMessage(media), withMedia, tokensEnd)
        blake3.digestInto(withMedia, withMedia, 0)
      }
      target.set(parent, offset)
    },
  }
}

function rootOf(blake3: HashFunction, blockTokens: number, context: CheckedContext): Uint8Array {
  const model = new Uint8Array(32)
  writeHex(context.model, model, 0)
  const { tenantSalt, adapter, cacheSalt } = context
  const fields = [model, uint32Field(blockTokens), tenantSalt, adapter, cacheSalt]
  const root = new Uint8Array(DIGEST_BYTES)
  blake3.digestInto(lengthPrefixed('membrane.block-chain.b3.v1', fields), root, 0)
  return root
}

function mediaMessage(media: readonly BlockMedia[]): Uint8Array {
  const fields = media.flatMap(({ start, end, identifier }) => [uint32Field(start, end), identifier])
  return lengthPrefixed('membrane.block-media.b3.v1', fields)
}
