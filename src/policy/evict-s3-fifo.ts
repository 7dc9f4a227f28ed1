import { Ghosts } from './evict-ghosts.ts'
import { Hints, PINNED_RANK, RANKS, rankOf } from './evict-ranks.ts'
import { SlotRings } from './evict-rings.ts'
import type { EvictionPolicy, EvictionPriority } from './evict.ts'

/**
 * S3-FIFO (Yang and others, SOSP 2023), each entry on its own: new entries wait in a small queue, a tenth of all, and
 * go on to the main one if they were used more than once there; those that left it come back into the main queue.
 * About 27 bytes a slot.
 */
export function createS3Fifo(capacity: number): EvictionPolicy {
  return new S3Fifo(capacity)
}

const SMALL_RATIO = 0.1
const USES_MAX = 3
const USES_TO_STAY = 2
const SMALL = 0
const MAIN = 1

/** Each rank has queues of its own. */
class S3Fifo implements EvictionPolicy {
  readonly #rings: SlotRings
  readonly #hints: Hints
  readonly #ghosts: Ghosts
  readonly #keys: Int32Array
  readonly #uses: Uint8Array
  readonly #queueOfSlot: Uint8Array
  readonly #counts = new Int32Array(2 * (PINNED_RANK + 1))

  constructor(capacity: number) {
    this.#rings = new SlotRings(capacity, 2 * (PINNED_RANK + 1))
    this.#hints = new Hints(capacity)
    this.#ghosts = new Ghosts(Math.ceil((1 - SMALL_RATIO) * capacity))
    this.#keys = new Int32Array(capacity)
    this.#uses = new Uint8Array(capacity)
    this.#queueOfSlot = new Uint8Array(capacity)
  }

  inserted(slot: number, key: number): void {
    this.#hints.reset(slot)
    this.#keys[slot] = key
    this.#uses[slot] = 0
    this.#link(slot, this.#ghosts.recall(key) < 0 ? SMALL : MAIN)
  }

  touched(slot: number): void {
    this.#uses[slot] = Math.min(USES_MAX, (this.#uses[slot] ?? 0) + 1)
    if (this.#hints.rank(slot) !== 0) return
    const queue = this.#unlink(slot)
    this.#hints.reopen(slot)
    this.#link(slot, queue)
  }

  removed(slot: number): void {
    if (this.#unlink(slot) === SMALL) this.#ghosts.remember(this.#keys[slot] ?? 0, 0)
  }

  closed(slot: number): void {
    const queue = this.#unlink(slot)
    this.#hints.close(slot)
    this.#link(slot, queue)
  }

  prioritized(slot: number, priority: EvictionPriority): void {
    const queue = this.#unlink(slot)
    this.#hints.prioritize(slot, priority)
    this.#link(slot, queue)
  }

  pin(slot: number, isPinned: boolean): void {
    const queue = this.#unlink(slot)
    this.#hints.pin(slot, isPinned)
    this.#link(slot, queue)
  }

  /** Moves what it comes across and is worth keeping; that ends, because every move costs uses. */
  victim(): number {
    for (let rank = 0; rank < RANKS; rank++) {
      const victim = this.#victimOf(rank)
      if (victim >= 0) return victim
    }
    return -1
  }

  victimFor(_key: number, _parent: number, _density: number, priority: EvictionPriority): number {
    const victim = this.victim()
    return victim >= 0 && this.#hints.rank(victim) <= rankOf(priority) ? victim : -1
  }

  #victimOf(rank: number): number {
    const [small, main] = [2 * rank + SMALL, 2 * rank + MAIN]
    for (;;) {
      const [smallCount, mainCount] = [this.#counts[small] ?? 0, this.#counts[main] ?? 0]
      const isSmallFull = mainCount === 0 || smallCount >= SMALL_RATIO * (smallCount + mainCount)
      const slot = this.#rings.oldest(isSmallFull ? small : main)
      const uses = slot < 0 ? 0 : (this.#uses[slot] ?? 0)
      if (uses < (isSmallFull ? USES_TO_STAY : 1)) return slot
      this.#unlink(slot)
      this.#uses[slot] = isSmallFull ? 0 : uses - 1
      this.#link(slot, MAIN)
    }
  }

  #link(slot: number, queue: number): void {
    const ring = 2 * this.#hints.rank(slot) + queue
    this.#queueOfSlot[slot] = queue
    this.#counts[ring] = (this.#counts[ring] ?? 0) + 1
    this.#rings.addNewest(slot, ring)
  }

  /** Gives the queue that it was in. */
  #unlink(slot: number): number {
    const queue = this.#queueOfSlot[slot] ?? 0
    const ring = 2 * this.#hints.rank(slot) + queue
    this.#counts[ring] = (this.#counts[ring] ?? 0) - 1
    this.#rings.remove(slot)
    return queue
  }
}
