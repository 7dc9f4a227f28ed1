/**
 * HOT: which nodes hold which blocks, in which tiers. Every call takes a whole list of hashes. A look-up of a prompt
 * walks its blocks until the first that nobody holds, and allocates nothing per block. Budget: 100 ns a block that is
 * looked up, added or removed; 1 ms for the longest prefix of 8,192 blocks; 64 bytes for a block and holder.
 */
import type { BlockHashes } from '../core/block-hashes.ts'
import { AHEAD_BLOCKS, ExactTable, TAG_BITS, TAGS_ALL, VALUE_MAX } from './exact-table.ts'
import { fastestTierIndex, TIER_BIT, type Tier, TIERS } from './tiers.ts'

export interface ExactIndexOptions {
  /** Pairs of a block and a holder; what exceeds it is refused. At most 2^32. */
  readonly pairsMax: number
  /** Against hashes that were chosen to slow the index down: any whole number of 32 bits, best a random one. */
  readonly seed: number
}

/** Blocks `[start, end)` of a list of hashes in a namespace. */
export interface BlockRange {
  /** A number of `Namespaces`. */
  readonly namespace: number
  readonly hashes: BlockHashes
  /** Default 0. */
  readonly start?: number
  /** Default all. */
  readonly end?: number
}

/** How many leading blocks of a prompt one holder has. */
export interface HolderRun {
  readonly holder: number
  /** At least 1. */
  readonly blocks: number
  /** Those blocks by the fastest tier that each is in, in the order of `TIERS`. */
  readonly blocksByTier: readonly number[]
}

export interface PrefixMatch {
  /** Leading blocks that each have some holder, not all of them the same. */
  readonly blocks: number
  /** Everyone who holds the first block, the longest run first. */
  readonly runs: readonly HolderRun[]
}

const NO_MATCH: PrefixMatch = { blocks: 0, runs: [] }

/** Of each holder: the length of its run, then the blocks of the run by tier. */
const RUN_WORDS = 1 + TIERS.length

/** Holders are whole numbers from 0 to 2^23 - 1, best small ones: per holder some 20 bytes are kept. */
export class ExactIndex {
  readonly #pairsMax: number
  readonly #table: ExactTable
  /** Of the look-up under way, by holder. All 0 between look-ups. */
  #runs = new Int32Array(16 * RUN_WORDS)
  readonly #found: number[] = []
  readonly #held = new Int32Array(AHEAD_BLOCKS)

  constructor({ pairsMax, seed }: ExactIndexOptions) {
    this.#pairsMax = pairsMax
    this.#table = new ExactTable(seed)
  }

  /** Blocks that have a holder. */
  get blocks(): number {
    return this.#table.keys
  }

  /** Pairs of a block and a holder. */
  get pairs(): number {
    return this.#table.pairs
  }

  /** Bytes of the arrays that hold them. */
  get byteLength(): number {
    return this.#table.byteLength + this.#runs.byteLength
  }

  pairsOfNamespace(namespace: number): number {
    return this.#table.pairsOfNamespace(namespace)
  }

