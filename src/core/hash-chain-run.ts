/** What all hash chains have in common: checks, positions, media of a block, and one array for all digests. */
import type { BlockHashes } from './block-hashes.ts'
import { assert, MembraneError } from './errors.ts'
import type { ChainContext, ChainExtra, ChainId, ChainPosition } from './hash-chain.ts'
import { type CheckedContext, type CheckedMedia, checkContext } from './hash-chain-context.ts'
import { writeHex } from './hex.ts'
import { parseBlockHash } from './ids.ts'
import { LIMITS } from './limits.ts'

/** What a chain does its own way. */
export interface ChainAlgorithm {
  readonly id: ChainId
  readonly digestBytes: number
  readonly binds: readonly ChainExtra[]
  /** For the blocks of one prompt, or for those after the block whose digest is `parent`. */
  start(context: CheckedContext, parent: Uint8Array | null): BlockLink
}

/** Hashes one block after the other. */
export interface BlockLink {
  /** HOT: hashes the block of `tokens` that begins at `first`, and writes its digest to `target` from `offset` on. */
  link(tokens: Uint32Array, first: number, media: readonly BlockMedia[], target: Uint8Array, offset: number): void
}

/** A medium that overlaps the block. */
export interface BlockMedia extends CheckedMedia {
  /** Where it begins, counted from the first token of the block: negative where it began in a block before. */
  readonly offsetTokens: number
}

/** Throws INVALID_REQUEST. */
export function hashBlocks(
  algorithm: ChainAlgorithm,
  blockTokens: number,
  tokens: Uint32Array,
  context: ChainContext,
  after?: ChainPosition,
): BlockHashes {
  const { id, digestBytes } = algorithm
  const checked = checkContext(id, algorithm.binds, context)
  const { media } = checked
  const link = algorithm.start(checked, after === undefined ? null : parentOf(algorithm, after))
  const count = Math.floor(tokens.length / blockTokens)
  const bytes = new Uint8Array(count * digestBytes)
  const before = (after?.blocks ?? 0) * blockTokens
  let passed = 0
  for (let index = 0; index < count; index++) {
    const first = index * blockTokens
    let overlapping = NONE
    if (passed < media.length) {
      passed = firstEndingAfter(media, passed, before + first)
      overlapping = mediaOfBlock(media, passed, before + first, blockTokens)
    }
    link.link(tokens, first, overlapping, bytes, index * digestBytes)
  }
  return { chain: id, digestBytes, count, bytes }
}

/** Throws INVALID_CONFIG. */
export function checkBlockTokens(blockTokens: number): void {
  if (Number.isInteger(blockTokens) && blockTokens >= 1 && blockTokens <= LIMITS.blockTokensMax) return
  throw new MembraneError('INVALID_CONFIG', `A block has 1 to ${LIMITS.blockTokensMax} tokens, found ${blockTokens}.`, {
    details: { blockTokens, blockTokensMax: LIMITS.blockTokensMax },
  })
}

/** A message with the same bytes with room for `bytes` of them. */
export function withRoom(message: Uint8Array, bytes: number): Uint8Array {
  if (bytes <= message.length) return message
  const larger = new Uint8Array(bytes)
  larger.set(message)
  return larger
}

const NONE: readonly BlockMedia[] = []

function firstEndingAfter(media: readonly CheckedMedia[], from: number, token: number): number {
  let index = from
  while (index < media.length && (media[index]?.end ?? 0) <= token) index += 1
  return index
}

function mediaOfBlock(
  media: readonly CheckedMedia[],
  from: number,
  first: number,
  blockTokens: number,
): readonly BlockMedia[] {
  const found: BlockMedia[] = []
  for (let index = from; index < media.length; index++) {
    const medium = media[index]
    assert(medium !== undefined, 'a medium within the list is there')
    if (medium.start >= first + blockTokens) break
    found.push({ ...medium, offsetTokens: medium.start - first })
  }
  return found
}

function parentOf(algorithm: ChainAlgorithm, after: ChainPosition): Uint8Array {
  const { id, digestBytes } = algorithm
  const text = parseBlockHash(after.parent)
  const isPosition = Number.isInteger(after.blocks) && after.blocks >= 1
  if (!isPosition || !text.startsWith(`${id}:`) || text.length !== id.length + 1 + 2 * digestBytes) {
    throw new MembraneError(
      'INVALID_REQUEST',
      `Chain ${id} goes on after 1 or more blocks and a hash ${id}:<${2 * digestBytes} digits>, ` +
        `found ${after.blocks} blocks and ${text}.`,
      { details: { chain: id, parent: text, blocks: after.blocks } },
    )
  }
  const parent = new Uint8Array(digestBytes)
  writeHex(text.slice(id.length + 1), parent, 0)
  return parent
}
