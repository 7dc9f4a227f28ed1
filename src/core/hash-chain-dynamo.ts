/**
 * Dynamo's hashes, which RFC #1527 took over. The local hash of a block knows its tokens only; the chain is made of
 * sequence hashes. All numbers are little-endian in what is hashed.
 *
 *   local i    = XXH3-64( tokens of block i, then the hashes of its media in rising order; seed T )
 *   sequence 0 = local 0
 *   sequence i = XXH3-64( sequence i - 1 | local i; seed S )
 *   T          = S + XXH3-64(adapter; seed 0) + XXH3-64(cache salt; seed 1), what is absent counting 0
 *
 * 64 bits that anybody can collide: good for routing, not for what two tenants share.
 */
import { MembraneError } from './errors.ts'
import type { CheckedContext } from './hash-chain-context.ts'
import type { BlockLink, BlockMedia, ChainAlgorithm } from './hash-chain-run.ts'
import type { ChainHashes, HashFunction } from './ports.ts'

const DIGEST_BYTES = 8
const DEFAULT_SEED = '1337'

export interface DynamoOptions {
  readonly hashes: ChainHashes
  readonly blockTokens: number
  readonly seed: string | undefined
  /** Local hashes instead of sequence hashes. */
  readonly isLocal: boolean
}

/** Throws INVALID_CONFIG. */
export function dynamoAlgorithm({ hashes, blockTokens, seed, isLocal }: DynamoOptions): ChainAlgorithm {
  const base = seedOf(seed ?? DEFAULT_SEED)
  const sequence = hashes.xxh3x64(base)
  return {
    id: 'dynamo',
    digestBytes: DIGEST_BYTES,
    binds: ['adapter', 'cacheSalt', 'media'],
    start: (context, parent) => {
      const local = localHash(hashes.xxh3x64(shiftedSeed(hashes, base, context)), blockTokens)
      return isLocal ? local : sequenceLink(sequence, local, parent)
    },
  }
}

function sequenceLink(sequence: HashFunction, local: BlockLink, parent: Uint8Array | null): BlockLink {
  const pair = new Uint8Array(2 * DIGEST_BYTES)
  const digest = new Uint8Array(DIGEST_BYTES)
  let isFirst = parent === null
  if (parent !== null) digest.set(parent)
  return {
    link: (tokens, first, media, target, offset) => {
      if (isFirst) {
        local.link(tokens, first, media, digest, 0)
        isFirst = false
      } else {
        copyReversed(digest, pair, 0)
        local.link(tokens, first, media, digest, 0)
        copyReversed(digest, pair, DIGEST_BYTES)
        sequence.digestInto(pair, digest, 0)
      }
      target.set(digest, offset)
    },
  }
}

function localHash(hash: HashFunction, blockTokens: number): BlockLink {
  const plain = new Uint8Array(4 * blockTokens)
  const view = new DataView(plain.buffer)
  return {
    link: (tokens, first, media, target, offset) => {
      for (let index = 0; index < blockTokens; index++) view.setUint32(4 * index, tokens[first + index] ?? 0, true)
      hash.digestInto(media.length === 0 ? plain : withMedia(plain, media), target, offset)
    },
  }
}

function withMedia(plain: Uint8Array, media: readonly BlockMedia[]): Uint8Array {
  const hashes = BigUint64Array.from(media, mediaHash).sort()
  const message = new Uint8Array(plain.length + 8 * hashes.length)
  message.set(plain)
  const view = new DataView(message.buffer)
  for (const [index, hash] of hashes.entries()) view.setBigUint64(plain.length + 8 * index, hash, true)
  return message
}

/** Dynamo keeps the first 64 bits of a medium's hash. */
function mediaHash({ identifier }: BlockMedia): bigint {
  const text = new TextDecoder().decode(identifier)
  if (/^[0-9a-f]{16}/i.test(text)) return BigInt(`0x${text.slice(0, 16)}`)
  throw new MembraneError(
    'INVALID_REQUEST',
    `Chain dynamo takes media by hash, 16 or more hexadecimal digits, found ${JSON.stringify(text.slice(0, 100))}.`,
  )
}

function shiftedSeed(hashes: ChainHashes, base: bigint, { adapter, cacheSalt }: CheckedContext): bigint {
  let seed = base
  if (adapter.length > 0) seed += numberOf(hashes.xxh3x64(0n), adapter)
  if (cacheSalt.length > 0) seed += numberOf(hashes.xxh3x64(1n), cacheSalt)
  return BigInt.asUintN(64, seed)
}

function numberOf(hash: HashFunction, message: Uint8Array): bigint {
  const digest = new Uint8Array(DIGEST_BYTES)
  hash.digestInto(message, digest, 0)
  return new DataView(digest.buffer).getBigUint64(0)
}

function copyReversed(digest: Uint8Array, target: Uint8Array, offset: number): void {
  for (let byte = 0; byte < DIGEST_BYTES; byte++) target[offset + byte] = digest[DIGEST_BYTES - 1 - byte] ?? 0
}

function seedOf(text: string): bigint {
  if (/^\d{1,20}$/.test(text) && BigInt(text) < 2n ** 64n) return BigInt(text)
  throw new MembraneError(
    'INVALID_CONFIG',
    `The seed of chain dynamo is a whole number from 0 to 2^64 - 1, found ${JSON.stringify(text.slice(0, 100))}.`,
  )
}
