/**
 * HOT: block hashes of namespaces, each with pairs of a value and tags, in segments that grow one by one: no call ever
 * waits for the whole table to be moved. The first 16 bytes of a hash are the key, a shorter one is filled up with
 * zeros. Two different blocks whose hashes agree in these bytes of one namespace are one key: with 16 bytes that does
 * not happen by chance; with the 8 bytes of some engines, once in 2^64 pairs, and on purpose if somebody tries. It does
 * no harm, because an index only proposes: what is read is checked against the key and the content hash in the store.
 *
 * What lies at hand in several segments at once is spread by a mix with a seed, so that nobody can choose hashes that
 * pile up in one place. Budget: 100 ns a block.
 */
import type { BlockHashes } from '../core/block-hashes.ts'
import { assert } from '../core/errors.ts'
import { ExactSegment, type SegmentKey, TAG_BITS, TAGS_ALL } from './exact-segment.ts'

/** Keys of a segment when the table is full: to move so many takes less than a millisecond. */
const SEGMENT_KEYS = 8192
const SEGMENT_BITS_MAX = 16
export const VALUE_MAX = 2 ** (31 - TAG_BITS) - 1
const KEY_WORDS = 4

export interface ExactTableOptions {
  /** What the table is for: with so many pairs the segments have their best size. It takes more. */
  readonly pairsExpectedMax: number
  /** Any whole number of 32 bits, best a random one. */
  readonly seed: number
}

export class ExactTable {
  readonly #segmentBits: number
  readonly #segments: readonly ExactSegment[]
  readonly #seed: number
  /** The block that was located last. One object, so that a call allocates nothing per block. */
  readonly #key: SegmentKey = { mixed: 0, word1: 0, word2: 0, word3: 0, namespace: 0 }
  #keys = 0
  #pairs = 0
  #pairsOfNamespace = new Int32Array(16)

  constructor({ pairsExpectedMax, seed }: ExactTableOptions) {
    const segments = Math.max(1, Math.ceil(pairsExpectedMax / SEGMENT_KEYS))
    this.#segmentBits = Math.min(SEGMENT_BITS_MAX, Math.ceil(Math.log2(segments)))
    this.#segments = Array.from({ length: 2 ** this.#segmentBits }, () => new ExactSegment(this.#segmentBits))
    this.#seed = seed | 0
  }

  /** Blocks that have a pair. */
  get keys(): number {
    return this.#keys
  }

  get pairs(): number {
    return this.#pairs
  }

  pairsOfNamespace(namespace: number): number {
    return this.#pairsOfNamespace[namespace] ?? 0
  }

  /** Bytes of the arrays that hold them. */
  get byteLength(): number {
    return this.#segments.reduce((sum, segment) => sum + segment.byteLength, 0)
  }

  get segmentCount(): number {
    return this.#segments.length
  }

  /** What reads words of these hashes, for the calls below: one object a batch. */
  reader(hashes: BlockHashes): DataView {
    return new DataView(hashes.bytes.buffer, hashes.bytes.byteOffset, hashes.bytes.byteLength)
  }

