/**
 * HOT: block hashes of namespaces, each with pairs of a value and tags. Extendible hashing: a directory names the page
 * of a key by the upper bits of its hash, a page is a small table with open addressing, and a full one is split in two.
 * So no call ever moves more than a page, and what is removed leaves no tombstone: its followers move up. A page has two
 * words a slot, so that pages, which are read at random, are few; the rest of a key is in an entry, and entries are read
 * in the order of the prompt. Within a page the keys of a run are in the order of their homes (Robin Hood hashing):
 * else those added last, which are asked for most, would be the furthest from theirs. Budget: 100 ns a block.
 *
 * The first 16 bytes of a hash are the key, a shorter one is filled up with zeros. Two different blocks whose hashes
 * agree in these bytes, in one namespace, are one key: with 16 bytes that does not happen by chance; with the 8 bytes of
 * some engines, once in 2^64 pairs, and on purpose if somebody tries. It does no harm, because an index only proposes:
 * what is read is checked against the key and the content hash in the store.
 *
 * The first word of the hash is mixed with all others and a seed, in a way that can be undone, so that nobody can choose
 * hashes that pile up in one page, and it needs no word more:
 *
 *     slot     mixed word, entry (0: the slot is free)
 *     entry    three words of the hash, namespace, what the key has:
 *                value << 8 | tags      one pair; tags are never 0
 *                1 << 31 | list         several pairs
 *
 * Words are signed: numbers of 32 bits with a sign are those that engines keep without a box.
 */
import type { BlockHashes } from '../core/block-hashes.ts'
import { assert } from '../core/errors.ts'
import { HELD, KeyEntries, NAMESPACE, offsetOf, WORD_1, WORD_2, WORD_3 } from './exact-entries.ts'
import { NumberLists } from './exact-lists.ts'
import { digestOfRest, mix, unmix, wordAt } from './exact-words.ts'

export const TAG_BITS = 8
export const TAGS_ALL = (1 << TAG_BITS) - 1
export const VALUE_MAX = 2 ** (31 - TAG_BITS) - 1
const LIST = 1 << 31

const SLOT_WORDS = 2
const ENTRY = 1
const PAGE_SLOTS = 128
const PAGE_WORDS = PAGE_SLOTS * SLOT_WORDS
/** A fuller page is split: beyond, a search takes more steps than it saves memory. */
const PAGE_KEYS_MAX = 112
/** Two halves of a page that have so few together become one again: else chance alone would split all pages in time. */
const MERGED_KEYS_MAX = 80
/** Pages that are allocated together. */
const PIECE_BITS = 6
const PIECE_PAGES = 2 ** PIECE_BITS
/** Pages that one step of a sweep looks through. */
const SWEEP_PAGES = 64
/** 2^24 directory entries. With evenly spread hashes, 2^30 keys do not need as many. */
const DEPTH_MAX = 24

/** Blocks that `lookUp` takes at most: enough for their reads of memory to overlap, few enough to stay in the cache. */
export const AHEAD_BLOCKS = 64
/** Of each of them: the words of its key, its page, what its home slot has; in the end, its entry. */
const AHEAD_WORDS = 7
const AHEAD_PAGE = 4
const AHEAD_HOME = 5
const AHEAD_ENTRY = 6

/** Blocks of one prompt, with what `reader` gave for it. */
interface LookUpOf {
  readonly reader: DataView
  readonly digestBytes: number
  readonly namespace: number
}

export class ExactTable {
  readonly #seed: number
  /** Page of each beginning of a mixed word. */
  #directory = new Int32Array(1)
  /** Bits that the directory tells apart. */
  #depth = 0
  #pieces: Int32Array[] = []
  #pages = 0
  /** Of each page: its keys, and how many leading bits they have in common. */
  #pageKeys = new Uint8Array(PIECE_PAGES)
  #pageDepth = new Uint8Array(PIECE_PAGES)
  readonly #entries = new KeyEntries()
  readonly #lists = new NumberLists()
  readonly #freePages: number[] = []
  /** Sweeps under way go by the numbers of pages: meanwhile no key moves to a lower one. */
  #sweeps = 0
  readonly #scratch = new Int32Array(PAGE_WORDS)
  readonly #ahead = new Int32Array(AHEAD_BLOCKS * AHEAD_WORDS)
  #readerOf: Uint8Array = new Uint8Array(0)
  #reader: DataView = new DataView(this.#readerOf.buffer)
  #keys = 0
  #pairs = 0
  #pairsOfNamespace = new Int32Array(16)

