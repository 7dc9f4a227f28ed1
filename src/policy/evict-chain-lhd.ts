import { Ghosts } from './evict-ghosts.ts'
import { Leaves } from './evict-leaves.ts'
import { RANKS, rankOf } from './evict-ranks.ts'
import { ReuseModel } from './evict-reuse.ts'
import type { EvictionPolicy, EvictionPriority } from './evict.ts'

/**
 * The leaf of the least expected saving per room and time first: how soon entries are used again is learnt, by how
 * often their chain was gone on with and how long ago. A new chain that is worth less than what would have to leave
 * stays out, so some chains are kept whole instead of all for a moment. About 75 bytes a slot and 1 MB.
 */
export function createChainLhd(capacity: number): EvictionPolicy {
  return new ChainLhd(capacity)
}

/** A chain that was gone on with more often is as one of the last class: 0 to 7 times. */
const TURNS = 8
/** Of what a use saves per room; those that are 2^8 apart share a ring, and the older one of them is looked at first. */
const OCTAVES = 8
/** What so many chains went on from is a common beginning: to begin with it says nothing of a chain. */
const FORKS_OF_COMMON = 3
/** Turns of chains that were evicted or refused are remembered for so many times as many entries. */
const GHOSTS_RATIO = 4

/** HOT: budget 0.5 µs a call. */
class ChainLhd implements EvictionPolicy {
  readonly #leaves: Leaves
  readonly #model = new ReuseModel(TURNS)
  readonly #ghosts: Ghosts
  readonly #keys: Int32Array
  readonly #turns: Uint8Array
  readonly #forks: Uint8Array
  readonly #densities: Float32Array
  #entries = 0
  /** Of the slot that `victim` found last: what it is expected to save. */
  #victimWorth = 0

  constructor(capacity: number) {
    this.#leaves = new Leaves(capacity, TURNS * OCTAVES)
    this.#ghosts = new Ghosts(GHOSTS_RATIO * capacity)
    this.#keys = new Int32Array(capacity)
    this.#turns = new Uint8Array(capacity)
    this.#forks = new Uint8Array(capacity)
    this.#densities = new Float32Array(capacity)
  }

  inserted(slot: number, key: number, parent: number, density: number): void {
    const turn = this.#turnOf(key, parent)
    if (parent >= 0) this.#forks[parent] = Math.min(255, (this.#forks[parent] ?? 0) + 1)
    this.#keys[slot] = key
    this.#turns[slot] = turn
    this.#forks[slot] = 0
    this.#densities[slot] = density
    this.#entries += 1
    this.#leaves.insert(slot, parent, this.#groupOf(slot))
    this.#model.used(key, turn, this.#leaves.uses, this.#entries)
  }

  touched(slot: number): void {
    const turn = Math.min(TURNS - 1, (this.#turns[slot] ?? 0) + 1)
    this.#turns[slot] = turn
    this.#leaves.touch(slot, this.#groupOf(slot))
    this.#model.used(this.#keys[slot] ?? 0, turn, this.#leaves.uses, this.#entries)
  }

  removed(slot: number): void {
    this.#ghosts.remember(this.#keys[slot] ?? 0, this.#turns[slot] ?? 0)
    this.#entries -= 1
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
    let victim = -1
    let victimAge = -1
    this.#victimWorth = Number.POSITIVE_INFINITY
    let ring = this.#leaves.filledRing(0)
    const ringsEnd = this.#leaves.ringsEnd(ring)
    for (; ring >= 0 && ring < ringsEnd; ring = this.#leaves.filledRing(ring + 1)) {
      const slot = this.#leaves.oldest(ring)
      const age = this.#leaves.age(slot)
      const worth = (this.#densities[slot] ?? 0) * this.#model.density(this.#turns[slot] ?? 0, age)
      // What is older than anything that ever came back is worth nothing; of that, the oldest leaves.
      if (worth > this.#victimWorth || (worth === this.#victimWorth && age <= victimAge)) continue
      this.#victimWorth = worth
      victimAge = age
      victim = slot
    }
    return victim
  }

  victimFor(key: number, parent: number, density: number, priority: EvictionPriority): number {
    const turn = this.#turnOf(key, parent)
    const victim = this.victim()
    const rank = rankOf(priority)
    const victimRank = victim < 0 || victim === parent ? RANKS : this.#leaves.rank(victim)
    if (victimRank < rank) return victim
    if (victimRank === rank && density * this.#model.density(turn, 0) >= this.#victimWorth) return victim
    this.#leaves.pass()
    this.#ghosts.remember(key, turn)
    this.#model.used(key, turn, this.#leaves.uses, this.#entries)
    return -1
  }

  /** How often the chain that an entry belongs to was gone on with, as far as one remembers. */
  #turnOf(key: number, parent: number): number {
    const isPrivate = parent >= 0 && (this.#forks[parent] ?? 0) < FORKS_OF_COMMON
    const turn = isPrivate ? (this.#turns[parent] ?? 0) : 0
    return Math.max(turn, Math.min(TURNS - 1, this.#ghosts.recall(key) + 1))
  }

  #groupOf(slot: number): number {
    return (this.#turns[slot] ?? 0) * OCTAVES + octaveOf(this.#densities[slot] ?? 0)
  }
}

const FLOAT = new Float32Array(1)
const FLOAT_BITS = new Int32Array(FLOAT.buffer)

/** The exponent of a number, modulo 8: read from its bits, for a logarithm may differ between machines. */
function octaveOf(density: number): number {
  FLOAT[0] = density
  return ((FLOAT_BITS[0] ?? 0) >>> 23) & (OCTAVES - 1)
}
