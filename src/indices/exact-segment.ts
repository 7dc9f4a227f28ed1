/**
 * HOT: a piece of the exact index: keys of 160 bits, each with one or more pairs of a value and tags. Linear probing in
 * which the slots are kept sorted by the mixed first word of the key, so that a key that is absent is told by the first
 * larger one, growth is one pass in order, and a removal moves its followers up and leaves no tombstone. Budget: 60 ns
 * a call while the segment fits the processor's caches, and one pause of at most a millisecond when it grows.
 *
 * A slot is six words: the mixed word, three words of the hash as they are, the namespace, and what the key has:
 *
 *     0                                      nothing: the slot is free
 *     value << 8 | tags                      one pair; tags are never 0
 *     1 << 31 | node                         several, as a list of nodes [pair, next]
 *
 * Words are signed, since numbers of 32 bits with a sign are the ones that engines keep without a box.
 */
export const SLOT_WORDS = 6
const WORD_1 = 1
const WORD_2 = 2
const WORD_3 = 3
const NAMESPACE = 4
const HELD = 5
const NODE_WORDS = 2
const LIST = 1 << 31
export const TAG_BITS = 8
export const TAGS_ALL = (1 << TAG_BITS) - 1

/** Filled above: grown by half. Filled below: halved, so that what was removed gives its memory back. */
const FILL_MAX = 0.8
const FILL_MIN = 0.25
const HOMES_MIN = 8
const TAIL_SLOTS_MIN = 8

/** A key. `mixed` decides where it lies, and must be spread evenly. */
export interface SegmentKey {
  mixed: number
  word1: number
  word2: number
  word3: number
  namespace: number
}

export class ExactSegment {
  /** Bits of `mixed` that all keys of this segment have in common. */
  readonly #commonBits: number
  #homes = HOMES_MIN
  #slots = new Int32Array((HOMES_MIN + TAIL_SLOTS_MIN) * SLOT_WORDS)
  #keys = 0
  #pairs = 0
  /** Node 0 is none. Free nodes are a list through their second word. */
  #nodes = new Int32Array(0)
  #nodesUsed = 1
  #freeNode = 0

  constructor(commonBits: number) {
    this.#commonBits = commonBits
  }

  get keys(): number {
    return this.#keys
  }

  get pairs(): number {
    return this.#pairs
  }

  get byteLength(): number {
    return this.#slots.byteLength + this.#nodes.byteLength
  }

