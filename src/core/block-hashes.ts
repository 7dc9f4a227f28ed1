/**
 * The block hashes of a prompt, packed: 8,192 blocks are one array of 256 KiB instead of 8,192 strings, and the text
 * form is made for those hashes only that somebody names.
 */
import { MembraneError } from './errors.ts'
import { bytesToHex, writeHex } from './hex.ts'
import type { BlockHash } from './ids.ts'

/** Digests of one hash chain, in the order of the blocks. */
export interface BlockHashes {
  /** Id of the chain that made them: the part of a `BlockHash` before the colon. */
  readonly chain: string
  readonly digestBytes: number
  readonly count: number
  /** `count` times `digestBytes` bytes, to be left unchanged. Where digests are numbers, each is big-endian. */
  readonly bytes: Uint8Array
}

/** The bytes of block `index`, 0 to `count` - 1: a view, to be left unchanged. Throws OUT_OF_DOMAIN. */
export function digestAt(hashes: BlockHashes, index: number): Uint8Array {
  const start = digestStart(hashes, index)
  return hashes.bytes.subarray(start, start + hashes.digestBytes)
}

/** `<chain>:<hex>` of block `index`, 0 to `count` - 1. Throws OUT_OF_DOMAIN. */
export function blockHashAt(hashes: BlockHashes, index: number): BlockHash {
  const start = digestStart(hashes, index)
  return `${hashes.chain}:${bytesToHex(hashes.bytes, start, start + hashes.digestBytes)}` as BlockHash
}

/** All of them as text. */
export function unpackBlockHashes(hashes: BlockHashes): readonly BlockHash[] {
  return Array.from({ length: hashes.count }, (_, index) => blockHashAt(hashes, index))
}

/**
 * Texts of one chain, packed. Throws INVALID_REQUEST when there are none (no text, no chain), or when two are of
 * different chains or lengths.
 */
export function packBlockHashes(texts: readonly BlockHash[]): BlockHashes {
  const first = texts[0]
  if (first === undefined)
    throw new MembraneError('INVALID_REQUEST', 'Block hashes to pack are one or more, found none.')
  const { chain, hex } = partsOf(first)
  const digestBytes = hex.length / 2
  const bytes = new Uint8Array(texts.length * digestBytes)
  for (const [index, text] of texts.entries()) {
    const parts = partsOf(text)
    if (parts.chain !== chain || parts.hex.length !== hex.length) {
      throw new MembraneError(
        'INVALID_REQUEST',
        `Block hashes of one list are of one chain and length: number 0 is ${first}, number ${index} is ${text}.`,
        { details: { index, first, text } },
      )
    }
    writeHex(parts.hex, bytes, index * digestBytes)
  }
  return { chain, digestBytes, count: texts.length, bytes }
}

/** Those of blocks `[start, end)`, 0 to `count`: a view. Throws OUT_OF_DOMAIN. */
export function sliceBlockHashes(hashes: BlockHashes, start: number, end: number = hashes.count): BlockHashes {
  if (!(Number.isInteger(start) && Number.isInteger(end) && start >= 0 && start <= end && end <= hashes.count)) {
    throw new MembraneError('OUT_OF_DOMAIN', `Blocks [${start}, ${end}) are not within [0, ${hashes.count}).`, {
      details: { start, end, count: hashes.count },
    })
  }
  const bytes = hashes.bytes.subarray(start * hashes.digestBytes, end * hashes.digestBytes)
  return { ...hashes, count: end - start, bytes }
}

/** The blocks of `head`, then those of `tail`. Throws INVALID_REQUEST when they are of different chains. */
export function joinBlockHashes(head: BlockHashes, tail: BlockHashes): BlockHashes {
  if (head.chain !== tail.chain || head.digestBytes !== tail.digestBytes) {
    throw new MembraneError('INVALID_REQUEST', `Hashes of chain ${tail.chain} cannot follow hashes of ${head.chain}.`, {
      details: { head: head.chain, tail: tail.chain },
    })
  }
  const bytes = new Uint8Array(head.bytes.length + tail.bytes.length)
  bytes.set(head.bytes)
  bytes.set(tail.bytes, head.bytes.length)
  return { ...head, count: head.count + tail.count, bytes }
}

/** How many leading blocks of two lists are the same: 0 when they are of different chains. */
export function commonBlocks(a: BlockHashes, b: BlockHashes): number {
  if (a.chain !== b.chain || a.digestBytes !== b.digestBytes) return 0
  const bytes = Math.min(a.bytes.length, b.bytes.length)
  let equal = 0
  while (equal < bytes && a.bytes[equal] === b.bytes[equal]) equal += 1
  return Math.floor(equal / a.digestBytes)
}

/**
 * What engines put into events instead of digests: the last 8 bytes of each as an unsigned big-endian number. With
 * vLLM the low 64 bits of the digest, with Dynamo and llm-d the hash itself.
 */
export function eventHashes(hashes: BlockHashes): BigUint64Array {
  const { bytes, digestBytes, count } = hashes
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const numbers = new BigUint64Array(count)
  for (let index = 0; index < count; index++) numbers[index] = view.getBigUint64((index + 1) * digestBytes - 8)
  return numbers
}

function digestStart(hashes: BlockHashes, index: number): number {
  if (Number.isInteger(index) && index >= 0 && index < hashes.count) return index * hashes.digestBytes
  throw new MembraneError('OUT_OF_DOMAIN', `There is no block ${index} among ${hashes.count} block hashes.`, {
    details: { index, count: hashes.count },
  })
}

function partsOf(text: BlockHash): { readonly chain: string; readonly hex: string } {
  const colon = text.indexOf(':')
  return { chain: text.slice(0, colon), hex: text.slice(colon + 1) }
}