  /** The block that was located last: its key, its page and slot, or the slot where it belongs, and its entry, or 0. */
  #mixed = 0
  #word1 = 0
  #word2 = 0
  #word3 = 0
  #namespace = 0
  #page = 0
  #piece: Int32Array = new Int32Array(0)
  #at = 0
  #entry = 0

  /** Any whole number of 32 bits, best a random one. */
  constructor(seed: number) {
    this.#seed = seed | 0
    this.#clear()
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
    const pages = this.#pieces.length * PIECE_PAGES * PAGE_WORDS * 4 + this.#pageKeys.length + this.#pageDepth.length
    return (
      pages +
      this.#directory.byteLength +
      this.#entries.byteLength +
      this.#lists.byteLength +
      this.#pairsOfNamespace.byteLength
    )
  }

  /** What reads words of these hashes, for `locate`. Kept until others come: a prompt is looked up, then added. */
  reader({ bytes }: BlockHashes): DataView {
    if (bytes !== this.#readerOf) {
      this.#readerOf = bytes
      this.#reader = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    }
    return this.#reader
  }

  /** Makes block `index` the one that `add` and `remove` are about. Gives what it has, for `pairOf` and `restOf`; 0 for nothing. */
  locate(reader: DataView, digestBytes: number, index: number, namespace: number): number {
    const from = index * digestBytes
    const word0 = wordAt(reader, from, digestBytes, 0)
    const word1 = wordAt(reader, from, digestBytes, 1)
    const word2 = wordAt(reader, from, digestBytes, 2)
    const word3 = wordAt(reader, from, digestBytes, 3)
    const mixed = mix(word0 ^ digestOfRest(this.#seed, word1, word2, word3, namespace))
    this.#mixed = mixed
    this.#word1 = word1
    this.#word2 = word2
    this.#word3 = word3
    this.#namespace = namespace
    return this.#seek(mixed, word1, word2, word3, namespace)
  }

  /**
   * What `locate` would give for blocks `[start, end)`, at most `AHEAD_BLOCKS`, into `target`; no block is located then.
   * Each pass leaves reads of memory under way that do not wait for each other: first those of pages, then of entries.
   */
  lookUp({ reader, digestBytes, namespace }: LookUpOf, start: number, end: number, target: Int32Array): void {
    const ahead = this.#ahead
    for (let index = start, at = 0; index < end; index++, at += AHEAD_WORDS) {
      const from = index * digestBytes
      const word0 = wordAt(reader, from, digestBytes, 0)
      const word1 = wordAt(reader, from, digestBytes, 1)
      const word2 = wordAt(reader, from, digestBytes, 2)
      const word3 = wordAt(reader, from, digestBytes, 3)
      const mixed = mix(word0 ^ digestOfRest(this.#seed, word1, word2, word3, namespace))
      const page = this.#directory[directoryIndex(mixed, this.#depth)] ?? 0
      const piece = this.#pieceOf(page)
      const home = startOf(page) + (mixed & (PAGE_SLOTS - 1)) * SLOT_WORDS
      ahead[at] = mixed
      ahead[at + 1] = word1
      ahead[at + 2] = word2
      ahead[at + 3] = word3
      ahead[at + AHEAD_PAGE] = page
      ahead[at + AHEAD_HOME] = piece[home] ?? 0
      ahead[at + AHEAD_ENTRY] = piece[home + ENTRY] ?? 0
    }
    for (let index = start, at = 0; index < end; index++, at += AHEAD_WORDS) {
      const mixed = ahead[at] ?? 0
      if (ahead[at + AHEAD_HOME] === mixed || ahead[at + AHEAD_ENTRY] === 0) continue
      ahead[at + AHEAD_ENTRY] = this.#entryAfterHome(mixed, ahead[at + AHEAD_PAGE] ?? 0)
    }
    for (let index = start, at = 0; index < end; index++, at += AHEAD_WORDS) {
      const entry = ahead[at + AHEAD_ENTRY] ?? 0
      target[index - start] = entry === 0 ? 0 : this.#heldByKey(entry, at, namespace)
    }
  }

  /** The first pair of what `locate` gave: value << TAG_BITS | tags. */
  pairOf(held: number): number {
    return held < 0 ? this.#lists.numberAt(held & ~LIST) : held
  }

  /** What there is after the first pair: 0 when that was all. */
  restOf(held: number): number {
    if (held >= 0) return 0
    const next = this.#lists.next(held & ~LIST)
    return next === 0 ? 0 : next | LIST
  }

  /** Adds tags, 1 to 255, to the pair of the located block and this value. Gives the tags it had: 0 for a new pair. */
  add(value: number, tags: number): number {
    assert(value >= 0 && value <= VALUE_MAX && tags > 0 && tags <= TAGS_ALL, `pair (${value}, ${tags}) is out of range`)
    const pair = (value << TAG_BITS) | tags
    if (this.#entry === 0) {
      this.#insert(pair)
      return 0
    }
    const lists = this.#lists
    const entries = this.#entries.pieceOf(this.#entry)
    const cell = offsetOf(this.#entry) + HELD
    const held = entries[cell] ?? 0
    if (held > 0) {
      if (held >> TAG_BITS === value) {
        entries[cell] = held | tags
        return held & TAGS_ALL
      }
      entries[cell] = LIST | lists.prepend(pair, lists.prepend(held, 0))
    } else {
      for (let node = held & ~LIST; node !== 0; node = lists.next(node)) {
        const known = lists.numberAt(node)
        if (known >> TAG_BITS !== value) continue
        lists.setNumber(node, known | tags)
        return known & TAGS_ALL
      }
      entries[cell] = LIST | lists.prepend(pair, held & ~LIST)
    }
    this.#count(this.#namespace, 1)
    return 0
  }

  /** Takes tags from the pair of the located block and this value, and the pair with its last tag. Gives the tags it had. */
  remove(value: number, tags: number): number {
    if (this.#entry === 0) return 0
    const before = this.#removeAt(this.#piece, this.#page, this.#at, value, tags)
    if (this.#keys === 0 && this.#sweeps === 0) this.#clear()
    else if (this.#sweeps === 0 && 2 * (this.#pageKeys[this.#page] ?? 0) < MERGED_KEYS_MAX) this.#merge(this.#page)
    // The key may be gone, and another one in its place.
    this.#seek(this.#mixed, this.#word1, this.#word2, this.#word3, this.#namespace)
    return before
  }

  /**
   * Takes the pairs of a value, of all namespaces or of one, a few pages at a time. Each step gives how many it took, and
   * takes less than a millisecond; between two of them the table may change.
   */
  *sweepValue(value: number, namespace: number | null): Generator<number, void> {
    this.#sweeps += 1
    try {
      for (let page = 0; page < this.#pages; page += SWEEP_PAGES) {
        const before = this.#pairs
        const end = Math.min(this.#pages, page + SWEEP_PAGES)
        for (let swept = page; swept < end; swept++) this.#sweepPage(swept, value, namespace)
        yield before - this.#pairs
      }
    } finally {
      this.#sweeps -= 1
      if (this.#keys === 0) this.#clear()
    }
  }

  /** Every pair. `digest` is the key's 16 bytes, in an array that is used again. The table must not change meanwhile. */
  forEach(visit: (namespace: number, digest: Uint8Array, value: number, tags: number) => void): void {
    const digest = new Uint8Array(16)
    const writer = new DataView(digest.buffer)
    for (let slot = 0; slot < this.#pages * PAGE_SLOTS; slot++) {
      const piece = this.#pieceOf((slot / PAGE_SLOTS) | 0)
      const at = (slot % (PIECE_PAGES * PAGE_SLOTS)) * SLOT_WORDS
      const entry = piece[at + ENTRY] ?? 0
      if (entry === 0) continue
      const start = offsetOf(entry)
      const [word1 = 0, word2 = 0, word3 = 0, namespace = 0, first = 0] = this.#entries
        .pieceOf(entry)
        .subarray(start, start + HELD + 1)
      const word0 = unmix(piece[at] ?? 0) ^ digestOfRest(this.#seed, word1, word2, word3, namespace)
      for (const [index, word] of [word0, word1, word2, word3].entries()) writer.setInt32(4 * index, word, true)
      for (let held = first; held !== 0; held = this.restOf(held))
        visit(namespace, digest, this.pairOf(held) >> TAG_BITS, this.pairOf(held) & TAGS_ALL)
    }
  }

  /** The entry of the first slot after its home that has this mixed word; 0 when none has. */
  #entryAfterHome(mixed: number, page: number): number {
    const piece = this.#pieceOf(page)
    const start = startOf(page)
    let at = start + ((mixed + 1) & (PAGE_SLOTS - 1)) * SLOT_WORDS
    for (let slot = mixed + 2; piece[at] !== mixed && piece[at + ENTRY] !== 0; slot++)
      at = start + (slot & (PAGE_SLOTS - 1)) * SLOT_WORDS
    return piece[at + ENTRY] ?? 0
  }

  /** What the key ahead has, by the first entry with its mixed word: seldom that of another key. */
  #heldByKey(entry: number, at: number, namespace: number): number {
    const ahead = this.#ahead
    const word1 = ahead[at + 1] ?? 0
    const word2 = ahead[at + 2] ?? 0
    const word3 = ahead[at + 3] ?? 0
    const held = this.#heldBy(entry, word1, word2, word3, namespace)
    return held === 0 ? this.#seek(ahead[at] ?? 0, word1, word2, word3, namespace) : held
  }

  #seek(mixed: number, word1: number, word2: number, word3: number, namespace: number): number {
    const page = this.#directory[directoryIndex(mixed, this.#depth)] ?? 0
    const piece = this.#pieceOf(page)
    const start = startOf(page)
    let slot = mixed & (PAGE_SLOTS - 1)
    this.#page = page
    this.#piece = piece
    for (;;) {
      const at = start + slot * SLOT_WORDS
      const entry = piece[at + ENTRY] ?? 0
      if (entry === 0 || piece[at] === mixed) {
        const held = entry === 0 ? 0 : this.#heldBy(entry, word1, word2, word3, namespace)
        if (entry === 0 || held !== 0) {
          this.#at = at
          this.#entry = entry
          return held
        }
      }
      slot = (slot + 1) & (PAGE_SLOTS - 1)
    }
  }

  /** What the entry has; 0 when it is of another key. */
  #heldBy(entry: number, word1: number, word2: number, word3: number, namespace: number): number {
    const entries = this.#entries.pieceOf(entry)
    const start = offsetOf(entry)
    const isSame =
      entries[start + WORD_1] === word1 &&
      entries[start + WORD_2] === word2 &&
      entries[start + WORD_3] === word3 &&
      entries[start + NAMESPACE] === namespace
    return isSame ? (entries[start + HELD] ?? 0) : 0
  }

  /** The located block is not there yet. */
  #insert(held: number): void {
    while ((this.#pageKeys[this.#page] ?? 0) >= PAGE_KEYS_MAX) {
      this.#split(this.#page)
      this.#seek(this.#mixed, this.#word1, this.#word2, this.#word3, this.#namespace)
    }
    const entry = this.#entries.take()
    const entries = this.#entries.pieceOf(entry)
    const start = offsetOf(entry)
    entries[start + WORD_1] = this.#word1
    entries[start + WORD_2] = this.#word2
    entries[start + WORD_3] = this.#word3
    entries[start + NAMESPACE] = this.#namespace
    entries[start + HELD] = held
    this.#at = putIn(this.#piece, startOf(this.#page), this.#at, this.#mixed, entry)
    this.#entry = entry
    this.#pageKeys[this.#page] = (this.#pageKeys[this.#page] ?? 0) + 1
    this.#keys += 1
    this.#count(this.#namespace, 1)
  }

  #removeAt(piece: Int32Array, page: number, at: number, value: number, tags: number): number {
    const entry = piece[at + ENTRY] ?? 0
    const entries = this.#entries.pieceOf(entry)
    const start = offsetOf(entry)
    const held = entries[start + HELD] ?? 0
    const namespace = entries[start + NAMESPACE] ?? 0
    if (held > 0) {
      if (held >> TAG_BITS !== value) return 0
      if ((held & TAGS_ALL & ~tags) !== 0) entries[start + HELD] = held & ~tags
      else {
        this.#entries.release(entry)
        this.#delete(piece, page, at)
        this.#count(namespace, -1)
      }
      return held & TAGS_ALL
    }
    const lists = this.#lists
    let before = 0
    for (let node = held & ~LIST; node !== 0; node = lists.next(node)) {
      const pair = lists.numberAt(node)
      if (pair >> TAG_BITS === value) {
        if ((pair & TAGS_ALL & ~tags) !== 0) lists.setNumber(node, pair & ~tags)
        else {
          const left = lists.unlink(held & ~LIST, before, node)
          entries[start + HELD] = this.#withoutListOfOne(left)
          this.#count(namespace, -1)
        }
        return pair & TAGS_ALL
      }
      before = node
    }
    return 0
  }

  #withoutListOfOne(list: number): number {
    if (this.#lists.next(list) !== 0) return LIST | list
    const pair = this.#lists.numberAt(list)
    this.#lists.unlink(list, 0, list)
    return pair
  }

  /** Later keys of the same run move up, until one that is at home: those after it are not from before it. */
  #delete(piece: Int32Array, page: number, at: number): void {
    const start = startOf(page)
    let hole = (at - start) / SLOT_WORDS
    for (let slot = (hole + 1) & (PAGE_SLOTS - 1); ; slot = (slot + 1) & (PAGE_SLOTS - 1)) {
      const from = start + slot * SLOT_WORDS
      if (piece[from + ENTRY] === 0 || fromHome(slot, piece[from] ?? 0) === 0) break
      const to = start + hole * SLOT_WORDS
      piece[to] = piece[from] ?? 0
      piece[to + ENTRY] = piece[from + ENTRY] ?? 0
      hole = slot
    }
    piece[start + hole * SLOT_WORDS + ENTRY] = 0
    this.#pageKeys[page] = (this.#pageKeys[page] ?? 0) - 1
    this.#keys -= 1
  }

  #sweepPage(page: number, value: number, namespace: number | null): void {
    const piece = this.#pieceOf(page)
    const end = startOf(page) + PAGE_WORDS
    let at = startOf(page)
    while (at < end) {
      const keys = this.#keys
      const entry = piece[at + ENTRY] ?? 0
      const isMeant =
        entry !== 0 && (namespace === null || this.#entries.pieceOf(entry)[offsetOf(entry) + NAMESPACE] === namespace)
      if (isMeant) this.#removeAt(piece, page, at, value, TAGS_ALL)
      // When a key has gone, another one may be in its place: the same slot is looked at again.
      if (this.#keys === keys) at += SLOT_WORDS
    }
  }

  #split(page: number): void {
    const depth = this.#pageDepth[page] ?? 0
    if (depth === this.#depth) this.#doubleDirectory()
    const other = this.#newPage(depth + 1)
    this.#pageDepth[page] = depth + 1
    const slots = this.#scratch
    const start = startOf(page)
    slots.set(this.#pieceOf(page).subarray(start, start + PAGE_WORDS))
    this.#emptyPage(page)
    for (let from = 0; from < PAGE_WORDS; from += SLOT_WORDS) {
      if (slots[from + ENTRY] === 0) continue
      const mixed = slots[from] ?? 0
      this.#moveIn(mixed << depth >= 0 ? page : other, mixed, slots[from + ENTRY] ?? 0)
    }
    // All beginnings of this page follow each other, and the upper half of them is the other's.
    const first = directoryIndex(this.#mixed, depth) << (this.#depth - depth)
    const beginnings = 1 << (this.#depth - depth)
    this.#directory.fill(other, first + beginnings / 2, first + beginnings)
  }

  /** Undoes a split, when the other half was not split further and both have little. The located key is of this page. */
  #merge(page: number): void {
    const depth = this.#pageDepth[page] ?? 0
    if (depth === 0) return
    const shift = this.#depth - depth
    const index = directoryIndex(this.#mixed, depth)
    const other = this.#directory[(index ^ 1) << shift] ?? 0
    const keys = (this.#pageKeys[page] ?? 0) + (this.#pageKeys[other] ?? 0)
    if (this.#pageDepth[other] !== depth || keys > MERGED_KEYS_MAX) return
    const slots = this.#pieceOf(other)
    const start = startOf(other)
    for (let from = start; from < start + PAGE_WORDS; from += SLOT_WORDS)
      if (slots[from + ENTRY] !== 0) this.#moveIn(page, slots[from] ?? 0, slots[from + ENTRY] ?? 0)
    this.#emptyPage(other)
    this.#freePages.push(other)
    this.#pageDepth[page] = depth - 1
    this.#directory.fill(page, (index & ~1) << shift, ((index | 1) + 1) << shift)
  }

  #emptyPage(page: number): void {
    this.#pieceOf(page).fill(0, startOf(page), startOf(page) + PAGE_WORDS)
    this.#pageKeys[page] = 0
  }

  #moveIn(page: number, mixed: number, entry: number): void {
    const piece = this.#pieceOf(page)
    const start = startOf(page)
    let slot = mixed & (PAGE_SLOTS - 1)
    while (piece[start + slot * SLOT_WORDS + ENTRY] !== 0) slot = (slot + 1) & (PAGE_SLOTS - 1)
    putIn(piece, start, start + slot * SLOT_WORDS, mixed, entry)
    this.#pageKeys[page] = (this.#pageKeys[page] ?? 0) + 1
  }

  #doubleDirectory(): void {
    assert(this.#depth < DEPTH_MAX, 'hashes are spread over the directory')
    const before = this.#directory
    this.#directory = new Int32Array(2 * before.length)
    for (let index = 0; index < this.#directory.length; index++) this.#directory[index] = before[index >> 1] ?? 0
    this.#depth += 1
  }

  /** Empty, as it was made. A table that is not empty keeps the pages it has: their places are filled again. */
  #clear(): void {
    this.#directory = new Int32Array(1)
    this.#depth = 0
    this.#pieces = []
    this.#pages = 0
    this.#freePages.length = 0
    this.#entries.clear()
    this.#lists.clear()
    this.#newPage(0)
  }

  #newPage(depth: number): number {
    const page = (this.#sweeps === 0 ? this.#freePages.pop() : undefined) ?? this.#pages++
    if (page >> PIECE_BITS === this.#pieces.length) this.#pieces.push(new Int32Array(PIECE_PAGES * PAGE_WORDS))
    if (page >= this.#pageKeys.length) {
      this.#pageKeys = doubled(this.#pageKeys)
      this.#pageDepth = doubled(this.#pageDepth)
    }
    this.#pageDepth[page] = depth
    this.#pageKeys[page] = 0
    return page
  }

  #pieceOf(page: number): Int32Array {
    return this.#pieces[page >> PIECE_BITS] as Int32Array
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
}

/** Upper bits of a mixed word, without its sign. A shift by 32 would be one by 0. */
function directoryIndex(mixed: number, depth: number): number {
  return depth === 0 ? 0 : mixed >>> (32 - depth)
}

/** Where a page starts in its piece, in words. */
function startOf(page: number): number {
  return (page & (PIECE_PAGES - 1)) * PAGE_WORDS
}

/** How many slots a slot is after the home of a mixed word. */
function fromHome(slot: number, mixed: number): number {
  return (slot - mixed) & (PAGE_SLOTS - 1)
}

/**
 * Puts a key into the run that ends before the free slot `free`; the keys of later homes move down. Gives its place.
 * Places are in words, from the beginning of the piece, as is `start`, that of the page.
 */
function putIn(piece: Int32Array, start: number, free: number, mixed: number, entry: number): number {
  let at = free
  for (let slot = (free - start) / SLOT_WORDS; ; slot = (slot - 1) & (PAGE_SLOTS - 1)) {
    const before = start + ((slot - 1) & (PAGE_SLOTS - 1)) * SLOT_WORDS
    const other = piece[before] ?? 0
    if (piece[before + ENTRY] === 0 || fromHome(slot, mixed) <= fromHome(slot, other)) break
    piece[at] = other
    piece[at + ENTRY] = piece[before + ENTRY] ?? 0
    at = before
  }
  piece[at] = mixed
  piece[at + ENTRY] = entry
  return at
}

function doubled(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const longer = new Uint8Array(2 * bytes.length)
  longer.set(bytes)
  return longer
}
