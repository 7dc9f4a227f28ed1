import { Leaves } from './evict-leaves.ts'
import { rankOf } from './evict-ranks.ts'
import type { EvictionPolicy, EvictionPriority } from './evict.ts'

/** The least recently used leaf first, so that a chain leaves from its tail on. About 34 bytes a slot. */
export function createLeafLru(capacity: number): EvictionPolicy {
  return new LeafLru(capacity)
}

class LeafLru implements EvictionPolicy {
  readonly #leaves: Leaves

  constructor(capacity: number) {
    this.#leaves = new Leaves(capacity, 1)
  }

  inserted(slot: number, _key: number, parent: number): void {
    this.#leaves.insert(slot, parent, 0)
  }

  touched(slot: number): void {
    this.#leaves.touch(slot, 0)
  }

  removed(slot: number): void {
    this.#leaves.remove(slot)
  }

  closed(slot: number): void {
    this.#leaves.close(slot)
  }

  prioritized(slot: number, priority: EvictionPriority): void {
    this.#leaves.prioritize(slot, priority)
  }

  pin(slot: number, isPinned: boolean): void {
    this.#leaves.pin(slot, isPinned)
  }

  victim(): number {
    const ring = this.#leaves.filledRing(0)
    return ring < 0 ? -1 : this.#leaves.oldest(ring)
  }

  victimFor(_key: number, parent: number, _density: number, priority: EvictionPriority): number {
    const victim = this.victim()
    if (victim < 0 || victim === parent) return -1
    return this.#leaves.rank(victim) <= rankOf(priority) ? victim : -1
  }
}