  /** What the key has, for `pairOf` and `nodeAfter`; 0 when it is absent. */
  find(key: SegmentKey): number {
    const at = this.#seek(key)
    return at < 0 ? 0 : (this.#slots[at + HELD] ?? 0)
  }

  /** The first pair of what `find` gave. */
  pairOf(held: number): number {
    return held < 0 ? (this.#nodes[(held & ~LIST) * NODE_WORDS] ?? 0) : held
  }

  /** What there is after the first pair: 0 when that was all. */
  restOf(held: number): number {
    if (held >= 0) return 0
    const next = this.#nodes[(held & ~LIST) * NODE_WORDS + 1] ?? 0
    return next === 0 ? 0 : next | LIST
  }

  /** Adds tags to the pair of this key and value. Gives the tags that it had: 0 when the pair is new. */
  add(key: SegmentKey, value: number, tags: number): number {
    const at = this.#seek(key)
    if (at < 0) {
      this.#insert(~at, key, (value << TAG_BITS) | tags)
      this.#pairs += 1
      return 0
    }
    const held = this.#slots[at + HELD] ?? 0
    if (held > 0) {
      if (held >> TAG_BITS === value) {
        this.#slots[at + HELD] = held | tags
        return held & TAGS_ALL
      }
      const last = this.#newNode(held, 0)
      this.#slots[at + HELD] = LIST | this.#newNode((value << TAG_BITS) | tags, last)
      this.#pairs += 1
      return 0
    }
    for (let node = held & ~LIST; node !== 0; node = this.#nodes[node * NODE_WORDS + 1] ?? 0) {
      const pair = this.#nodes[node * NODE_WORDS] ?? 0
      if (pair >> TAG_BITS !== value) continue
      this.#nodes[node * NODE_WORDS] = pair | tags
      return pair & TAGS_ALL
    }
    this.#slots[at + HELD] = LIST | this.#newNode((value << TAG_BITS) | tags, held & ~LIST)
    this.#pairs += 1
    return 0
  }

  /** Takes tags from the pair of this key and value, and the pair when none is left. Gives the tags that it had, or 0. */
  remove(key: SegmentKey, value: number, tags: number): number {
    const at = this.#seek(key)
    return at < 0 ? 0 : this.#removeAt(at, value, tags)
  }

  /** Takes the pairs of a value from all keys, or from those of one namespace, and tells the namespace of each. */
  removeValue(value: number, namespace: number | null, removed: (namespace: number) => void): void {
    let at = 0
    while (at < this.#slots.length) {
      const found = this.#slots[at + NAMESPACE] ?? 0
      const isMeant = namespace === null || found === namespace
      const keys = this.#keys
      // With the last pair the key goes, and its follower, if it has one, has moved up: the same slot is looked at again.
      if (this.#slots[at + HELD] !== 0 && isMeant && this.#removeAt(at, value, TAGS_ALL, { mayShrink: false }) !== 0)
        removed(found)
      if (this.#keys === keys || this.#slots[at + HELD] === 0) at += SLOT_WORDS
    }
    this.#shrink()
    this.#compactNodes()
  }

  /** Every pair, sorted by `mixed`. The segment must not change meanwhile. */
  forEach(visit: (key: SegmentKey, value: number, tags: number) => void): void {
    for (let at = 0; at < this.#slots.length; at += SLOT_WORDS) {
      let held = this.#slots[at + HELD] ?? 0
      if (held === 0) continue
      const key = this.#keyAt(at)
      for (; held !== 0; held = this.restOf(held)) {
        const pair = this.pairOf(held)
        visit(key, pair >> TAG_BITS, pair & TAGS_ALL)
      }
    }
  }

  /** Where the key is, or the complement of where it belongs. */
  #seek(key: SegmentKey): number {
    const { mixed, word1, word2, word3, namespace } = key
    const slots = this.#slots
    let at = this.#homeOf(mixed) * SLOT_WORDS
    for (; slots[at + HELD] !== 0; at += SLOT_WORDS) {
      const found = slots[at] ?? 0
      if (found < mixed) continue
      if (found > mixed) break
      if (
        slots[at + WORD_1] === word1 &&
        slots[at + WORD_2] === word2 &&
        slots[at + WORD_3] === word3 &&
        slots[at + NAMESPACE] === namespace
      )
        return at
    }
    return ~at
  }

  /** Homes follow the order of `mixed`: sorted keys and sorted homes are one thing. */
  #homeOf(mixed: number): number {
    return Math.floor((((mixed ^ LIST) << this.#commonBits) >>> 0) * (this.#homes / 2 ** 32))
  }

  #insert(wanted: number, key: SegmentKey, held: number): void {
    let at = wanted
    if (this.#keys + 1 > this.#homes * FILL_MAX) {
      this.#resize(Math.ceil(this.#homes * 1.5))
      at = ~this.#seek(key)
    }
    let free = this.#freeFrom(at)
    while (free + SLOT_WORDS === this.#slots.length) {
      // Many keys belong to the last homes: room after them helps at once, more homes might not.
      this.#rebuild(this.#homes, 2 * (this.#slots.length / SLOT_WORDS - this.#homes))
      at = ~this.#seek(key)
      free = this.#freeFrom(at)
    }
    const slots = this.#slots
    if (free !== at) slots.copyWithin(at + SLOT_WORDS, at, free)
    slots[at] = key.mixed
    slots[at + WORD_1] = key.word1
    slots[at + WORD_2] = key.word2
    slots[at + WORD_3] = key.word3
    slots[at + NAMESPACE] = key.namespace
    slots[at + HELD] = held
    this.#keys += 1
  }

  #freeFrom(start: number): number {
    let at = start
    while (this.#slots[at + HELD] !== 0) at += SLOT_WORDS
    return at
  }

  #removeAt(at: number, value: number, tags: number, { mayShrink } = { mayShrink: true }): number {
    const held = this.#slots[at + HELD] ?? 0
    if (held > 0) {
      if (held >> TAG_BITS !== value) return 0
      if ((held & TAGS_ALL & ~tags) !== 0) this.#slots[at + HELD] = held & ~tags
      else {
        this.#pairs -= 1
        this.#delete(at)
        if (mayShrink) this.#shrink()
      }
      return held & TAGS_ALL
    }
    const nodes = this.#nodes
    let before = 0
    for (let node = held & ~LIST; node !== 0; node = nodes[node * NODE_WORDS + 1] ?? 0) {
      const pair = nodes[node * NODE_WORDS] ?? 0
      if (pair >> TAG_BITS === value) {
        if ((pair & TAGS_ALL & ~tags) !== 0) nodes[node * NODE_WORDS] = pair & ~tags
        else this.#unlink(at, before, node)
        return pair & TAGS_ALL
      }
      before = node
    }
    return 0
  }

  /** A list of one becomes a plain pair again. */
  #unlink(at: number, before: number, node: number): void {
    const nodes = this.#nodes
    const next = nodes[node * NODE_WORDS + 1] ?? 0
    if (before !== 0) nodes[before * NODE_WORDS + 1] = next
    const first = before === 0 ? next : (this.#slots[at + HELD] ?? 0) & ~LIST
    this.#free(node)
    this.#pairs -= 1
    if (nodes[first * NODE_WORDS + 1] === 0) {
      this.#slots[at + HELD] = nodes[first * NODE_WORDS] ?? 0
      this.#free(first)
    } else this.#slots[at + HELD] = LIST | first
  }

  /** Those that follow move up by one, until a slot is free or its key is at home. */
  #delete(at: number): void {
    const slots = this.#slots
    let end = at + SLOT_WORDS
    while (slots[end + HELD] !== 0 && this.#homeOf(slots[end] ?? 0) * SLOT_WORDS < end) end += SLOT_WORDS
    slots.copyWithin(at, at + SLOT_WORDS, end)
    slots.fill(0, end - SLOT_WORDS, end)
    this.#keys -= 1
  }

  #shrink(): void {
    if (this.#keys >= this.#homes * FILL_MIN || this.#homes === HOMES_MIN) return
    this.#resize(Math.max(HOMES_MIN, Math.ceil(this.#keys / 0.6)))
  }

  /** Slots after the last home are for what is pushed past it; the very last is never filled and ends every search. */
  #resize(homes: number): void {
    this.#rebuild(homes, TAIL_SLOTS_MIN + (homes >> 7))
  }

  #rebuild(homes: number, tailSlots: number): void {
    const before = this.#slots
    let after = new Int32Array((homes + tailSlots) * SLOT_WORDS)
    this.#homes = homes
    let next = 0
    for (let from = 0; from < before.length; from += SLOT_WORDS) {
      if (before[from + HELD] === 0) continue
      const to = Math.max(next, this.#homeOf(before[from] ?? 0) * SLOT_WORDS)
      next = to + SLOT_WORDS
      if (next === after.length) after = extended(after, TAIL_SLOTS_MIN * SLOT_WORDS)
      for (let word = 0; word < SLOT_WORDS; word++) after[to + word] = before[from + word] ?? 0
    }
    this.#slots = after
  }

  #newNode(pair: number, next: number): number {
    let node = this.#freeNode
    if (node !== 0) this.#freeNode = this.#nodes[node * NODE_WORDS + 1] ?? 0
    else {
      node = this.#nodesUsed++
      const words = this.#nodesUsed * NODE_WORDS
      if (words > this.#nodes.length) this.#nodes = extended(this.#nodes, Math.max(16, (words >> 2) & ~1))
    }
    this.#nodes[node * NODE_WORDS] = pair
    this.#nodes[node * NODE_WORDS + 1] = next
    return node
  }

  #free(node: number): void {
    this.#nodes[node * NODE_WORDS + 1] = this.#freeNode
    this.#freeNode = node
  }

  /** Lists anew, one after the other, without the free nodes between them. */
  #compactNodes(): void {
    const before = this.#nodes
    this.#nodes = new Int32Array(0)
    this.#nodesUsed = 1
    this.#freeNode = 0
    for (let at = HELD; at < this.#slots.length; at += SLOT_WORDS) {
      const held = this.#slots[at] ?? 0
      if (held >= 0) continue
      let list = 0
      for (let node = held & ~LIST; node !== 0; node = before[node * NODE_WORDS + 1] ?? 0)
        list = this.#newNode(before[node * NODE_WORDS] ?? 0, list)
      this.#slots[at] = LIST | list
    }
  }

  #keyAt(at: number): SegmentKey {
    const slots = this.#slots
    return {
      mixed: slots[at] ?? 0,
      word1: slots[at + WORD_1] ?? 0,
      word2: slots[at + WORD_2] ?? 0,
      word3: slots[at + WORD_3] ?? 0,
      namespace: slots[at + NAMESPACE] ?? 0,
    }
  }
}

function extended(words: Int32Array, by: number): Int32Array<ArrayBuffer> {
  const longer = new Int32Array(words.length + by)
  longer.set(words)
  return longer
}
