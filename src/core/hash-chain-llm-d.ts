/**
 * The chain of llm-d's indexer: a block is FNV-1a-64( CBOR [ hash before it, [tokens], media or null ] ), hashes being
 * numbers, and the first block follows FNV-1a-64( CBOR [ FNV-1a-64(seed), null, model name ] ). A medium is the map of
 * its hash and its offset in the block. Adapters and salts have no place in it.
 *
 * 64 bits that anybody can collide: good for routing, not for what two tenants share.
 */
import {
  CBOR_ARRAY,
  CBOR_HEAD_BYTES_MAX,
  CBOR_MAP,
  CBOR_UINT,
  writeCborHead,
  writeCborInteger,
  writeCborNull,
  writeCborText,
  writeCborUint64,
} from './cbor.ts'
import { MembraneError } from './errors.ts'
import { encodeText } from './hash-chain-context.ts'
import { type BlockLink, type BlockMedia, type ChainAlgorithm, withRoom } from './hash-chain-run.ts'
import type { HashFunction } from './ports.ts'

const DIGEST_BYTES = 8

export function llmdAlgorithm(fnv: HashFunction, blockTokens: number, seed: string | undefined): ChainAlgorithm {
  const seedHash = new Uint8Array(DIGEST_BYTES)
  fnv.digestInto(encodeText('The seed', seed), seedHash, 0)
  return {
    id: 'llm-d',
    digestBytes: DIGEST_BYTES,
    binds: ['media'],
    start: ({ modelName }, parent) => llmdLink(fnv, blockTokens, parent ?? rootOf(fnv, seedHash, modelName)),
  }
}

function llmdLink(fnv: HashFunction, blockTokens: number, start: Uint8Array): BlockLink {
  let message: Uint8Array = new Uint8Array(16 + CBOR_HEAD_BYTES_MAX * (blockTokens + 1))
  const parent = start.slice()
  return {
    link: (tokens, first, media, target, offset) => {
      let at = writeCborUint64(message, writeCborHead(message, 0, CBOR_ARRAY, 3), parent, 0)
      at = writeCborHead(message, at, CBOR_ARRAY, blockTokens)
      for (let index = 0; index < blockTokens; index++) {
        at = writeCborHead(message, at, CBOR_UINT, tokens[first + index] ?? 0)
      }
      if (media.length === 0) {
        at = writeCborNull(message, at)
      } else {
        message = withRoom(message, at + mediaBytesMax(media))
        at = writeMedia(message, at, media)
      }
      fnv.digestInto(message.subarray(0, at), parent, 0)
      target.set(parent, offset)
    },
  }
}

const encoder = new TextEncoder()
const HASH = encoder.encode('Hash')
const OFFSET = encoder.encode('Offset')

function writeMedia(message: Uint8Array, start: number, media: readonly BlockMedia[]): number {
  let at = writeCborHead(message, start, CBOR_ARRAY, media.length)
  for (const { identifier, offsetTokens } of media) {
    at = writeCborHead(message, at, CBOR_MAP, 2)
    at = writeCborText(message, writeCborText(message, at, HASH), identifier)
    at = writeCborInteger(message, writeCborText(message, at, OFFSET), offsetTokens)
  }
  return at
}

function mediaBytesMax(media: readonly BlockMedia[]): number {
  const keys = HASH.length + OFFSET.length
  const each = (medium: BlockMedia): number => keys + medium.identifier.length + 5 * CBOR_HEAD_BYTES_MAX
  return media.reduce((sum, medium) => sum + each(medium), CBOR_HEAD_BYTES_MAX)
}

function rootOf(fnv: HashFunction, seedHash: Uint8Array, modelName: Uint8Array): Uint8Array {
  if (modelName.length === 0) {
    throw new MembraneError('INVALID_REQUEST', 'Chain llm-d binds the name of the model, and none was given.')
  }
  const message = new Uint8Array(16 + CBOR_HEAD_BYTES_MAX + modelName.length)
  const at = writeCborUint64(message, writeCborHead(message, 0, CBOR_ARRAY, 3), seedHash, 0)
  const end = writeCborText(message, writeCborNull(message, at), modelName)
  const root = new Uint8Array(DIGEST_BYTES)
  fnv.digestInto(message.subarray(0, end), root, 0)
  return root
}