  /** The holder has these blocks in this tier, besides others. Gives how many were refused because the index is full. */
  add(range: BlockRange, holder: number, tier: Tier): number {
    this.#makeRoomFor(holder)
    const { namespace, hashes, start = 0, end = hashes.count } = range
    const table = this.#table
    const reader = table.reader(hashes)
    const bit = TIER_BIT[tier]
    let refused = 0
    for (let index = start; index < end; index++) {
      table.locate(reader, hashes.digestBytes, index, namespace)
      // A pair too many is taken back: whether a pair is new is known after the fact, and hardly ever matters.
      if (table.add(holder, bit) !== 0 || table.pairs <= this.#pairsMax) continue
      table.remove(holder, bit)
      refused += 1
    }
    return refused
  }

  /** The holder no longer has these blocks in this tier, or, with null, at all. Gives how many it had there. */
  remove(range: BlockRange, holder: number, tier: Tier | null): number {
    const { namespace, hashes, start = 0, end = hashes.count } = range
    const table = this.#table
    const reader = table.reader(hashes)
    const bits = tier === null ? TAGS_ALL : TIER_BIT[tier]
    let removed = 0
    for (let index = start; index < end; index++) {
      table.locate(reader, hashes.digestBytes, index, namespace)
      if ((table.remove(holder, bits) & bits) !== 0) removed += 1
    }
    return removed
  }

  /**
   * The holder has these blocks in exactly these tiers: byte `i` of `tierBits` is for block `start + i`, as bits of
   * `TIER_BIT`, 0 for none. Refuses nothing: how much it may add is for the caller to bound.
   */
  setTiers(range: BlockRange, holder: number, tierBits: Uint8Array): void {
    this.#makeRoomFor(holder)
    const { namespace, hashes, start = 0, end = hashes.count } = range
    const table = this.#table
    const reader = table.reader(hashes)
    for (let index = start; index < end; index++) {
      table.locate(reader, hashes.digestBytes, index, namespace)
      const bits = tierBits[index - start] ?? 0
      if (bits !== TAGS_ALL) table.remove(holder, TAGS_ALL & ~bits)
      if (bits !== 0) table.add(holder, bits)
    }
  }

  /**
   * Takes all of a holder, or what it has in one namespace, piece by piece: between two steps, of a millisecond at
   * most, others may use the index. Each step gives how many pairs it took.
   */
  *sweepHolder(holder: number, namespace: number | null = null): Generator<number, void> {
    yield* this.#table.sweepValue(holder, namespace)
  }

  /** The same at once. Gives how many pairs there were. */
  removeHolder(holder: number, namespace: number | null = null): number {
    let removed = 0
    for (const step of this.sweepHolder(holder, namespace)) removed += step
    return removed
  }

  /** How much of a prompt is held, from its first block on, by all together and by each. */
  longestPrefix(namespace: number, hashes: BlockHashes): PrefixMatch {
    if (this.#table.pairsOfNamespace(namespace) === 0) return NO_MATCH
    const blocks = this.#walk(namespace, hashes)
    return { blocks, runs: this.#takeRuns() }
  }

  /**
   * For each block of the range, in which tiers it is, as bits of `TIER_BIT` and 0 for none: with this holder, or, with
   * null, with any. Writes one byte a block to `target` and gives how many blocks are held.
   */
  tiersOf(range: BlockRange, holder: number | null, target: Uint8Array): number {
    const { namespace, hashes, start = 0, end = hashes.count } = range
    const table = this.#table
    const reader = table.reader(hashes)
    let heldBlocks = 0
    for (let index = start; index < end; index++) {
      let held = table.locate(reader, hashes.digestBytes, index, namespace)
      let bits = 0
      for (; held !== 0; held = table.restOf(held)) {
        const pair = table.pairOf(held)
        if (holder === null || pair >> TAG_BITS === holder) bits |= pair & TAGS_ALL
      }
      target[index - start] = bits
      if (bits !== 0) heldBlocks += 1
    }
    return heldBlocks
  }

  /**
   * Every pair, in no order that means anything: the first 16 bytes of the digest, filled up with zeros, in an array
   * that is used again, and the tiers as bits. The index must not change meanwhile.
   */
  forEach(visit: (namespace: number, digest: Uint8Array, holder: number, tierBits: number) => void): void {
    this.#table.forEach(visit)
  }

  /**
   * The further the prompt is held, the more blocks are looked up at once, and at most a fifth of them in vain.
   * A function of its own, with nothing after the loop: an engine that enters it half-way need not leave it again.
   */
  #walk(namespace: number, hashes: BlockHashes): number {
    const { count, digestBytes } = hashes
    const prompt = { reader: this.#table.reader(hashes), digestBytes, namespace }
    const held = this.#held
    let end = 0
    for (let start = 0; start < count; start = end) {
      end = Math.min(count, start + Math.min(AHEAD_BLOCKS, 1 + (start >> 2)))
      this.#table.lookUp(prompt, start, end, held)
      for (let block = start; block < end; block++) if (!this.#step(held[block - start] ?? 0, block)) return block
    }
    return count
  }

  /** Lengthens the runs of all who hold a block and every one before it. Whether anyone holds it. */
  #step(first: number, block: number): boolean {
    if (first > 0) this.#lengthen(first, block)
    else
      for (let held = first; held !== 0; held = this.#table.restOf(held))
        this.#lengthen(this.#table.pairOf(held), block)
    return first !== 0
  }

  #lengthen(pair: number, block: number): void {
    const runs = this.#runs
    const holder = pair >> TAG_BITS
    const run = holder * RUN_WORDS
    // A run that has ended stays shorter than the number of blocks, and never grows again.
    if (runs[run] !== block) return
    if (block === 0) this.#found.push(holder)
    runs[run] = block + 1
    const cell = run + 1 + fastestTierIndex(pair & TAGS_ALL)
    runs[cell] = (runs[cell] ?? 0) + 1
  }

  #takeRuns(): HolderRun[] {
    const runs = this.#runs
    const taken: HolderRun[] = []
    for (const holder of this.#found) {
      const run = holder * RUN_WORDS
      const blocks = runs[run] ?? 0
      runs[run] = 0
      const blocksByTier: number[] = []
      for (let cell = run + 1; cell < run + RUN_WORDS; cell++) {
        blocksByTier.push(runs[cell] ?? 0)
        runs[cell] = 0
      }
      taken.push({ holder, blocks, blocksByTier })
    }
    this.#found.length = 0
    return taken.sort((one, other) => other.blocks - one.blocks || one.holder - other.holder)
  }

  #makeRoomFor(holder: number): void {
    if (holder * RUN_WORDS < this.#runs.length) return
    this.#runs = new Int32Array(Math.min(VALUE_MAX + 1, 2 * holder) * RUN_WORDS)
  }
}