  /** Makes block `index` the one that the calls below are about, and gives its segment. */
  locate(reader: DataView, digestBytes: number, index: number, namespace: number): ExactSegment {
    const at = index * digestBytes
    const key = this.#key
    let word0: number
    if (digestBytes >= 16) {
      word0 = reader.getInt32(at, true)
      key.word1 = reader.getInt32(at + 4, true)
      key.word2 = reader.getInt32(at + 8, true)
      key.word3 = reader.getInt32(at + 12, true)
    } else if (digestBytes === 8) {
      word0 = reader.getInt32(at, true)
      key.word1 = reader.getInt32(at + 4, true)
      key.word2 = 0
      key.word3 = 0
    } else {
      word0 = shortWord(reader, at, digestBytes, 0)
      key.word1 = shortWord(reader, at, digestBytes, 1)
      key.word2 = shortWord(reader, at, digestBytes, 2)
      key.word3 = shortWord(reader, at, digestBytes, 3)
    }
    key.namespace = namespace
    key.mixed = mix(word0 ^ this.#digestOfRest(key))
    return this.#segments[segmentIndex(key.mixed, this.#segmentBits)] as ExactSegment
  }

  /** What the located block has in the segment that `locate` gave: see `ExactSegment`. */
  held(segment: ExactSegment): number {
    return segment.find(this.#key)
  }

  /** Adds tags, 1 to 255, to the pair of the located block and this value. Gives the tags it had: 0 for a new pair. */
  add(segment: ExactSegment, value: number, tags: number): number {
    assert(value >= 0 && value <= VALUE_MAX && tags > 0 && tags <= TAGS_ALL, `pair (${value}, ${tags}) is out of range`)
    const keys = segment.keys
    const before = segment.add(this.#key, value, tags)
    this.#keys += segment.keys - keys
    if (before === 0) this.#count(this.#key.namespace, 1)
    return before
  }

  /** Takes tags from the pair of the located block and this value. Gives the tags it had: 0 when there was none. */
  remove(segment: ExactSegment, value: number, tags: number): number {
    const { keys, pairs } = segment
    const before = segment.remove(this.#key, value, tags)
    this.#keys += segment.keys - keys
    if (segment.pairs !== pairs) this.#count(this.#key.namespace, -1)
    return before
  }

  /** Takes all pairs of a value from segment `index`, 0 to `segmentCount` - 1. Gives how many there were. */
  removeValue(index: number, value: number, namespace: number | null): number {
    const segment = this.#segments[index]
    if (segment === undefined) return 0
    const { keys, pairs } = segment
    segment.removeValue(value, namespace, (found) => this.#count(found, -1))
    this.#keys += segment.keys - keys
    return pairs - segment.pairs
  }

  /** Every pair. `digest` is the key's 16 bytes, in an array that is used again. The table must not change meanwhile. */
  forEach(visit: (namespace: number, digest: Uint8Array, value: number, tags: number) => void): void {
    const digest = new Uint8Array(4 * KEY_WORDS)
    const writer = new DataView(digest.buffer)
    for (const segment of this.#segments) {
      segment.forEach((key, value, tags) => {
        writer.setInt32(0, unmix(key.mixed) ^ this.#digestOfRest(key), true)
        writer.setInt32(4, key.word1, true)
        writer.setInt32(8, key.word2, true)
        writer.setInt32(12, key.word3, true)
        visit(key.namespace, digest, value, tags)
      })
    }
  }

  #count(namespace: number, by: number): void {
    if (namespace >= this.#pairsOfNamespace.length) {
      const longer = new Int32Array(2 * namespace)
      longer.set(this.#pairsOfNamespace)
      this.#pairsOfNamespace = longer
    }
    this.#pairsOfNamespace[namespace] = (this.#pairsOfNamespace[namespace] ?? 0) + by
    this.#pairs += by
  }

  /** Of all words but the first, which is then mixed with it in a way that can be undone: so the key needs no word more. */
  #digestOfRest({ word1, word2, word3, namespace }: SegmentKey): number {
    let state = Math.imul(this.#seed ^ namespace, 0x9e3779b1)
    state = Math.imul(state ^ (state >>> 15) ^ word1, 0x85ebca6b)
    state = Math.imul(state ^ (state >>> 13) ^ word2, 0xc2b2ae35)
    state = Math.imul(state ^ (state >>> 16) ^ word3, 0x27d4eb2f)
    return state ^ (state >>> 15)
  }
}

/** The upper bits, without their sign. */
function segmentIndex(mixed: number, bits: number): number {
  // A shift by 32 would be one by 0.
  return bits === 0 ? 0 : (mixed ^ (1 << 31)) >>> (32 - bits)
}

function shortWord(reader: DataView, at: number, digestBytes: number, word: number): number {
  let value = 0
  for (let byte = 4 * word; byte < Math.min(digestBytes, 4 * word + 4); byte++)
    value |= reader.getUint8(at + byte) << (8 * (byte & 3))
  return value
}

/** The finalizer of MurmurHash3: one to one on 32 bits. */
function mix(word: number): number {
  let state = Math.imul(word ^ (word >>> 16), 0x85ebca6b)
  state = Math.imul(state ^ (state >>> 13), 0xc2b2ae35)
  return state ^ (state >>> 16)
}

/** What `mix` was given: shifts undone, and products with the inverses of its factors. */
function unmix(word: number): number {
  let state = Math.imul(word ^ (word >>> 16), 0x7ed1b41d)
  state = Math.imul(state ^ (state >>> 13) ^ (state >>> 26), 0xa5cb9243)
  return state ^ (state >>> 16)
}
