/**
 * What leaves a full cache first, and what is not worth letting in. A policy ranks slots: small whole numbers, 0 to
 * capacity - 1, that the cache gives to its entries and uses again. It sees no bytes, no prompt and no clock (its time
 * is the number of calls), so that the simulator and a store ask the same question. Plain numbers instead of an object,
 * because a cache calls it for every block.
 *
 * An entry may build upon another one, its parent, as a block does upon the block before it; its chain are its parent,
 * the parent of that, and so on. Whoever uses a chain says so from its head on: the head is touched or inserted first.
 *
 * What expires is removed by whoever keeps the time (`removed`): it must go at its hour, not only when room is needed.
 */
export interface EvictionPolicy {
  /**
   * The slot has just been filled; it was empty. `key` names the entry wherever it comes back, a whole number from 0 to
   * 2^31 - 1 (a block id, or bits of its hash). `parent` is the slot of the entry that it builds upon, or -1 when there is
   * none in the cache. `density` is what a use of the entry saves, per unit of the room that it takes: above 0, in a
   * unit that is the same for all entries (seconds of prefill per byte; 1 where all are alike). Its priority is normal.
   */
  inserted(slot: number, key: number, parent: number, density: number): void

  /** What is in the slot was used; it is filled. What `closed` said of it is forgotten. */
  touched(slot: number): void

  /** The slot is empty from now on, evicted or dropped, pinned or not. What builds upon it stays, as heads. */
  removed(slot: number): void

  /** The chain that ends in this filled slot will not go on: it, without what other entries build upon, leaves first. */
  closed(slot: number): void

  /** What is in this filled slot has another priority from now on. */
  prioritized(slot: number, priority: EvictionPriority): void

  /** While it is pinned, what is in this filled slot is no victim; under a policy by chains, nor is its chain. */
  pin(slot: number, isPinned: boolean): void

  /**
   * The slot to empty next, or -1 when all are empty or kept by pins. Under a policy by chains, no entry in the cache
   * builds upon it. The cache empties it and says `removed`, or leaves it: asked again with no other call between, the
   * answer is the same.
   */
  victim(): number

  /**
   * The slot to empty for a new entry for which there is no room, as `victim()` has it; or -1, and the entry stays out
   * with all that would build upon it: nothing may leave, only what has a higher priority or is the entry's own parent,
   * or, under a policy that refuses, only what is worth more. Asked once an entry, with the key, parent and
   * density of `inserted`: from what it refuses, a policy learns. Where one is not enough, `victim()` names the others, down to the parent.
   */
  victimFor(key: number, parent: number, density: number, priority: EvictionPriority): number
}

/** Entries of a lower priority leave before all of a higher one: 0 low, 1 normal, 2 high. */
export type EvictionPriority = 0 | 1 | 2

/** What an entry has until `prioritized` says otherwise. */
export const NORMAL_PRIORITY: EvictionPriority = 1
