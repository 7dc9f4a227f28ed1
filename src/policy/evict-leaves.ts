/**
 * The chains of a cache and their ends. Only a leaf, an entry that no cached one builds upon, may leave; the others
 * wait in no ring until all that builds upon them has left. So a cache never holds a tail without its head, a pinned
 * entry keeps its whole chain, and victims are found by looking at the oldest leaf of each ring.
 */
import { Chains } from './evict-chains.ts'
import { Hints, PINNED_RANK, RANKS } from './evict-ranks.ts'
import { SlotRings } from './evict-rings.ts'
import type { EvictionPriority } from './evict.ts'

/** How far from either end of a ring a leaf's place is looked for; farther in, the place that was reached will do. */
const PLACE_STEPS_MAX = 32

export class Leaves {
  readonly #groups: number
  readonly #chains: Chains
  readonly #hints: Hints
  readonly #rings: SlotRings
  readonly #groupOfSlot: Uint8Array
  readonly #usedAt: Int32Array
  /** Of the entries that build upon a slot's, how many are not closed. */
  readonly #openChildren: Int32Array
  /** A bit for each ring that has a leaf, so that a victim is looked for in those only. */
  readonly #filledWords: Int32Array
  #uses = 0

  /** The leaves of one rank are in so many rings, one for each of a policy's groups: at most 256. */
  constructor(capacity: number, groups: number) {
    this.#groups = groups
    this.#chains = new Chains(capacity)
    this.#hints = new Hints(capacity)
    this.#rings = new SlotRings(capacity, RANKS * groups)
    this.#filledWords = new Int32Array(Math.ceil((RANKS * groups) / 32))
    this.#groupOfSlot = new Uint8Array(capacity)
    this.#usedAt = new Int32Array(capacity)
    this.#openChildren = new Int32Array(capacity)
  }

  /** Uses so far: the time of a policy. As 32 bits, of which differences are taken. */
  get uses(): number {
    return this.#uses
  }

  /** One more use, of something that is not in the cache. */
  pass(): void {
    this.#uses = (this.#uses + 1) | 0
  }

