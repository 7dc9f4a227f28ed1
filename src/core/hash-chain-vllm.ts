// HOT: 131,072 tokens in blocks of 16 take at most 20 ms, hashing included. Nothing is allocated for a token.
/**
 * vLLM's portable chains: a block is H( CBOR [ hash before it, [tokens], extras or null ] ), where H is SHA-256
 * (`sha256_cbor`) or XXH3-128 (`xxhash_cbor`). Extras are, in this order: the adapter, [identifier, offset in the block]
 * of each medium that overlaps it, and, in the first block only, the cache salt. vLLM itself cannot tell an adapter
 * from a salt of the same name; whoever needs that uses `blake3`.
 */
import {
  CBOR_ARRAY,
  CBOR_BYTES,
  CBOR_HEAD_BYTES_MAX,
  CBOR_UINT,
  writeCborHead,
  writeCborInteger,
  writeCborNull,
  writeCborText,
} from './cbor.ts'
import { MembraneError } from './errors.ts'
import { type CheckedContext, encodeText } from './hash-chain-context.ts'
import { type BlockLink, type BlockMedia, type ChainAlgorithm, withRoom } from './hash-chain-run.ts'
import type { HashFunction } from './ports.ts'

export interface VllmOptions {
  readonly id: 'sha256_cbor' | 'xxhash_cbor'
  readonly hash: HashFunction
  readonly blockTokens: number
  /** PYTHONHASHSEED. */
  readonly seed: string | undefined
}

/** Throws INVALID_CONFIG. */
export function vllmAlgorithm(options: VllmOptions): ChainAlgorithm {
  const noneHash = vllmNoneHash(options)
  return {
    id: options.id,
    digestBytes: options.hash.digestBytes,
    binds: ['adapter', 'cacheSalt', 'media'],
    start: (context, parent) => vllmLink(options, context, parent, noneHash),
  }
}

function vllmLink(
  { hash, blockTokens }: VllmOptions,
  context: CheckedContext,
  parent: Uint8Array | null,
  noneHash: Uint8Array,
): BlockLink {
  const { digestBytes } = hash
  // Array of three, byte string, parent, array of tokens: the head of the message never changes its length.
  let message: Uint8Array = new Uint8Array(
    2 * CBOR_HEAD_BYTES_MAX + digestBytes + CBOR_HEAD_BYTES_MAX * (blockTokens + 2),
  )
  const parentAt = writeCborHead(message, writeCborHead(message, 0, CBOR_ARRAY, 3), CBOR_BYTES, digestBytes)
  message.set(parent ?? noneHash, parentAt)
  const tokensAt = writeCborHead(message, parentAt + digestBytes, CBOR_ARRAY, blockTokens)
  let isFirst = parent === null
  return {
    link: (tokens, first, media, target, offset) => {
      let at = tokensAt
      for (let index = 0; index < blockTokens; index++) {
        at = writeCborHead(message, at, CBOR_UINT, tokens[first + index] ?? 0)
      }
      const salt = isFirst ? context.cacheSalt : NO_SALT
      isFirst = false
      const items = (context.adapter.length > 0 ? 1 : 0) + media.length + (salt.length > 0 ? 1 : 0)
      if (items === 0) {
        at = writeCborNull(message, at)
      } else {
        message = withRoom(message, at + extrasBytesMax(context, media, salt))
        at = writeExtras(message, at, items, context, media, salt)
      }
      hash.digestInto(message.subarray(0, at), message, parentAt)
      for (let byte = 0; byte < digestBytes; byte++) target[offset + byte] = message[parentAt + byte] ?? 0
    },
  }
}

const NO_SALT = new Uint8Array(0)

function writeExtras(
  message: Uint8Array,
  start: number,
  items: number,
  context: CheckedContext,
  media: readonly BlockMedia[],
  salt: Uint8Array,
): number {
  let at = writeCborHead(message, start, CBOR_ARRAY, items)
  if (context.adapter.length > 0) at = writeCborText(message, at, context.adapter)
  for (const { identifier, offsetTokens } of media) {
    at = writeCborHead(message, at, CBOR_ARRAY, 2)
    at = writeCborText(message, at, identifier)
    at = writeCborInteger(message, at, offsetTokens)
  }
  return salt.length > 0 ? writeCborText(message, at, salt) : at
}

function extrasBytesMax(context: CheckedContext, media: readonly BlockMedia[], salt: Uint8Array): number {
  const identifiers = media.reduce((sum, { identifier }) => sum + identifier.length + 3 * CBOR_HEAD_BYTES_MAX, 0)
  return 3 * CBOR_HEAD_BYTES_MAX + context.adapter.length + identifiers + salt.length
}

/** What stands for the hash before the first block. */
export function vllmNoneHash({ id, hash, seed }: VllmOptions): Uint8Array {
  if (seed === undefined && id === 'xxhash_cbor') {
    throw new MembraneError('INVALID_CONFIG', 'Chain xxhash_cbor starts at random where PYTHONHASHSEED is not set.', {
      remedy: 'Set PYTHONHASHSEED to the same value in all engines, and give it as the seed of the chain.',
    })
  }
  const text = encodeText('The seed', seed ?? 'vllm-none-hash')
  const message = new Uint8Array(CBOR_HEAD_BYTES_MAX + text.length)
  const end = writeCborText(message, 0, text)
  const digest = new Uint8Array(hash.digestBytes)
  hash.digestInto(message.subarray(0, end), digest, 0)
  return digest
}