  /** Uses since that of this slot. */
  age(slot: number): number {
    return (this.#uses - (this.#usedAt[slot] ?? 0)) >>> 0
  }

  rank(slot: number): number {
    return this.#hints.rank(slot)
  }

  /** The first ring from this one on that has a leaf, or -1: those of the lowest rank come first. */
  filledRing(from: number): number {
    let word = from >>> 5
    let bits = (this.#filledWords[word] ?? 0) & (-1 << (from & 31))
    while (bits === 0) {
      word += 1
      if (word >= this.#filledWords.length) return -1
      bits = this.#filledWords[word] ?? 0
    }
    return 32 * word + 31 - Math.clz32(bits & -bits)
  }

  /** The first ring of the next rank. */
  ringsEnd(ring: number): number {
    return ring - (ring % this.#groups) + this.#groups
  }

  /** The leaf of a ring that was used longest ago, or -1. */
  oldest(ring: number): number {
    return this.#rings.oldest(ring)
  }

  insert(slot: number, parent: number, group: number): void {
    if (parent >= 0) {
      if (this.#chains.children(parent) === 0) this.#unlink(parent)
      this.#addOpen(parent, 1)
    }
    this.#chains.add(slot, parent)
    this.#openChildren[slot] = 0
    this.#hints.reset(slot)
    this.#use(slot, group)
    this.#linkNewest(slot)
  }

  touch(slot: number, group: number): void {
    const isLeaf = this.#chains.children(slot) === 0
    if (isLeaf) this.#unlink(slot)
    if (this.#hints.isClosed(slot)) this.#reopen(slot)
    this.#use(slot, group)
    if (isLeaf) this.#linkNewest(slot)
  }

  remove(slot: number): void {
    if (this.#chains.children(slot) === 0) this.#unlink(slot)
    const parent = this.#chains.parent(slot)
    this.#chains.remove(slot)
    if (parent < 0) return
    if (!this.#hints.isClosed(slot)) this.#addOpen(parent, -1)
    if (this.#chains.children(parent) === 0) this.#linkByUse(parent)
    else this.#closeIfDone(parent)
  }

  /** Closes an entry and its chain, up to where something else that is not closed builds upon it. */
  close(slot: number): void {
    if (this.#hints.isClosed(slot) || (this.#openChildren[slot] ?? 0) > 0) return
    const isLeaf = this.#chains.children(slot) === 0
    if (isLeaf) this.#unlink(slot)
    this.#closeAlone(slot)
    if (isLeaf) this.#linkByUse(slot)
    this.#closeIfDone(this.#chains.parent(slot))
  }

  prioritize(slot: number, priority: EvictionPriority): void {
    const isLeaf = this.#chains.children(slot) === 0
    if (isLeaf) this.#unlink(slot)
    this.#hints.prioritize(slot, priority)
    if (isLeaf) this.#linkByUse(slot)
  }

  pin(slot: number, isPinned: boolean): void {
    const isLeaf = this.#chains.children(slot) === 0
    if (isLeaf) this.#unlink(slot)
    this.#hints.pin(slot, isPinned)
    if (isLeaf) this.#linkByUse(slot)
  }

  /** Up the chain from an entry that others build upon: they are in no ring. */
  #closeIfDone(from: number): void {
    let slot = from
    while (slot >= 0 && this.#openChildren[slot] === 0 && !this.#hints.isClosed(slot)) {
      this.#closeAlone(slot)
      slot = this.#chains.parent(slot)
    }
  }

  #closeAlone(slot: number): void {
    this.#hints.close(slot)
    const parent = this.#chains.parent(slot)
    if (parent >= 0) this.#addOpen(parent, -1)
  }

  #reopen(slot: number): void {
    this.#hints.reopen(slot)
    const parent = this.#chains.parent(slot)
    if (parent >= 0) this.#addOpen(parent, 1)
  }

  #addOpen(slot: number, change: number): void {
    this.#openChildren[slot] = (this.#openChildren[slot] ?? 0) + change
  }

  #use(slot: number, group: number): void {
    this.pass()
    this.#usedAt[slot] = this.#uses
    this.#groupOfSlot[slot] = group
  }

  #unlink(slot: number): void {
    const ring = this.#ringOf(slot)
    if (ring < 0) return
    this.#rings.remove(slot)
    if (this.#rings.oldest(ring) < 0) this.#mark(ring, false)
  }

  #linkNewest(slot: number): void {
    const ring = this.#ringOf(slot)
    if (ring < 0) return
    this.#rings.addNewest(slot, ring)
    this.#mark(ring, true)
  }

  /** A head that is a leaf again was mostly used with what has just left, and was the oldest; else it is recent. */
  #linkByUse(slot: number): void {
    const ring = this.#ringOf(slot)
    if (ring < 0) return
    this.#mark(ring, true)
    const age = this.age(slot)
    let old = this.#rings.oldest(ring)
    let recent = this.#rings.newest(ring)
    for (let steps = 0; steps < PLACE_STEPS_MAX && old >= 0 && this.age(old) > age; steps++) {
      if (this.age(recent) >= age) {
        this.#rings.addNewerThan(recent, slot)
        return
      }
      old = this.#rings.newer(old)
      recent = this.#rings.older(recent)
    }
    if (old < 0) this.#rings.addNewest(slot, ring)
    else this.#rings.addOlderThan(old, slot)
  }

  #mark(ring: number, isFilled: boolean): void {
    const word = ring >>> 5
    const bits = this.#filledWords[word] ?? 0
    const bit = 1 << (ring & 31)
    this.#filledWords[word] = isFilled ? bits | bit : bits & ~bit
  }

  /** Of a leaf; -1 when it is pinned. */
  #ringOf(slot: number): number {
    const rank = this.#hints.rank(slot)
    return rank === PINNED_RANK ? -1 : rank * this.#groups + (this.#groupOfSlot[slot] ?? 0)
  }
}
